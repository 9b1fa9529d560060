"""`training.input_pipeline` for arrays in memory, in NumPy: for a machine without TensorFlow.

All images of a batch are resized together: each by two matrices, which hold the share of every stored row, and of every
stored column, in every new one.
"""

import collections
import concurrent.futures

import numpy as np

from training.input_pipeline import rows_of, steps_left, steps_per_epoch


def knows(augmentation) -> bool:
    """Whether NumPy alone can do what an augmentation says."""
    return not augmentation.photometric and not augmentation.lighting


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
    """`input_pipeline.training_batches` of an `ArraySource`, in NumPy: patches, windows, shifts, mirror.

    The choices are a function of seed, epoch and index as well, but not those that TensorFlow makes.

    Args:
        source: a `keras_inception.datasets.ArraySource`.
        size, batch_size, seed, epochs, first_step, worker: as for `input_pipeline.training_batches`.
        augmentation: an `Augmentation` with photometric and lighting 0.

    Returns:
        An iterator of tuples of arrays, as from `input_pipeline.training_batches`.

    Raises:
        ValueError: an argument is not what it should be, or the augmentation needs TensorFlow.
    """
    rows, per_epoch = rows_of(batch_size, worker), steps_per_epoch(source, batch_size)
    steps_left(per_epoch, first_step, len(epochs))  # says what is wrong with either
    if not knows(augmentation):
        raise ValueError(
            f"expected photometric=0 and lighting=0, or TensorFlow, which both need; Received: {augmentation}"
        )

    def batches():
        for number, epoch in enumerate(epochs):
            generator = np.random.default_rng((seed, epoch))
            order, draws = generator.permutation(len(source)), generator.random((len(source), DRAWS))
            for step in range(0 if number else first_step, per_epoch):
                start = step * batch_size + worker[0] * rows
                chosen = order[start : start + rows]
                images = augment(source.images[chosen], draws[chosen], size, augmentation)
                yield images, source.labels[chosen], np.ones(rows, "f4")

    return _ahead(batches())


def evaluation_batches(
    source, *, size: int, batch_size: int, resize_to: int | None = None, worker: tuple[int, int] = (0, 1)
):
    """`input_pipeline.evaluation_batches` of an `ArraySource`, in NumPy.

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

    def batch(start):
        indices = np.arange(start, min(start + rows, len(source)))
        images, labels, weights = np.zeros((rows, size, size, 3), "u1"), np.zeros(rows, "i8"), np.zeros(rows, "f4")
        if len(indices):
            images[: len(indices)] = center(source.images[indices], size, resize_to)
            labels[: len(indices)], weights[: len(indices)] = source.labels[indices], 1
        return images, labels, weights

    return (batch(start + worker[0] * rows) for start in range(0, len(source), batch_size))


def _ahead(batches, count: int = 2):
    """The same batches, `count` of which are made by a thread while those before are used."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = collections.deque(pool.submit(next, batches, None) for _ in range(count))
        while (batch := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, batches, None))
            yield batch


DRAWS = 6  # numbers that `augment` needs for an image


def augment(images, draws, size: int, options) -> np.ndarray:
    """One training view of each image, as `training.augmentation.augment` makes it of equal draws.

    Args:
        images: uint8 (n, h, w, 3).
        draws: random numbers in [0, 1), (n, 6): four for the window, one for the interpolation, one for the mirror.
        size: height and width of the result in pixels.
        options: an `Augmentation`; photometric and lighting are left out.

    Returns:
        uint8 (n, size, size, 3).
    """
    height, width = images.shape[1:3]
    mirrored = draws[:, 5] < (0.5 if options.mirror else 0)
    if options.crop in ("area", "window"):
        tops, lefts, heights, widths = windows(draws[:, :4], height, width, options)
        lefts = np.where(mirrored, width - lefts - widths, lefts)  # of the mirrored image
        chosen = _below(draws[:, 4], len(options.interpolations))
        rows = np.empty((len(images), size, height), "float32")
        columns = np.empty((len(images), size, width), "float32")
        for number, method in enumerate(options.interpolations):
            ours = chosen == number
            rows[ours] = shares(method, tops[ours], heights[ours], height, size)
            columns[ours] = shares(method, lefts[ours], widths[ours], width, size)
        columns[mirrored] = columns[mirrored][:, :, ::-1]
        return _resampled(images, rows, columns)
    if options.crop == "shift":
        tops, lefts = (_below(draws[:, :2], 2 * options.shift + 1) - options.shift).T
        rows, columns = _reflected(tops, height), _reflected(lefts, width)
        images = images[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None]]
    images = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
    if options.crop == "none":
        return center(images, size, size)
    if (height, width) == (size, size):
        return images
    return _resampled(images, *(shares("area", [0], [side], side, size) for side in (height, width)))


def center(images, size: int, resize_to: int) -> np.ndarray:
    """What evaluation sees of images of one size, as `training.augmentation.center` has it.

    Args:
        images: uint8 (n, h, w, 3).
        size: height and width of the result in pixels.
        resize_to: short side in pixels before the crop, at least `size`.

    Returns:
        uint8 (n, size, size, 3).
    """
    parts = []
    for side in images.shape[1:3]:
        resized = resize_to * side // min(images.shape[1:3])
        offset = round((resized - size) / 2)
        parts.append(shares("antialiased", [0], [side], side, resized)[:, offset : offset + size])
    return _resampled(images, *parts)


def windows(draws, height: int, width: int, options) -> np.ndarray:
    """The patches that chance chooses of images of one size, as `training.augmentation` chooses them.

    Args:
        draws: random numbers in [0, 1), (n, 4).
        height, width: of the images in pixels.
        options: an `Augmentation` with `crop="area"` or `"window"`.

    Returns:
        Tops, lefts, heights and widths in pixels, integers (4, n).
    """
    if options.crop == "window":
        sides = np.full((len(draws), 2), max(1, round(options.window * min(height, width))))
    else:
        ratio = width / height
        nearest = min(max(ratio, options.aspect[0]), options.aspect[1])
        largest = min(ratio, nearest) / max(ratio, nearest)
        low, high = (min(share, largest) for share in options.area)
        area = low + draws[:, 0] * (high - low)
        low = np.maximum(np.log(area * ratio), np.log(options.aspect[0]))
        high = np.minimum(np.log(ratio / area), np.log(options.aspect[1]))
        aspect = low + draws[:, 1] * (high - low)  # its logarithm
        sides = np.sqrt(area * height * width)[:, None] * np.exp(np.stack([-aspect, aspect], 1) / 2)
        sides = np.round(sides).astype(int).clip(1, (height, width))
    corners = _below(draws[:, 2:], np.array([height, width]) - sides + 1)
    return np.concatenate([corners, sides], 1).T


def shares(method: str, starts, lengths, stored: int, size: int) -> np.ndarray:
    """The share of each stored pixel in each new one, along one side of some windows.

    Args:
        method: `"bilinear"`, `"bicubic"` (Keys'), `"nearest"`, `"area"`, or `"antialiased"`, which is bilinear with a
            kernel as wide as a new pixel. The first two are those of `tf.image.resize` up to where a window shrinks to
            a half; beyond, their kernels are widened, so that no pixel is passed over.
        starts, lengths: of the windows, integers (n,).
        stored: pixels of the stored side.
        size: new pixels.

    Returns:
        float32 (n, size, stored); the shares of a new pixel sum up to 1.
    """
    starts, lengths = (np.asarray(values)[:, None, None] for values in (starts, lengths))
    new, pixels, scale = np.arange(size)[:, None], np.arange(stored), lengths / size
    if method == "nearest":
        return (pixels == starts + (2 * new + 1) * lengths // (2 * size)).astype("float32")
    if method == "area":
        begin = starts + new * scale
        found = (np.minimum(begin + scale, pixels + 1) - np.maximum(begin, pixels)).clip(0)
    else:
        reach = np.maximum(1, scale if method == "antialiased" else scale / 2)
        distance = np.abs(pixels - (starts + (new + 0.5) * scale - 0.5)) / reach
        inside = (starts <= pixels) & (pixels < starts + lengths)
        found = (_keys if method == "bicubic" else _triangle)(distance) * inside
    return (found / found.sum(-1, keepdims=True)).astype("float32")


def _triangle(distance):
    return (1 - distance).clip(0)


def _keys(distance):
    """Keys' cubic kernel, a = -1/2 (Cubic convolution interpolation, 1981)."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.where(distance < 1, near, np.where(distance < 2, far, 0))


def _below(draws, counts):
    """Whole numbers from 0 to `counts` - 1, for draws from [0, 1)."""
    return (draws * counts).astype(int)


def _reflected(starts, length):
    """Indices of `length` pixels from each start, reflected at the borders without repeating the border's own pixel."""
    period = max(2 * (length - 1), 1)
    index = (starts[:, None] + np.arange(length)) % period
    return np.minimum(index, period - index)


def _resampled(images, rows, columns):
    """uint8 (n, h, w, 3) to uint8 (n, s, s, 3), by the shares of rows (n or 1, s, h) and of columns (n or 1, s, w)."""
    n, height, width, channels = images.shape
    size = rows.shape[1]
    # Two products for each image, of the longest rows that there are.
    down = rows @ images.reshape(n, height, width * channels).astype("float32")
    across = down.reshape(n, size, width, channels).swapaxes(1, 2).reshape(n, width, size * channels)
    result = (columns @ across).reshape(n, size, size, channels).swapaxes(1, 2)
    return (result.clip(0, 255) + 0.5).astype("uint8")
