"""The sorted table that holds TensorFlow's checkpoints (LevelDB's format), read without TensorFlow.

TensorFlow's own reader allocates whatever a block handle declares (2 ** 45 bytes give a MemoryError), and it would make
TensorFlow necessary where the network runs on JAX or PyTorch.

Reference: `tensorflow/core/lib/io/format.h` and `table_builder.cc`.
"""

from collections.abc import Iterator

from keras_inception.convert.checkpoint import CheckpointError
from keras_inception.convert.crc32c import masked_crc32c
from keras_inception.convert.protobuf import varint

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_FOOTER = 48
_TRAILER = 5  # after each block: how it is compressed, and its sum
MAX_ENTRIES = 1 << 13  # TF-slim's checkpoint has some 230; an optimizer may double or triple that
MAX_KEY = 1 << 10


def entries(table: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yields the keys, in order and each once, with their values, which are views of `table`.

    Raises:
        CheckpointError: the table is damaged; every block is checked against its sum.
    """
    if len(table) < _FOOTER or table[-8:] != MAGIC:
        raise CheckpointError("expected a checkpoint of TensorFlow; Received: a file without its last 8 bytes")
    footer = table[-_FOOTER:-8]
    _, _, position = _handle(footer, 0)  # the meta index: nothing that we need
    offset, size, _ = _handle(footer, position)
    end, last, count = 0, None, 0
    for blocks, (_, handle) in enumerate(_block(table, offset, size), 1):
        if blocks > MAX_ENTRIES:  # they may all be empty
            raise CheckpointError(f"expected at most {MAX_ENTRIES} blocks in the table; Received: more")
        offset, size, _ = _handle(handle, 0)
        if offset < end:  # blocks follow each other, so that none is read twice
            raise CheckpointError(f"expected a block after byte {end}; Received: one at {offset}")
        end = offset + size + _TRAILER
        for key, value in _block(table, offset, size):
            count += 1
            if count > MAX_ENTRIES:
                raise CheckpointError(f"expected at most {MAX_ENTRIES} entries in the table; Received: more")
            if last is not None and key <= last:
                raise CheckpointError(
                    f"expected every key once and in order; Received: {key[:60]!r} after {last[:60]!r}"
                )
            last = key
            yield key, value


def _handle(data: memoryview, position: int) -> tuple[int, int, int]:
    """Offset and size of a block, and the position after the two."""
    offset, position = varint(data, position)
    size, position = varint(data, position)
    return offset, size, position


def _block(table: memoryview, offset: int, size: int) -> Iterator[tuple[bytes, memoryview]]:
    """The entries of one block. A key is stored as what differs from the key before it."""
    if offset + size + _TRAILER > len(table) - _FOOTER:
        raise CheckpointError(f"expected a block inside the file; Received: {size} bytes at {offset}")
    block, trailer = table[offset : offset + size], table[offset + size :][:_TRAILER]
    if masked_crc32c(table[offset : offset + size + 1]) != int.from_bytes(trailer[1:], "little"):
        raise CheckpointError(
            f"expected the block that its CRC-32C vouches for; Received: another one at byte {offset}"
        )
    if trailer[0]:
        raise CheckpointError(f"expected plain blocks; refused: compression {trailer[0]} at byte {offset}")
    # At the end of a block, places where a search may start, and their count: of no use in a walk.
    restarts = int.from_bytes(block[-4:], "little")
    stop = size - 4 * (restarts + 1)
    if stop < 0:
        raise CheckpointError(
            f"expected the places of {restarts} keys in the block; Received: {size} bytes at {offset}"
        )
    position, key = 0, b""
    while position < stop:
        shared, position = varint(block, position)
        fresh, position = varint(block, position)
        length, position = varint(block, position)
        if shared > len(key) or shared + fresh > MAX_KEY or position + fresh + length > stop:
            raise CheckpointError(
                f"expected an entry inside its block; Received: a longer one in the block at {offset}"
            )
        key = key[:shared] + bytes(block[position : position + fresh])
        position += fresh
        yield key, block[position : position + length]
        position += length
