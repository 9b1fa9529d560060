"""R-CNN (Girshick et al., 2014) as in section 8 of the paper: proposals, each classified by an Inception network."""

import os

import numpy as np
from PIL import Image

from keras_inception.detection.boxes import area, checked_boxes, clip, suppress
from keras_inception.detection.objects import Detections
from keras_inception.detection.regions import CONTEXT
from keras_inception.detection.scoring import RegionScorer, Scorer
from keras_inception.layers.pixels import stored_spec
from keras_inception.preprocessing import open_image

BACKGROUND = "background"


class RCNN:
    """A detector: sources of proposals, and a classifier of what they show.

    ```python
    detector = RCNN(classifier, proposals=[selective_search, MultiBoxProposals(network)])
    (found,) = detector(["photo.jpg"])
    print([(detector.classes[label], score, box) for box, label, score in found])
    ```

    Args:
        classifier: a Keras model from RGB pixels 0..255 to the classes and, last, the background; or several, whose
            softmax is averaged (section 8 has six); or a `Scorer`, such as `MapScorer`, which looks at the image once.
        proposals: from an image, uint8 (h, w, 3), to boxes (n, 4) in its pixels; or several of these, whose boxes are
            taken together.
        classes: the names of the classes, without the background; None: as the classifier knows them.
        threshold: the score from which on something is found, a probability.
        suppression: overlap of two boxes of a class, above which only the surer stays (R-CNN: 0.3).
        candidates: boxes of an image and a class, at most, that are looked at before that. R-CNN has 100, for photos of
            an object or two; more than 100 proposals overlap a dozen crowded ones by half.
        regression: a `BoxRegression` that moves what is found; None, as in the paper, for none.
        context, batch_size: of the `RegionScorer` of a classifier that is none: what is around a box, and how many
            regions are classified at once. Memory depends on that, and not on how many there are.

    Raises:
        ValueError: an argument is not like that, `classes` are not one less than the classifier has, classifiers have
            their labels in different orders; or, without `classes`, different ones, or the background not last.
    """

    def __init__(
        self,
        classifier,
        proposals,
        *,
        classes=None,
        threshold: float = 0.05,
        suppression: float = 0.3,
        candidates: int = 1000,
        regression=None,
        context: float = CONTEXT,
        batch_size: int = 64,
    ):
        self.proposals = list(proposals) if isinstance(proposals, (list, tuple)) else [proposals]
        if not self.proposals:
            raise ValueError("expected at least one source of proposals; Received: none")
        options = {"context": context, "batch_size": batch_size}
        self.scorer = classifier if isinstance(classifier, Scorer) else RegionScorer(classifier, **options)
        self.classes = self._named(classes)
        self.threshold, self.suppression, self.candidates = float(threshold), float(suppression), candidates
        for name, value in (("threshold", threshold), ("suppression", suppression)):
            if not 0 <= value <= 1:
                raise ValueError(f"expected {name} in 0..1; Received: {name}={value!r}")
        if type(candidates) is not int or candidates < 1:
            raise ValueError(f"expected candidates to be a whole number above 0; Received: candidates={candidates!r}")
        if regression is not None:
            self._check(regression)
        self.regression = regression

    def _check(self, regression):
        pooled = self.scorer.pooled
        features = None if pooled is None else pooled.output_shape[-1]
        if regression.weights.shape[:2] != (len(self.classes), (features or 0) + 1):
            raise ValueError(
                f"expected a regression of {len(self.classes)} classes, from the {features} features that the first "
                f"classifier sees; Received: one with weights {regression.weights.shape}"
            )

    def _named(self, classes):
        count = self.scorer.classes - 1
        if count < 1:
            raise ValueError("expected a classifier of classes and the background; Received: one of one class")
        known = []
        for model in (self.scorer.model, *self.scorer.models):
            labels = stored_spec(model).get("labels")
            if isinstance(labels, (list, tuple)) and len(labels) == count + 1 and tuple(labels) not in known:
                known.append(tuple(labels))
        # Who names the classes may join classifiers of other names, but hardly of the same in another order.
        named = classes is not None
        if len(known) > 1 and not (named and len({frozenset(labels) for labels in known}) == len(known)):
            one, other, *_ = known
            raise ValueError(f"expected classifiers of the same labels; Received: {one!r:.100} and {other!r:.100}")
        if not named and known and BACKGROUND in known[0][:-1]:
            raise ValueError(f"expected the label {BACKGROUND!r} last; Received: labels {known[0]!r:.200}")
        if not named:
            classes = known[0][:-1] if known else map(str, range(count))
        classes = tuple(map(str, classes))
        if len(classes) != count:
            raise ValueError(
                f"expected the names of {count} classes, for the classifier has {count + 1} with the background; "
                f"Received: {len(classes)}"
            )
        return classes

    def __call__(self, images) -> list[Detections]:
        """Finds objects.

        Args:
            images: an iterable of photos, whatever `open_image` takes; one photo is `[photo]`.

        Returns:
            The `Detections` of each, the surest first.

        Raises:
            ValueError: a photo cannot be read, or `images` is one photo.
            OSError: a file cannot be opened.
        """
        if isinstance(images, (str, bytes, os.PathLike, Image.Image)) or len(getattr(images, "shape", ())) in (2, 3):
            what = f"an array {tuple(images.shape)}" if hasattr(images, "shape") else type(images).__name__
            raise ValueError(f"expected photos in a list, also a single one; Received: {what}")
        return [self.detect(np.asarray(open_image(image))) for image in images]

    def propose(self, image) -> np.ndarray:
        """The boxes of all sources in an image, uint8 (h, w, 3): clipped to it, each once."""
        return _inside(np.concatenate([checked_boxes(source(image)) for source in self.proposals]), image)

    def detect(self, image, proposals=None) -> Detections:
        """Finds the objects of one image, uint8 (h, w, 3); `proposals` (n, 4), where they are known already."""
        boxes = self.propose(image) if proposals is None else _inside(checked_boxes(proposals), image)
        return self.select(self.find_candidates(image, boxes, self.scorer(image, boxes)))

    def find_candidates(self, image, boxes, scores, features=None) -> list[tuple[np.ndarray, np.ndarray]]:
        """What may be found of each class, before one of two that overlap goes.

        Args:
            image: uint8 (h, w, 3); without regression it is not looked at.
            boxes: (n, 4), of the regions.
            scores: (n, classes + 1), their probabilities.
            features: for regression, from boxes (m, 4) to what the scorer's `features` are of them; None: those.

        Returns:
            For each class boxes (m, 4), where the regression has moved them, and their scores (m,), the surest first.
        """
        candidates = []
        for label in range(len(self.classes)):
            mine = np.flatnonzero(scores[:, label] >= self.threshold)
            candidates.append(mine[np.argsort(-scores[mine, label], kind="stable")][: self.candidates])
        wanted = np.unique(np.concatenate(candidates))
        if self.regression is None or not len(wanted):
            return [(boxes[mine], scores[mine, label]) for label, mine in enumerate(candidates)]
        features = self.scorer.features(image, boxes[wanted]) if features is None else features(boxes[wanted])
        found = []
        for label, mine in enumerate(candidates):
            rows = np.searchsorted(wanted, mine)
            moved = clip(self.regression(features[rows], boxes[mine], np.full(len(mine), label)), image.shape[:2])
            left = area(moved) > 0  # of one that was moved out of the image nothing is
            found.append((moved[left], scores[mine[left], label]))
        return found

    def select(self, candidates) -> Detections:
        """What is found: of candidates of a class that overlap, as `find_candidates` gives them, the surest."""
        found = []
        for label, (boxes, scores) in enumerate(candidates):
            kept = suppress(boxes, scores, self.suppression)
            found += [(box, label, score) for box, score in zip(boxes[kept], scores[kept], strict=True)]
        found.sort(key=lambda item: -item[2])
        boxes, labels, scores = (list(column) for column in zip(*found, strict=True)) if found else ([], [], [])
        return Detections(boxes, np.array(labels, np.int64), scores)


def _inside(boxes, image):
    """The parts of boxes that are inside of an image, each once; of what is outside, nothing."""
    boxes = clip(boxes, image.shape[:2])
    return np.unique(boxes[area(boxes) > 0], axis=0)
