"""R-CNN (Girshick et al., 2014) as in section 8 of the paper: proposals, each classified by an Inception network."""

import numpy as np

from keras_inception.detection.boxes import area, clip, suppress
from keras_inception.detection.objects import Detections, checked_boxes
from keras_inception.detection.regions import CONTEXT, cut_regions
from keras_inception.evaluation.ensemble import Ensemble
from keras_inception.layers.pixels import find_pixels, stored_spec
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
            softmax is averaged (section 8 has six).
        proposals: from an image, uint8 (h, w, 3), to boxes (n, 4) in its pixels; or several of these, whose boxes are
            taken together.
        classes: the names of the classes, without the background; None: as the classifier knows them.
        threshold: the score from which on something is found, a probability.
        suppression: overlap of two boxes of a class, above which only the surer stays (R-CNN: 0.3).
        candidates: boxes of an image and a class, at most, that are looked at before that (R-CNN: 100).
        regression: a `BoxRegression` that moves what is found; None, as in the paper, for none.
        context: share of a region's sides, at each, that shows what is around the box.
        batch_size: regions that are classified at once; memory depends on it, and not on how many there are.

    Raises:
        ValueError: the classifier is not like that, or `classes` are not one less than it has.
    """

    def __init__(
        self,
        classifier,
        proposals,
        *,
        classes=None,
        threshold: float = 0.05,
        suppression: float = 0.3,
        candidates: int = 100,
        regression=None,
        context: float = CONTEXT,
        batch_size: int = 64,
    ):
        self.proposals = list(proposals) if isinstance(proposals, (list, tuple)) else [proposals]
        self.scorer = RegionScorer(classifier, context=context, batch_size=batch_size)
        self.classes = self._named(classes)
        self.threshold, self.suppression, self.candidates = threshold, suppression, candidates
        self.regression = regression

    def _named(self, classes):
        count = self.scorer.classes - 1
        if classes is None:
            labels = stored_spec(self.scorer.models[0]).get("labels")
            known = isinstance(labels, (list, tuple)) and len(labels) == count + 1
            classes = labels[:-1] if known else map(str, range(count))
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
            images: an iterable of photos, whatever `open_image` takes.

        Returns:
            The `Detections` of each, the surest first.

        Raises:
            ValueError: a photo cannot be read.
            OSError: a file cannot be opened.
        """
        return [self.detect(np.asarray(open_image(image))) for image in images]

    def propose(self, image) -> np.ndarray:
        """The boxes of all sources in an image, uint8 (h, w, 3): clipped to it, each once."""
        boxes = np.concatenate([checked_boxes(source(image)) for source in self.proposals])
        boxes = clip(boxes, image.shape[:2])
        return np.unique(boxes[area(boxes) > 0], axis=0)

    def detect(self, image, proposals=None) -> Detections:
        """Finds the objects of one image, uint8 (h, w, 3); `proposals` (n, 4), where they are known already."""
        boxes = self.propose(image) if proposals is None else checked_boxes(proposals)
        return self.select(image, boxes, self.scorer(image, boxes))

    def select(self, image, boxes, scores) -> Detections:
        """What is found, from the probabilities of all regions, (n, classes + 1)."""
        found = []
        for label in range(len(self.classes)):
            mine = np.flatnonzero(scores[:, label] >= self.threshold)
            mine = mine[np.argsort(-scores[mine, label], kind="stable")][: self.candidates]
            moved = self._moved(image, boxes[mine], label)
            kept = suppress(moved, scores[mine, label], self.suppression)
            found += [(box, label, score) for box, score in zip(moved[kept], scores[mine[kept], label], strict=True)]
        found.sort(key=lambda item: -item[2])
        boxes, labels, scores = (list(column) for column in zip(*found, strict=True)) if found else ([], [], [])
        return Detections(boxes, np.array(labels, np.int64), scores)

    def _moved(self, image, boxes, label):
        if self.regression is None or not len(boxes):
            return boxes
        features = self.scorer.features(image, boxes)
        return clip(self.regression(features, boxes, np.full(len(boxes), label)), image.shape[:2])


class RegionScorer:
    """Classifies regions, each cut out and warped to the classifier's input.

    Args:
        models: one classifier, or a list of them.
        context: as of `RCNN`.
        batch_size: regions at once.

    Raises:
        ValueError: they are not like that.
    """

    def __init__(self, models, *, context: float = CONTEXT, batch_size: int = 64):
        if batch_size < 1:
            raise ValueError(f"expected a positive batch_size; Received: batch_size={batch_size!r}")
        self._ensemble = Ensemble(models)
        self.models, self.classes = self._ensemble.models, self._ensemble.classes
        height_width = self._ensemble.height_width
        if None in height_width or height_width[0] != height_width[1]:
            raise ValueError(f"expected classifiers of square images of one size; Received: {height_width}")
        self.size, self.context, self.batch_size = height_width[0], context, batch_size
        pixels = find_pixels(self.models[0])
        # What is outside of the image is nothing to the network.
        self.fill = (127.5,) * 3 if pixels is None else tuple(float(value) for value in pixels.mean)
        self._cut, self._pooled = None, None

    def __call__(self, image, boxes) -> np.ndarray:
        """The probabilities of regions, averaged over the models.

        Args:
            image: RGB, uint8 (h, w, 3).
            boxes: (n, 4), in its pixels.

        Returns:
            float64 (n, classes), the background last.
        """
        waiting, found = None, [np.zeros((0, self.classes))]
        for crops, count in self.crops(image, boxes):
            wait, waiting = waiting, (self._ensemble(crops), count)
            found += _got(wait)
        return np.concatenate(found + _got(waiting))

    def features(self, image, boxes) -> np.ndarray:
        """What the first model's classifier sees of regions, float32 (n, features): pool5, in the paper's network."""
        import keras

        if self._pooled is None:
            self._pooled = keras.Model(self.models[0].inputs, below_the_classifier(self.models[0]))
        parts = [np.asarray(self._pooled.predict_on_batch(crops))[:count] for crops, count in self.crops(image, boxes)]
        return np.concatenate(parts) if parts else np.zeros((0, self._pooled.output_shape[-1]), np.float32)

    def crops(self, image, boxes):
        """Batches of regions, all of one size, the last filled up; and how many of each are regions."""
        import tensorflow as tf

        if self._cut is None:
            signature = (tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((self.batch_size, 4), tf.float32))
            options = {"context": self.context, "fill": self.fill}
            cut = tf.function(lambda image, boxes: cut_regions(image, boxes, self.size, **options))
            self._cut = cut.get_concrete_function(*signature)
        pixels = tf.constant(image)
        for start in range(0, len(boxes), self.batch_size):
            part = np.asarray(boxes[start : start + self.batch_size], np.float32)
            filled = np.concatenate([part, np.zeros((self.batch_size - len(part), 4), np.float32)])
            yield self._cut(pixels, tf.constant(filled)), len(part)


def _got(batch):
    """The probabilities of a batch that was begun, in the mean of the models."""
    return [] if batch is None else [batch[0]()[: batch[1]].mean(1, dtype=np.float64)]


def below_the_classifier(model):
    """The symbolic input of a model's last linear layer.

    Raises:
        ValueError: it has none.
    """
    import keras

    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    if not layers:
        raise ValueError(f"expected a classifier with a linear layer; Received: {model.name!r}")
    return layers[-1].input
