"""A model and its published folder: written so that it loads back the same, and loaded without running anything."""

import concurrent.futures
import copy
import dataclasses
import importlib.metadata
import json
import pathlib
import zipfile

import keras
import numpy as np

from keras_inception import checkpoints
from keras_inception.convert.checkpoint import Checkpoint, CheckpointError
from keras_inception.hub import architecture, folder, serialization
from keras_inception.hub import card as cards
from keras_inception.labels import label_set
from keras_inception.layers.pixels import Pixels
from keras_inception.models.googlenet import build_googlenet
from keras_inception.models.spec import GoogLeNetSpec
from keras_inception.preprocessing import Preprocessing


def load(path, *, checked=False) -> keras.Model:
    published, checkpoint = folder.read_folder(path, checked=checked)
    if published.kind == "functional":
        return _load_functional(path, published, checkpoint, checked)
    config = pathlib.Path(path) / folder.CONFIG
    spec = checkpoints.check_claims(checkpoint, str(config))
    try:
        model = build_googlenet(spec, **_options(published, config))
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"{config}: {error}") from error
    _assign(path, checkpoints.network_variables(model), checkpoint)
    return model


def _assign(path, variables, checkpoint) -> None:
    try:
        serialization.assign(variables, checkpoint.tensors)
    except ValueError as error:
        raise CheckpointError(f"{pathlib.Path(path) / folder.WEIGHTS}: {error}") from error


def _options(published, path) -> dict:
    """The arguments of `build_googlenet` that a folder keeps beside the spec."""
    known = {"classifier_activation": (str,), "dropout": (int, float), "input_shape": (list,), "name": (str,)}
    wrong = [name for name, value in published.options.items() if not isinstance(value, known.get(name, ()))]
    if wrong:
        raise CheckpointError(f"{path}: expected the options {', '.join(known)}; Received: {published.options!r:.200}")
    options = dict(published.options)
    activation = options.get("classifier_activation", "softmax")
    if activation not in ("softmax", "linear", "sigmoid"):
        raise CheckpointError(f"{path}: expected softmax, linear or sigmoid; Received: {activation!r:.100}")
    shape = options.get("input_shape")
    if shape is not None:
        if len(shape) != 3 or not all(n is None or (type(n) is int and 0 < n <= 1 << 16) for n in shape):
            raise CheckpointError(f"{path}: expected an input shape of three numbers; Received: {shape!r:.100}")
        options["input_shape"] = tuple(shape)
    return options


def _load_functional(path, published, checkpoint, checked) -> keras.Model:
    file = pathlib.Path(path) / folder.ARCHITECTURE
    if not checked:
        folder.check_file(path, folder.ARCHITECTURE, published.files[folder.ARCHITECTURE])
    config = architecture.parse(folder.read_text(file), str(file))
    try:
        # In a thread of its own, for what Keras remembers of the variables that are not made belongs to the thread.
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            shapes = thread.submit(_shapes, copy.deepcopy(config)).result()  # Keras empties what it reads
        expected = {name: tuple(tensor.shape) for name, tensor in checkpoint.tensors.items()}
        if shapes != expected:
            wrong = sorted(n for n in {*shapes, *expected} if shapes.get(n) != expected.get(n))
            raise CheckpointError(
                f"{file}: expected the architecture of {folder.WEIGHTS}; Received: one that differs in "
                f"{', '.join(f'{n} {shapes.get(n)}, not {expected.get(n)}' for n in wrong[:6])}"
            )
        model = keras.saving.deserialize_keras_object(config)
    except (CheckpointError, MemoryError):
        raise
    except Exception as error:  # Keras raises whatever it meets
        raise CheckpointError(
            f"{file}: expected an architecture that Keras can build; Received: {type(error).__name__}: {error!s:.300}"
        ) from error
    _assign(path, serialization.model_variables(model), checkpoint)
    return model


def _shapes(config) -> dict[str, tuple]:
    """The shapes of the variables of an architecture, which are not made."""
    with keras.StatelessScope(initialize_variables=False):
        model = keras.saving.deserialize_keras_object(config)
        return {name: tuple(variable.shape) for name, variable in serialization.model_variables(model).items()}


def verify(path) -> list[str]:
    """What is wrong with a published folder: one sentence each; none where it is whole, loads, and its card is true.

    Args:
        path: the folder.
    """
    path, problems = pathlib.Path(path), []
    try:
        described = folder.read_published(path)
    except CheckpointError as error:
        return [str(error)]
    for name, record in described.files.items():
        try:
            folder.check_file(path, name, record)
        except CheckpointError as error:
            problems.append(str(error))
    if not problems:
        try:
            load(path, checked=True)
        except ValueError as error:  # CheckpointError is one
            problems.append(str(error))
    return problems + _card_problems(path, described)


def _card_problems(path, described) -> list[str]:
    card = path / folder.CARD
    if not card.is_file():
        return [f"{path}: expected a card, {folder.CARD}; Received: none"]
    try:
        shown = cards.metric_values(card.read_text("utf-8"))
    except ValueError as error:
        return [f"{card}: {error}"]
    measured = {value for value in described.metrics.values() if isinstance(value, (int, float))}
    if missing := sorted(measured - shown):
        return [f"{card}: expected the metrics {missing} in its model-index, as {folder.CONFIG} has them"]
    return []


def write(model, path, *, preprocessing, labels, metrics, half, provenance, keras_files) -> None:
    """Writes the folder, and proves that it loads back."""
    spec = _described(model, preprocessing, labels)
    facts = {"metrics": metrics, "half": half, "provenance": provenance}
    path.mkdir()
    options = _plain_options(model)
    if options is not None:
        checkpoint = checkpoints.to_checkpoint(model)
        own = {name: checkpoint.spec[name] for name in ("mean", "scale")}  # of a model that takes no pixels, 0 and 1
        checkpoint = Checkpoint({**spec.to_dict(), **own}, checkpoint.tensors)
        facts |= {"options": options}
    else:
        config = _architecture(model, spec)
        (path / folder.ARCHITECTURE).write_text(json.dumps(config), "utf-8")
        variables = serialization.model_variables(model)
        arrays = {name: keras.ops.convert_to_numpy(variable.value) for name, variable in variables.items()}
        checkpoint = Checkpoint(spec.to_dict(), arrays)
        facts |= {"kind": "functional"}
    folder.write_folder(path, checkpoint, **facts)
    twin = load(path)
    _compare(model, twin, half, "the published files")
    if keras_files:
        _add_keras_files(twin, path)
        folder.write_folder(path, checkpoint, **facts)  # whose JSON names these files too


def _described(model, preprocessing, labels) -> GoogLeNetSpec:
    """The model's spec, with what the caller knows better."""
    spec = checkpoints.model_spec(model)
    outputs = model.output_shape
    shape = outputs["predictions"] if isinstance(outputs, dict) and "predictions" in outputs else outputs
    if isinstance(shape, tuple) and len(shape) == 2 and shape[1] != spec.classes:
        # A classifier of one's own, of which the GoogLeNet in the model does not know.
        spec = dataclasses.replace(spec, classes=shape[1], labels=None)
    if labels is not None:
        labels = labels if isinstance(labels, str) else tuple(labels)
        count = len(label_set(labels).classes) if isinstance(labels, str) else len(labels)
        if count != spec.classes:
            raise ValueError(f"expected {spec.classes} labels, one per class; Received: {count}")
        spec = dataclasses.replace(spec, labels=labels)
    if preprocessing is not None:
        if isinstance(preprocessing, dict):
            preprocessing = Preprocessing(**preprocessing)
        spec = dataclasses.replace(spec, preprocessing=preprocessing.to_dict())
    return spec


def _plain_options(model) -> dict | None:
    """What a GoogLeNet was built with beside its spec; None for a model that is more, or less, than one."""
    layers = {layer.name: layer for layer in model.layers}
    if not {"predictions", "pool5_drop_7x7_s1"} <= set(layers) or not hasattr(model, "operations"):
        return None
    spec = checkpoints.model_spec(model)
    activation = keras.activations.serialize(layers["predictions"].activation)
    if activation not in ("softmax", "linear", "sigmoid") or not isinstance(model.input_shape, tuple):
        return None
    options = {
        "classifier_activation": activation,
        "dropout": float(layers["pool5_drop_7x7_s1"].rate),
        "input_shape": list(model.input_shape[1:]),
        "name": model.name,
    }
    try:
        twin = build_googlenet(spec, **{**options, "input_shape": tuple(options["input_shape"])})
    except ValueError:
        return None
    # Operations, for what is computed without a layer is none of the layers.
    alike, mine = (sorted((part.name, type(part).__name__) for part in m.operations) for m in (twin, model))
    return options if alike == mine else None


def _architecture(model, spec) -> dict:
    """The model as Keras JSON, its pixel layer with the spec of the whole."""
    try:
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
        for part in [*_objects(config, "Functional"), *_objects(config, "Sequential")]:
            part.pop("compile_config", None)  # an optimizer is nobody's business who loads it
        architecture.check(config)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(
            "expected a GoogLeNet, or a functional or sequential model of Keras' own layers and ours, built upon "
            f"one; Received: {model.name}: {error}"
        ) from error
    for pixels in _objects(config, Pixels.__name__):
        pixels["config"]["spec"] = spec.to_dict()
    return config


def _objects(value, name):
    if isinstance(value, list):
        for item in value:
            yield from _objects(item, name)
    elif isinstance(value, dict):
        if value.get("class_name") == name:
            yield value
        for item in value.values():
            yield from _objects(item, name)


def _compare(model, other, half, what) -> None:
    """Raises ValueError unless two models predict the same."""
    sides = checkpoints.model_spec(model).height_width
    channels_last = keras.config.image_data_format() == "channels_last"
    standard = (2, *sides, 3) if channels_last else (2, 3, *sides)
    shape = tuple(n or m for n, m in zip(model.input_shape[1:], standard[1:], strict=True))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, *shape)).astype("float32")
    pairs = zip(*(keras.tree.flatten(m(pixels, training=False)) for m in (model, other)), strict=True)
    sixteen = any(getattr(layer, "compute_dtype", "") in ("float16", "bfloat16") for layer in model.layers)
    tolerance = 5e-2 if half or sixteen else 1e-4
    for mine, theirs in pairs:
        mine, theirs = (np.asarray(keras.ops.convert_to_numpy(value), "float64") for value in (mine, theirs))
        worst = np.abs(mine - theirs).max() / max(np.abs(mine).max(), 1e-30)
        if not worst <= tolerance:
            raise ValueError(
                f"expected {what} to give the outputs of {model.name}; Received: outputs that differ by {worst:.2g} of "
                "the largest"
            )


def _add_keras_files(twin, path) -> None:
    """Keras' own three files, of a copy that is not compiled: `keras.saving.load_model` opens the repository."""
    archive = path / "model.keras"
    twin.save(archive)
    _compare(twin, keras.saving.load_model(archive, compile=False), False, "Keras' own files")
    with zipfile.ZipFile(archive) as files:
        for name in folder.KERAS_FILES:
            (path / name).write_bytes(files.read(name))
    archive.unlink()
    metadata = json.loads((path / "metadata.json").read_text())
    metadata.pop("date_saved", None)  # so that the same model is the same files
    (path / "metadata.json").write_text(json.dumps(metadata))


def versions() -> str:
    names = ("keras-inception", "keras", keras.backend.backend())
    found = []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(name)
    return ", ".join(found)
