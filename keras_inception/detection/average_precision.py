"""Average precision by the rules of Pascal VOC 2007, of VOC 2010 and later, and of COCO."""

import dataclasses

import numpy as np

from keras_inception.detection.boxes import area, intersection, overlap
from keras_inception.detection.objects import Detections, Objects

RULES = ("voc2007", "voc2010", "coco")
COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """Precision and recall of one class at one threshold, as the score goes down.

    Attributes:
        precision, recall: (n,), after each detection that counts.
        scores: (n,), of these detections.
        objects: how many are to be found.
        average_precision: by the rule; NaN where there is nothing to be found.
    """

    precision: np.ndarray
    recall: np.ndarray
    scores: np.ndarray
    objects: int
    average_precision: float


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """What a detector gets right of a data set.

    Attributes:
        rule: one of `RULES`.
        classes: names.
        thresholds: of intersection over union, from which on an object is found.
        curves: of each class at each threshold.
    """

    rule: str
    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    curves: tuple[tuple[Curve, ...], ...]

    @property
    def per_class(self) -> dict[str, float]:
        """The average precision of each class, in the mean of the thresholds; NaN where nothing is to be found."""
        return {
            name: float(np.mean([curve.average_precision for curve in curves]))
            for name, curves in zip(self.classes, self.curves, strict=True)
        }

    @property
    def mean(self) -> float:
        """Mean average precision, of the classes that occur; NaN where none does."""
        known = [value for value in self.per_class.values() if not np.isnan(value)]
        return float(np.mean(known)) if known else float("nan")

    @property
    def recall(self) -> float:
        """The share of objects that are found by any detection, in the mean of classes and thresholds (COCO's AR)."""
        found = [
            curve.recall[-1] if len(curve.recall) else 0.0
            for curves in self.curves
            for curve in curves
            if curve.objects
        ]
        return float(np.mean(found)) if found else float("nan")


def average_precision(
    detections, objects, classes, *, rule="voc2010", thresholds=None, limit=None, areas=(0.0, float("inf"))
) -> Scores:
    """Scores what was found in images against what is there.

    The rules differ in three things. How a detection meets an object: in VOC it is compared with that which it overlaps
    most, and is wrong if that has been found already; in COCO with the best of those that are still to be found. What
    does not count: difficult objects and crowds; and in COCO, where any number of detections may meet a crowd, by the
    share of the detection inside, also objects and detections of other areas than were asked for. And what the area
    under the curve is: in VOC 2007 the mean of the precision at 11 recalls, in COCO at 101, in VOC 2010 the area
    itself, always of the precision at that recall or a higher one.

    Args:
        detections: a `Detections` for each image.
        objects: an `Objects` for each image, in the same order.
        classes: the names of the classes, in the order of the labels.
        rule: `"voc2007"`, `"voc2010"` or `"coco"`.
        thresholds: of intersection over union, one or several; None: 0.5, or COCO's ten from 0.5 to 0.95.
        limit: detections per image and class that count, those of the highest scores; None: all, or COCO's 100.
        areas: of the objects, in pixels, the least and the greatest that count; by the rule of COCO alone. Its small
            ones have up to 32 x 32, its large ones from 96 x 96 on.

    Returns:
        The `Scores`.

    Raises:
        ValueError: an argument is not like that.
    """
    detections, objects, classes = list(detections), list(objects), tuple(classes)
    if rule not in RULES:
        raise ValueError(f"expected rule to be one of {', '.join(RULES)}; Received: rule={rule!r}")
    if len(detections) != len(objects):
        raise ValueError(
            "expected detections and objects of the same images; "
            f"Received: {len(detections)} detections and {len(objects)} objects"
        )
    top = max((int(item.labels.max(initial=-1)) for item in (*detections, *objects)), default=-1)
    if top >= len(classes):
        raise ValueError(f"expected labels in [0, {len(classes)}); Received: {top}")
    coco = rule == "coco"
    if areas != (0.0, float("inf")) and not coco:
        raise ValueError(f"expected areas with rule='coco' alone; Received: areas={areas} with rule={rule!r}")
    if thresholds is None:
        thresholds = COCO_THRESHOLDS if coco else (0.5,)
    thresholds = tuple(np.atleast_1d(thresholds).tolist())
    if not thresholds or not all(0 < value <= 1 for value in thresholds):
        raise ValueError(f"expected thresholds above 0, up to 1; Received: thresholds={thresholds}")
    if len(set(classes)) < len(classes):
        raise ValueError(f"expected classes of different names; Received: classes={classes}")
    limit = 100 if limit is None and coco else limit
    curves = []
    for label in range(len(classes)):
        met = [
            _meet(found, there, label, thresholds, coco, limit, areas)
            for found, there in zip(detections, objects, strict=True)
        ]
        curves.append(_curves(met, rule, len(thresholds)))
    return Scores(rule, classes, thresholds, tuple(curves))


def _meet(found: Detections, there: Objects, label, thresholds, coco, limit, areas):
    """What detections of one class meet in one image.

    Returns:
        Their scores (n,), highest first; whether they are right, and whether they do not count, (thresholds, n) both;
        and how many objects are to be found.
    """
    mine = np.flatnonzero(found.labels == label)
    mine = mine[np.argsort(-found.scores[mine], kind="stable")][:limit]
    theirs = np.flatnonzero(there.labels == label)
    boxes, truth, crowd = found.boxes[mine], there.boxes[theirs], there.crowd[theirs]
    ignored = there.difficult[theirs] | crowd
    shared = overlap(boxes, truth)
    if not coco:
        right, beside = _meet_voc(shared, ignored, thresholds)
        return found.scores[mine], right, beside, int((~ignored).sum())
    ignored = ignored | (there.areas[theirs] < areas[0]) | (there.areas[theirs] > areas[1])
    sizes = area(boxes)
    if crowd.any():
        inside = intersection(boxes, truth[crowd])
        shared[:, crowd] = np.divide(inside, sizes[:, None], out=np.zeros_like(inside), where=sizes[:, None] > 0)
    right, beside = _meet_coco(shared, ignored, crowd, thresholds)
    # A detection that meets nothing is no mistake where objects of its area do not count.
    beside |= ~right & ((sizes < areas[0]) | (sizes > areas[1]))
    return found.scores[mine], right, beside, int((~ignored).sum())


def _meet_voc(shared, ignored, thresholds):
    """By Pascal VOC: each detection with the object that it overlaps most."""
    count = len(shared)
    right, beside = np.zeros((2, len(thresholds), count), bool)
    if not shared.size:
        return right, beside
    best = shared.argmax(1)
    for row, threshold in enumerate(thresholds):
        meets = shared[np.arange(count), best] >= threshold
        beside[row] = meets & ignored[best]
        candidates = np.flatnonzero(meets & ~ignored[best])
        # The first, with the highest score, has found it; the others found nothing new.
        right[row, candidates[np.unique(best[candidates], return_index=True)[1]]] = True
    return right, beside


def _meet_coco(shared, ignored, crowd, thresholds):
    """By COCO: each detection with the best object that none before it has met, one that counts if there is any."""
    right, beside = np.zeros((2, len(thresholds), len(shared)), bool)
    if not shared.size:
        return right, beside
    for row, threshold in enumerate(thresholds):
        free = np.ones(len(ignored), bool)
        for number in np.flatnonzero(shared.max(1) >= min(threshold, 1 - 1e-10)):
            candidates = free & (shared[number] >= min(threshold, 1 - 1e-10))
            if not candidates.any():
                continue
            if (candidates & ~ignored).any():
                candidates &= ~ignored
            # Of equals the last, as in the original.
            values = np.where(candidates, shared[number], -1)
            meets = len(values) - 1 - values[::-1].argmax()
            free[meets] = crowd[meets]
            right[row, number], beside[row, number] = not ignored[meets], ignored[meets]
    return right, beside


def _curves(met, rule, thresholds: int) -> tuple[Curve, ...]:
    """The curves of one class, for all thresholds, from what its detections meet in each image."""
    scores = np.concatenate([np.zeros(0), *(part[0] for part in met)])
    objects = sum(part[3] for part in met)
    order = np.argsort(-scores, kind="stable")
    curves = []
    none = np.zeros((thresholds, 0), bool)
    right, beside = (np.concatenate([none, *(part[place] for part in met)], axis=1)[:, order] for place in (1, 2))
    for hits, skipped in zip(right, beside, strict=True):
        hits, counted = hits[~skipped], scores[order][~skipped]
        true = np.cumsum(hits)
        precision = true / np.arange(1, len(hits) + 1)
        recall = true / objects if objects else np.zeros(len(hits))
        value = _under(precision, recall, rule) if objects else float("nan")
        curves.append(Curve(precision, recall, counted, objects, value))
    return tuple(curves)


def _under(precision, recall, rule) -> float:
    """The area under a curve, by the rule."""
    # At each recall the best precision there or further on.
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if rule == "voc2010":
        return float(np.sum(np.diff(recall, prepend=0.0) * envelope))
    # Tenths as quotients, as the recalls are; hundredths as in the original, whose rounding decides some cases.
    points = np.arange(11) / 10 if rule == "voc2007" else np.linspace(0, 1, 101)
    at = np.searchsorted(recall, points, side="left")
    return float(np.append(envelope, 0.0)[at].mean())
