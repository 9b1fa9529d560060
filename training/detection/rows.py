"""What is compared of a detector: rows like those of tables 4 and 5, chosen on one split, measured on another."""

import dataclasses
import json
import math
import time

import numpy as np

from keras_inception.detection.average_precision import COCO_THRESHOLDS, Scores, average_precision
from keras_inception.detection.rcnn import RCNN

SOURCES = {"selective_search": "selective search", "multibox": "MultiBox"}
ALONE = "search_alone"  # the name of the source that nothing is trained on
RULE = "voc2010"


@dataclasses.dataclass(frozen=True)
class Row:
    """A detector to be measured.

    Args:
        sources: of its proposals: of `SOURCES`, or `ALONE`.
        classifiers: how many.
        regression: whether boxes are moved.
        maps: whether it looks at the image once.
        first: the number of the first classifier, from 1.
    """

    sources: tuple[str, ...]
    classifiers: int = 1
    regression: bool = False
    maps: bool = False
    first: int = 1

    def describe(self, modes: dict[str, str]) -> dict:
        """The row in words; `modes` are of selective search, by source."""
        names = [f"selective search ({modes[name]})" if name in modes else SOURCES[name] for name in self.sources]
        return {
            "proposals": " + ".join(names),
            "classifiers": self.classifiers,
            "box_regression": self.regression,
            "features": "once per image" if self.maps else "of each region",
        }


def rows(recipe) -> list[Row]:
    """What a `DetectionRecipe` compares."""
    both = tuple(SOURCES)
    alone = ([] if recipe.search_alone is None else [ALONE]) + list(SOURCES)
    found = [Row((source,)) for source in alone]
    if recipe.search_alone is not None:
        found.append(Row((ALONE, "multibox")))
    for count in sorted({1, recipe.classifiers}):
        found += [Row(both, count)] + ([Row(both, count, regression=True)] if recipe.regression else [])
    return found + ([] if recipe.maps is None else [Row(both, maps=True)])


def each_alone(recipe) -> list[Row]:
    """Of a recipe of several classifiers each by itself, to compare all of them with."""
    several = range(1, recipe.classifiers + 1) if recipe.classifiers > 1 else ()
    return [Row(tuple(SOURCES), first=number) for number in several]


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Photos with all that was computed of them.

    Args:
        photos: annotated.
        proposals: of each source, boxes (n, 4) of each photo.
        scores: of each classifier, `"maps"` or its number, and source: probabilities (n, classes) of each photo.
    """

    photos: object
    proposals: dict[str, list]
    scores: dict[tuple, list]

    def boxes(self, row: Row) -> list[np.ndarray]:
        """The proposals of a row, for each photo."""
        sources = [self.proposals[source] for source in row.sources]
        return [np.concatenate(parts) for parts in zip(*sources, strict=True)]

    def of(self, row: Row, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The proposals of a row in one photo, and what its classifiers say of them, in the mean."""
        names = ["maps"] if row.maps else range(row.first, row.first + row.classifiers)
        boxes = np.concatenate([self.proposals[source][number] for source in row.sources])
        each = [np.concatenate([self.scores[name, source][number] for source in row.sources]) for name in names]
        return boxes, np.mean(each, axis=0, dtype=np.float64)


class Measurement:
    """A row on a split, of which all is known but which of two overlapping boxes goes.

    Args:
        detector: the row's; its own suppression does not count.
        photos: of the split.
        candidates: of each photo, as of `RCNN.find_candidates`.
    """

    def __init__(self, detector: RCNN, photos, candidates):
        self.detector, self.photos, self.candidates = detector, photos, candidates

    def detections(self, suppression: float):
        """What is found in each photo."""
        self.detector.suppression = suppression
        return [self.detector.select(candidates) for candidates in self.candidates]

    def average_precision(self, suppression: float, **options) -> Scores:
        """How much of it is right."""
        objects = [photo.objects for photo in self.photos]
        return average_precision(self.detections(suppression), objects, self.detector.classes, **options)


def measurements(detectors: list[RCNN], compared: list[Row], split: Split, scorer, progress=None) -> list[Measurement]:
    """What rows are measured by on a split.

    Args:
        detectors: of the rows.
        compared: the rows.
        split: which.
        scorer: the first classifier's, which box regression goes by. It looks at each box once for all rows.
        progress: is called with 1 after each photo.
    """
    found: list[list] = [[] for _ in compared]
    looks = any(detector.regression is not None for detector in detectors)
    for number, photo in enumerate(split.photos):
        image = photo.open()[0] if looks else None
        seen = _Seen(image, scorer)
        for detector, row, candidates in zip(detectors, compared, found, strict=True):
            candidates.append(detector.find_candidates(image, *split.of(row, number), seen))
        if progress is not None:
            progress(1)
    return [Measurement(detector, split.photos, each) for detector, each in zip(detectors, found, strict=True)]


class _Seen:
    """What a scorer sees of boxes of an image, each once."""

    def __init__(self, image, scorer):
        self.image, self.scorer, self.known = image, scorer, {}

    def __call__(self, boxes):
        keys = [box.tobytes() for box in boxes]
        if new := {key: box for key, box in zip(keys, boxes, strict=True) if key not in self.known}:
            features = self.scorer.features(self.image, np.stack(list(new.values())))
            self.known.update(zip(new, features, strict=True))
        return np.stack([self.known[key] for key in keys])


def choose(measurement: Measurement, suppressions) -> tuple[float, float]:
    """The suppression with the highest mean average precision, and that; of equals the first."""
    found = [(measurement.average_precision(value, rule=RULE).mean, value) for value in suppressions]
    known = [pair for pair in found if not math.isnan(pair[0])]
    if not known:
        return suppressions[0], float("nan")
    best = max(known, key=lambda pair: pair[0])
    return best[1], best[0]


def measure(measurement: Measurement, suppression: float) -> tuple[dict, Scores]:
    """The numbers of a row, and its curves."""
    scores = measurement.average_precision(suppression, rule=RULE)
    stricter = measurement.average_precision(suppression, rule="coco", thresholds=COCO_THRESHOLDS)
    facts = {
        "map50": rounded(scores.mean),
        "by_class": {name: rounded(value) for name, value in scores.per_class.items()},
        "recall": rounded(scores.recall),
        "map50_95": rounded(stricter.mean),
    }
    return facts, scores


def seconds_per_image(detectors: list[RCNN], images, progress=None) -> list[float]:
    """The median time of images that are in memory, one after another, from pixels to detections.

    Args:
        detectors: they take turns, for a machine is not always equally fast.
        images: uint8 (h, w, 3) each.
        progress: is called with 1 after each image.

    Returns:
        Of each detector.
    """
    for detector in detectors:
        detector.detect(images[0])  # which compiles what is to be compiled
    times = np.zeros((len(images), len(detectors)))
    for number, image in enumerate(images):
        for place, detector in enumerate(detectors):
            began = time.perf_counter()
            detector.detect(image)
            times[number, place] = time.perf_counter() - began
        if progress is not None:
            progress(1)
    return np.median(times, axis=0).round(3).tolist()


def table(found: list[dict]) -> str:
    """The rows as Markdown."""
    classes = list(found[0]["by_class"])
    head = ["proposals", "classifiers", "features", "box regression", "mAP at 0.5", *classes, "proposals per image"]
    head += ["coverage", "seconds per image"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in found:
        numbers = [_percent(row["map50"]), *(_percent(row["by_class"][name]) for name in classes)]
        numbers += [f"{row['proposals_per_image']:.0f}", _percent(row["coverage"]), f"{row['seconds_per_image']:.2f}"]
        cells = [row["proposals"], str(row["classifiers"]), row["features"], "yes" if row["box_regression"] else "no"]
        lines.append("| " + " | ".join([*cells, *numbers]) + " |")
    return "\n".join(lines)


def write(path, found: list[dict]) -> None:
    """Writes the rows as JSON."""
    path.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")


def rounded(value):
    """A number with four digits, and JSON's own name for none."""
    return None if math.isnan(value) else round(value, 4)


def _percent(value):
    return "-" if value is None else f"{value:.1%}"
