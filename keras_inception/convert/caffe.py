"""Reads `.caffemodel` files: BVLC's GoogLeNet with its two auxiliary heads, Places205 and Places365, Network in
Network, and retrainings of these.

The file is one NetParameter message. Its layers are `layers` (V1, until 2014) or `layer` (since then); the arrays of
both are BlobProto messages.
"""

import math
from collections.abc import Iterable, Iterator

import numpy as np

from keras_inception.convert import names, network_in_network, protobuf
from keras_inception.convert.archives import GZIP, tar_gz_members
from keras_inception.convert.checkpoint import Checkpoint, CheckpointError

# BVLC's `mean_value` of train_val.prototxt, turned into RGB. The pixels are not scaled.
MEAN = [123.0, 117.0, 104.0]
LABELS = {1000: "imagenet", 205: "places205", 365: "places365"}

# Field numbers of caffe.proto: of a layer in either form, (name, blobs).
_LAYER_FORMS = {2: (4, 6), 100: (1, 7)}
_V0_LAYER = 1
_OLD_SHAPE = (1, 2, 3, 4)  # num, channels, height, width
_DATA, _SHAPE, _DOUBLE_DATA = 5, 7, 8

MAX_BLOBS = 8  # a convolution has two, Caffe's batch norm three, an LSTM of later Caffe five
MAX_LISTED = 8  # how many names an error tells
_LAYER_NAMES = {row.caffe for row in names.TABLE} | set(names.NIN_LAYERS)


def read(path) -> Checkpoint:
    """Reads a binary `.caffemodel`.

    Args:
        path: the file, or a tar.gz with one in it, as Places205's is published.

    Returns:
        The weights of the trunk and the classifier, and of both auxiliary heads if the file has them.

    Raises:
        CheckpointError: the file is damaged, of Caffe's oldest form (V0), or of another network.
    """
    with protobuf.opened(path, "a Caffe model") as file:
        if file[:2] == GZIP:
            members = tar_gz_members(file, lambda name: name.endswith(".caffemodel"))
            if len(members) != 1:
                raise CheckpointError(f"expected one .caffemodel in the archive; Received: {len(members)}")
            (file,) = members.values()
        layers = {}
        unknown = []
        for name, blobs in _layers(file):
            if name not in _LAYER_NAMES:
                unknown.append(name)
                if len(unknown) > MAX_LISTED:  # enough for the message, and no list of a hostile million
                    break
            elif name in layers:
                raise CheckpointError(f"expected each layer once; Received: {name} twice")
            elif len(blobs) != 2:
                raise CheckpointError(f"expected weights and biases of {name}; Received: {len(blobs)} arrays")
            else:
                layers[name] = tuple(_blob(blob, name) for blob in blobs)
        if unknown:
            expected = "the layers of GoogLeNet, or of Network in Network, only"
            raise CheckpointError(f"expected {expected}; Received: weights of {listed(unknown)}")
        nin = [name for name in layers if name in names.NIN_LAYERS]
        if nin and len(nin) < len(layers):
            raise CheckpointError(f"expected the layers of one network; Received: {listed(layers)}")
        return network_in_network.assemble(layers) if nin else assemble(layers)


def _layers(file: memoryview) -> Iterator[tuple[str, list[memoryview]]]:
    """Yields (name, its BlobProto messages) of the layers that have any."""
    for number, wire, value in protobuf.fields(file):
        if number not in _LAYER_FORMS:
            continue
        name_field, blobs_field = _LAYER_FORMS[number]
        name, blobs = "", []
        for field, kind, content in protobuf.fields(protobuf.submessage(wire, value)):
            if field == name_field:
                name = protobuf.text(kind, content)
            elif field == blobs_field:
                blobs.append(protobuf.submessage(kind, content))
                if len(blobs) > MAX_BLOBS:
                    raise CheckpointError(f"expected at most {MAX_BLOBS} arrays in a layer; Received: more")
            elif number == 2 and field == _V0_LAYER:
                raise CheckpointError(
                    "expected layers of Caffe's format V1 or newer; Received: V0, upgrade the file with Caffe's own "
                    "upgrade_net_proto_binary"
                )
        if blobs:
            yield name, blobs


def _blob(blob: memoryview, name: str) -> np.ndarray:
    """The array of a BlobProto, a view of the file; `diff`, the gradients, is skipped."""
    old, new = {}, None
    for number, wire, value in protobuf.fields(blob, limit=len(blob)):
        if number in _OLD_SHAPE:
            old[number] = protobuf.integer(wire, value)
        elif number == _SHAPE:
            new = _dimensions(protobuf.submessage(wire, value))
    if new is not None and old:
        raise CheckpointError(f"expected one shape of {name}; Received: num, channels, height, width, and shape too")
    single = protobuf.numbers(blob, _DATA, "<f4")
    double = protobuf.numbers(blob, _DOUBLE_DATA, "<f8")
    if single.size and double.size:
        raise CheckpointError(f"expected one array of {name}; Received: data and double_data")
    return shaped(double if double.size else single, [old.get(n, 0) for n in _OLD_SHAPE] if new is None else new, name)


def _dimensions(shape: memoryview) -> list[int]:
    dimensions = []
    for number, wire, value in protobuf.fields(shape):
        if number == 1:
            dimensions += protobuf.integers(wire, value)
            if len(dimensions) > 32:  # Caffe's own limit
                raise CheckpointError("expected at most 32 dimensions of an array; Received: more")
    return dimensions


def shaped(values: np.ndarray, dimensions: list[int], name: str) -> np.ndarray:
    """`values` in the shape that the file declares: 1 to 4 positive numbers whose product is the count of values."""
    if not 1 <= len(dimensions) <= 4:
        raise CheckpointError(f"expected 1 to 4 dimensions of {name}; Received: {len(dimensions)}")
    # Python's integers, for a product of hostile ones wraps around in NumPy's.
    if min(dimensions) < 1 or math.prod(dimensions) != values.size:
        shape = " x ".join(map(str, dimensions))
        raise CheckpointError(f"expected {shape} numbers of {name}; Received: {values.size}")
    return values.reshape(dimensions)


def listed(items: Iterable[str]) -> str:
    """The first few of `items` for a message, each cut to a readable length."""
    items = list(items)
    text = ", ".join((item if len(item) <= 60 else item[:57] + "...") or "(no name)" for item in items[:MAX_LISTED])
    return text if len(items) <= MAX_LISTED else f"{text} and more"


def assemble(layers: dict[str, tuple[np.ndarray, np.ndarray]]) -> Checkpoint:
    """Turns Caffe's arrays into a checkpoint of ours; the ONNX reader comes here too, for its models are Caffe's.

    Args:
        layers: weights and biases by Caffe's layer name, in Caffe's layout: convolutions (out, in, height, width) for
            BGR input, fully connected (out, in) on a feature map flattened as channels, height, width. Leading
            dimensions of 1 do not count in biases and fully connected layers: V1 files give every shape four numbers.

    Raises:
        CheckpointError: layers are missing or do not agree with each other.
    """
    if not layers:
        raise CheckpointError("expected the layers of GoogLeNet; Received: no weights at all")
    rows = [row for row in names.TABLE if row.caffe in layers]
    missing = names.missing_layers(row.layer for row in rows)
    if missing:
        raise CheckpointError(f"expected a whole GoogLeNet; Received: no weights of {listed(missing)}")
    heads = sum(row.layer in ("loss1_fc", "loss2_fc") for row in rows)
    if heads == 1:
        head = next(row.layer[:5] for row in rows if row.layer.startswith(("loss1", "loss2")))
        raise CheckpointError(f"expected both auxiliary heads or none; Received: {head} only")

    tensors = {}
    # A double too large for float32 becomes an infinity, which Checkpoint reports.
    with np.errstate(over="ignore", invalid="ignore"):
        for row in rows:
            kernel, bias = layers[row.caffe]
            dense = row.layer.endswith(("_fc", "_classifier"))
            kernel = _trailing(kernel, 2, row.caffe) if dense else kernel
            bias = _trailing(bias, 1, row.caffe)
            if kernel.ndim != (2 if dense else 4) or kernel.shape[0] != bias.size:
                shapes = " and ".join(str(array.shape) for array in layers[row.caffe])
                raise CheckpointError(f"expected weights and biases of {row.caffe} that fit; Received: {shapes}")
            if row.layer == "conv1_7x7_s2":
                kernel = kernel[:, ::-1]  # BGR to RGB
            if row.layer in ("loss1_fc", "loss2_fc"):
                kernel = _channels_last(kernel, channels=layers[f"{row.caffe[:5]}/conv"][0].shape[0], name=row.caffe)
            # One copy, aligned and in order.
            tensors[f"{row.layer}/kernel"] = np.array(
                kernel.T if dense else kernel.transpose(2, 3, 1, 0), dtype=np.float32, order="C"
            )
            tensors[f"{row.layer}/bias"] = np.array(bias, dtype=np.float32)

        classes = tensors["loss3_classifier/bias"].size
        spec = {
            "architecture": "GoogLeNet",
            "variant": "paper",
            "classes": classes,
            "aux_heads": heads == 2,
            "mean": list(MEAN),
            "scale": [1.0, 1.0, 1.0],
            "labels": LABELS.get(classes),
            "lrn": None,
        }
        return Checkpoint(spec, tensors)


def _trailing(array: np.ndarray, rank: int, name: str) -> np.ndarray:
    """The last `rank` dimensions of an array whose other dimensions are 1."""
    if array.ndim < rank or any(n != 1 for n in array.shape[: array.ndim - rank]):
        raise CheckpointError(f"expected {rank} dimensions in {name}; Received: shape {array.shape}")
    return array.reshape(array.shape[array.ndim - rank :])


def _channels_last(kernel: np.ndarray, channels: int, name: str) -> np.ndarray:
    """(out, C*H*W) to (out, H*W*C), for a square map of as many channels as the convolution before it puts out."""
    outputs, inputs = kernel.shape
    side = math.isqrt(inputs // channels)
    if channels * side * side != inputs:
        raise CheckpointError(
            f"expected inputs of {name} from a square map of {channels} channels; Received: {inputs} inputs"
        )
    return kernel.reshape(outputs, channels, side, side).transpose(0, 2, 3, 1).reshape(outputs, inputs)
