"""Our file format: a safetensors file whose tensors are named `layer/variable` and whose metadata holds the spec.

Names, not order, decide what is loaded where: Keras' `.weights.h5` goes by class and order, and can put an auxiliary
head's kernel into the main classifier without a word.
"""

import contextlib
import json
import os
import pathlib
import tempfile

import numpy as np

from keras_inception.convert.checkpoint import Checkpoint, CheckpointError

# What variables are: numbers of 64 bits keep them, all others are exact in float32.
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_INTEGERS = ("int32", "int64", "uint32", "bool")  # of Keras' own layers; no GoogLeNet has them


def model_variables(model) -> dict:
    """The variables of a Keras model by `layer/variable`; those of a model in the model by `model/layer/variable`.

    Raises:
        ValueError: two variables share a name, so that the names cannot tell them apart.
    """
    variables = {}
    for name, variable in _named_variables(model, ""):
        if name in variables:
            raise ValueError(
                f"expected a model of named layers, each variable under a name of its own; Received: {name} twice"
            )
        variables[name] = variable
    return variables


def _named_variables(model, prefix):
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _named_variables(layer, f"{prefix}{layer.name}/")
        else:
            for variable in layer.weights:
                yield f"{prefix}{layer.name}/{variable.name}", variable


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
        half: store kernels in float16; biases and batch-norm statistics stay as they are, for their rounding shows.

    Returns:
        The path.
    """
    from safetensors.numpy import save_file

    path = pathlib.Path(path)
    tensors = {
        name: np.asarray(array.astype("float16") if half and name.endswith("/kernel") else array, order="C")
        for name, array in checkpoint.tensors.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    os.close(handle)
    try:
        # One entry: the order of several would be another each time, and so the sha256 of equal models.
        save_file(tensors, temporary, metadata={"spec": json.dumps(checkpoint.spec)})
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
    from safetensors import safe_open

    path = pathlib.Path(path)
    with _damaged(path.name):
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if "spec" not in metadata:
                raise CheckpointError(f"{path.name}: expected the metadata 'spec'; Received: {sorted(metadata)}")
            spec = json.loads(metadata["spec"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    if not isinstance(spec, dict):
        raise CheckpointError(f"{path.name}: expected the spec to be an object; Received: {type(spec).__name__}")
    return _checkpoint(path.name, spec, tensors, _FLOATS)


def parse(data: bytes, spec: dict, name: str, *, integers=False) -> Checkpoint:
    """The arrays in the bytes of a safetensors file.

    Args:
        data: the file.
        spec: of the network, from the JSON beside it.
        name: of the file, for messages.
        integers: whether it may hold whole numbers and truth values, which no GoogLeNet has, but other layers.

    Raises:
        CheckpointError: the file is damaged, or a safetensors file of something else.
    """
    import ml_dtypes  # Keras' own, for the one type that NumPy does not have
    from safetensors import deserialize

    kinds = {"F16": "f2", "BF16": ml_dtypes.bfloat16, "F32": "f4", "F64": "f8", "I32": "i4", "I64": "i8", "U32": "u4"}
    kinds = {name: np.dtype(kind) for name, kind in {**kinds, "BOOL": "?"}.items()}
    tensors = {}
    with _damaged(name):
        for key, part in deserialize(data):
            if part["dtype"] not in kinds:
                raise CheckpointError(
                    f"{name}: expected tensors of {', '.join(kinds)}; Received: {part['dtype']} in {key}"
                )
            tensors[key] = np.frombuffer(part["data"], kinds[part["dtype"]]).reshape(part["shape"])
    return _checkpoint(name, spec, tensors, _FLOATS + (_INTEGERS if integers else ()))


@contextlib.contextmanager
def _damaged(name):
    """One error for all that can be wrong with a file."""
    from safetensors import SafetensorError

    try:
        yield
    except CheckpointError:
        raise
    # RecursionError: JSON of a thousand brackets; AttributeError: a number format that NumPy does not have.
    except (SafetensorError, ValueError, TypeError, KeyError, RecursionError, AttributeError) as error:
        raise CheckpointError(f"{name}: expected a safetensors file of keras_inception; Received: {error}") from error


def _checkpoint(name, spec, tensors, known) -> Checkpoint:
    if wrong := sorted(key for key, array in tensors.items() if array.dtype.name not in known):
        kinds = ", ".join(sorted({tensors[key].dtype.name for key in wrong}))
        raise CheckpointError(
            f"{name}: expected tensors of {', '.join(known)}; Received: {kinds} in {', '.join(wrong[:8])}"
        )
    try:
        return Checkpoint(spec, {key: _widened(array) for key, array in tensors.items()})
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error}") from error


def is_half(path) -> bool:
    """Whether a file of ours has kernels of half precision."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        kernels = [name for name in file.keys() if name.endswith("/kernel")]  # noqa: SIM118 (not a dict)
        return bool(kernels) and all(file.get_slice(name).get_dtype() == "F16" for name in kernels)


def _widened(array):
    """An array of 16 bits as float32; others as they are."""
    return array.astype("float32") if array.dtype.name in ("float16", "bfloat16") else array
