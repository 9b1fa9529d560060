"""The precision of what half precision is too coarse for."""

import keras


def at_least_float32(dtype: str) -> str:
    """float32 for the half precisions, and float64 as it is."""
    return keras.backend.result_type(dtype, "float32")
