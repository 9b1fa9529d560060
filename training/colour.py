"""Howard's photometric distortions and AlexNet's lighting noise, on images of RGB in 0..255.

Reference: https://arxiv.org/abs/1312.5402 (section 6 of the paper names it); Krizhevsky et al. 2012, section 4.1.
"""

import functools
import itertools

import numpy as np
import tensorflow as tf

# Howard 2013 scales each of these by a random factor, "in random order".
DISTORTIONS = ("contrast", "brightness", "colour")
ORDERS = tuple(itertools.permutations(DISTORTIONS))
LUMA = np.array((0.299, 0.587, 0.114), "float32")  # ITU-R 601, PIL's conversion of RGB to "L"
# The principal components of ImageNet's RGB values in 0..255, as AlexNet's reproductions have them: an eigenvector is a
# column, its eigenvalue the standard deviation along it.
EIGENVALUES = (55.46, 4.794, 1.148)
EIGENVECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


def distort(image, order, factors) -> tf.Tensor:
    """Scales contrast, brightness and colour as PIL's ImageEnhance does, clipping to 0..255 after each.

    Args:
        image: float32 (h, w, 3), RGB in 0..255.
        order: int32 scalar, index into `ORDERS`.
        factors: float32 (3,), of `DISTORTIONS`; 1 leaves the image as it is.

    Returns:
        float32 (h, w, 3) in 0..255.
    """
    orders = tf.constant([[DISTORTIONS.index(name) for name in names] for names in ORDERS])
    for number in tf.unstack(orders[order]):  # a choice for each place: a graph of all six orders has twice the nodes
        branches = [functools.partial(_DISTORT[name], image, factors[i]) for i, name in enumerate(DISTORTIONS)]
        image = tf.switch_case(number, branches)
    return image


def light(image, alphas) -> tf.Tensor:
    """Adds a multiple of each principal component of ImageNet's colours, the same to all pixels.

    The result is clipped, which AlexNet's was not: the pixels stay those of a photo, so that what the network is
    trained on can be stored, looked at and is what it will be given later.

    Args:
        image: float32 (h, w, 3), RGB in 0..255.
        alphas: float32 (3,), in standard deviations of each component.

    Returns:
        float32 (h, w, 3) in 0..255.
    """
    components = np.array(EIGENVECTORS, "float32") * np.array(EIGENVALUES, "float32")
    shift = tf.reduce_sum(components * alphas, 1)
    # Added to whole rows: an addition of three values at a time takes several times as long.
    rows = tf.reshape(image, (tf.shape(image)[0], -1)) + tf.tile(shift, [tf.shape(image)[1]])
    return tf.reshape(tf.clip_by_value(rows, 0.0, 255.0), tf.shape(image))


def _contrast(image, factor):
    grey = tf.reduce_sum(tf.reduce_mean(tf.reduce_mean(image, 0), 0) * LUMA)
    return tf.clip_by_value(image * factor + grey * (1 - factor), 0.0, 255.0)


def _brightness(image, factor):
    return tf.minimum(image * factor, 255.0)


def _colour(image, factor):
    # Each channel is blended with the pixel's own luma: one matrix product, which of four pixels at a time takes two
    # thirds of the time.
    pixels = 1 if (image.shape.num_elements() or 1) % 12 else 4
    blend = factor * np.eye(3, dtype="float32") + (1 - factor) * LUMA[:, np.newaxis]
    apart = np.eye(pixels, dtype="float32")[:, np.newaxis, :, np.newaxis]
    matrix = tf.reshape(apart * blend[:, np.newaxis], (3 * pixels, 3 * pixels))
    blended = tf.reshape(image, (-1, 3 * pixels)) @ matrix
    return tf.reshape(tf.clip_by_value(blended, 0.0, 255.0), tf.shape(image))


_DISTORT = {"contrast": _contrast, "brightness": _brightness, "colour": _colour}
