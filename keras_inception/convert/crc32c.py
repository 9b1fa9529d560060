"""CRC-32C (Castagnoli), the checksum of TensorFlow's checkpoints, at the speed of NumPy.

A CRC is a linear map over GF(2), so a long message can be cut into equal parts whose sums are found side by side, one
NumPy lane each, and put together: sum(A + B) = sum(A followed by as many zero bytes as B has) ^ sum(B).
"""

import numpy as np

_POLYNOMIAL = np.uint32(0x82F63B78)  # Castagnoli's, bits reversed
_ONES = 0xFFFFFFFF
_BITS = np.arange(32, dtype=np.uint32)


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """What 8 and 16 steps make of every value of as many bits."""
    byte = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        byte = (byte >> 1) ^ np.where(byte & 1, _POLYNOMIAL, np.uint32(0))
    pair = np.arange(1 << 16, dtype=np.uint32)
    for _ in range(2):
        pair = byte[pair & 0xFF] ^ (pair >> 8)
    return byte, pair


_BYTE, _PAIR = _tables()


def crc32c(data) -> int:
    """The CRC-32C of a bytes-like object."""
    message = np.frombuffer(data, np.uint8)
    if len(message) < 64:
        state = _ONES
        for byte in message.tolist():
            state = int(_BYTE[(state ^ byte) & 0xFF]) ^ (state >> 8)
        return state ^ _ONES
    lanes = 1 << min(12, len(message).bit_length() // 2)
    steps = -(-len(message) // (2 * lanes))
    # Zeros in front change nothing while the state is zero; its initial ones go into the first bytes instead.
    padded = np.zeros(2 * lanes * steps, np.uint8)
    start = len(padded) - len(message)
    padded[start:] = message
    padded[start : start + 4] ^= 0xFF
    state = np.zeros(lanes, np.uint32)
    for pairs in np.ascontiguousarray(padded.view("<u2").reshape(lanes, steps).T):
        state = _PAIR[(state ^ pairs) & 0xFFFF] ^ (state >> 16)
    past = np.uint32(1) << _BITS  # what the zero bytes of one lane make of each single bit
    for _ in range(steps):
        past = _PAIR[past & 0xFFFF] ^ (past >> 16)
    while len(state) > 1:
        state = _apply(past, state[0::2]) ^ state[1::2]
        past = _apply(past, past)
    return int(state[0]) ^ _ONES


def _apply(columns: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """A matrix over GF(2), given by its 32 columns, times each vector."""
    bits = (vectors[:, None] >> _BITS) & 1
    return np.bitwise_xor.reduce(np.where(bits, columns, np.uint32(0)), axis=1)


def masked_crc32c(data) -> int:
    """The form in which TensorFlow stores the sum: rotated and shifted, so that sums of sums are harmless."""
    value = crc32c(data)
    return ((value >> 15 | value << 17) + 0xA282EAD8) & _ONES
