"""Which tensors of a file are the network's, and whether they fit each other."""

from collections.abc import Collection, Iterable

import numpy as np

from keras_inception.convert import names
from keras_inception.convert.checkpoint import CheckpointError


def complete(table: dict[str, str], present: Collection[str], weights: Iterable[str]) -> dict[str, str]:
    """The rows of `table` that a file has, when these are the trunk, and both auxiliary heads or neither.

    Args:
        table: our `layer/variable` by the format's own name, both heads included.
        present: every name in the file.
        weights: the names in the file that look like weights of this network: a stranger among them is an error, for
            the network would run without it and give something else.

    Raises:
        CheckpointError: a name of `weights` is not in the table, or the file lacks something.
    """
    unknown = sorted(ascii(name[:80]) for name in weights if name not in table)
    if unknown:
        raise CheckpointError(f"expected the weights of GoogLeNet and no others; Received: {_listed(unknown)}")
    sources = {name: target for name, target in table.items() if name in present}
    layers = {target.split("/")[0].removesuffix("_bn") for target in sources.values()}
    absent = names.missing_layers(layers)
    if absent:
        raise CheckpointError(f"expected the layers of GoogLeNet; missing: {_listed(absent)}")
    heads = any(_in_head(layer) for layer in layers)
    missing = [name for name, target in table.items() if name not in sources and (heads or not _in_head(target))]
    if missing:
        raise CheckpointError(f"expected the weights of GoogLeNet; missing: {_listed(missing)}")
    return sources


def check_shapes(tensors: dict[str, np.ndarray]) -> None:
    """Kernels of the right rank, and biases and statistics as long as the kernel beside them has outputs.

    Args:
        tensors: arrays in Keras' layouts by `layer/variable`, with a kernel for every layer.

    Raises:
        CheckpointError: a tensor has another rank or length, or is empty.
    """
    for name, array in tensors.items():
        layer, variable = name.split("/")
        if variable == "kernel":
            rank = 2 if layer.endswith(("_fc", "_classifier")) else 4
            if array.ndim != rank or not array.size:
                raise CheckpointError(f"expected {rank} dimensions in {name}; Received: shape {array.shape}")
        else:
            outputs = tensors[f"{layer.removesuffix('_bn')}/kernel"].shape[-1:]
            if array.shape != outputs:
                raise CheckpointError(f"expected shape {outputs} of {name}, as its kernel; Received: {array.shape}")


def _in_head(target: str) -> bool:
    return target.startswith(("loss1_", "loss2_"))


def _listed(items: list[str]) -> str:
    shown = ", ".join(items[:8])
    return shown if len(items) <= 8 else f"{shown} and {len(items) - 8} more"
