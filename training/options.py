"""The ways in which a training photo may differ from the stored one, as data: part of a recipe."""

import dataclasses
import math

CROPS = ("area", "window", "shift", "none")
INTERPOLATIONS = ("bilinear", "area", "nearest", "bicubic")


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What may happen to a training photo (section 6); the defaults are the paper's.

    Args:
        crop: `"area"`: a random patch by area and aspect ratio (section 6); `"shift"`: the stored size, moved by up to
            `shift` pixels over reflected borders; `"window"`: a square of `window` of the short side, anywhere, which
            is AlexNet's and Caffe's crop; `"none"`: the central square, without chance.
        area: smallest and largest share of the image's area in a patch, in (0, 1].
        aspect: smallest and largest ratio of a patch's width to its height.
        interpolations: the patch is resized with one of these at random: `"bilinear"`, `"area"`, `"nearest"`,
            `"bicubic"`.
        mirror: whether half of the images are mirrored.
        shift: pixels of the stored image, for `crop="shift"`.
        window: side of the square in short sides of the image, for `crop="window"`: 224 of 256 pixels.
        photometric: contrast, brightness and colour are scaled by factors in [1 - photometric, 1 + photometric], in
            random order; 0: not at all.
        lighting: standard deviation of AlexNet's lighting noise, in units of each component's own; 0: none.

    Raises:
        ValueError: a value is not one of the above.

    Reference: https://arxiv.org/abs/1409.4842, section 6; Howard, https://arxiv.org/abs/1312.5402; Krizhevsky et al.
    2012, section 4.1.
    """

    crop: str = "area"
    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    interpolations: tuple[str, ...] = INTERPOLATIONS
    mirror: bool = True
    shift: int = 4
    window: float = 224 / 256
    photometric: float = 0.5
    lighting: float = 0.1

    def __post_init__(self):
        if self.crop not in CROPS:
            raise ValueError(f"expected crop to be one of {', '.join(CROPS)}; Received: crop={self.crop!r}")
        for name in ("area", "aspect"):
            # Lists, as they come from JSON, become tuples: equal settings compare equal.
            object.__setattr__(self, name, _checked_range(name, getattr(self, name)))
        if self.area[1] > 1:
            raise ValueError(f"expected shares of the area in (0, 1]; Received: area={self.area!r}")
        names = self.interpolations
        if not isinstance(names, (tuple, list)) or not names or not set(names) <= set(INTERPOLATIONS):
            raise ValueError(
                f"expected interpolations from {', '.join(INTERPOLATIONS)}; Received: interpolations={names!r}"
            )
        object.__setattr__(self, "interpolations", tuple(names))
        if not isinstance(self.mirror, bool):
            raise ValueError(f"expected mirror to be True or False; Received: mirror={self.mirror!r}")
        if isinstance(self.shift, bool) or not isinstance(self.shift, int) or self.shift < 0:
            raise ValueError(f"expected shift to be a whole number from 0; Received: shift={self.shift!r}")
        if not _is_number(self.window) or not 0 < self.window <= 1:
            raise ValueError(f"expected window in (0, 1]; Received: window={self.window!r}")
        if not _is_number(self.photometric) or not 0 <= self.photometric <= 1:
            raise ValueError(f"expected photometric in [0, 1]; Received: photometric={self.photometric!r}")
        if not _is_number(self.lighting) or not 0 <= self.lighting < math.inf:
            raise ValueError(f"expected lighting of at least 0; Received: lighting={self.lighting!r}")


def _checked_range(name, pair):
    if (
        not isinstance(pair, (tuple, list))
        or len(pair) != 2
        or not all(_is_number(value) for value in pair)
        or not 0 < pair[0] <= pair[1] < math.inf
    ):
        raise ValueError(f"expected {name} to be two positive numbers, smallest first; Received: {name}={pair!r}")
    return tuple(float(value) for value in pair)


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
