"""Which crops of a photo the networks see: the protocols of the paper's section 7, and published ones, as data."""

import dataclasses

import numpy as np

from keras_inception.preprocessing import Preprocessing

# Where a crop lies in its square: what share of the room above it, and to its left. "whole" is the square itself,
# resized to the size of a crop.
PLACES = {
    "top_left": (0.0, 0.0),
    "top_right": (0.0, 1.0),
    "bottom_left": (1.0, 0.0),
    "bottom_right": (1.0, 1.0),
    "centre": (0.5, 0.5),
}
WINDOWS = (*PLACES, "whole")
SQUARES = {1: (0.5,), 3: (0.0, 0.5, 1.0)}  # what share of the room along the longer side lies before each
KERNELS = {"bilinear": "triangle", "bicubic": "keyscubic", "lanczos": "lanczos3"}  # PIL's, in TensorFlow's words
# The input size that the sides of a protocol are for.
BASE = 224
# A photo that is longer than this many short sides is an accident, which would grow to gigabytes.
LONGEST = 64


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Which crops of a photo are classified.

    Args:
        name: for tables.
        sides: short side of the resized photo, in pixels, for each scale. They are for an input of 224 pixels, and in
            proportion at others: at 32 pixels 256, 288, 320 and 352 become 37, 41, 46 and 50. Empty: one scale, that of
            the model's own preprocessing.
        resize: a kind of `Preprocessing`; None: the model's own.
        squares: 1, the central square; or 3, also those at either end of the longer side.
        windows: what is cut out of each square, of `WINDOWS`.
        mirrored: each crop also mirrored.

    Raises:
        ValueError: a value is not one of the above.
    """

    name: str
    sides: tuple[int, ...] = ()
    resize: str | None = "short_side"
    squares: int = 1
    windows: tuple[str, ...] = ("centre",)
    mirrored: bool = False

    def __post_init__(self):
        if self.squares not in SQUARES:
            raise ValueError(f"expected 1 or 3 squares; Received: squares={self.squares!r}")
        if not self.windows or set(self.windows) - set(WINDOWS):
            raise ValueError(f"expected windows from {', '.join(WINDOWS)}; Received: windows={self.windows!r}")
        if self.sides and min(self.sides) < BASE:
            raise ValueError(f"expected sides of at least {BASE}; Received: sides={self.sides!r}")
        if self.resize != "short_side" and len(self.sides) > 1:
            raise ValueError(f"expected one scale for resize={self.resize!r}; Received: sides={self.sides!r}")

    @property
    def crops(self) -> int:
        """How many crops of a photo there are."""
        return max(1, len(self.sides)) * self.squares * len(self.windows) * (1 + self.mirrored)

    def scales(self, preprocessing: Preprocessing) -> tuple[Preprocessing, ...]:
        """How a photo is resized for each scale.

        Args:
            preprocessing: the model's own, at its input size.

        Raises:
            ValueError: its interpolation is none that a graph has.
        """
        if preprocessing.interpolation not in KERNELS:
            known, received = ", ".join(KERNELS), preprocessing.interpolation
            raise ValueError(f"expected an interpolation, one of {known}; Received: {received!r}")
        if not self.sides:
            own = self.resize in (None, preprocessing.resize) and self.resize != "central_fraction"
            kept = {"interpolation": preprocessing.interpolation}
            return (preprocessing if own else Preprocessing(preprocessing.size, self.resize, **kept),)
        size = max(preprocessing.height_width)
        options = {"resize": self.resize or preprocessing.resize, "interpolation": preprocessing.interpolation}
        return tuple(
            Preprocessing(preprocessing.size, resize_to=round(size * side / BASE), **options) for side in self.sides
        )


# The paper's, and the resizes by which the numbers of public weights were measured.
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("1", resize=None),
        Protocol("10", (256,), windows=tuple(PLACES), mirrored=True),
        Protocol("144", (256, 288, 320, 352), squares=3, windows=WINDOWS, mirrored=True),
        Protocol("short_side", (256,)),
        Protocol("warp", (256,), "warp"),
        Protocol("central_fraction", (), "central_fraction"),
    )
}


def find_protocol(protocol) -> Protocol:
    """A protocol by its name; a `Protocol` is one already.

    Raises:
        ValueError: there is none of this name.
    """
    if isinstance(protocol, Protocol):
        return protocol
    if str(protocol) not in PROTOCOLS:
        raise ValueError(f"expected a protocol, one of {', '.join(PROTOCOLS)}; Received: protocol={protocol!r}")
    return PROTOCOLS[str(protocol)]


def cut_crops(photo, protocol, preprocessing=None) -> np.ndarray:
    """All crops of one photo, as the networks see them.

    Args:
        photo: uint8 or float (h, w, 3), RGB in 0..255.
        protocol: a `Protocol`, or the name of one.
        preprocessing: the model's; None for `Preprocessing()`.

    Returns:
        float32 (crops, height, width, 3): scale by scale, square by square, window by window; then all once more,
        mirrored.

    Raises:
        ValueError: there is no such protocol.
    """
    protocol, preprocessing = find_protocol(protocol), preprocessing or Preprocessing()
    crops = np.concatenate([cut(photo, protocol, scale).numpy() for scale in protocol.scales(preprocessing)])
    return np.concatenate([crops, crops[:, :, ::-1]]) if protocol.mirrored else crops


def cut(pixels, protocol: Protocol, scale: Preprocessing, resize_to=None):
    """The crops of one scale, without their mirror images, as a TensorFlow operation.

    Args:
        pixels: (h, w, 3), RGB in 0..255.
        protocol: which squares and windows.
        scale: how the photo is resized, and the size of a crop.
        resize_to: a scalar tensor instead of the scale's own.

    Returns:
        float32 (n, height, width, 3).
    """
    import tensorflow as tf

    photo = _resized(tf.convert_to_tensor(pixels), scale, scale.resize_to if resize_to is None else resize_to)
    sides = tf.shape(photo)[:2]
    short = tf.reduce_min(sides)
    size = tf.constant(scale.height_width)
    crops = []
    for square in SQUARES[protocol.squares]:
        corner = _share(sides - short, square)
        for window in protocol.windows:
            if window == "whole":
                whole = tf.slice(photo, [*tf.unstack(corner), 0], [short, short, 3])
                crops.append(_scaled(whole, size, KERNELS[scale.interpolation]))
                continue
            if (square, window) == (0.5, "centre"):
                start = _share(sides - size, 0.5)  # of the photo, so that it is rounded once
            else:
                start = corner + _share(short - size, PLACES[window])
            crops.append(tf.slice(photo, [*tf.unstack(start), 0], [*scale.height_width, 3]))
    return tf.stack(crops)


def _share(room, share):
    """A part of some pixels, in whole pixels; half to even, as `Preprocessing` rounds."""
    import tensorflow as tf

    return tf.cast(tf.round(tf.cast(room, tf.float32) * tf.constant(share)), tf.int32)


def _resized(pixels, scale, resize_to):
    """The photo before the crop, float32."""
    import tensorflow as tf

    kernel = KERNELS[scale.interpolation]
    sides = tf.shape(pixels)[:2]
    if scale.resize == "central_fraction":
        border = tf.cast(tf.cast(sides, tf.float64) * (1 - scale.fraction) / 2, tf.int32)
        inner = tf.slice(pixels, [*tf.unstack(border), 0], [*tf.unstack(sides - 2 * border), 3])
        return _scaled(inner, tf.constant(scale.height_width), kernel)
    if scale.resize == "warp":
        return _scaled(pixels, tf.stack([resize_to, resize_to]), kernel)
    short = tf.reduce_min(sides)
    # The long side is rounded down, as in torchvision.
    resized = tf.where(sides == short, resize_to, resize_to * sides // short)
    longest = tf.debugging.Assert(
        tf.reduce_max(sides) <= LONGEST * short,
        [tf.strings.format(f"expected a photo whose sides are at most 1 to {LONGEST}; Received: {{}}", sides)],
    )
    with tf.control_dependencies([longest] if longest is not None else []):
        return _scaled(pixels, tf.identity(resized), kernel)


def _scaled(pixels, sides, kernel):
    """Resized as PIL does it: antialiased where it shrinks."""
    import tensorflow as tf

    scale = tf.cast(sides / tf.shape(pixels)[:2], tf.float32)
    resized = tf.raw_ops.ScaleAndTranslate(
        images=pixels[tf.newaxis], size=sides, scale=scale, translation=(0.0, 0.0), kernel_type=kernel, antialias=True
    )
    return tf.clip_by_value(resized[0], 0.0, 255.0)  # all but the bilinear go beyond
