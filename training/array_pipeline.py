"""`training.input_pipeline` for arrays in memory, in NumPy: for a machine without TensorFlow."""

import numpy as np

from training.input_pipeline import rows_of, steps_left, steps_per_epoch


def knows(augmentation) -> bool:
    """Whether NumPy alone can do what an augmentation says."""
    return augmentation.crop in ("shift", "none") and not augmentation.photometric and not augmentation.lighting


def training_batches(
    source,
    *,
    size: int,
    batch_size: int,
    augmentation,
    seed: int,
    epochs,
    first_step: int = 0,
    worker: tuple[int, int] = (0, 1),
):
    """`input_pipeline.training_batches` of an `ArraySource`, in NumPy: shifts, mirror and resizing by area.

    The choices are a function of seed, epoch and index as well, but not those that TensorFlow makes.

    Args:
        source: a `keras_inception.datasets.ArraySource`.
        size, batch_size, seed, epochs, first_step, worker: as for `input_pipeline.training_batches`.
        augmentation: an `Augmentation` with `crop="shift"` or `"none"`, photometric and lighting 0.

    Returns:
        An iterator of tuples of arrays, as from `input_pipeline.training_batches`.

    Raises:
        ValueError: an argument is not what it should be, or the augmentation needs TensorFlow.
    """
    rows, per_epoch = rows_of(batch_size, worker), steps_per_epoch(source, batch_size)
    steps_left(per_epoch, first_step, len(epochs))  # says what is wrong with either
    if not knows(augmentation):
        raise ValueError(
            "expected crop shift or none, photometric=0 and lighting=0, or TensorFlow, which all else needs; "
            f"Received: {augmentation}"
        )
    shift = augmentation.shift if augmentation.crop == "shift" else 0

    def batch(epoch, order, step):
        start = step * batch_size + worker[0] * rows
        indices = order[start : start + rows]
        views = [
            _shifted(source.images[i], shift, augmentation.mirror, np.random.default_rng((seed, epoch, i, 1)))
            for i in indices
        ]
        images = np.stack(views)
        return _resized(images if shift else _central_square(images), size), source.labels[indices], np.ones(rows, "f4")

    def batches():
        for number, epoch in enumerate(epochs):
            order = np.random.default_rng((seed, epoch)).permutation(len(source))
            for step in range(0 if number else first_step, per_epoch):
                yield batch(epoch, order, step)

    return batches()


def evaluation_batches(
    source, *, size: int, batch_size: int, resize_to: int | None = None, worker: tuple[int, int] = (0, 1)
):
    """`input_pipeline.evaluation_batches` of an `ArraySource`, in NumPy, resized by area.

    Args:
        source: a `keras_inception.datasets.ArraySource`.
        size, batch_size, worker: as for `input_pipeline.evaluation_batches`.
        resize_to: likewise; None: `size`.

    Returns:
        An iterator of tuples of arrays, as from `input_pipeline.evaluation_batches`.

    Raises:
        ValueError: an argument is not what it should be.
    """
    resize_to, rows = resize_to or size, rows_of(batch_size, worker)
    if resize_to < size:
        raise ValueError(f"expected resize_to of at least the size, {size}; Received: resize_to={resize_to!r}")
    offset = round((resize_to - size) / 2)

    def batch(start):
        indices = np.arange(start, min(start + rows, len(source)))
        images, labels, weights = np.zeros((rows, size, size, 3), "u1"), np.zeros(rows, "i8"), np.zeros(rows, "f4")
        if len(indices):
            resized = _resized(_central_square(source.images[indices]), resize_to)
            images[: len(indices)] = resized[:, offset : offset + size, offset : offset + size]
            labels[: len(indices)], weights[: len(indices)] = source.labels[indices], 1
        return images, labels, weights

    return (batch(start + worker[0] * rows) for start in range(0, len(source), batch_size))


def _shifted(image, shift, mirror, rng):
    """A random window of the stored size over reflected borders, mirrored in half of the cases; uint8."""
    if shift:
        top, left = rng.integers(-shift, shift + 1, 2)
        image = image[_reflected(top, image.shape[0])][:, _reflected(left, image.shape[1])]
    return image[:, ::-1] if mirror and rng.random() < 0.5 else image


def _reflected(start, length):
    """Indices of `length` pixels from `start`, reflected at the borders without repeating the border's own pixel."""
    period = max(2 * (length - 1), 1)
    index = (start + np.arange(length)) % period
    return np.minimum(index, period - index)


def _central_square(images):
    height, width = images.shape[1:3]
    side = min(height, width)
    top, left = round((height - side) / 2), round((width - side) / 2)
    return images[:, top : top + side, left : left + side]


def _resized(images, size):
    """uint8 (n, h, w, 3) to uint8 (n, size, size, 3): each pixel is the mean of the area that it covers."""
    if images.shape[1:3] == (size, size):
        return images
    images = images.astype("float32")
    down, across = (_area_weights(length, size) for length in images.shape[1:3])
    means = np.einsum("yi,nijc,xj->nyxc", down, images, across, optimize=True)
    return (means + 0.5).astype("uint8")


def _area_weights(length, size):
    """The share of each of `length` stored pixels in each of `size` new ones: float32 (size, length)."""
    edges = np.arange(size + 1) * (length / size)
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:, np.newaxis], pixels + 1) - np.maximum(edges[:-1, np.newaxis], pixels)
    return (overlap.clip(0) * (size / length)).astype("float32")
