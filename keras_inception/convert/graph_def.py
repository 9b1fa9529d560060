"""A frozen TensorFlow graph, read without TensorFlow: its constants, and the attributes of its normalization.

Reference: `tensorflow/core/framework/graph.proto`, `node_def.proto`, `attr_value.proto`, `tensor.proto`.
"""

import dataclasses
import math

import numpy as np

from keras_inception.convert.checkpoint import CheckpointError
from keras_inception.convert.protobuf import FIXED32, fields, integer, numbers, submessage, text
from keras_inception.convert.tensorflow_checkpoint import FLOAT, shape_of

MAX_NODES = 1 << 14  # inception5h has some 400
MAX_FILL = 1 << 16  # elements of a constant that the file gives as one number
# A hostile file has a million attributes; these are the ones that anybody asks for.
_KEPT = {"value", "depth_radius", "bias", "alpha", "beta"}


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
