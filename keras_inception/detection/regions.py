"""Regions of an image, or of feature maps, cut out and brought to one size: what a classifier sees of each proposal."""

import numpy as np

# Of an input of 224 pixels, the 16 at each side that show what is around the box; R-CNN (appendix A) has 16 of 227.
CONTEXT = 16 / 224


def checked_context(context: float) -> float:
    """The share of a region's side that is to be surroundings, at each side.

    Raises:
        ValueError: it leaves nothing of the box.
    """
    if not 0 <= context < 0.5:
        raise ValueError(f"expected context from 0 to below 0.5; Received: context={context}")
    return context


def checked_image(image) -> np.ndarray:
    """An image, RGB (h, w, 3), as an array.

    Raises:
        ValueError: it is not like that.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape or image.dtype.kind not in "uif":
        raise ValueError(f"expected an image (h, w, 3) of numbers; Received: {image.dtype} {image.shape}")
    return image


def dilate(boxes, context: float = CONTEXT):
    """Boxes with what surrounds them, as a TensorFlow operation.

    Args:
        boxes: (n, 4), xmin, ymin, xmax, ymax in pixels.
        context: how much of the dilated box is to be surroundings, at each side: a share of its own side, below 0.5.

    Returns:
        float32 (n, 4), around the same centres.

    Raises:
        ValueError: `context` is not like that.
    """
    import tensorflow as tf

    context = checked_context(context)
    boxes = tf.reshape(tf.cast(boxes, tf.float32), (-1, 4))
    more = (boxes[:, 2:] - boxes[:, :2]) * (1 / (1 - 2 * context) - 1) / 2
    return boxes + tf.concat([-more, more], 1)


def pool_regions(maps, boxes, numbers, size, *, samples: int = 2, fill=0.0):
    """Cuts boxes out of images or feature maps, and brings them to one size, as a TensorFlow operation.

    This is RoIAlign (He et al., 2017, "Mask R-CNN", section 3; torchvision's with `aligned=True`), but that what is
    outside of the maps has a value of its own: a pixel of the result is the mean of `samples` x `samples` values,
    interpolated bilinearly at points that are equally far apart.

    Args:
        maps: (b, h, w, c), of any type of numbers.
        boxes: (n, 4), xmin, ymin, xmax, ymax in pixels of the maps; they may go beyond.
        numbers: integers (n,): of which map each is a region.
        size: height and width of the result.
        samples: in each direction, for each pixel of the result.
        fill: outside of the maps: a number, or one for each channel.

    Returns:
        float32 (n, height, width, c).
    """
    return pool_framed(framed(maps, fill), boxes, numbers, size, samples=samples, fill=fill)


def framed(maps, fill=0.0):
    """Maps, or images, less what is outside of them, with a frame of one pixel of that: as `pool_framed` takes them.

    Args:
        maps, fill: as of `pool_regions`.

    Returns:
        float32 (b, h + 2, w + 2, c).
    """
    import tensorflow as tf

    # The operation has one value for all that is outside, and interpolates with none: so it is 0, once around the maps.
    return tf.pad(tf.cast(maps, tf.float32) - tf.cast(fill, tf.float32), [[0, 0], [1, 1], [1, 1], [0, 0]])


def pool_framed(padded, boxes, numbers, size, *, samples: int = 2, fill=0.0):
    """`pool_regions` of maps that are `framed` already, once for all their boxes."""
    import tensorflow as tf

    boxes, fill = tf.cast(boxes, tf.float32), tf.cast(fill, tf.float32)
    height, width = (size, size) if np.ndim(size) == 0 else size
    points = tf.constant([width * samples, height * samples] * 2, tf.float32)
    # It takes the first and the last point, in shares of the way between the middles of the outermost pixels.
    step = (boxes[:, 2:] - boxes[:, :2]) / points[:2]
    first, last = boxes[:, :2] + step / 2 + 0.5, boxes[:, 2:] - step / 2 + 0.5
    way = tf.cast(tf.shape(padded)[2:0:-1] - 1, tf.float32)
    corners = tf.concat([(first / way)[:, ::-1], (last / way)[:, ::-1]], 1)
    points = (height * samples, width * samples)
    regions = tf.image.crop_and_resize(padded, corners, tf.cast(numbers, tf.int32), points)
    if samples > 1:
        regions = tf.nn.avg_pool2d(regions, samples, samples, "VALID")
    return regions + fill


def cut_regions(image, boxes, size, *, context: float = CONTEXT, samples: int = 2, fill=(123.0, 117.0, 104.0)):
    """What a classifier sees of proposals: each, with its surroundings, warped to a square (R-CNN, appendix A).

    Args:
        image: RGB in 0..255, (h, w, 3).
        boxes: (n, 4), xmin, ymin, xmax, ymax in pixels.
        size: height and width of the result, in pixels.
        context: as for `dilate`; of 32 pixels it is 2.3 at each side.
        samples: as for `pool_regions`.
        fill: the colour outside of the image: ImageNet's mean, which is nothing to a network that subtracts it.

    Returns:
        float32 (n, size, size, 3), RGB in 0..255.
    """
    return cut_framed(framed(image[None], fill), boxes, size, context=context, samples=samples, fill=fill)


def cut_framed(padded, boxes, size, *, context: float = CONTEXT, samples: int = 2, fill=(123.0, 117.0, 104.0)):
    """`cut_regions` of an image that is `framed` already, (1, h + 2, w + 2, 3), once for all its boxes."""
    import tensorflow as tf

    boxes = dilate(boxes, context)
    return pool_framed(padded, boxes, tf.zeros(tf.shape(boxes)[:1], tf.int32), size, samples=samples, fill=fill)
