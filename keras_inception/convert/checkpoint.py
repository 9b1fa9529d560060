"""What every reader gives: the tensors under our names, and a description of the network that they fit."""

import dataclasses

import numpy as np


class CheckpointError(ValueError):
    """A weight file that is damaged, hostile, or not of the kind it was taken for."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The content of a weight file, complete or not created at all.

    Args:
        spec: plain JSON data that describes the network: `architecture`, `variant`, `classes`, `aux_heads`, and how
            its input is made from RGB pixels in 0..255, `(pixel - mean) * scale`.
        tensors: float32 arrays by `layer/variable`, in Keras' layouts (convolutions HWIO, fully connected (in, out)),
            the first kernel for RGB.

    Raises:
        CheckpointError: an array is not finite, or a variance negative.
    """

    spec: dict
    tensors: dict[str, np.ndarray]

    def __post_init__(self):
        # A NaN spreads to the sum, and so does an infinity: one pass, and no boolean copy of the whole array.
        with np.errstate(invalid="ignore", over="ignore"):
            bad = [name for name, array in self.tensors.items() if not np.isfinite(np.sum(array, dtype=np.float64))]
        if bad:
            listed = ", ".join(sorted(bad)[:8]) + (f" and {len(bad) - 8} more" if len(bad) > 8 else "")
            raise CheckpointError(f"expected finite weights; Received: NaN or infinity in {listed}")
        for name, array in self.tensors.items():
            if name.endswith("/moving_variance") and array.min(initial=0) < 0:
                raise CheckpointError(f"expected variances of 0 or more; Received: {array.min()} in {name}")
