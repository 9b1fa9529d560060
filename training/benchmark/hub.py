"""What loading a published model costs beside building its network and reading its arrays."""

import os
import pathlib
import tempfile

from training.benchmark import alternate


def hub(threads, rounds, seconds) -> dict:
    """Seconds to load a model that the Hub's client has cached, with all of its checks, and to build and read alone."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            name: _load(pathlib.Path(folder) / name, rounds, seconds, **options) for name, options in MODELS.items()
        }


MODELS = {
    "paper, 224 pixels": {},
    "batch_norm, 32 pixels": {"variant": "batch_norm", "stem": "small", "classes": 10, "input_shape": (32, 32, 3)},
}
COMMIT = "0" * 40


def _load(place, rounds, seconds, **options) -> dict:
    from huggingface_hub import constants

    import keras_inception
    from keras_inception import checkpoints
    from keras_inception.hub import folder, serialization
    from keras_inception.models.googlenet import build_googlenet

    keras_inception.push_to_hub(keras_inception.GoogLeNet(weights=None, **options), place / "published")
    constants.HF_HUB_CACHE = str(place / "cache")
    _cache(place / "published", place / "cache" / "models--me--net")
    weights = place / "published" / folder.WEIGHTS
    spec = keras_inception.GoogLeNetSpec.from_dict(folder.read_published(place / "published").spec)

    def build_and_read():
        model = build_googlenet(spec)
        serialization.assign(checkpoints.network_variables(model), serialization.read(weights).tensors)

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
