"""The variables in a TensorFlow checkpoint, of the first format (one file) or the second (an index and its data).

Reference: `tensorflow/core/protobuf/tensor_bundle.proto` and `tensorflow/core/util/saved_tensor_slice.proto`.
"""

import dataclasses
import math
import re

import numpy as np

from keras_inception.convert import sstable
from keras_inception.convert.checkpoint import CheckpointError
from keras_inception.convert.crc32c import masked_crc32c
from keras_inception.convert.protobuf import FIXED32, fields, integer, numbers, submessage, text

DATA_FILE = re.compile(r"\.data-[0-9]{5}-of-[0-9]{5}$")  # how the name of a second format's data file ends
FLOAT = 1  # DT_FLOAT
MAX_RANK = 8
MAX_SHARDS = 64


@dataclasses.dataclass(frozen=True)
class Variable:
    """A variable as the file describes it.

    Args:
        dtype: TensorFlow's number of the type.
        shape: the dimensions, none negative.
        content: in the first format a TensorProto, in the second the raw numbers.
        checksum: of `content`; None in the first format, whose blocks have sums.
        file: the name of the data file in the second format.
    """

    dtype: int
    shape: tuple[int, ...]
    content: memoryview
    checksum: int | None = None
    file: str = ""

    def array(self, name: str) -> np.ndarray:
        """The numbers, checked against their sum and their shape."""
        if self.dtype != FLOAT:
            raise CheckpointError(f"expected float32 numbers in {name}; Received: type {self.dtype}")
        if self.checksum is None:
            values = numbers(self.content, 5, "<f4")  # float_val
        elif self.checksum != masked_crc32c(self.content):
            raise CheckpointError(
                f"expected numbers of {name} that agree with their CRC-32C; Received: others in {self.file}"
            )
        else:
            values = np.frombuffer(self.content, "<f4") if len(self.content) % 4 == 0 else np.empty(0)
        if len(values) != math.prod(self.shape) or not len(values):
            raise CheckpointError(f"expected {self.shape} numbers in {name}; Received: {len(values)} of them")
        return values.reshape(self.shape)


def shape_of(message: memoryview) -> tuple[int, ...]:
    """The dimensions in a TensorShapeProto."""
    shape = []
    for number, wire, value in fields(message, limit=MAX_RANK + 1):
        if number == 2:
            sizes = [integer(w, v) for n, w, v in fields(submessage(wire, value), limit=2) if n == 1]
            shape.append(sizes[-1] if sizes else 0)
        elif number == 3 and integer(wire, value):
            raise CheckpointError("expected a known shape; Received: one of unknown rank")
    if len(shape) > MAX_RANK or any(not 0 <= size < 1 << 40 for size in shape):
        raise CheckpointError(f"expected at most {MAX_RANK} dimensions, none negative; Received: {shape[:9]}")
    return tuple(shape)


def first_format(table: memoryview) -> dict[str, Variable]:
    """The variables of a checkpoint of the first format: described under the empty key, their numbers under others."""
    described, contents = None, {}
    for key, value in sstable.entries(table):
        if key == b"":
            described = _described(_only(value, 1, "a description of the variables"))
            continue
        name, whole, content = "", memoryview(b""), memoryview(b"")
        for number, wire, part in fields(_only(value, 2, "the numbers of a variable"), limit=8):
            if number == 1:
                name = text(wire, part)
            elif number == 2:
                whole = submessage(wire, part)
            elif number == 3:
                content = submessage(wire, part)
        if name in contents:
            raise CheckpointError(f"expected every variable whole; Received: {name[:80]!r} in parts")
        contents[name] = whole, content
    if described is None or set(described) != set(contents):
        raise CheckpointError("expected a description and numbers for every variable; Received: one without the other")
    for name, (_, shape, slices) in described.items():
        if any(not _is_whole(part, shape) for part in (*slices, contents[name][0])) or len(slices) != 1:
            raise CheckpointError(f"expected every variable whole; Received: {name[:80]!r} in parts")
    return {name: Variable(dtype, shape, contents[name][1]) for name, (dtype, shape, _) in described.items()}


def _only(message: memoryview, wanted: int, what: str) -> memoryview:
    found = [submessage(wire, value) for number, wire, value in fields(message, limit=8) if number == wanted]
    if len(found) != 1:
        raise CheckpointError(f"expected {what} in each entry; Received: {len(found)}")
    return found[0]


def _described(message: memoryview) -> dict[str, tuple]:
    """SavedTensorSliceMeta: type, shape and slices by the variable's name."""
    described = {}
    for number, wire, value in fields(message, limit=sstable.MAX_ENTRIES):
        if number != 1:
            continue
        name, shape, dtype, slices = "", (), 0, []
        for part, kind, content in fields(submessage(wire, value), limit=8):
            if part == 1:
                name = text(kind, content)
            elif part == 2:
                shape = shape_of(submessage(kind, content))
            elif part == 3:
                dtype = integer(kind, content)
            elif part == 4:
                slices.append(submessage(kind, content))
        if name in described:
            raise CheckpointError(f"expected every variable once; Received: {name[:80]!r} twice")
        described[name] = dtype, shape, slices
    return described


def _is_whole(message: memoryview, shape: tuple) -> bool:
    """If a TensorSliceProto spans all of `shape`: an extent without a length is a whole dimension."""
    extents = [submessage(wire, value) for number, wire, value in fields(message, limit=MAX_RANK) if number == 1]
    for extent, size in zip(extents, shape, strict=False):
        found = {number: integer(wire, value) for number, wire, value in fields(extent, limit=4)}
        if found.get(1, 0) or found.get(2, size) != size:
            return False
    return len(extents) in (0, len(shape))


def second_format(table: memoryview, content_of, prefix: str) -> dict[str, Variable]:
    """The variables of a checkpoint of the second format.

    Args:
        table: the content of the `.index` file.
        content_of: a function that gives the content of a data file by its name, or None.
        prefix: what the names of the data files begin with.
    """
    variables, files, count = {}, {}, None
    for key, value in sstable.entries(table):
        found = {number: (wire, part) for number, wire, part in fields(value, limit=16)}
        if key == b"":
            count = integer(*found[1]) if 1 in found else 1
            if not 0 < count <= MAX_SHARDS or (2 in found and integer(*found[2])):
                raise CheckpointError(
                    f"expected little-endian data in 1 to {MAX_SHARDS} files; Received: {count} files"
                )
            continue
        name = text(2, memoryview(key))
        dtype, index, offset, size = (integer(*found[n]) if n in found else 0 for n in (1, 3, 4, 5))
        shape = shape_of(submessage(*found[2])) if 2 in found else ()
        if count is None or 7 in found or not 0 <= index < count or found.get(6, (0,))[0] != FIXED32:
            raise CheckpointError(f"expected every variable whole and with a sum; Received: {name[:80]!r} otherwise")
        file = f"{prefix}.data-{index:05d}-of-{count:05d}"
        if file not in files:
            files[file] = content_of(file)
        if files[file] is None:
            raise CheckpointError(f"expected {file} beside it; Received: no such file")
        content = files[file][offset : offset + size] if offset >= 0 and size >= 0 else b""
        if len(content) != size:
            raise CheckpointError(f"expected {size} bytes of {name[:80]!r} at {offset} in {file}; Received: its end")
        variables[name] = Variable(dtype, shape, content, int.from_bytes(found[6][1], "little"), file)
    if sum(len(variable.content) for variable in variables.values()) > sum(map(len, files.values())):
        raise CheckpointError("expected numbers of its own for each variable; refused: variables that share them")
    return variables
