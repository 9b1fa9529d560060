"""Selective search (Uijlings et al., 2013), by OpenCV: superpixels, merged, are where objects may be."""

import dataclasses

import numpy as np

from keras_inception.detection.boxes import Mapping, clip

# Superpixels of the modes that we put together ourselves: k of Felzenszwalb and Huttenlocher, which is their smallest
# size too, once each; on HSV and on Lab. R-CNN has them from its authors' "fast mode", which is not OpenCV's; twice as
# large they are those of section 8 of the paper.
SUPERPIXELS = {"rcnn": (50, 100), "paper": (100, 200)}
MODES = ("fast", "quality", *SUPERPIXELS)
SIGMA = 0.8
# Pixels of what an image is brought to, and each of its sides, at most; the width of a strip is less than asked for.
# OpenCV's time grows with the square of the longer side: of 8,192 pixels it is half a minute.
MAX_PIXELS, MAX_SIDE = 1 << 22, 1 << 13


@dataclasses.dataclass(frozen=True)
class SelectiveSearch:
    """`selective_search` with its arguments chosen: a source of proposals that can be published with a detector.

    Args:
        mode, width, smallest, limit: as of `selective_search`.

    Raises:
        ValueError: one is not like that.
    """

    mode: str = "paper"
    width: int | None = 500
    smallest: float = 20
    limit: int | None = None

    def __post_init__(self):
        if self.mode not in MODES:
            raise ValueError(f"expected mode to be one of {', '.join(MODES)}; Received: mode={self.mode!r}")
        for name, most in (("width", MAX_SIDE), ("limit", 1 << 31)):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or not 1 <= value <= most):
                raise ValueError(f"expected {name} to be None, or 1 to {most}; Received: {name}={value!r}")
        if not 0 <= self.smallest < float("inf"):
            raise ValueError(f"expected smallest to be 0 or more; Received: smallest={self.smallest!r}")

    def __call__(self, image) -> np.ndarray:
        """Boxes (n, 4) in pixels of an image, RGB, uint8 (h, w, 3)."""
        return selective_search(image, **dataclasses.asdict(self))


def selective_search(
    image, mode: str = "paper", *, width: int | None = 500, smallest: float = 20, limit: int | None = None
) -> np.ndarray:
    """Proposes boxes that objects may be in, whatever they are.

    Args:
        image: RGB, uint8 (h, w, 3).
        mode: `"fast"` or `"quality"`, as OpenCV has them; `"rcnn"`, R-CNN's: superpixels of k 50 and 100, in HSV and
            Lab, merged by colour, texture, size and fill, and by the last three; or `"paper"`, the same with
            superpixels of twice the size, and so with half as many boxes (section 8).
        width: the image is brought to this width before, in pixels, as R-CNN does; None: as it is. One that would have
            more than four million pixels, or a side of more than 8,192, is made smaller.
        smallest: boxes that are narrower or lower are left out, in pixels at that width.
        limit: boxes at most; None for all.

    Returns:
        Boxes (n, 4) in pixels of the image, each once, in a random order that is always the same.

    Raises:
        ValueError: an argument is not like that.
        ImportError: OpenCV's contributed modules are not installed; the message says what to install.
    """
    SelectiveSearch(mode, width, smallest, limit)  # says what is wrong with them
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f"expected an image (h, w, 3) of uint8; Received: {image.dtype} {image.shape}")
    try:
        import cv2
        from cv2.ximgproc import segmentation
    except ImportError as error:
        raise ImportError(
            "selective search needs OpenCV with its contributed modules: pip install 'keras-inception[detection]'"
        ) from error
    before = image.shape[:2]
    scale = 1.0 if width is None else width / before[1]
    scale = min(scale, (MAX_PIXELS / (before[0] * before[1])) ** 0.5, MAX_SIDE / max(before))
    after = (max(1, round(before[0] * scale)), max(1, round(before[1] * scale)))
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    if after != before:
        pixels = cv2.resize(pixels, after[::-1], interpolation=cv2.INTER_AREA if after < before else cv2.INTER_LINEAR)
    search = segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(pixels)
    if mode == "fast":
        search.switchToSelectiveSearchFast()
    elif mode == "quality":
        search.switchToSelectiveSearchQuality()
    else:
        _put_together(search, segmentation, pixels, SUPERPIXELS[mode])
    found = search.process().astype(np.float64).reshape(-1, 4)
    found = found[(found[:, 2:] >= smallest).all(1)]
    boxes = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:]], axis=1)
    # OpenCV's order is random, and nobody can give its generator a seed.
    boxes = np.random.default_rng(0).permutation(np.unique(boxes, axis=0))[:limit]
    return clip(Mapping.resized(before, after).inverse()(boxes), before)


def _put_together(search, segmentation, pixels, sizes):
    import cv2

    search.clearImages()
    for colours in (cv2.COLOR_BGR2HSV, cv2.COLOR_BGR2Lab):
        search.addImage(cv2.cvtColor(pixels, colours))
    search.clearGraphSegmentations()
    for size in sizes:
        search.addGraphSegmentation(segmentation.createGraphSegmentation(SIGMA, size, size))
    colour, fill, texture, area = (
        getattr(segmentation, f"createSelectiveSearchSegmentationStrategy{name}")
        for name in ("Color", "Fill", "Texture", "Size")
    )
    multiple = segmentation.createSelectiveSearchSegmentationStrategyMultiple
    search.clearStrategies()
    search.addStrategy(multiple(colour(), texture(), area(), fill()))
    search.addStrategy(multiple(texture(), area(), fill()))
