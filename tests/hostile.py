"""Broken and hostile variations of a valid file, and what a reader owes on every one of them."""

import tracemalloc

import numpy as np
from hypothesis import strategies as st

from keras_inception.convert.checkpoint import Checkpoint, CheckpointError

MIB = 1 << 20


def mutations(valid: bytes, boundaries=()):
    """A strategy of files near `valid`: cut at a boundary or anywhere, bytes flipped, dropped, replaced or repeated."""
    anywhere = st.integers(0, len(valid) - 1)
    places = st.one_of(st.sampled_from(sorted(set(boundaries))), anywhere) if boundaries else anywhere

    def flip(changes):
        data = bytearray(valid)
        for place, mask in changes:
            data[place] ^= mask
        return bytes(data)

    flips = st.lists(st.tuples(places, st.integers(1, 255)), min_size=1, max_size=3).map(flip)
    cuts = places.map(lambda n: valid[:n])
    gaps = st.tuples(places, st.integers(1, 64)).map(lambda cut: valid[: cut[0]] + valid[cut[0] + cut[1] :])
    splices = st.tuples(places, st.binary(min_size=1, max_size=12)).map(
        lambda cut: valid[: cut[0]] + cut[1] + valid[cut[0] + len(cut[1]) :]
    )
    repeats = st.tuples(places, st.integers(1, 64)).map(lambda cut: valid[: cut[0] + cut[1]] + valid[cut[0] :])
    return st.one_of(cuts, flips, gaps, splices, repeats)


def check(read, data: bytes, reference: Checkpoint, path) -> None:
    """Reads a file of `data`: one clear error or a whole checkpoint, in four times the file plus 64 MiB of memory."""
    path.write_bytes(data)
    tracemalloc.start()
    try:
        result = read(path)
    except CheckpointError as error:
        assert path.name in str(error), f"the message does not name the file: {error}"
        assert len(str(error)) < 2000
        result = None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak <= 4 * len(data) + 64 * MIB, f"{peak / MIB:.0f} MiB for a file of {len(data)} bytes"
    if result is not None:
        # A shape may have become another of the same size: the strict loader refuses that, for it knows the network.
        assert set(result.tensors) == set(reference.tensors)
        assert all(v.dtype == np.float32 and np.isfinite(v).all() for v in result.tensors.values())
