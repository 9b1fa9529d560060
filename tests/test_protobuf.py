"""The wire format by hand: what the walker yields, and what it refuses."""

import numpy as np
import pytest

from keras_inception.convert import protobuf
from keras_inception.convert.checkpoint import CheckpointError


def walk(data: bytes, **options):
    return [(n, w, v if w == protobuf.VARINT else bytes(v)) for n, w, v in protobuf.fields(memoryview(data), **options)]


def test_every_wire_type():
    data = b"\x08\x96\x01" + b"\x11" + bytes(range(8)) + b"\x1a\x03abc" + b"\x25\x00\x00\x80\x3f" + b"\x22\x00"
    assert walk(data) == [
        (1, protobuf.VARINT, 150),
        (2, protobuf.FIXED64, bytes(range(8))),
        (3, protobuf.BYTES, b"abc"),
        (4, protobuf.FIXED32, b"\x00\x00\x80\x3f"),
        (4, protobuf.BYTES, b""),
    ]
    assert walk(b"") == []


def test_views_share_the_file():
    data = bytearray(b"\x1a\x03abc")
    ((_, _, value),) = protobuf.fields(memoryview(data))
    data[2:5] = b"xyz"
    assert bytes(value) == b"xyz"


def test_longest_tag_and_longest_integer():
    last = (1 << 29) - 1
    assert walk(b"\xf8\xff\xff\xff\x0f" + b"\xff" * 9 + b"\x01") == [(last, protobuf.VARINT, (1 << 64) - 1)]
    # Zeros in front are wasteful and legal.
    assert walk(b"\x88\x80\x00\x81\x80\x00") == [(1, protobuf.VARINT, 1)]


@pytest.mark.parametrize(
    "data, message",
    [
        (b"\x80", "the end"),  # a tag that does not end
        (b"\x08", "the end"),  # no value
        (b"\x08\xff\xff", "the end"),
        (b"\x1a", "the end"),  # no length
        (b"\x08" + b"\xff" * 10, "64 bits"),
        (b"\x08" + b"\x80" * 10 + b"\x00", "64 bits"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "64 bits"),
        (b"\x1a\x04abc", "expected 4 bytes"),
        (b"\x1a" + b"\xff" * 9 + b"\x01", "expected 18446744073709551615 bytes"),
        (b"\x11" + bytes(7), "expected 8 bytes"),
        (b"\x25" + bytes(3), "expected 4 bytes"),
        (b"\x0b", "Received: 3"),
        (b"\x0c", "Received: 4"),
        (b"\x0e", "Received: 6"),
        (b"\x0f", "Received: 7"),
        (b"\x00\x00", "field number"),
        (b"\x80\x80\x80\x80\x10\x00", "field number"),
        (b"\xff" * 9 + b"\x01", "field number"),
    ],
)
def test_malformed(data, message):
    with pytest.raises(CheckpointError, match=message):
        walk(data)


def test_limit_on_fields():
    assert len(walk(b"\x08\x01" * 5, limit=5)) == 5
    with pytest.raises(CheckpointError, match="at most 4 fields"):
        walk(b"\x08\x01" * 5, limit=4)


def test_scalars():
    assert protobuf.integer(protobuf.VARINT, (1 << 64) - 3) == -3
    assert protobuf.integer(protobuf.VARINT, 3) == 3
    assert protobuf.text(protobuf.BYTES, memoryview("é".encode())) == "é"
    assert bytes(protobuf.submessage(protobuf.BYTES, memoryview(b"ab"))) == b"ab"


def test_integers_packed_or_not():
    assert protobuf.integers(protobuf.VARINT, 7) == [7]
    assert protobuf.integers(protobuf.BYTES, memoryview(b"\x07\x96\x01" + b"\xff" * 9 + b"\x01")) == [7, 150, -1]
    assert protobuf.integers(protobuf.BYTES, memoryview(b"")) == []


@pytest.mark.parametrize("dtype, tag", [("<f4", 0x2D), ("<f8", 0x29)])
def test_numbers_packed_or_not(dtype, tag):
    values = np.array([1.5, -2, 3], dtype)
    packed = bytes([0x2A, values.nbytes]) + values.tobytes()
    single = b"".join(bytes([tag]) + v.tobytes() for v in values)
    other = b"\x08\x01"
    np.testing.assert_array_equal(protobuf.numbers(memoryview(other + packed), 5, dtype), values)
    np.testing.assert_array_equal(protobuf.numbers(memoryview(single + other), 5, dtype), values)
    np.testing.assert_array_equal(protobuf.numbers(memoryview(packed + single), 5, dtype), np.tile(values, 2))
    assert protobuf.numbers(memoryview(packed), 6, dtype).size == 0
    data = memoryview(bytearray(packed))
    assert np.shares_memory(protobuf.numbers(data, 5, dtype), np.frombuffer(data, np.uint8))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: protobuf.integer(protobuf.BYTES, memoryview(b"")), "expected an integer"),
        (lambda: protobuf.text(protobuf.VARINT, 1), "expected a string"),
        (lambda: protobuf.text(protobuf.BYTES, memoryview(b"\xff\xfe")), "UTF-8"),
        (lambda: protobuf.text(protobuf.BYTES, memoryview(bytes(5000))), "Received: 5000 bytes"),
        (lambda: protobuf.submessage(protobuf.FIXED32, memoryview(bytes(4))), "expected a message"),
        (lambda: protobuf.integers(protobuf.FIXED32, memoryview(bytes(4))), "packed integers"),
        (lambda: protobuf.integers(protobuf.BYTES, memoryview(b"\x01\x80")), "the end"),
        (lambda: protobuf.integers(protobuf.BYTES, memoryview(bytes(1 << 17))), "at most"),
        (lambda: protobuf.numbers(memoryview(b"\x2a\x05" + bytes(5)), 5, "<f4"), "4 bytes each"),
        (lambda: protobuf.numbers(memoryview(b"\x28\x05"), 5, "<f4"), "packed numbers"),
        (lambda: protobuf.numbers(memoryview(b"\x29" + bytes(8)), 5, "<f4"), "packed numbers"),
    ],
)
def test_wrong_kind(call, message):
    with pytest.raises(CheckpointError, match=message):
        call()


def test_opened_names_the_file(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"\x80")
    with (
        pytest.raises(CheckpointError, match="weights.bin, read as protobuf: .*the end"),
        protobuf.opened(path) as view,
    ):
        list(protobuf.fields(view))
