"""Zip and tar.gz archives from strangers, opened in memory: nothing is unpacked to disk, and no size is believed.

The standard library's modules are no help here. They build an object for every member before anyone can look at one,
and a tar header may order `tarfile` to read any amount from a compressed stream.
"""

import struct
import zlib

from keras_inception.convert.checkpoint import CheckpointError

GZIP = b"\x1f\x8b"  # what a gzipped file begins with
MAX_MEMBERS = 1 << 14
MAX_NAME = 1 << 10  # one astral character makes Python take four bytes for each character of a name
# Trained weights hardly compress (by 8 %), so an archive that grows beyond this is none of weights. The file, what it
# unpacks to, and the tensors copied out of that are in memory together.
_GROWTH, _SLACK = 1.25, 8 << 20
# A deflated stream is at most a thousandth longer than its content, but for a header: nobody writes empty blocks.
_EMPTY_SLACK = 1 << 17

_END = struct.Struct("<4s4H2LH")  # signature, 4 counts, size and offset of the directory, length of a comment
_ENTRY = struct.Struct("<4s2x2x2H4x3L3H8xL")  # flags, method, CRC, sizes, 3 lengths, offset of the local header
_LOCAL = struct.Struct("<4s22x2H")
_STORED, _DEFLATED = 0, 8
_TAR_BLOCK = 512


def _safe(name: str) -> str:
    """A member's name in its plain form. One that climbs out of its folder is refused, though nothing is unpacked."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
        raise CheckpointError(f"expected member names below the archive's root; refused: {name[:80]!r}")
    return "/".join(part for part in parts if part not in ("", "."))


def _is_fork(name: str) -> bool:
    """If a member only holds what macOS knows about the member of the name without the `._`."""
    return name.rpartition("/")[2].startswith("._")


def _once(name: str, members: dict) -> None:
    if name in members:
        raise CheckpointError(f"expected every member of the archive once; Received: {name[:80]!r} twice")
    if len(members) == MAX_MEMBERS:
        raise CheckpointError(f"expected at most {MAX_MEMBERS} members in the archive; Received: more")


def zip_members(data: memoryview, wanted=lambda name: True, deflated: bool = True) -> dict[str, memoryview]:
    """The members of a zip archive by name, each checked against its CRC; stored ones are views of `data`.

    No member is read before all are known to lie apart, so the work is linear in the size of the archive.

    Args:
        data: the archive. Zip64 sizes, which begin at 4 GiB, are not understood.
        wanted: a predicate of names: which members to open.
        deflated: accept compressed members.

    Raises:
        CheckpointError: the archive is damaged or encrypted, a name is unsafe or appears twice, members share bytes, or
            the members grow out of proportion.
    """
    members, room = {}, _room(data)
    for name, (packed, method, crc, size) in _zip_contents(data, wanted).items():
        if method == _DEFLATED and deflated:
            content = _inflated(packed, -zlib.MAX_WBITS, min(size, room), name)
            room -= len(content)
        elif method == _STORED:
            content = packed
        else:
            raise CheckpointError(f"expected stored members; refused: {name[:80]!r} is compressed by method {method}")
        if len(content) != size or zlib.crc32(content) != crc:
            raise CheckpointError(f"expected the bytes of {name[:80]!r} that the CRC-32 vouches for; Received: others")
        members[name] = content
    return members


def _room(data: memoryview) -> int:
    """What the members of an archive may take when unpacked."""
    return int(_GROWTH * len(data)) + _SLACK


def _zip_contents(data: memoryview, wanted) -> dict[str, tuple]:
    """The wanted members as the headers describe them: by name, the packed bytes, method, CRC and size."""
    contents, spans = {}, []
    for name, (flags, method, crc, packed_size, size, offset) in _zip_directory(data).items():
        if _is_fork(name) or not wanted(name):
            continue
        if flags & 1:
            raise CheckpointError(f"expected a plain archive; refused: {name[:80]!r} is encrypted")
        start = _zip_content_start(data, offset, name)
        packed = data[start : start + packed_size]
        if len(packed) != packed_size:
            raise CheckpointError(f"expected {packed_size} bytes of {name[:80]!r}; Received: {len(packed)} in the file")
        contents[name] = packed, method, crc, size
        spans.append((offset, start + packed_size))
    spans.sort()
    if any(end > start for (_, end), (start, _) in zip(spans, spans[1:], strict=False)):
        raise CheckpointError("expected members apart from each other; refused: members that share bytes")
    return contents


def _zip_directory(data: memoryview) -> dict[str, tuple]:
    """The central directory: by name, the flags, method, CRC, packed size, size, and offset of the local header."""
    tail = bytes(data[-(_END.size + 0xFFFF) :])
    end = tail.rfind(b"PK\5\6")
    if end < 0 or len(tail) - end < _END.size:
        raise CheckpointError("expected a zip archive; Received: no end of its directory")
    _, disk, first_disk, here, count, size, offset, comment = _END.unpack_from(tail, end)
    position, stop = offset, offset + size
    if (
        disk
        or first_disk
        or here != count
        or stop > len(data) - len(tail) + end
        or end + _END.size + comment != len(tail)
    ):
        raise CheckpointError("expected a zip archive in one part; Received: an end record that contradicts the file")
    directory = {}
    for _ in range(count):
        if stop - position < _ENTRY.size:
            raise CheckpointError(f"expected {count} members in the zip directory; Received: fewer")
        magic, *facts, name_size, extra_size, comment_size, local = _ENTRY.unpack_from(data, position)
        position += _ENTRY.size
        if name_size > MAX_NAME:
            raise CheckpointError(f"expected member names of at most {MAX_NAME} bytes; Received: {name_size} bytes")
        name = bytes(data[position : position + name_size])
        position += name_size + extra_size + comment_size
        if magic != b"PK\1\2" or position > stop:
            raise CheckpointError("expected an entry of the zip directory; Received: other bytes")
        name = _safe(name.decode("utf-8", "replace"))
        _once(name, directory)
        directory[name] = (*facts, local)
    if position != stop:
        raise CheckpointError(f"expected {count} members in the zip directory; Received: more")
    return directory


def _zip_content_start(data: memoryview, offset: int, name: str) -> int:
    """Where the content of a member begins: its local header has lengths of its own."""
    if offset + _LOCAL.size <= len(data):
        magic, name_size, extra_size = _LOCAL.unpack_from(data, offset)
        if magic == b"PK\3\4":
            return offset + _LOCAL.size + name_size + extra_size
    raise CheckpointError(f"expected the header of {name[:80]!r} at byte {offset}; Received: other bytes")


def _inflated(packed: memoryview, wbits: int, limit: int, what: str) -> memoryview:
    """One deflated stream to its end, refused as soon as it gives more than `limit` bytes, or next to nothing."""
    engine, content, waiting, position = zlib.decompressobj(wbits), bytearray(), b"", 0
    while not engine.eof:
        if not waiting:
            waiting = packed[position : position + (1 << 16)]
            position += len(waiting)
        ended = not waiting
        try:
            piece = engine.decompress(waiting, 1 << 20)
        except zlib.error as error:
            raise CheckpointError(f"expected a deflated stream in {what[:80]!r}; Received: {error}") from error
        waiting = engine.unconsumed_tail
        if ended and not piece and not engine.eof:
            raise CheckpointError(f"expected the whole of {what[:80]!r}; Received: a stream that is cut off")
        content += piece
        if len(content) > limit:
            raise CheckpointError(f"expected at most {limit} bytes in {what[:80]!r}; refused: it unpacks to more")
        if position - len(waiting) > 2 * len(content) + _EMPTY_SLACK:
            raise CheckpointError(f"expected a compressed stream in {what[:80]!r}; refused: one of empty blocks")
    if engine.unused_data or position < len(packed):
        raise CheckpointError(f"expected one compressed stream in {what[:80]!r}; Received: something after its end")
    return memoryview(content).toreadonly()


def tar_gz_members(data: memoryview, wanted=lambda name: True) -> dict[str, memoryview]:
    """The regular files of a gzipped tar archive by name, as views of the unpacked archive.

    What macOS adds about a file, under the file's name with `._` in front, is skipped.

    Args:
        data: the archive.
        wanted: a predicate of names. A link under such a name is refused.

    Raises:
        CheckpointError: the archive is damaged or unpacks out of proportion, or a name is unsafe or appears twice.
    """
    tar = _inflated(data, zlib.MAX_WBITS | 16, _room(data), "the tar archive")
    members, position = {}, 0
    while position < len(tar):
        header = tar[position : position + _TAR_BLOCK]
        if len(header) < _TAR_BLOCK:
            raise CheckpointError("expected a tar archive in whole blocks; Received: one that is cut off")
        if not any(header):  # the end
            return {name: content for name, content in members.items() if content is not None}
        name, size, kind = _tar_header(header)
        content = tar[position + _TAR_BLOCK :][:size]
        if len(content) < size:
            raise CheckpointError(f"expected {size} bytes of {name[:80]!r}; Received: {len(content)} in the archive")
        position += _TAR_BLOCK + -(-size // _TAR_BLOCK) * _TAR_BLOCK
        if kind in b"xgLK":  # what POSIX and GNU add about the next member: a time, an owner, a name longer than 100
            continue
        name = _safe(name)
        _once(name, members)
        members[name] = None
        if _is_fork(name) or not wanted(name):
            continue
        if kind not in b"0\0":
            raise CheckpointError(f"expected a regular file; refused: {name[:80]!r} is a link or a device")
        members[name] = content
    raise CheckpointError("expected the end of the tar archive; Received: one that is cut off")


def _tar_header(header: memoryview) -> tuple[str, int, int]:
    """Name, size and kind of a member; every header has a checksum of its own."""
    field = bytes(header)
    number = lambda start, stop: int(field[start:stop].strip(b" \0") or b"0", 8)  # noqa: E731
    try:
        size, checksum = number(124, 136), number(148, 156)
    except ValueError:
        raise CheckpointError("expected a tar archive; Received: a header without a size") from None
    if sum(field) - sum(field[148:156]) + 8 * ord(" ") != checksum or size < 0:
        raise CheckpointError("expected a tar archive; Received: a header with another checksum")
    name, prefix = (part.split(b"\0")[0].decode("utf-8", "replace") for part in (field[:100], field[345:500]))
    if field[257:262] == b"ustar" and field[257:265] != b"ustar  \0" and prefix:
        name = f"{prefix}/{name}"
    return name, size, field[156]
