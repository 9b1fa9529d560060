"""Our file format: a safetensors file whose tensors are named `layer/variable` and whose metadata holds the spec.

Names, not order, decide what is loaded where: Keras' `.weights.h5` goes by class and order, and can put an auxiliary
head's kernel into the main classifier without a word.
"""

import hashlib
import json
import os
import pathlib
import tempfile

import numpy as np

from keras_inception.convert.checkpoint import Checkpoint, CheckpointError

WEIGHTS, CONFIG = "model.safetensors", "keras_inception.json"


def model_variables(model) -> dict:
    """The variables of a Keras model by `layer/variable`.

    Raises:
        ValueError: two variables share a name, so that the names cannot tell them apart.
    """
    variables = {}
    for layer in model.layers:
        for variable in layer.weights:
            name = f"{layer.name}/{variable.name}"
            if name in variables:
                raise ValueError(
                    f"expected a model of named layers, each variable under a name of its own; Received: {name} twice"
                )
            variables[name] = variable
    return variables


def assign(variables: dict, tensors: dict, *, fresh=(), ignored=()) -> None:
    """Loads every variable once, from the tensor of its name and shape; where anything does not fit, changes nothing.

    Args:
        variables: Keras variables by `layer/variable`, as `model_variables` gives them.
        tensors: arrays by `layer/variable`.
        fresh: layers that keep their initial weights.
        ignored: layers whose tensors may be in `tensors` though the model has no such layer.

    Raises:
        ValueError: tensors are missing, superfluous or of another shape; the message lists them.
    """
    variables = {name: v for name, v in variables.items() if name.partition("/")[0] not in fresh}
    spare = {name for name in tensors if name.partition("/")[0] in {*fresh, *ignored}}
    problems = [f"missing: {name} {tuple(variables[name].shape)}" for name in variables if name not in tensors]
    problems += [
        f"unexpected: {name} {tensors[name].shape}" for name in tensors if name not in variables and name not in spare
    ]
    problems += [
        f"shape: {name} expected {tuple(v.shape)}, received {tensors[name].shape}"
        for name, v in variables.items()
        if name in tensors and tuple(v.shape) != tensors[name].shape
    ]
    if problems:
        shown = "\n  ".join(problems[:12] + ([f"and {len(problems) - 12} more"] if len(problems) > 12 else []))
        raise ValueError(f"expected the weights of this network; Received weights that differ:\n  {shown}")
    for name, variable in variables.items():
        variable.assign(tensors[name])


def write(path, checkpoint: Checkpoint, *, half=False) -> pathlib.Path:
    """Writes a checkpoint, whole or not at all.

    Args:
        path: the file.
        checkpoint: what to write.
        half: store kernels in float16; biases and batch-norm statistics stay float32, for their rounding shows.

    Returns:
        The path.
    """
    from safetensors.numpy import save_file

    path = pathlib.Path(path)
    tensors = {
        name: np.ascontiguousarray(array.astype("float16") if half and name.endswith("/kernel") else array)
        for name, array in checkpoint.tensors.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    os.close(handle)
    try:
        save_file(tensors, temporary, metadata={"spec": json.dumps(checkpoint.spec), "format": "keras_inception"})
        os.chmod(temporary, 0o644)  # mkstemp's files are private
        os.replace(temporary, path)
    finally:
        pathlib.Path(temporary).unlink(missing_ok=True)
    return path


def read(path) -> Checkpoint:
    """Reads a file of ours.

    Raises:
        CheckpointError: the file is damaged, or a safetensors file of something else.
    """
    from safetensors import SafetensorError, safe_open

    path = pathlib.Path(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if "spec" not in metadata:
                raise CheckpointError(f"{path.name}: expected the metadata 'spec'; Received: {sorted(metadata)}")
            spec = json.loads(metadata["spec"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except CheckpointError:
        raise
    # RecursionError: JSON of a thousand brackets; AttributeError: a number format that NumPy does not have.
    except (SafetensorError, ValueError, TypeError, KeyError, RecursionError, AttributeError) as error:
        raise CheckpointError(
            f"{path.name}: expected a safetensors file of keras_inception; Received: {error}"
        ) from error
    if wrong := sorted(name for name, array in tensors.items() if array.dtype not in (np.float16, np.float32)):
        raise CheckpointError(f"{path.name}: expected float16 and float32 tensors; Received: {', '.join(wrong)}")
    if not isinstance(spec, dict):
        raise CheckpointError(f"{path.name}: expected the spec to be an object; Received: {type(spec).__name__}")
    return _checkpoint(path, spec, {name: array.astype("float32", copy=False) for name, array in tensors.items()})


def _checkpoint(path, spec, tensors) -> Checkpoint:
    try:
        return Checkpoint(spec, tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{path.name}: {error}") from error


def sha256(path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_folder(folder, checkpoint: Checkpoint, *, metrics=None, half=False) -> pathlib.Path:
    """Writes the published form of a model: the weights, and JSON with the spec, metrics and the weights' sha256."""
    folder = pathlib.Path(folder)
    write(folder / WEIGHTS, checkpoint, half=half)
    config = {
        "format": 1,
        "spec": checkpoint.spec,
        "metrics": metrics or {},
        "files": {WEIGHTS: {"sha256": sha256(folder / WEIGHTS), "bytes": (folder / WEIGHTS).stat().st_size}},
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
    return folder


def read_config(folder) -> dict:
    """The JSON of a published folder.

    Raises:
        CheckpointError: it is missing, damaged, or of a later format.
    """
    path = pathlib.Path(folder) / CONFIG
    try:
        config = json.loads(path.read_text())
        if config["format"] != 1:
            raise CheckpointError(
                f"{path}: expected format 1; Received: format={config['format']!r}; a newer version reads it"
            )
        if not isinstance(config["spec"], dict) or not isinstance(config["files"][WEIGHTS]["sha256"], str):
            raise TypeError("spec or files")
    except CheckpointError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: expected a published model's JSON; Received: {type(error).__name__}: {error}"
        ) from error
    return config


def read_folder(folder) -> Checkpoint:
    """Reads a published folder, its weights checked against the sha256 beside them.

    Raises:
        CheckpointError: a file is missing or damaged, or not the one that the JSON describes.
    """
    folder = pathlib.Path(folder)
    config = read_config(folder)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise CheckpointError(f"{folder}: expected the file {WEIGHTS}; Received: none")
    expected, received = config["files"][WEIGHTS]["sha256"], sha256(weights)
    if expected != received:
        raise CheckpointError(f"{weights}: expected sha256 {expected}; Received: {received}")
    return Checkpoint(config["spec"], read(weights).tensors)
