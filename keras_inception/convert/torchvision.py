"""Torchvision's GoogLeNet: reads a state dict saved by PyTorch.

Reference: `torchvision.models.googlenet`, published as googlenet-1378be20.pth.
"""

import numpy as np

from keras_inception.convert import names
from keras_inception.convert.checkpoint import Checkpoint, CheckpointError
from keras_inception.convert.protobuf import opened
from keras_inception.convert.sources import check_shapes, complete
from keras_inception.convert.torch_file import StateDict

_DENSE = {"weight": "kernel", "bias": "bias"}
_BATCH_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def read(path) -> Checkpoint:
    """Reads a `.pth` file, zipped or of the older format, without PyTorch and without running its pickle.

    Accepted besides the plain state dict: one wrapped as `{"state_dict": ...}` or `{"model": ...}`, and names with the
    prefix `module.`. The untrained auxiliary heads that the published file has are read like any other layer.

    Args:
        path: the file.

    Returns:
        The checkpoint, of variant "torchvision".

    Raises:
        CheckpointError: the file is damaged, asks for anything but tensors, or is not a GoogLeNet.
    """
    with opened(path, "a state dict of PyTorch") as data:
        state = StateDict(data)
        weights = [name for name in state.tensors if not name.endswith(".num_batches_tracked")]
        sources = complete(_table(), state.tensors, weights)
        # Every number may be used once: many tensors on one storage would take more memory than the file.
        if sum(4 * np.prod(state.tensors[name].shape, dtype=float) for name in sources) > 2 * len(data):
            raise CheckpointError("expected a storage for each tensor; refused: tensors that share their numbers")
        tensors = {target: _array(state, name) for name, target in sources.items()}
        check_shapes(tensors)
        for name, target in sources.items():
            if target in ("loss1_fc/kernel", "loss2_fc/kernel"):
                channels = tensors[f"{target[:5]}_conv/kernel"].shape[-1]
                side = _side(tensors.pop(target).shape[0], channels)
                tensors[target] = _array(state, name, (channels, side, side))
        classes = tensors["loss3_classifier/kernel"].shape[-1]
        spec = {
            "architecture": "GoogLeNet",
            "variant": "torchvision",
            "classes": classes,
            "aux_heads": "loss1_conv/kernel" in tensors,
            # ImageNet's mean and deviation, undone at once by `transform_input`: together exactly [-1, 1].
            "mean": [127.5] * 3,
            "scale": [1 / 127.5] * 3,
            "labels": "imagenet" if classes == 1000 else None,
            "lrn": None,
        }
        return Checkpoint(spec, tensors)


def _table() -> dict[str, str]:
    """Our name of each tensor by torchvision's, both heads included."""
    table = {}
    for row in names.TABLE:
        if row.layer.endswith(("_fc", "_classifier")):
            table.update({f"{row.torchvision}.{theirs}": f"{row.layer}/{ours}" for theirs, ours in _DENSE.items()})
        else:
            table[f"{row.torchvision}.conv.weight"] = f"{row.layer}/kernel"
            table.update(
                {f"{row.torchvision}.bn.{theirs}": f"{row.layer}_bn/{ours}" for theirs, ours in _BATCH_NORM.items()}
            )
    return table


def _array(state: StateDict, name: str, flattened: tuple[int, ...] = ()) -> np.ndarray:
    """One tensor in Keras' layout, copied once.

    Args:
        state: the file.
        name: the tensor's name there.
        flattened: (channels, rows, columns) of the map that a fully connected kernel reads; Keras flattens the
            channels last.
    """

    def arranged(array):
        array = array.reshape(-1, *flattened) if flattened else array
        order = {4: (2, 3, 1, 0), 2: (1, 0)}.get(array.ndim)  # OIHW to HWIO, (out, in) to (in, out)
        return array.transpose(order) if order else array

    array = state.array(name, arranged)
    if array.dtype.kind != "f":
        raise CheckpointError(f"expected floating-point numbers in {name}; Received: {array.dtype}")
    # A double too large becomes an infinity, which Checkpoint refuses.
    with np.errstate(over="ignore", invalid="ignore"):
        array = np.require(array, np.float32, ("C", "W"))
    return array.reshape(-1, array.shape[-1]) if flattened else array


def _side(inputs: int, channels: int) -> int:
    """Rows, and columns, of the square map of `channels` that a fully connected kernel flattens."""
    side = round((inputs / channels) ** 0.5)
    if side * side * channels != inputs:
        raise CheckpointError(f"expected a square map of {channels} channels before fc1; Received: {inputs} inputs")
    return side
