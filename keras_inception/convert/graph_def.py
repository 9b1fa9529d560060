"""Inception5h, Google's own early release of GoogLeNet: reads the frozen graph, without TensorFlow.

Reference: inception5h.zip; `graph.proto`, `node_def.proto`, `attr_value.proto` and `tensor.proto` of
`tensorflow/core/framework`.
"""

import dataclasses
import math

import numpy as np

from keras_inception.convert import names
from keras_inception.convert.archives import zip_members
from keras_inception.convert.checkpoint import Checkpoint, CheckpointError
from keras_inception.convert.protobuf import FIXED32, fields, integer, numbers, opened, submessage, text
from keras_inception.convert.sources import check_shapes, complete
from keras_inception.convert.tensorflow_variables import FLOAT, shape_of

MAX_NODES = 1 << 14  # inception5h has some 400
MAX_FILL = 1 << 16  # elements of a constant that the file gives as one number
# A hostile file has a million attributes; these are the ones that anybody asks for.
_KEPT = {"value", "depth_radius", "bias", "alpha", "beta"}
_LRN_DEFAULTS = {"depth_radius": 5, "bias": 1.0, "alpha": 1.0, "beta": 0.5}  # tf.nn.local_response_normalization


def read(path) -> Checkpoint:
    """Reads inception5h, Google's own early release: a frozen GraphDef with 1008 outputs and both auxiliary heads.

    The constants of the two local response normalizations are the graph's: its conversions in circulation disagree.

    Args:
        path: the `.pb`, or the zip archive as published.

    Returns:
        The checkpoint, of variant "inception5h".

    Raises:
        CheckpointError: the file is damaged, or is not that network.
    """
    with opened(path, "a TensorFlow graph") as data:
        graph = nodes(_graph_in_zip(data) if data[:2] == b"PK" else data)
        table = {}
        for row in names.TABLE:
            table[f"{row.inception5h}_w"] = f"{row.layer}/kernel"
            table[f"{row.inception5h}_b"] = f"{row.layer}/bias"
        constants = {name for name, node in graph.items() if node.op == "Const"}
        sources = complete(table, constants, [name for name in constants if name.endswith(("_w", "_b"))])
        tensors = {}
        for name, target in sources.items():
            array = graph[name].constant(name)
            if array is None:
                raise CheckpointError(f"expected float32 numbers in {name}; Received: another type")
            tensors[target] = np.array(array, np.float32, order="C")  # TensorFlow's layouts are those of Keras
        check_shapes(tensors)
        classes = tensors["loss3_classifier/kernel"].shape[-1]
        spec = {
            "architecture": "GoogLeNet",
            "variant": "inception5h",
            "classes": classes,
            "aux_heads": "loss1_conv/kernel" in tensors,
            "mean": [117.0] * 3,
            "scale": [1.0] * 3,
            "labels": "inception5h" if classes == 1008 else None,
            "lrn": [_lrn(graph, f"localresponsenorm{place}") for place in (0, 1)],
        }
        return Checkpoint(spec, tensors)


@dataclasses.dataclass(frozen=True)
class Node:
    """One operation: its kind, and the AttrValue messages by the attribute's name."""

    op: str
    attributes: dict[str, memoryview]

    def number(self, name: str, default):
        """An attribute of type int or float (as `default` is), or `default` when the node does not have it."""
        value = default
        for number, wire, content in fields(self.attributes.get(name, memoryview(b""))):
            if number == 3 and isinstance(default, int):
                value = integer(wire, content)
            elif number == 4 and isinstance(default, float) and wire == FIXED32:
                # The shortest decimal that names this float32: 0.0001, not 0.00009999999747378752.
                value = float(str(np.frombuffer(content, "<f4")[0]))
        return value

    def constant(self, name: str) -> np.ndarray | None:
        """The value of a Const operation of type float32; None of any other type."""
        for number, wire, value in fields(self.attributes.get("value", memoryview(b""))):
            if number == 8:
                return _tensor(submessage(wire, value), name)
        raise CheckpointError(f"expected a value in the constant {name[:80]!r}; Received: none")


def nodes(graph: memoryview) -> dict[str, Node]:
    """The nodes of a GraphDef by name."""
    found = {}
    for number, wire, value in fields(graph, limit=MAX_NODES):
        if number != 1:
            continue
        name, op, attributes = "", "", {}
        for part, kind, content in fields(submessage(wire, value), limit=1 << 10):
            if part == 1:
                name = text(kind, content)
            elif part == 2:
                op = text(kind, content)
            elif part == 5:
                key, attribute = _attribute(submessage(kind, content))
                if key in attributes:
                    raise CheckpointError(f"expected every attribute of {name[:80]!r} once; Received: {key!r} twice")
                if key in _KEPT:
                    attributes[key] = attribute
        if name in found:
            raise CheckpointError(f"expected every node once; Received: {name[:80]!r} twice")
        found[name] = Node(op, attributes)
    return found


def _attribute(message: memoryview) -> tuple[str, memoryview]:
    """An entry of the map of attributes."""
    key, value = "", memoryview(b"")
    for number, wire, content in fields(message):
        if number == 1:
            key = text(wire, content)
        elif number == 2:
            value = submessage(wire, content)
    return key, value


def _tensor(message: memoryview, name: str) -> np.ndarray | None:
    """A TensorProto of floats as an array, a view of the file; None of another type."""
    dtype, shape, content = 0, (), None
    for number, wire, value in fields(message, limit=len(message) + 1):
        if number == 1:
            dtype = integer(wire, value)
        elif number == 2:
            shape = shape_of(submessage(wire, value))
        elif number == 4:
            content = submessage(wire, value)
    if dtype != FLOAT:
        return None
    if content is None or not len(content):
        values = numbers(message, 5, "<f4")  # float_val
    elif len(content) % 4:
        raise CheckpointError(f"expected float32 numbers in {name[:80]!r}; Received: {len(content)} bytes")
    else:
        values = np.frombuffer(content, "<f4")
    count = math.prod(shape)
    if len(values) == 1 and 0 < count <= MAX_FILL:  # one number stands for all
        return np.broadcast_to(values, shape)
    if len(values) != count:
        raise CheckpointError(f"expected {shape} numbers in {name[:80]!r}; Received: {len(values)} of them")
    return values.reshape(shape)


def _graph_in_zip(data: memoryview) -> memoryview:
    members = zip_members(data, lambda name: name.endswith(".pb"))
    if len(members) != 1:
        raise CheckpointError(f"expected one graph (.pb) in the archive; Received: {len(members)}")
    return next(iter(members.values()))


def _lrn(graph: dict[str, Node], name: str) -> dict:
    """What one normalization is made with, in TensorFlow's terms."""
    if name not in graph or graph[name].op != "LRN":
        raise CheckpointError(f"expected an operation LRN named {name}; Received: a graph without it")
    constants = {key: graph[name].number(key, default) for key, default in _LRN_DEFAULTS.items()}
    if not 0 <= constants["depth_radius"] <= 1024 or not all(map(math.isfinite, constants.values())):
        raise CheckpointError(f"expected finite constants in {name}; Received: {constants}")
    return constants
