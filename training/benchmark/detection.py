"""Detection: regions per second against the bare network, suppression against TensorFlow's, and where the time goes."""

import statistics
import time

from training.benchmark import alternate

CLASSES = 4


def detection(threads, rounds, seconds, photos, regions=512, batch=64) -> dict:
    """What section 8's detector costs, on photos: of the small network at 32 pixels, and of the paper's at 224.

    The regions are drawn at random, as large as objects may be; the networks have random weights, which take as long.
    """
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    images = _images(photos, 3)
    small = {"variant": "batch_norm", "stem": "small", "input_shape": (32, 32, 3)}
    return {
        "classifying regions, batch_norm, 32 pixels": _regions(images[0], regions, batch, rounds, seconds, small),
        "classifying regions, paper, 224 pixels": _regions(images[0], batch, batch, rounds, seconds, {}),
        "one look at the image": _looks(images[0], regions, batch, rounds, seconds, small),
        "non-maximum suppression of 10,000 boxes": _suppression(10_000, rounds, seconds),
        "one image, in seconds": _stages(images, rounds, small),
    }


def _images(photos, count):
    import numpy as np

    from keras_inception.preprocessing import IMAGE_SUFFIXES, open_image

    files = sorted(path for path in photos.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise ValueError(f"expected a folder with photos; Received: photos={str(photos)!r}")
    return [np.asarray(open_image(path)) for path in files[:count]]


def _boxes(image, count, seed=0):
    """Boxes of a tenth to half of an image's sides, wherever there is room."""
    import numpy as np

    rng, sides = np.random.default_rng(seed), np.array(image.shape[1::-1], float)
    sizes = rng.uniform(0.1, 0.5, (count, 2)) * sides
    corners = rng.random((count, 2)) * (sides - sizes)
    return np.concatenate([corners, corners + sizes], axis=1)


def _regions(image, count, batch, rounds, seconds, options) -> dict:
    """From pixels and boxes to probabilities, against the network alone on as many regions in such batches."""
    import numpy as np
    import tensorflow as tf

    from keras_inception import GoogLeNet
    from keras_inception.detection import RegionScorer

    model = GoogLeNet(weights=None, classes=CLASSES, **options)
    scorer, boxes = RegionScorer(model, batch_size=batch), _boxes(image, count)
    network = tf.function(lambda regions: model(regions, training=False))
    regions = tf.random.uniform((batch, *model.input_shape[1:]), 0, 255)

    def bare():
        for _ in range(-(-count // batch)):
            np.asarray(network(regions))

    rates = alternate({"scorer": lambda: scorer(image, boxes), "network": bare}, rounds, seconds)
    return {
        "regions/s": round(rates["scorer"] * count, 1),
        "network alone, regions/s": round(rates["network"] * count, 1),
        "regions / network": round(rates["scorer"] / rates["network"], 3),
    }


def _looks(image, count, batch, rounds, seconds, options) -> dict:
    """Features that are computed once and pooled, against each region by itself."""
    from keras_inception import GoogLeNet
    from keras_inception.detection import MapScorer, RegionScorer

    model, boxes = GoogLeNet(weights=None, classes=CLASSES, **options), _boxes(image, count)
    once = MapScorer(model, "inception_4e_output", scale=192 / max(image.shape[:2]), batch_size=batch)
    each = RegionScorer(model, batch_size=batch)
    contestants = {"once": lambda: once(image, boxes), "each": lambda: each(image, boxes)}
    rates = alternate(contestants, rounds, seconds)
    return {
        "once per image, regions/s": round(rates["once"] * count, 1),
        "each region, regions/s": round(rates["each"] * count, 1),
        "once / each": round(rates["once"] / rates["each"], 2),
    }


def _suppression(count, rounds, seconds) -> dict:
    """Ours, with classes, against TensorFlow's operation, which has none, on the boxes of one class."""
    import numpy as np
    import tensorflow as tf

    from keras_inception.detection.boxes import suppress

    image = np.zeros((1000, 1000, 3))
    boxes, scores = _boxes(image, count), np.random.default_rng(1).random(count)
    single, tensors = boxes.astype("f"), (tf.constant(boxes, tf.float32), tf.constant(scores, tf.float32))
    kept = suppress(boxes, scores, 0.3)
    theirs = tf.image.non_max_suppression(*tensors, count, 0.3).numpy()
    if kept.tolist() != theirs.tolist():
        raise RuntimeError(f"expected the same boxes; Received: {len(kept)} and {len(theirs)}")
    contestants = {
        "ours": lambda: suppress(single, scores, 0.3),
        "tensorflow": lambda: tf.image.non_max_suppression(*tensors, count, 0.3).numpy(),
    }
    rates = alternate(contestants, rounds, seconds)
    return {
        "ours, ms": round(1e3 / rates["ours"], 2),
        "TensorFlow's, ms": round(1e3 / rates["tensorflow"], 2),
        "ours / TensorFlow's": round(rates["tensorflow"] / rates["ours"], 3),
        "boxes that stay": len(kept),
    }


def _select(detector, image, boxes, scores):
    return detector.select(detector.find_candidates(image, boxes, scores))


def _stages(images, rounds, options) -> dict:
    """Median seconds of each stage of a detector with both sources of proposals; the photos take turns."""
    from keras_inception import GoogLeNet
    from keras_inception.detection import RCNN, MultiBox, MultiBoxProposals, SelectiveSearch
    from keras_inception.detection.selective_search import MODES

    trunk = GoogLeNet(include_top=False, weights=None, **{**options, "input_shape": (96, 128, 3)})
    priors = _boxes(images[0][:1, :1], 200)
    proposer = MultiBoxProposals(MultiBox(trunk, priors))
    detector = RCNN(GoogLeNet(weights=None, classes=CLASSES, **options), [SelectiveSearch(), proposer], threshold=0.0)
    times: dict[str, list[float]] = {}

    def timed(name, function, *arguments):
        began = time.perf_counter()
        result = function(*arguments)
        times.setdefault(name, []).append(time.perf_counter() - began)
        return result

    counts = []
    for turn in range(-1, rounds):
        if turn == 0:
            times.clear()  # of the turn that compiled everything
            counts.clear()
        image = images[turn % len(images)]
        for mode in MODES:
            timed(f"selective search, {mode}", SelectiveSearch(mode), image)
        timed("MultiBox", proposer, image)
        boxes = detector.propose(image)
        counts.append(len(boxes))
        scores = timed("classifying them", detector.scorer, image, boxes)
        timed("suppression", _select, detector, image, boxes, scores)
    found = {name: round(statistics.median(values), 4) for name, values in times.items()}
    sides = sorted({f"{image.shape[1]} x {image.shape[0]}" for image in images})
    return {**found, "proposals by paper and MultiBox": round(statistics.median(counts)), "pixels": ", ".join(sides)}
