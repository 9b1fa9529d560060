"""What training does to an image before the network sees it: section 6 of the paper, or shifts for small images.

A patch whose area is spread evenly over 8-100 % of the image, its aspect ratio between 3/4 and 4/3, resized with
one of four interpolations, mirrored in half of the cases, with Howard's photometric distortions and AlexNet's lighting.

Every choice is a function of the seed. Pixels are RGB in 0..255, of photos that stand upright.
"""

import functools
import math
import typing

import tensorflow as tf

from keras_inception.datasets.photos import DCT, decode_photo, is_jpeg, jpeg_orientation
from training.colour import ORDERS, distort, light
from training.options import Augmentation


class Decisions(typing.NamedTuple):
    """What chance decided for one image; all scalars or short vectors."""

    window: tf.Tensor  # int32 (4,): top, left, height, width in pixels of the image
    interpolation: tf.Tensor  # int32: index into the options' interpolations
    mirror: tf.Tensor  # bool
    order: tf.Tensor  # int32: index into ORDERS
    factors: tf.Tensor  # float32 (3,): of DISTORTIONS
    lighting: tf.Tensor  # float32 (3,): in standard deviations of each principal component


def decide(seed, height, width, options: Augmentation) -> Decisions:
    """Draws everything that is random about one image.

    Args:
        seed: int32 or int64 (2,).
        height: of the image in pixels.
        width: likewise.
        options: the ranges to draw from.
    """
    # Every decision has numbers of its own, drawn whether it is made or not: none depends on another. They are drawn
    # together, for on one image a call of the generator takes as long as all that is done with its numbers.
    draws = tf.random.stateless_uniform((10,), seed)
    return Decisions(
        window=_window(draws[:4], tf.cast(height, tf.int32), tf.cast(width, tf.int32), options),
        interpolation=_below(draws[4], len(options.interpolations)),
        mirror=tf.logical_and(options.mirror, draws[5] < 0.5),
        order=_below(draws[6], len(ORDERS)),
        factors=_between(draws[7:], 1 - options.photometric, 1 + options.photometric),
        lighting=tf.random.stateless_normal((3,), tf.bitwise.invert(seed), stddev=options.lighting),
    )


def augment(image, seed, size: int, options: Augmentation, *, pil: bool = True) -> tf.Tensor:
    """One training view of an image, or of each image of a batch; the same eagerly, in a graph and batched.

    Args:
        image: scalar string, the bytes of a file (see `keras_inception.datasets.photos`); or uint8 (h, w, 3), RGB. A
            batch: strings (n,) or uint8 (n, h, w, 3).
        seed: int32 or int64 (2,); for a batch (n, 2).
        size: height and width of the result in pixels.
        options: what may happen to the image.
        pil: as in `decode_photo`.

    Returns:
        uint8 (size, size, 3), for a batch (n, size, size, 3): RGB, as photos are stored.

    Raises:
        ValueError: the image is neither of the above.
        tf.errors.InvalidArgumentError: the encoded image cannot be read.
    """
    return _each(
        lambda image, seed: _augment_one(image, seed, size, options, pil), image, size, tf.convert_to_tensor(seed)
    )


def center(image, size: int, resize_to: int) -> tf.Tensor:
    """What evaluation sees: short side to `resize_to`, bilinear and antialiased, then the central square.

    This is `keras_inception.preprocessing.Preprocessing(size, "short_side", resize_to)` for a TensorFlow pipeline: the
    same pixels, up to PIL's rounding.

    Args:
        image: as for `augment`.
        size: height and width of the result in pixels.
        resize_to: short side in pixels before the crop, at least `size`.

    Returns:
        uint8 (size, size, 3), for a batch (n, size, size, 3): RGB, as photos are stored.

    Raises:
        ValueError: `resize_to` is too small, or the image is no image.
        tf.errors.InvalidArgumentError: the encoded image cannot be read.
    """
    if resize_to < size:
        raise ValueError(f"expected resize_to of at least the size, {size}; Received: resize_to={resize_to!r}")
    return _each(lambda image: _whole_levels(_center_one(_decoded(image), size, resize_to)), image, size)


def _each(function, image, size, *seeds):
    """`function` of an image, or of each image of a batch."""
    image = tf.convert_to_tensor(image)
    rank = image.shape.rank
    single = {tf.string: 0, tf.uint8: 3}.get(image.dtype)
    if single is None or rank not in (single, single + 1):
        raise ValueError(
            "expected an encoded image or uint8 (h, w, 3), or a batch of either; "
            f"Received: {image.dtype.name} of shape {image.shape}"
        )
    if rank == single:
        return function(image, *seeds)
    signature = tf.TensorSpec((size, size, 3), tf.uint8)
    return tf.map_fn(lambda elements: function(*elements), (image, *seeds), fn_output_signature=signature)


def _augment_one(image, seed, size, options, pil):
    patch, decisions = _cut(image, seed, options, pil)
    if options.mirror:
        # Before the resize, when a pixel is still three bytes.
        patch = tf.cond(decisions.mirror, lambda: tf.reverse(patch, [1]), lambda: patch)
    if options.crop in ("area", "window"):
        result = _resized_at_random(patch, size, decisions.interpolation, options.interpolations)
    elif options.crop == "shift":
        result = patch if patch.shape[:2] == (size, size) else _resized(patch, size, "area")
    else:
        result = _center_one(patch, size, size)
    if options.photometric or options.lighting:
        result = tf.cast(result, tf.float32)
    if options.photometric:
        result = distort(result, decisions.order, decisions.factors)
    if options.lighting:
        result = light(result, decisions.lighting)
    return tf.ensure_shape(_whole_levels(result), (size, size, 3))


def _whole_levels(image):
    """To uint8: a quarter of the bytes of float32 are collected, and sent to the network's device."""
    return image if image.dtype == tf.uint8 else tf.cast(image + 0.5, tf.uint8)


def _cut(image, seed, options, pil):
    """The part of the image that chance has chosen, uint8 (h, w, 3), and the decisions."""

    def from_pixels(pixels):
        height, width = tf.unstack(tf.shape(pixels)[:2])
        decisions = decide(seed, height, width, options)
        top, left, *sides = tf.unstack(decisions.window)
        if options.crop != "shift":
            return pixels[top : top + sides[0], left : left + sides[1]], decisions
        patch = tf.gather(pixels, _reflected(top, height), axis=0)
        patch = tf.gather(patch, _reflected(left, width), axis=1)
        return tf.ensure_shape(patch, pixels.shape), decisions

    def from_jpeg():
        height, width, _ = tf.unstack(tf.image.extract_jpeg_shape(image))
        decisions = decide(seed, height, width, options)
        return tf.image.decode_and_crop_jpeg(image, decisions.window, channels=3, dct_method=DCT), decisions

    if image.dtype == tf.string and options.crop in ("area", "window"):
        # Of a JPEG, what is outside the patch is hardly decoded; one that lies on its side is turned first.
        upright = is_jpeg(image) & (jpeg_orientation(image) == 1)
        return tf.cond(upright, from_jpeg, lambda: from_pixels(_decoded(image, pil)))
    return from_pixels(_decoded(image, pil))


def _decoded(image, pil=True):
    return decode_photo(image, pil=pil) if image.dtype == tf.string else image


def _window(draws, height, width, options):
    if options.crop == "none":
        return tf.stack([0, 0, height, width])
    if options.crop == "shift":
        corner = _below(draws[:2], 2 * options.shift + 1) - options.shift
        return tf.concat([corner, [height, width]], 0)
    h, w = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    if options.crop == "window":
        side = tf.maximum(1, tf.cast(tf.round(options.window * tf.minimum(h, w)), tf.int32))
        return _anywhere(draws[2:], tf.stack([side, side]), height, width)
    # The area is drawn first, and then the aspect ratio among those with which this area fits into the image. So the
    # area is "distributed evenly", which it is not where misfits are drawn again: those are mostly the large patches.
    # The logarithm of the ratio is uniform, as in most of the field, so that wide and tall are equally likely.
    ratio = w / h
    nearest = tf.clip_by_value(ratio, *options.aspect)
    largest = tf.minimum(ratio, nearest) / tf.maximum(ratio, nearest)  # below 1 where the image itself is too long
    area = _between(draws[0], *(tf.minimum(share, largest) for share in options.area))
    log_aspect = _between(
        draws[1],
        tf.maximum(tf.math.log(area * ratio), math.log(options.aspect[0])),
        tf.minimum(tf.math.log(ratio / area), math.log(options.aspect[1])),
    )
    sides = tf.sqrt(area * h * w) * tf.exp(tf.stack([-log_aspect, log_aspect]) / 2)
    sides = tf.clip_by_value(tf.cast(tf.round(sides), tf.int32), 1, tf.stack([height, width]))
    return _anywhere(draws[2:], sides, height, width)


def _anywhere(draws, sides, height, width):
    """A window of the given sides, all places equally likely."""
    return tf.concat([_below(draws, tf.stack([height, width]) - sides + 1), sides], 0)


def _between(draw, low, high):
    return low + draw * (high - low)


def _below(draw, count):
    """A whole number from 0 to `count` - 1, for a draw from [0, 1)."""
    # The product of a draw just below 1 may round up to the count.
    return tf.minimum(tf.cast(draw * tf.cast(count, tf.float32), tf.int32), count - 1)


def _reflected(start, length):
    """Indices of `length` pixels from `start`, reflected at the borders without repeating the border's own pixel."""
    period = tf.maximum(2 * (length - 1), 1)
    index = tf.math.floormod(start + tf.range(length), period)
    return tf.minimum(index, period - index)


def _resized_at_random(patch, size, index, methods):
    return tf.switch_case(index, [functools.partial(_resized, patch, size, method) for method in methods])


def _resized(patch, size, method):
    """To float32 (size, size, 3). Every pixel has a part in it, but with "nearest"."""
    if method == "nearest":
        return _resized_to_nearest(patch, size)
    if method == "area":
        return tf.image.resize(patch, (size, size), method)
    result = _halved(patch, size, lambda patch: tf.image.resize(patch, (size, size), method))
    return tf.clip_by_value(result, 0.0, 255.0) if method == "bicubic" else result


def _resized_to_nearest(patch, size):
    # Two gathers take half of the time of TensorFlow's operation, which calculates anew for every pixel.
    rows, columns = tf.unstack((2 * tf.range(size)[:, tf.newaxis] + 1) * tf.shape(patch)[:2] // (2 * size), axis=1)
    return tf.cast(tf.gather(tf.gather(patch, rows), columns, axis=1), tf.float32)


def _halved(patch, size, resize):
    """`resize` of a patch, the sides of which were halved until they are at most twice the size.

    The plain kernels of TensorFlow pass over pixels where an image shrinks by more than two, and those that do not, its
    antialiased ones, take five times as long. At half the size the plain bilinear kernel is the mean of two pixels, or
    nearly where their number is odd.
    """

    def is_long(patch):
        return tf.reduce_max(tf.shape(patch)[:2]) > 2 * size

    def half(patch):
        sides = tf.shape(patch)[:2]
        smaller = tf.image.resize(patch, tf.where(sides > 2 * size, (sides + 1) // 2, sides))
        return tf.ensure_shape(smaller, (None, None, 3))

    def long():
        return resize(tf.while_loop(is_long, lambda patch: (half(patch),), (half(patch),))[0])

    return tf.cond(is_long(patch), long, lambda: resize(patch))


def _center_one(pixels, size, resize_to):
    # One step from the stored image to the crop: what a resize of a long image would spend outside it is saved.
    sides = tf.shape(pixels)[:2]
    short = tf.reduce_min(sides)
    # The long side is rounded down, as in torchvision.
    resized = tf.where(sides == short, resize_to, resize_to * sides // short)
    offset = tf.round((tf.cast(resized, tf.float32) - size) / 2)  # half to even, likewise
    return tf.raw_ops.ScaleAndTranslate(
        images=pixels[tf.newaxis],
        size=(size, size),
        scale=tf.cast(resized / sides, tf.float32),
        translation=-offset,
        kernel_type="triangle",
        antialias=True,
    )[0]
