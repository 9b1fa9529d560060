"""A model written as a published folder, which is loaded back and compared before anybody gets it."""

import dataclasses
import importlib.metadata
import json
import zipfile

import keras
import numpy as np

from keras_inception import checkpoints
from keras_inception.convert.checkpoint import Checkpoint
from keras_inception.hub import architecture, folder, serialization
from keras_inception.labels import label_set
from keras_inception.layers.pixels import find_pixels, takes_pixels
from keras_inception.model_folder.loading import ACTIVATIONS, dtype_policy, first_pixels, load, output_classes
from keras_inception.models import families
from keras_inception.models.spec import NetworkSpec
from keras_inception.preprocessing import Preprocessing

# What of a layer's config is for training alone, and not published of a network: its file must fit a fresh one.
_FOR_TRAINING = ("trainable", "seed", "_regularizer", "_constraint", "_initializer")


def write(
    model, path, *, preprocessing=None, labels=None, metrics=None, half=False, provenance=None, keras_files=False
):
    """Writes the published folder of a model, without a card, and proves that it loads back.

    Args:
        model: see `push_to_hub`; a detector's models are written so, one by one.
        path: a folder that does not exist.
        preprocessing, labels, metrics, provenance: see `push_to_hub`.
        half: store kernels in float16.
        keras_files: also write Keras' own files.

    Returns:
        What the JSON says.

    Raises:
        ValueError: the model cannot be published so that it loads back the same.
    """
    from keras_inception.detection.rcnn import RCNN  # here, for importing it takes time

    if isinstance(model, RCNN):
        from keras_inception.model_folder import detector

        if given := [name for name, value in {"preprocessing": preprocessing, "labels": labels}.items() if value]:
            raise ValueError(f"expected {' and '.join(given)} only of a classifier; Received: a detector")
        return detector.write(model, path, write, load, metrics=metrics, half=half, provenance=provenance)
    if not isinstance(getattr(model, "input_shape", None), tuple) or len(model.input_shape) != 4:
        raise ValueError(
            "expected a functional or sequential model of one input, of rank 4; Received: "
            f"{getattr(model, 'name', model)!r}, a {type(model).__name__} of {getattr(model, 'input_shape', None)}"
        )
    spec = _described(model, preprocessing, labels)
    facts = {"metrics": metrics, "half": half, "provenance": provenance}
    path.mkdir()
    options = _plain_options(model)
    if options is not None:
        checkpoint = Checkpoint(spec.to_dict(), checkpoints.to_checkpoint(model).tensors)
        facts |= {"kind": spec.ARCHITECTURE, "options": options}
    else:
        (path / folder.ARCHITECTURE).write_text(json.dumps(_architecture(model, spec)), "utf-8")
        variables = serialization.model_variables(model)
        arrays = {name: keras.ops.convert_to_numpy(variable.value) for name, variable in variables.items()}
        checkpoint = Checkpoint(spec.to_dict(), arrays)
        facts |= {"kind": "functional", "beside": [folder.ARCHITECTURE], "options": _without_pixels(model)}
    folder.write(path, checkpoint, **facts)
    twin = load(folder.read(path))
    if len(twin.weights) != len(model.weights):
        raise ValueError(
            f"expected layers that are shared within one model only, not with a model in it; Received: {model.name}, "
            f"whose {len(model.weights)} variables would come back as {len(twin.weights)}"
        )
    _compare(model, twin, half, "the published files")
    if keras_files:
        _add_keras_files(twin, path)
        folder.write(path, checkpoint, **{**facts, "beside": folder.KERAS_FILES})  # whose JSON names these too
    return folder.read_published(path)


def _described(model, preprocessing, labels) -> NetworkSpec:
    """The model's spec, with what the caller knows better."""
    spec = checkpoints.model_spec(model)
    classes = output_classes(model)
    if classes is not None and (classes != spec.classes or not _has_layer(model, _classifier(spec))):
        # A classifier of one's own, whose classes the network in the model does not know, be they as many.
        spec = dataclasses.replace(spec, classes=classes, labels=None)
    if labels is not None:
        labels = labels if isinstance(labels, str) else tuple(labels)
        count = len(label_set(labels).classes) if isinstance(labels, str) else len(labels)
        if count != spec.classes:
            raise ValueError(f"expected {spec.classes} labels, one per class; Received: {count}")
        spec = dataclasses.replace(spec, labels=labels)
    if preprocessing is not None:
        if isinstance(preprocessing, dict):
            preprocessing = Preprocessing.from_dict(preprocessing)
        spec = dataclasses.replace(spec, preprocessing=preprocessing.to_dict())
    return spec


def _classifier(spec: NetworkSpec) -> str:
    """The layer in which a network's own classifier is."""
    return next(iter(families.family(spec).classifiers(spec)))


def _has_layer(model, name: str) -> bool:
    return any(layer.name == name or _has_layer(layer, name) for layer in getattr(model, "layers", ()))


def _plain_options(model) -> dict | None:
    """What a network was built with beside its spec; None for a model that is more, or less, or another than one."""
    layers = {layer.name: layer for layer in model.layers}
    spec = checkpoints.model_spec(model)
    dropout, *_ = families.family(spec).dropout_layers(spec)
    if not {"predictions", dropout, _classifier(spec)} <= set(layers) or not hasattr(model, "operations"):
        return None
    activation = keras.activations.serialize(layers["predictions"].activation)
    if activation not in ACTIVATIONS:
        return None
    shape = model.input_shape[1:]
    options = {
        "classifier_activation": activation,
        "dropout": float(layers[dropout].rate),
        "name": model.name,
        **_without_pixels(model),
    }
    policy = layers[_classifier(spec)].dtype_policy.name
    if policy not in architecture.POLICIES:
        return None
    try:
        with dtype_policy(policy):
            twin = families.build(spec, input_shape=shape, **options)
        if _computation(twin) != _computation(model):
            return None
    except (ValueError, NotImplementedError):  # no such network; a layer that has no config
        return None
    # Height, width and channels, whatever the configuration is where it is loaded.
    last = keras.config.image_data_format() == "channels_last"
    return {**options, "dtype": policy, "input_shape": list(shape if last else (*shape[1:], shape[0]))}


def _without_pixels(model) -> dict:
    """The option of a network that does not take pixels, or whose pixel layer leaves them to a layer in front."""
    pixels = find_pixels(model)
    if pixels.mean is not None or pixels.scale is not None:
        return {}
    return {"include_preprocessing": False, **({"takes_pixels": True} if takes_pixels(model) else {})}


def _computation(model) -> dict:
    """What a model computes with its variables, as data: each layer, what it does, and on what."""
    config = json.loads(json.dumps(model.get_config()))
    layers = {}
    for layer in config["layers"]:
        own = {key: value for key, value in layer["config"].items() if not key.endswith(_FOR_TRAINING)}
        own.pop("spec", None)  # of the pixel layer, which is published by itself
        layers[layer["name"]] = (layer["module"], layer["class_name"], own, layer["inbound_nodes"])
    return {"layers": layers, **{key: config[key] for key in ("input_layers", "output_layers")}}


def _architecture(model, spec) -> dict:
    """The model as Keras JSON, its pixel layer with the spec of the whole."""
    try:
        config = json.loads(json.dumps(architecture.bare(keras.saving.serialize_keras_object(model))))
        architecture.check(config)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(
            "expected a GoogLeNet, or a functional or sequential model of Keras' own layers and ours, built upon one; "
            f"Received: {model.name}: {error}"
        ) from error
    first_pixels(config)["config"]["spec"] = json.loads(json.dumps(spec.to_dict()))
    return config


def _compare(model, other, half, what) -> None:
    """Raises ValueError unless two models predict the same."""
    height, width = checkpoints.model_spec(model).height_width
    pixels_last = find_pixels(model).data_format == "channels_last"
    channels = len(checkpoints.model_spec(model).channels)
    usual = (height, width, channels) if pixels_last else (channels, height, width)
    shape = tuple(n or m for n, m in zip(model.input_shape[1:], usual, strict=True))
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
    with zipfile.ZipFile(archive) as files:
        content = {name: files.read(name) for name in folder.KERAS_FILES}
    metadata = json.loads(content["metadata.json"])
    metadata.pop("date_saved", None)  # so that the same model is the same files
    content["metadata.json"] = json.dumps(metadata).encode()
    if (path / folder.ARCHITECTURE).is_file():  # which we load by, and so it stays
        content[folder.ARCHITECTURE] = (path / folder.ARCHITECTURE).read_bytes()
    with zipfile.ZipFile(archive, "w") as files:
        for name, data in content.items():
            files.writestr(name, data)
    _compare(twin, keras.saving.load_model(archive, compile=False), False, "Keras' own files")
    archive.unlink()
    for name, data in content.items():
        (path / name).write_bytes(data)


def versions() -> str:
    """The versions of this package, Keras and its backend, in words."""
    found = []
    for name in ("keras-inception", "keras", keras.backend.backend()):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(name)
    return ", ".join(found)
