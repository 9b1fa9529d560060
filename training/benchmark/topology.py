"""Correlation statistics of all modules against a plain forward pass over the same images."""

import statistics
import time

MODULES = tuple(f"inception_{module}_output" for module in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"))


def topology(threads, rounds, seconds, small=10_000, large=1_000) -> dict:
    """Images per second of a forward pass, and the time that correlations of all modules take in terms of it.

    Of the shipped network at 32 pixels over `small` images, and of the paper's at 224 over `large`, of pixels drawn at
    random; what is done once, such as tracing, is in the time, and so a turn is not of `seconds` but of all images.
    """
    import tensorflow as tf
    from threadpoolctl import threadpool_limits

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    with threadpool_limits(threads):  # of numpy's products of matrices
        return {
            f"batch_norm, 32 pixels, {small} images": _measure({"weights": "cifar10"}, rounds, 128, small),
            f"paper, 224 pixels, {large} images": _measure({"weights": None}, rounds, 32, large),
        }


def _measure(options, rounds, batch, images) -> dict:
    import numpy as np

    from keras_inception import GoogLeNet
    from keras_inception.topology import correlation_statistics

    model = GoogLeNet(**options)
    pixels = np.random.default_rng(0).integers(0, 256, (images, *model.input_shape[1:]), "uint8")

    def batches(count):
        for start in range(0, count, batch):
            yield pixels[start : min(start + batch, count)].astype("float32")

    def forward(count):
        for part in batches(count):
            model.predict_on_batch(part)

    def correlations(radius):
        return lambda count: correlation_statistics(model, MODULES, batches(count), radius=radius)

    # Offsets take many times as long, and so fewer images tell it as well.
    contestants = {"forward": (forward, images), "offset 0": (correlations(0), images)}
    contestants |= {"radius 2": (correlations(2), images // 10)}
    for call, _ in contestants.values():
        call(2 * batch)
    times = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, (call, count) in contestants.items():
            start = time.perf_counter()
            call(count)
            times[name].append((time.perf_counter() - start) / count)
    median = {name: statistics.median(values) for name, values in times.items()}
    ratio = {name: round(value / median["forward"], 3) for name, value in median.items()}
    return {
        "forward pass, images/s": round(1 / median["forward"], 1),
        "all nine modules at offset 0, time / forward pass": ratio["offset 0"],
        f"and at 24 more offsets from 64 places, {images // 10} images, time / forward pass": ratio["radius 2"],
    }
