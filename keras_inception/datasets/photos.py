"""An encoded photo as pixels, in a TensorFlow graph: what `keras_inception.preprocessing.open_image` makes of it."""

import functools
import io

import numpy as np

from keras_inception.preprocessing import open_image

# PIL's, so that training, evaluation and use see the same pixels; TensorFlow's own default is off by a level.
DCT = "INTEGER_ACCURATE"
# Files that a graph mostly decodes by itself. For all else it asks PIL, and so needs the process that made it.
GRAPH_SUFFIXES = frozenset(".jpg .jpeg .jpe .jfif .png".split())
PALETTE = 3  # a PNG file's colour type
EXIF, ORIENTATION = b"Exif\0\0", 0x0112
# Bytes of a JPEG file in which its EXIF data begin, for they are its first segment or nearly, and how many are read.
HEAD, EXIF_BYTES = 2**14, 2**11


def decode_photo(encoded, *, pil: bool = True):
    """The pixels of a photo: upright, on white where it is transparent.

    JPEG, and PNG of 8 or 16 bits without a palette, are decoded by TensorFlow, to within a level of what PIL makes of
    them, and everything else by PIL itself. Of these two, an orientation is looked for in the EXIF data of JPEG alone,
    and not in XMP, where PIL looks too.

    Args:
        encoded: a scalar string tensor, the bytes of the file.
        pil: False for a graph that runs in another process, where PIL cannot be asked: TensorFlow decodes what it can,
            without regard to transparent colours of palettes.

    Returns:
        uint8 (h, w, 3), RGB.

    Raises:
        tf.errors.InvalidArgumentError: while it runs: the bytes are no image.
    """
    import tensorflow as tf

    def others():
        if not pil:  # even where it is not called, a Python function cannot be sent to another process
            odd = functools.partial(tf.io.decode_image, encoded, 3, expand_animations=False)
        else:
            odd = functools.partial(_by_pil(), encoded)
        return tf.cond(_is_plain_png(encoded), lambda: _on_white(tf.io.decode_png(encoded, 4)), odd)

    def jpeg():
        pixels, orientation = tf.io.decode_jpeg(encoded, channels=3, dct_method=DCT), jpeg_orientation(encoded)
        return tf.cond(orientation == 1, lambda: pixels, lambda: _upright(pixels, orientation))

    return tf.cond(is_jpeg(encoded), jpeg, others)


def is_jpeg(encoded):
    """Whether the bytes, a scalar string tensor, are a JPEG file's."""
    return _starts(encoded, b"\xff\xd8")


def jpeg_orientation(encoded):
    """EXIF's orientation of a JPEG file, int64 from 1 to 8; 1, which is upright, where it has none."""
    import tensorflow as tf

    parts = tf.raw_ops.StringSplitV2(input=[tf.strings.substr(encoded, 0, HEAD)], sep=EXIF, maxsplit=1).values
    return tf.cond(
        tf.size(parts) > 1, lambda: _orientation(tf.strings.substr(parts[1], 0, EXIF_BYTES)), lambda: np.int64(1)
    )


def _starts(encoded, signature):
    import tensorflow as tf

    return tf.strings.substr(encoded, 0, len(signature)) == signature


def _is_plain_png(encoded):
    """Whether it is a PNG file that TensorFlow decodes right: to palettes and single bits it adds a wrong alpha."""
    import tensorflow as tf

    header = tf.io.decode_raw(tf.strings.substr(encoded, 0, 26) + b"\0" * 26, tf.uint8)  # ends with bits, colour type
    return _starts(encoded, b"\x89PNG") & (header[24] >= 8) & (header[25] != PALETTE)


@functools.cache
def _by_pil():
    import tensorflow as tf

    def opened(encoded):
        return np.array(open_image(io.BytesIO(encoded)))

    # In a graph even where everything else is eager, for there the errors are TensorFlow's.
    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def by_pil(encoded):
        pixels = tf.numpy_function(opened, [encoded], tf.uint8, stateful=False)
        return tf.ensure_shape(pixels, (None, None, 3))

    return by_pil


def _on_white(pixels):
    """RGBA, uint8 (h, w, 4), composited on white."""
    import tensorflow as tf

    def composited():
        colour, alpha = tf.cast(pixels[..., :3], tf.float32), tf.cast(pixels[..., 3:], tf.float32) / 255
        return tf.cast(tf.round(255 + (colour - 255) * alpha), tf.uint8)

    return tf.cond(tf.reduce_all(pixels[..., 3] == 255), lambda: pixels[..., :3], composited)


def _orientation(exif):
    """The orientation in EXIF data, which are a TIFF file: a header, then entries of twelve bytes with a tag each."""
    import tensorflow as tf

    # Wherever the data end too early, or point beyond their end, the last byte stands for those that are not there.
    data = tf.cast(tf.io.decode_raw(exif + b"\0", tf.uint8), tf.int64)
    little_endian = data[0] == ord("I")

    def numbers(at, length):
        powers = 256 ** np.arange(length)
        found = tf.gather(data, tf.minimum(at[..., tf.newaxis] + np.arange(length), tf.size(data, tf.int64) - 1))
        return tf.reduce_sum(found * tf.where(little_endian, powers, powers[::-1]), -1)

    first = numbers(tf.constant(4, tf.int64), 4)
    entries = first + 2 + 12 * tf.range(numbers(first, 2))
    wanted = tf.boolean_mask(entries, numbers(entries, 2) == ORIENTATION)[:1]
    value = tf.reduce_sum(numbers(wanted + 8, 2))
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _upright(pixels, orientation):
    """Pixels as they are stored, turned as their EXIF orientation says."""
    import tensorflow as tf

    def turned(pixels, orientations, turn):
        applies = tf.reduce_any(orientation == tf.constant(orientations, tf.int64))
        return tf.cond(applies, lambda: turn(pixels), lambda: pixels)

    pixels = turned(pixels, (5, 6, 7, 8), lambda pixels: tf.transpose(pixels, (1, 0, 2)))
    pixels = turned(pixels, (2, 3, 6, 7), lambda pixels: tf.reverse(pixels, [1]))
    return turned(pixels, (3, 4, 7, 8), lambda pixels: tf.reverse(pixels, [0]))
