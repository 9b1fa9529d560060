"""A file of `torch.save`, read without PyTorch.

Two containers hold the same pickle: since PyTorch 1.6 a zip archive with a member for each storage, before that a row
of pickles followed by the raw storages.
"""

import io
import struct
from collections.abc import Callable

import numpy as np

from keras_inception.convert.archives import zip_members
from keras_inception.convert.checkpoint import CheckpointError
from keras_inception.convert.torch_pickle import MAX_PICKLE, STORAGES, Tensor, unpickled

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class StateDict:
    """The tensors of a file by name. Making one reads the descriptions; `array` reads the numbers.

    Args:
        data: the file.

    Raises:
        CheckpointError: the file is damaged, or its pickle asks for anything that a state dict does not need.
    """

    def __init__(self, data: memoryview):
        root, self._contents = (_zipped if data[:2] == b"PK" else _legacy)(data)
        self.tensors = _tensors(root)

    def array(self, name: str, arranged: Callable = lambda array: array) -> np.ndarray:
        """The tensor `name`: a view of the file where its type allows it.

        Args:
            name: the tensor's name.
            arranged: a function of the view that gives its dimensions another order, before anything is copied.
        """
        tensor = self.tensors[name]
        dtype = np.dtype(STORAGES[tensor.storage.kind])
        strides = tuple(stride * dtype.itemsize for stride in tensor.strides)
        row = np.frombuffer(self._contents[tensor.storage.key], dtype)[tensor.offset :]
        # Tensor has checked that the furthest element lies in the storage.
        array = arranged(np.lib.stride_tricks.as_strided(row, tensor.shape, strides, writeable=False))
        if tensor.storage.kind == "torch BFloat16Storage":  # the upper half of a float32
            halves = np.zeros((*array.shape, 2), "<u2")
            halves[..., 1] = array
            return halves.view("<f4")[..., 0]
        return array


def _tensors(root) -> dict[str, Tensor]:
    """The state dict itself: training scripts wrap it in a dict, and DataParallel puts `module.` before each name."""
    for wrapper in ("state_dict", "model"):
        if isinstance(root, dict) and isinstance(root.get(wrapper), dict):
            root = root[wrapper]
    if not isinstance(root, dict) or not root:
        raise CheckpointError(f"expected a state dict; Received: {type(root).__name__}")
    strangers = [name for name, value in root.items() if not isinstance(name, str) or not isinstance(value, Tensor)]
    if strangers:
        raise CheckpointError(f"expected tensors by name; Received: {str(strangers[0])[:80]!r} which is none")
    prefix = "module." if all(name.startswith("module.") for name in root) else ""
    return {name.removeprefix(prefix): tensor for name, tensor in root.items()}


def _zipped(data: memoryview):
    members = zip_members(data, deflated=False)  # torch.save never compresses
    pickles = [name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise CheckpointError(f"expected one NAME/data.pkl in the archive; Received: {len(pickles)}")
    folder = pickles[0].removesuffix("data.pkl")
    if bytes(members.get(f"{folder}byteorder", b"little")) != b"little":
        raise CheckpointError("expected numbers in little-endian order; Received: another byteorder")
    root, storages = unpickled(io.BytesIO(members[pickles[0]][:MAX_PICKLE]))
    contents = {key: members.get(f"{folder}data/{key}", b"") for key in storages}
    wrong = [key for key, storage in storages.items() if len(contents[key]) != storage.size]
    if wrong:
        raise CheckpointError(
            f"expected {storages[wrong[0]].size} bytes in data/{wrong[0][:40]}; Received: another size"
        )
    return root, contents


def _legacy(data: memoryview):
    stream = io.BytesIO(data[:MAX_PICKLE])
    if unpickled(stream)[0] != _MAGIC or unpickled(stream)[0] != _PROTOCOL:
        raise CheckpointError("expected a file of torch.save; Received: another magic number or version")
    system = unpickled(stream)[0]
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise CheckpointError("expected numbers in little-endian order; Received: another byte order")
    root, storages = unpickled(stream)
    order = unpickled(stream)[0]
    if (
        not isinstance(order, list)
        or not all(isinstance(key, str) for key in order)
        or sorted(order) != sorted(storages)
    ):
        raise CheckpointError("expected every storage listed once; Received: another list of storages")
    position, contents = stream.tell(), {}
    for key in order:
        count = data[position : position + 8]
        content = data[position + 8 :][: storages[key].size]
        if bytes(count) != struct.pack("<q", storages[key].count) or len(content) != storages[key].size:
            raise CheckpointError(
                f"expected {storages[key].count} numbers in storage {key[:40]}; Received: another count"
            )
        contents[key] = content
        position += 8 + len(content)
    if position != len(data):
        raise CheckpointError(f"expected the end of the file; Received: {len(data) - position} more bytes")
    return root, contents
