"""Archives from strangers: what a hostile one may cost, in work and in memory. The formats' tests have the rest."""

import gzip
import io
import struct
import tracemalloc
import types
import zipfile
import zlib

import pytest

from keras_inception.convert import archives
from keras_inception.convert.archives import MAX_NAME, tar_gz_members, zip_members
from keras_inception.convert.checkpoint import CheckpointError
from tests.hostile import MIB
from tests.tensorflow_files import tar, tar_gz


def zipped(*members: tuple[str, bytes], method=zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def raw_zip(name: bytes, packed: bytes, content: bytes, method: int = 8) -> bytes:
    """An archive of one member by hand, so that its stream may be any."""
    sizes = struct.pack("<3L", zlib.crc32(content), len(packed), len(content))
    facts = struct.pack("<4H", 0, method, 0, 0) + sizes + struct.pack("<2H", len(name), 0)
    local = b"PK\3\4" + struct.pack("<H", 20) + facts + name + packed
    entry = b"PK\1\2" + struct.pack("<2H", 20, 20) + facts + struct.pack("<3H2L", 0, 0, 0, 0, 0) + name
    return local + entry + b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 1, 1, len(entry), len(local), 0)


@pytest.fixture
def fed(monkeypatch):
    """The number of bytes in each piece that zlib was given to inflate or to sum."""
    sizes = []

    def decompressobj(wbits):
        engine = zlib.decompressobj(wbits)

        class Counted:
            def decompress(self, data, limit):
                sizes.append(len(data))
                return engine.decompress(data, limit)

            def __getattr__(self, name):
                return getattr(engine, name)

        return Counted()

    def crc32(data):
        sizes.append(len(data))
        return zlib.crc32(data)

    counted = types.SimpleNamespace(
        decompressobj=decompressobj, crc32=crc32, error=zlib.error, MAX_WBITS=zlib.MAX_WBITS
    )
    monkeypatch.setattr(archives, "zlib", counted)
    return sizes


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_that_share_bytes_are_refused_before_any_is_read(fed, method):
    data = bytearray(zipped(*((f"{n:04d}", b"same" * 1000) for n in range(1000)), method=method))
    zip_members(memoryview(bytes(data)))
    assert sum(fed) >= 1000 * 4000
    fed.clear()
    # Only the last two members share bytes: all the others are sound.
    last = data.rindex(b"PK\1\2")
    data[last + 42 : last + 46] = data[data.rindex(b"PK\1\2", 0, last) + 42 :][:4]
    with pytest.raises(CheckpointError, match="share bytes"):
        zip_members(memoryview(bytes(data)))
    assert fed == []


def test_members_that_nobody_wants_are_not_read(fed):
    data = zipped(("a.pb", b"12345"), ("b.txt", bytes(1000)))
    assert zip_members(memoryview(data), lambda name: name.endswith(".pb")) == {"a.pb": b"12345"}
    assert fed == [5]


# Stored, of fixed codes (the bits 0 1 0 and seven 0, four times), and a last one.
EMPTY_BLOCKS = {"stored": b"\0\0\0\xff\xff", "fixed": (2 | 2 << 10 | 2 << 20 | 2 << 30).to_bytes(5, "little")}
LAST_BLOCK = b"\3\0"


@pytest.mark.parametrize("kind", EMPTY_BLOCKS)
def test_streams_of_empty_blocks(fed, kind):
    """They give nothing however long they are, so a limit on the unpacked size never stops them."""
    few = EMPTY_BLOCKS[kind] * 100 + LAST_BLOCK
    assert zip_members(memoryview(raw_zip(b"a", few, b""))) == {"a": b""}
    many = EMPTY_BLOCKS[kind] * (4 * MIB // 5) + LAST_BLOCK
    fed.clear()
    with pytest.raises(CheckpointError, match="'a'; refused: one of empty blocks"):
        zip_members(memoryview(raw_zip(b"a", many, b"")))
    assert sum(fed) < MIB // 2
    header = b"\x1f\x8b\x08" + bytes(7)
    with pytest.raises(CheckpointError, match="'the tar archive'; refused: one of empty blocks"):
        tar_gz_members(memoryview(header + many + bytes(8)))
    assert sum(fed) < MIB


def test_every_packed_byte_is_inflated_once(fed):
    """What is left over when a piece is full is given again, and so is counted with what it unpacks to."""
    content = bytes(8 * MIB)
    data = zipped(("a", content), method=zipfile.ZIP_DEFLATED)
    assert zip_members(memoryview(data)) == {"a": content}
    assert sum(fed) <= len(content) + 16 * len(data)


def test_incompressible_content_passes():
    content = zlib.compress(b"".join(n.to_bytes(4, "big") for n in range(1 << 18)), 9) * 4
    for level in (0, 9):
        engine = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = engine.compress(content) + engine.flush()
        assert zip_members(memoryview(raw_zip(b"a", packed, content))) == {"a": content}


def test_long_names_are_refused_undecoded():
    """One astral character, and Python takes four bytes for each of the others."""
    name = b"x" * (MAX_NAME - 4) + "\U0001f600".encode()
    assert set(zip_members(memoryview(raw_zip(name, b"", b"", method=0)))) == {name.decode()}
    with pytest.raises(CheckpointError, match=f"names of at most {MAX_NAME} bytes; Received: {MAX_NAME + 1} bytes"):
        zip_members(memoryview(raw_zip(b"x" + name, b"", b"", method=0)))
    data = zipped(*((f"{n}".ljust(60000, "x") + "\U0001f600", b"") for n in range(40)))
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="member names of at most"):
        zip_members(memoryview(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MIB


@pytest.mark.parametrize("form", ["zip", "tar.gz"])
def test_memory_of_what_unpacks(form):
    """The unpacked archive, and a copy of it as tensors, stay within four times the file and 64 MiB."""
    content = bytes(100 * MIB)
    if form == "zip":
        data, members = zipped(("a", content), method=zipfile.ZIP_DEFLATED), zip_members
    else:
        data, members = gzip.compress(tar([("a", content)]), 1), tar_gz_members
    del content
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="refused: it unpacks to more"):
        members(memoryview(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * MIB
    # For a large file: itself, the unpacked bytes with what a bytearray keeps in reserve, and the tensors.
    size = 1000 * MIB
    room = archives._room(range(size))
    assert size + 1.125 * room + room < 4 * size + 64 * MIB


def test_what_macos_adds_is_skipped():
    members = [("a.caffemodel", b"12"), ("._a.caffemodel", b"3"), ("x/._b.caffemodel", b"4"), ("x/b._c", b"5")]
    expected = {"a.caffemodel": b"12", "x/b._c": b"5"}
    assert tar_gz_members(memoryview(tar_gz(members))) == expected
    assert zip_members(memoryview(zipped(*members))) == expected
    for name in ("../._a", "/._a"):
        for data, read in ((tar_gz([(name, b"")]), tar_gz_members), (zipped((name, b"")), zip_members)):
            with pytest.raises(CheckpointError, match="below the archive's root"):
                read(memoryview(data))
