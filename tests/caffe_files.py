"""Writes Caffe models by hand: an encoder of the protobuf wire format that shares nothing with the readers' walk."""

import contextlib
import tracemalloc

import numpy as np

from keras_inception.convert import names
from keras_inception.convert.checkpoint import CheckpointError

DENSE = ("_fc", "_classifier")


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value) -> bytes:
    """A field: an int as a varint, text and bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else bytes(value)
    return varint(number << 3 | 2) + varint(len(data)) + data


def unpacked(number: int, values: np.ndarray) -> bytes:
    tag = varint(number << 3 | (5 if values.itemsize == 4 else 1))
    return b"".join(tag + value.tobytes() for value in values.ravel())


def blob(values: np.ndarray, form: str = "new", dtype: str = "<f4", packed: bool = True) -> bytes:
    """A BlobProto; `form` "v1" writes the shape as four numbers, "new" as a BlobShape."""
    values = np.asarray(values).astype(dtype)
    if form == "v1":
        old = (1,) * (4 - values.ndim) + values.shape
        shape = b"".join(field(number, size) for number, size in enumerate(old, start=1))
    else:
        sizes = [varint(size) for size in values.shape]
        shape = field(7, field(1, b"".join(sizes)) if packed else b"".join(varint(1 << 3) + size for size in sizes))
    number = 5 if values.itemsize == 4 else 8
    return shape + (field(number, values.tobytes()) if packed else unpacked(number, values))


def layer(name: str, blobs: list[bytes], form: str = "new", kind: str = "Convolution") -> bytes:
    """One layer as a field of the NetParameter."""
    if form == "v1":
        number = {"Convolution": 4, "InnerProduct": 14, "ReLU": 18}[kind]
        return field(2, field(4, name) + field(5, number) + b"".join(field(6, b) for b in blobs))
    return field(100, field(1, name) + field(2, kind) + b"".join(field(7, b) for b in blobs))


def caffe_arrays(tensors: dict[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Weights and biases by Caffe's layer name in Caffe's layout, from tensors under our names in Keras' layout."""
    arrays = {}
    for row in names.TABLE:
        if f"{row.layer}/kernel" not in tensors:
            continue
        kernel = tensors[f"{row.layer}/kernel"]
        if row.layer in ("loss1_fc", "loss2_fc"):
            channels = tensors[f"{row.layer[:5]}_conv/bias"].size
            side = round((kernel.shape[0] // channels) ** 0.5)
            kernel = kernel.reshape(side, side, channels, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
        if row.layer == "conv1_7x7_s2":
            kernel = kernel[:, :, ::-1]
        kernel = kernel.T if row.layer.endswith(DENSE) else kernel.transpose(3, 2, 0, 1)
        arrays[row.caffe] = (np.ascontiguousarray(kernel), tensors[f"{row.layer}/bias"])
    return arrays


def caffemodel(tensors: dict[str, np.ndarray], form: str = "new", **options) -> bytes:
    """A `.caffemodel` of the tensors: a layer each, with layers without weights in between as Caffe writes them."""
    parts = [field(1, "GoogleNet"), layer("data", [], form, "ReLU")]
    for name, arrays in caffe_arrays(tensors).items():
        kind = "InnerProduct" if name.endswith(("/fc", "/classifier")) else "Convolution"
        parts.append(layer(name, [blob(array, form, **options) for array in arrays], form, kind))
        parts.append(layer(f"{name}/relu", [], form, "ReLU"))
    return b"".join(parts)


def toy_tensors(heads: bool = True, classes: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    """Random tensors under all our names, so small that a file has a few KB; they fit the readers, and no network."""
    random = np.random.default_rng(seed)
    tensors = {}
    for row in names.TABLE:
        if row.layer.startswith(("loss1", "loss2")) and not heads:
            continue
        size = int(row.layer.split("x")[1][0]) if "x" in row.layer else 1
        shape = (size, size, 3 if row.layer == "conv1_7x7_s2" else 1, 2)
        if row.layer.endswith("_reduce"):
            shape = (1, 1, 2, 1)
        elif row.layer.endswith("_fc"):
            shape = (2 * 2 * 2, 2)
        elif row.layer.endswith("_classifier"):
            shape = (2, classes)
        tensors[f"{row.layer}/kernel"] = random.normal(size=shape).astype(np.float32)
        tensors[f"{row.layer}/bias"] = random.normal(size=shape[-1]).astype(np.float32)
    return tensors


def toy_nin(variant: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Random tensors under Network in Network's names, two filters each but for the classes."""
    random = np.random.default_rng(seed)
    layers = names.NIN_LAYERS if variant == "imagenet" else names.NIN_LAYERS[:9]
    tensors, inputs = {}, 1 if variant == "mnist" else 3
    for layer in layers:
        size = 3 if layer.startswith("conv") else 1
        outputs = 2 if layer != layers[-1] else 100 if variant == "cifar100" else 10
        tensors[f"{layer}/kernel"] = random.normal(size=(size, size, inputs, outputs)).astype(np.float32)
        tensors[f"{layer}/bias"] = random.normal(size=outputs).astype(np.float32)
        inputs = outputs
    return tensors


def nin_caffemodel(tensors: dict[str, np.ndarray], form: str = "new", bgr: bool = False) -> bytes:
    """A `.caffemodel` of Network in Network's tensors in Keras' layout; layers of GoogLeNet get Caffe's slash."""
    parts = [field(1, "nin"), layer("data", [], form, "ReLU")]
    for name in (name.removesuffix("/kernel") for name in tensors if name.endswith("/kernel")):
        kernel = tensors[f"{name}/kernel"].transpose(3, 2, 0, 1)
        kernel = kernel[:, ::-1] if bgr and name == "conv1" else kernel
        arrays = np.ascontiguousarray(kernel), tensors[f"{name}/bias"]
        caffe = name.replace("inception_3a_", "inception_3a/")
        parts.append(layer(caffe, [blob(array, form) for array in arrays], form))
    return b"".join(parts)


# Which fields are messages, and which fields of those are, by number: of a NetParameter.
MESSAGES = {2: {6: {7: {}}}, 100: {7: {7: {}}}}


def boundaries(data: bytes, messages: dict = MESSAGES) -> list[int]:
    """Where fields and their values begin, in the file and in its messages at every depth."""
    found = []

    def integer(at):
        value = shift = 0
        while True:
            value |= (data[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if data[at - 1] < 0x80:
                return value, at

    def walk(at, end, inner):
        while at < end:
            found.append(at)
            tag, at = integer(at)
            if tag & 7 == 2:
                size, at = integer(at)
                found.append(at)
                if tag >> 3 in inner:
                    walk(at, at + size, inner[tag >> 3])
                at += size
            elif tag & 7 == 0:
                at = integer(at)[1]
            else:
                at += 4 if tag & 7 == 5 else 8

    walk(0, len(data), messages)
    return found


def peak(read, path) -> int:
    """The most memory that reading a hostile file takes, whether it is refused or not."""
    tracemalloc.start()
    try:
        with contextlib.suppress(CheckpointError):
            read(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
