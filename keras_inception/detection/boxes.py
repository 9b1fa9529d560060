"""Boxes: xmin, ymin, xmax, ymax in pixels, as float64 (n, 4).

The first pixel of an image reaches from 0 to 1, the last of a row from width - 1 to width: a box around the whole image
is (0, 0, width, height), and the length of a side is a difference. Pascal VOC counts pixels from 1 and includes the
last; its reader takes 1 from xmin and ymin, and its areas come out as they are defined there.
"""

import dataclasses

import numpy as np


def checked_boxes(boxes) -> np.ndarray:
    """Boxes as float64 (n, 4), the right and the lower side not before the left and the upper.

    Raises:
        ValueError: they are not like that, or not finite.
    """
    boxes = np.asarray(boxes, np.float64)
    if boxes.size == 0:
        return np.zeros((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"expected boxes (n, 4); Received: shape {boxes.shape}")
    wrong = ~np.isfinite(boxes).all(1) | (boxes[:, 2:] < boxes[:, :2]).any(1)
    if wrong.any():
        raise ValueError(f"expected boxes xmin, ymin, xmax, ymax; Received: {boxes[wrong.argmax()].tolist()}")
    return boxes


def area(boxes) -> np.ndarray:
    """The areas of boxes (n, 4), (n,); of what has no extent, 0."""
    boxes = np.asarray(boxes, np.float64)
    return np.maximum(boxes[..., 2:] - boxes[..., :2], 0).prod(-1)


def intersection(first, second) -> np.ndarray:
    """The areas that each of the first boxes (n, 4) shares with each of the second (m, 4), (n, m)."""
    first, second = (np.asarray(boxes, np.float64).reshape(-1, 4) for boxes in (first, second))
    lower = np.maximum(first[:, None, :2], second[None, :, :2])
    upper = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return np.maximum(upper - lower, 0).prod(-1)


def overlap(first, second) -> np.ndarray:
    """Intersection over union, the Jaccard index, of each of the first boxes with each of the second, (n, m).

    A box without extent overlaps nothing, not even itself.
    """
    shared = intersection(first, second)
    union = area(first)[:, None] + area(second)[None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def clip(boxes, height_width) -> np.ndarray:
    """The parts of boxes that are inside of an image; of a box that is outside, what has no extent, on its edge."""
    height, width = height_width
    return np.clip(boxes, 0, [width, height, width, height])


@dataclasses.dataclass(frozen=True)
class Mapping:
    """Where the points of an image are in another that was made of it: x to `scale[0] * x + shift[0]`, y likewise.

    ```python
    view = Mapping.resized((480, 640), (240, 320)).then(Mapping.cropped(10, 20)).then(Mapping.flipped(224))
    found = view.inverse()(boxes_in_the_view)
    ```

    Args:
        scale: of x and of y; negative where the image is mirrored.
        shift: of x and of y, in pixels of the other image.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def resized(cls, before, after) -> "Mapping":
        """Of an image that is resized; both sizes as (height, width)."""
        return cls((after[1] / before[1], after[0] / before[0]))

    @classmethod
    def cropped(cls, left, top) -> "Mapping":
        """Of an image of which a part is cut out that begins there, in pixels; negative where it is extended."""
        return cls(shift=(-left, -top))

    @classmethod
    def flipped(cls, width) -> "Mapping":
        """Of an image of that width, in pixels, that is mirrored, left to right."""
        return cls((-1.0, 1.0), (width, 0.0))

    def then(self, other: "Mapping") -> "Mapping":
        """This, and upon what it gives the other."""
        scale = np.multiply(self.scale, other.scale)
        shift = np.multiply(self.shift, other.scale) + other.shift
        return Mapping(tuple(scale.tolist()), tuple(shift.tolist()))

    def inverse(self) -> "Mapping":
        """The way back."""
        return Mapping(
            tuple((1 / np.asarray(self.scale)).tolist()), tuple((-np.divide(self.shift, self.scale)).tolist())
        )

    def __call__(self, boxes) -> np.ndarray:
        """The boxes in the other image, (n, 4)."""
        corners = np.asarray(boxes, np.float64).reshape(-1, 2, 2) * self.scale + self.shift
        return np.concatenate([corners.min(1), corners.max(1)], axis=1)


def encode(boxes, proposals) -> np.ndarray:
    """What moves proposals to boxes: the regression targets of R-CNN (Girshick et al., 2014, appendix C).

    Args:
        boxes, proposals: (n, 4) each, with an extent.

    Returns:
        (n, 4): the shifts of the centre in widths and heights of the proposal, and the logarithms of how much wider and
        higher the box is.

    Raises:
        ValueError: one has no extent.
    """
    (centre, size), (start, extent) = _centres(boxes), _centres(proposals)
    if (size <= 0).any() or (extent <= 0).any():
        raise ValueError("expected boxes and proposals with an extent; Received: one without")
    return np.concatenate([(centre - start) / extent, np.log(size / extent)], axis=1)


def decode(moves, proposals) -> np.ndarray:
    """The boxes that `encode` gives these moves for, (n, 4)."""
    start, extent = _centres(proposals)
    centre, half = start + moves[:, :2] * extent, np.exp(moves[:, 2:]) * extent / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def _centres(boxes):
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    return (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]


def suppress(boxes, scores, threshold: float, *, labels=None, limit: int | None = None) -> np.ndarray:
    """Greedy non-maximum suppression: of boxes that overlap, the one with the highest score stays.

    Args:
        boxes: (n, 4).
        scores: (n,); of equal scores the first counts as higher.
        threshold: a box goes whose intersection over union with one that stays is above it.
        labels: (n,); boxes suppress only those with their own. None: all each other.
        limit: how many stay, at most; None for any number.

    Returns:
        The numbers of the boxes that stay, highest score first.

    Raises:
        ValueError: a box is no box, a score is NaN, shapes do not agree, or a number is not what it can be.
    """
    if not 0 <= threshold <= 1 or (limit is not None and limit < 0):
        raise ValueError(
            f"expected a threshold in 0..1, and a limit of 0 or more; Received: threshold={threshold}, limit={limit}"
        )
    boxes, scores = checked_boxes(boxes), np.asarray(scores, np.float64)
    labels = np.zeros(len(boxes)) if labels is None else np.asarray(labels)
    if not scores.shape == labels.shape == (len(boxes),):
        raise ValueError(
            f"expected a score, and a label if any, for each of {len(boxes)} boxes; "
            f"Received: shapes {scores.shape} and {labels.shape}"
        )
    if np.isnan(scores).any():
        raise ValueError("expected scores that are numbers; Received: NaN")
    import tensorflow as tf

    # Class by class: TensorFlow, which is several times as fast as numpy, has single precision and no classes. So it
    # gets places instead of scores, from the last up, which it tells apart up to 2**24.
    order = np.argsort(-scores, kind="stable")
    places = np.empty(len(scores), np.float32)
    places[order] = np.arange(len(scores), 0, -1)
    kept = [np.zeros(0, np.int64)]
    for label in np.unique(labels):
        group = np.flatnonzero(labels == label)
        few = len(group) if limit is None else min(limit, len(group))
        its = tf.image.non_max_suppression(boxes[group].astype("f"), places[group], few, float(threshold))
        kept.append(group[its.numpy()])
    kept = np.sort(np.concatenate(kept))
    return kept[np.argsort(-scores[kept], kind="stable")][:limit]
