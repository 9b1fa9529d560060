"""What loading a published model costs beside building its network and reading its arrays."""

import json
import os
import pathlib
import tempfile

from training.benchmark import alternate

COMMIT = "0" * 40
SMALL = {"variant": "batch_norm", "stem": "small", "input_shape": (32, 32, 3)}


def hub(threads, rounds, seconds) -> dict:
    """Seconds to load a model that the Hub's client has cached, with all of its checks, and to build and read alone."""
    import keras

    from keras_inception import GoogLeNet

    base = GoogLeNet(weights=None, include_top=False, pooling="avg", **SMALL)
    models = {
        "paper, 224 pixels": GoogLeNet(weights=None),
        "batch_norm, 32 pixels": GoogLeNet(weights=None, classes=10, **SMALL),
        "built upon it": keras.Model(base.input, keras.layers.Dense(10, name="own")(base.output)),
    }
    with tempfile.TemporaryDirectory() as folder:
        places = [pathlib.Path(folder) / str(number) for number in range(len(models))]
        pairs = zip(models.items(), places, strict=True)
        return {name: _measure(model, place, rounds, seconds) for (name, model), place in pairs}


def _measure(model, place, rounds, seconds) -> dict:
    import keras
    from huggingface_hub import constants

    import keras_inception
    from keras_inception import checkpoints
    from keras_inception.hub import folder, serialization
    from keras_inception.models.googlenet import build_googlenet

    keras_inception.push_to_hub(model, place / "published")
    constants.HF_HUB_CACHE = str(place / "cache")
    _cache(place / "published", place / "cache" / "models--me--net")
    weights, architecture = place / "published" / folder.WEIGHTS, place / "published" / folder.ARCHITECTURE
    spec = keras_inception.GoogLeNetSpec.from_dict(folder.read_published(place / "published").spec)

    def build_and_read():
        if architecture.exists():
            built = keras.saving.deserialize_keras_object(json.loads(architecture.read_text()))
            variables = serialization.model_variables(built)
        else:
            variables = checkpoints.network_variables(build_googlenet(spec))
        serialization.assign(variables, serialization.read(weights).tensors)

    contestants = {
        "load": lambda: keras_inception.from_hub(f"hf://me/net@{COMMIT}"),
        "build and read": build_and_read,
        "sha256": lambda: folder.sha256(weights),
    }
    rates = alternate(contestants, rounds, seconds)
    times = {f"{name}, s": round(1 / rate, 3) for name, rate in rates.items()}
    return {**times, "load / build and read": round(rates["build and read"] / rates["load"], 2)}


def _cache(published, cache) -> None:
    """Puts a published folder where the Hub's client would have put it: a blob by its id, and a link to it."""
    from keras_inception.hub import folder

    snapshot, blobs = cache / "snapshots" / COMMIT, cache / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for path in published.iterdir():
        name = folder.sha256(path) if path.name == folder.WEIGHTS else folder.git_blob_id(path)
        (blobs / name).write_bytes(path.read_bytes())
        os.symlink(os.path.join("..", "..", "blobs", name), snapshot / path.name)
