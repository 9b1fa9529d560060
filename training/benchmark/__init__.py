"""Measures speed, side by side with the peer on the same work, in one run.

    python -m training.benchmark inference     this package against torchvision's GoogLeNet on torch, batch 1 and 32
    python -m training.benchmark lrn           what local response normalization costs of the forward pass
    python -m training.benchmark import        the time that importing the package adds to importing Keras, and that
    building takes
    python -m training.benchmark training      a training step against torchvision's GoogLeNet on torch; two workers
    against one; memory over a run
    python -m training.benchmark batch_norm    a training step with batch normalization in one operation, and in Keras'
    python -m training.benchmark input --photos FOLDER     our input pipeline against torchvision's on PIL
    python -m training.benchmark evaluation --photos FOLDER     the 144-crop protocol against the bare network
    python -m training.benchmark detection --photos FOLDER      regions against the bare network, each stage of it
    python -m training.benchmark hub           loading a published model against building it and reading its arrays
    python -m training.benchmark topology      correlation statistics of all modules against a plain forward pass
    python -m training.benchmark sparse        a layer as sparse matrix, as dense blocks and as one dense product

Machines are shared and noisy: the contestants take turns, round by round, and the medians and their ratio are what
counts. `--output` writes them as JSON, for `training/results/`.
"""

import statistics
import time


def alternate(contestants: dict, rounds: int, seconds: float) -> dict[str, float]:
    """Median calls per second of each contestant, which take turns for `rounds` rounds of about `seconds` each."""
    calls = {}
    for name, call in contestants.items():
        call()  # traces, compiles, allocates
        call()
        start = time.perf_counter()
        call()
        calls[name] = max(1, round(seconds / (time.perf_counter() - start)))
    rates = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, call in contestants.items():
            start = time.perf_counter()
            for _ in range(calls[name]):
                call()
            rates[name].append(calls[name] / (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in rates.items()}


def import_torchvision():
    """Next to torch's CPU build, torchvision's wheel lacks two operators."""
    import torch

    try:
        import torchvision
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision
    return torchvision
