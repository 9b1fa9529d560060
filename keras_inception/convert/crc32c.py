"""CRC-32C (Castagnoli), the checksum of TensorFlow's checkpoints, at the speed of NumPy.

A CRC is a linear map over GF(2), so a long message can be cut into equal parts whose sums are found side by side, one
NumPy lane each, and put together: sum(A + B) = sum(A followed by as many zero bytes as B has) ^ sum(B).
"""

import functools

import numpy as np

_POLYNOMIAL = np.uint32(0x82F63B78)  # Castagnoli's, bits reversed
_ONES = 0xFFFFFFFF
_BITS = np.arange(32, dtype=np.uint32)
_CHUNK = 1 << 20  # what is copied at a time
_SHORT = 1 << 11  # up to here a plain loop is faster


def _tables() -> tuple[list[int], np.ndarray]:
    """What 8 and 16 steps make of every value of as many bits."""
    byte = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        byte = (byte >> 1) ^ np.where(byte & 1, _POLYNOMIAL, np.uint32(0))
    pair = np.arange(1 << 16, dtype=np.uint32)
    for _ in range(2):
        pair = byte[pair & 0xFF] ^ (pair >> 8)
    return byte.tolist(), pair  # the plain loop wants plain integers


_BYTE, _PAIR = _tables()


def crc32c(data) -> int:
    """The CRC-32C of a bytes-like object."""
    message, state = np.frombuffer(data, np.uint8), _ONES
    for start in range(0, len(message), _CHUNK):
        chunk = message[start : start + _CHUNK]
        state = _by_bytes(state, chunk) if len(chunk) <= _SHORT else _by_lanes(state, chunk)
    return state ^ _ONES


def _by_bytes(state: int, message: np.ndarray) -> int:
    """What a message makes of a state, byte by byte."""
    for byte in message.tolist():
        state = _BYTE[(state ^ byte) & 0xFF] ^ (state >> 8)
    return state


def _by_lanes(state: int, message: np.ndarray) -> int:
    """The same for at least 4 bytes, in equal parts side by side."""
    lanes = 1 << len(message).bit_length() // 2 + 2
    steps = -(-len(message) // (2 * lanes))
    # Zeros in front change nothing while the state is zero; the state so far goes into the first bytes instead.
    padded = np.zeros(2 * lanes * steps, np.uint8)
    start = len(padded) - len(message)
    padded[start:] = message
    padded[start : start + 4] ^= np.frombuffer(state.to_bytes(4, "little"), np.uint8)
    states = np.zeros(lanes, np.uint32)
    for pairs in np.ascontiguousarray(padded.view("<u2").reshape(lanes, steps).T):
        states = _PAIR[(states ^ pairs) & 0xFFFF] ^ (states >> 16)
    past = _zeros(steps)
    while len(states) > 1:
        states = _apply(past, states[0::2]) ^ states[1::2]
        past = _apply(past, past)
    return int(states[0])


@functools.lru_cache(maxsize=1)  # all chunks of a message but the last have one size
def _zeros(steps: int) -> np.ndarray:
    """What `steps` pairs of zero bytes make of each single bit."""
    past = np.uint32(1) << _BITS
    for _ in range(steps):
        past = _PAIR[past & 0xFFFF] ^ (past >> 16)
    return past


def _apply(columns: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """A matrix over GF(2), given by its 32 columns, times each vector."""
    bits = (vectors[:, None] >> _BITS) & 1
    return np.bitwise_xor.reduce(np.where(bits, columns, np.uint32(0)), axis=1)


def masked_crc32c(data) -> int:
    """The form in which TensorFlow stores the sum: rotated and shifted, so that sums of sums are harmless."""
    value = crc32c(data)
    return ((value >> 15 | value << 17) + 0xA282EAD8) & _ONES
