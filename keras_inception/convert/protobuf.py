"""A lazy walk through the protobuf wire format, for weight files that nobody vouches for.

The protobuf package is no help here. It builds an object for every sub-message before anyone can look at one, so a
file of empty sub-messages, two bytes each, grows more than fiftyfold in memory; and its generated classes would have
to be shipped for three formats. Here a message stays the slice of the file that it is: `fields` goes through it one
field at a time and keeps nothing, the caller opens only the sub-messages that its schema names (so the depth is the
schema's, never the file's), and arrays are views of the file.

Every function raises `CheckpointError` without the file's name; `opened` adds it.
"""

import contextlib
import pathlib
from collections.abc import Iterator

import numpy as np

from keras_inception.convert.checkpoint import CheckpointError

# The wire types. 3 and 4 are the groups of protobuf 1, which none of our formats has; 6 and 7 mean nothing.
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_WIDTH = {FIXED64: 8, FIXED32: 4}

# No message of a GoogLeNet has a hundredth of this many fields, arrays of unpacked numbers apart.
MAX_FIELDS = 1 << 20
MAX_TEXT = 1 << 10
MAX_INTEGERS = 1 << 10


@contextlib.contextmanager
def opened(path, kind: str = "protobuf") -> Iterator[memoryview]:
    """Gives the file as one read-only view; a `CheckpointError` raised in the block gets the file's name in front."""
    path = pathlib.Path(path)
    try:
        yield memoryview(path.read_bytes())
    except CheckpointError as error:
        raise CheckpointError(f"{path.name}, read as {kind}: {error}") from error


def fields(message: memoryview, limit: int = MAX_FIELDS) -> Iterator[tuple[int, int, int | memoryview]]:
    """Yields every field of a message as (number, wire type, value), in the order of the file.

    The value is an unsigned integer for `VARINT`, and for `BYTES`, `FIXED32` and `FIXED64` the view of its bytes, not a
    copy. The message is checked as the walk goes: a caller that stops early has checked only what it saw.

    Raises:
        CheckpointError: a number or a value is cut off or too long, a wire type is unknown, or there are more than
            `limit` fields.
    """
    position, size = 0, len(message)
    for _ in range(limit):
        if position >= size:
            return
        start = position
        tag, position = varint(message, position)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise CheckpointError(f"expected a protobuf field number; Received: {number} at byte {start} of a message")
        if wire == VARINT:
            value, position = varint(message, position)
            yield number, wire, value
            continue
        if wire == BYTES:
            length, position = varint(message, position)
        elif wire in _WIDTH:
            length = _WIDTH[wire]
        else:
            raise CheckpointError(f"expected a wire type 0, 1, 2 or 5; Received: {wire} at byte {start} of a message")
        if length > size - position:
            raise CheckpointError(
                f"expected {length} bytes for field {number} at byte {start} of a message; "
                f"Received: the {size - position} that are left"
            )
        yield number, wire, message[position : position + length]
        position += length
    if position < size:
        raise CheckpointError(f"expected at most {limit} fields in a message; Received: more")


def varint(message: memoryview, position: int) -> tuple[int, int]:
    """The unsigned integer of up to 64 bits at `position`, and the position after it."""
    if position < len(message) and message[position] < 0x80:  # by far the most
        return message[position], position + 1
    value = 0
    for place, byte in enumerate(message[position : position + 10]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            if value >> 64:
                break
            return value, position + place + 1
    else:
        if len(message) - position < 10:
            raise CheckpointError(f"expected an integer at byte {position} of a message; Received: the end of it")
    raise CheckpointError(
        f"expected an integer of at most 64 bits; Received: a longer one at byte {position} of a message"
    )


def _expect(wire: int, wanted: int, what: str) -> None:
    if wire != wanted:
        raise CheckpointError(f"expected {what} (wire type {wanted}); Received: wire type {wire}")


def submessage(wire: int, value) -> memoryview:
    """The view of a field that must hold a message (or plain bytes)."""
    _expect(wire, BYTES, "a message or bytes")
    return value


def integer(wire: int, value) -> int:
    """The value of an int32, int64, bool or enum field: two's complement of 64 bits."""
    _expect(wire, VARINT, "an integer")
    return value - (1 << 64) if value >> 63 else value


def text(wire: int, value) -> str:
    """The value of a string field; names are short, and a long one is refused rather than decoded."""
    _expect(wire, BYTES, "a string")
    if len(value) > MAX_TEXT:
        raise CheckpointError(f"expected a name of at most {MAX_TEXT} bytes; Received: {len(value)} bytes")
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError:
        raise CheckpointError(f"expected a name in UTF-8; Received: {bytes(value[:40])!r}") from None


def integers(wire: int, value) -> list[int]:
    """The integers that one occurrence of a repeated field brings: one, or any number of them when packed."""
    if wire == VARINT:
        return [integer(wire, value)]
    _expect(wire, BYTES, "packed integers")
    if len(value) > MAX_INTEGERS:  # a Python integer takes 30 times the byte that it came from
        raise CheckpointError(f"expected at most {MAX_INTEGERS} bytes of packed integers; Received: {len(value)}")
    result, position = [], 0
    while position < len(value):
        number, position = varint(value, position)
        result.append(integer(VARINT, number))
    return result


def numbers(message: memoryview, field: int, dtype: str) -> np.ndarray:
    """All the values of a repeated float or double field, packed or not.

    One packed run, which is what every writer of weights makes, comes back as a view of the file. Anything else is
    gathered, at the cost of one copy.

    Args:
        message: the message that has the field.
        field: the field's number.
        dtype: "<f4" for float, "<f8" for double.
    """
    dtype = np.dtype(dtype)
    single = FIXED32 if dtype.itemsize == 4 else FIXED64
    only, gathered = None, None
    # Each unpacked number is a field of its own, and the largest array of GoogLeNet has two million of them.
    for number, wire, value in fields(message, limit=len(message)):
        if number != field:
            continue
        if wire != single:
            _expect(wire, BYTES, "packed numbers")
            if len(value) % dtype.itemsize:
                raise CheckpointError(
                    f"expected packed numbers of {dtype.itemsize} bytes each; Received: {len(value)} bytes"
                )
        if only is None:
            only = value
            continue
        if gathered is None:
            gathered = bytearray(only)
        gathered += value
    if only is None:
        return np.empty(0, dtype)
    return np.frombuffer(only if gathered is None else gathered, dtype)
