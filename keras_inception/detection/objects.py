"""What an annotation says of an image, and what a detector found in it."""

import dataclasses

import numpy as np

from keras_inception.detection.boxes import area, checked_boxes


@dataclasses.dataclass(frozen=True, eq=False)
class Objects:
    """The annotated objects of an image.

    Args:
        boxes: (n, 4), xmin, ymin, xmax, ymax in pixels; see `keras_inception.detection.boxes`.
        labels: (n,), the numbers of their classes, from 0.
        difficult: (n,), objects that need not be found, but may be (Pascal VOC); None for none.
        crowd: (n,), boxes around many objects, any number of which may be found there (COCO); None for none.
        areas: (n,), in pixels, where they are known better than from the box (COCO has those of the outlines).

    Raises:
        ValueError: shapes do not agree, a box is no box, or a label is negative.
    """

    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray | None = None
    crowd: np.ndarray | None = None
    areas: np.ndarray | None = None

    def __post_init__(self):
        boxes = checked_boxes(self.boxes)
        _set(self, "boxes", boxes)
        _set(self, "labels", _labels(self.labels, len(boxes)))
        for name in ("difficult", "crowd"):
            value = np.zeros(len(boxes), bool) if getattr(self, name) is None else getattr(self, name)
            _set(self, name, _column(name, value, len(boxes), bool))
        areas = area(boxes) if self.areas is None else self.areas
        _set(self, "areas", _column("areas", areas, len(boxes), np.float64))

    def __len__(self):
        return len(self.boxes)


@dataclasses.dataclass(frozen=True, eq=False)
class Detections:
    """What was found in an image.

    Args:
        boxes: (n, 4), xmin, ymin, xmax, ymax in pixels.
        labels: (n,), the numbers of their classes, from 0.
        scores: (n,), how sure the detector is; the higher the surer.

    Raises:
        ValueError: shapes do not agree, a box is no box, a label is negative, or a score is no number.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray

    def __post_init__(self):
        boxes = checked_boxes(self.boxes)
        _set(self, "boxes", boxes)
        _set(self, "labels", _labels(self.labels, len(boxes)))
        _set(self, "scores", _column("scores", self.scores, len(boxes), np.float64))
        if np.isnan(self.scores).any():
            raise ValueError(f"expected scores that are numbers; Received: {self.scores}")

    def __len__(self):
        return len(self.boxes)

    def __iter__(self):
        """Box, label and score of each, as Python's own lists and numbers."""
        return iter(zip(self.boxes.tolist(), self.labels.tolist(), self.scores.tolist(), strict=True))

    def above(self, threshold: float) -> "Detections":
        """Those of at least a score."""
        kept = self.scores >= threshold
        return Detections(self.boxes[kept], self.labels[kept], self.scores[kept])


def _labels(labels, count):
    labels = _column("labels", labels, count, np.int64)
    if (labels < 0).any():
        raise ValueError(f"expected labels from 0; Received: {labels.min()}")
    return labels


def _column(name, values, count, dtype):
    values = np.asarray(values)
    if values.shape != (count,) and (count or values.size):
        raise ValueError(f"expected {name} ({count},), one for each box; Received: shape {values.shape}")
    if dtype is np.int64 and values.size and not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"expected {name} that are integers; Received: {values.dtype}")
    return values.astype(dtype).reshape(count)


def _set(instance, name, value):
    """Sets a field of a frozen instance that is being made, to a copy that does not change either."""
    value = value.copy()
    value.setflags(write=False)
    object.__setattr__(instance, name, value)
