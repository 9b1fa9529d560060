"""Writes files as `torch.save` does, without PyTorch: pickles operation by operation, in both containers."""

import dataclasses
import io
import struct
import zipfile

import numpy as np

from keras_inception.convert import names

DENSE = ("_fc", "_classifier")
KINDS = {
    "<f4": "FloatStorage",
    "<f8": "DoubleStorage",
    "<f2": "HalfStorage",
    "<u2": "BFloat16Storage",
    "<i8": "LongStorage",
}


@dataclasses.dataclass
class Global:
    """A class or function by its name."""

    module: str
    name: str


@dataclasses.dataclass
class Call:
    """`function(*arguments)`, run by whoever unpickles."""

    function: object
    arguments: tuple


@dataclasses.dataclass
class Built:
    """An object, and the state that it is given afterwards."""

    target: object
    state: object


@dataclasses.dataclass
class Ordered:
    """A collections.OrderedDict with the attribute `_metadata`: what `model.state_dict()` is."""

    items: dict
    metadata: dict = dataclasses.field(default_factory=lambda: {"": {"version": 1}})


@dataclasses.dataclass
class Persistent:
    """A reference to something outside of the pickle."""

    identity: object


@dataclasses.dataclass
class Raw:
    """Operations as they are."""

    operations: bytes


def encoded(value) -> bytes:
    """The operations of protocol 2 that put `value` on the stack."""
    if isinstance(value, Raw):
        return value.operations
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        if -(1 << 31) <= value < 1 << 31:
            return b"J" + struct.pack("<i", value)
        size = value.bit_length() // 8 + 1
        return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        return b"X" + struct.pack("<I", len(text)) + text
    if isinstance(value, tuple):
        return b"(" + b"".join(map(encoded, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(encoded, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(encoded(key) + encoded(item) for key, item in value.items()) + b"u"
    if isinstance(value, Ordered):
        return encoded(ORDERED_DICT) + encoded(value.items)[1:] + encoded({"_metadata": value.metadata}) + b"b"
    if isinstance(value, Global):
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, Call):
        return encoded(value.function) + encoded(value.arguments) + b"R"
    if isinstance(value, Built):
        return encoded(value.target) + encoded(value.state) + b"b"
    if isinstance(value, Persistent):
        return encoded(value.identity) + b"Q"
    raise TypeError(type(value))


def pickled(value) -> bytes:
    return b"\x80\x02" + encoded(value) + b"."


REBUILD = Global("torch._utils", "_rebuild_tensor_v2")
ORDERED_DICT = Call(Global("collections", "OrderedDict"), ())


def storage(key: str, kind: str, count, legacy: bool = False) -> Persistent:
    return Persistent(("storage", Global("torch", kind), key, "cpu", count) + ((None,) if legacy else ()))


def tensor(source: Persistent, offset, shape, strides) -> Call:
    return Call(REBUILD, (source, offset, shape, strides, False, ORDERED_DICT))


def contiguous(shape) -> tuple[int, ...]:
    return tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))


def described(arrays: dict[str, np.ndarray], legacy: bool = False, shared: bool = False) -> tuple[dict, dict]:
    """Tensors by name as the pickle describes them, and the storages by key.

    Args:
        arrays: what the tensors hold.
        legacy: for the old container.
        shared: all float32 tensors in one storage, which keeps a file small; else a storage each.
    """
    tensors, storages, offset = {}, {}, 0
    total = sum(array.size for array in arrays.values() if array.dtype == np.float32)
    for name, array in arrays.items():
        kind, strides = KINDS[array.dtype.str], contiguous(array.shape)
        if shared and array.dtype == np.float32:
            tensors[name] = tensor(storage("all", kind, total, legacy), offset, array.shape, strides)
            storages["all"] = np.concatenate([storages.get("all", array[:0].ravel()), array.ravel()])
            offset += array.size
        else:
            key = str(len(storages))
            tensors[name] = tensor(storage(key, kind, array.size, legacy), 0, array.shape, strides)
            storages[key] = array.ravel()
    return tensors, storages


def zip_file(root, storages: dict[str, np.ndarray], compression=zipfile.ZIP_STORED, extra=()) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        archive.writestr("toy/data.pkl", pickled(root))
        archive.writestr("toy/byteorder", b"little")
        for key, array in storages.items():
            archive.writestr(f"toy/data/{key}", array.tobytes())
        archive.writestr("toy/version", b"3\n")
        for name, content in extra:
            archive.writestr(name, content)
    return out.getvalue()


def legacy_parts(
    root, storages: dict[str, np.ndarray], magic=0x1950A86A20F9469CFC6C, version=1001, system=None
) -> list[bytes]:
    if system is None:
        system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    tree = pickled(root)
    storages = {key: array for key, array in storages.items() if encoded(key) in tree}  # PyTorch writes no others
    parts = [pickled(magic), pickled(version), pickled(system), tree, pickled(list(storages))]
    for array in storages.values():
        parts += [struct.pack("<q", array.size), array.tobytes()]
    return parts


def legacy_file(root, storages: dict[str, np.ndarray], **options) -> bytes:
    return b"".join(legacy_parts(root, storages, **options))


def toy_tensors(heads: bool = True, classes: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    """Random tensors under our names, of a few numbers each: they fit the reader, and no network."""
    random = np.random.default_rng(seed)
    tensors = {}
    for row in names.TABLE:
        layer = row.layer
        if layer.startswith(("loss1", "loss2")) and not heads:
            continue
        if layer.endswith(DENSE):
            shape = (2 * 2 * 2, 2) if layer.endswith("_fc") else (2, classes)
            tensors[f"{layer}/bias"] = random.normal(size=shape[-1:])
        else:
            shape = (2, 3, 3, 2) if layer == "conv1_7x7_s2" else (1, 1, 2, 2)
            for variable in ("gamma", "beta", "moving_mean", "moving_variance"):
                values = random.normal(size=2)
                tensors[f"{layer}_bn/{variable}"] = abs(values) if variable == "moving_variance" else values
        tensors[f"{layer}/kernel"] = random.normal(size=shape)
    return {name: array.astype(np.float32) for name, array in tensors.items()}


def torchvision_arrays(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same under torchvision's names and in its layout, with the counters of batch norm."""
    arrays = {}
    for row in names.TABLE:
        if f"{row.layer}/kernel" not in tensors:
            continue
        kernel = tensors[f"{row.layer}/kernel"]
        if row.layer.endswith(DENSE):
            if row.layer.endswith("_fc"):
                kernel = kernel.reshape(2, 2, 2, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
            arrays[f"{row.torchvision}.weight"] = np.ascontiguousarray(kernel.T)
            arrays[f"{row.torchvision}.bias"] = tensors[f"{row.layer}/bias"]
        else:
            arrays[f"{row.torchvision}.conv.weight"] = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
            bn = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
            for theirs, ours in bn.items():
                arrays[f"{row.torchvision}.bn.{theirs}"] = tensors[f"{row.layer}_bn/{ours}"]
            arrays[f"{row.torchvision}.bn.num_batches_tracked"] = np.array(7, np.int64)
    return arrays
