"""What is counted of an evaluation: sums that can be added up over batches, workers and sessions."""

import numpy as np

BINS = 15  # of the calibration error, as in Guo et al. 2017
TOP = 5


class Tally:
    """Counts of an evaluation.

    Args:
        classes: how many there are.

    Attributes:
        confusion: int64 (classes, classes): images by label and by the class that was found.
        top5: int64 (classes,): images by label whose label is among the five most likely classes.
        bins: float64 (15, 3): images, their confidences and their hits, by confidence.
    """

    def __init__(self, classes: int):
        self.confusion = np.zeros((classes, classes), np.int64)
        self.top5 = np.zeros(classes, np.int64)
        self.bins = np.zeros((BINS, 3))

    @property
    def images(self) -> int:
        return int(self.confusion.sum())

    def add(self, probabilities, labels) -> None:
        """Counts images.

        Args:
            probabilities: (n, classes).
            labels: integers (n,).

        Raises:
            ValueError: a label has no class, or probabilities are no numbers.
        """
        probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
        classes = len(self.top5)
        wrong = (labels < 0) | (labels >= classes)
        if wrong.any():
            raise ValueError(f"expected labels in [0, {classes}); Received: {labels[wrong.argmax()]}")
        if not np.isfinite(probabilities).all():
            raise ValueError("expected probabilities; Received: values that are no numbers")
        rows = np.arange(len(labels))
        found = probabilities.argmax(1)
        np.add.at(self.confusion, (labels, found), 1)
        # Of equal probabilities the first counts as the higher, as for argmax.
        own = probabilities[rows, labels][:, np.newaxis]
        before = np.arange(classes) < labels[:, np.newaxis]
        rank = ((probabilities > own) | ((probabilities == own) & before)).sum(1)
        np.add.at(self.top5, labels, rank < TOP)
        confidence = probabilities[rows, found]
        # Bins are open at the left, (0, 1/15] and so on.
        where = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
        np.add.at(self.bins, where, np.stack([np.ones(len(rows)), confidence, found == labels], 1))

    def to_vector(self) -> np.ndarray:
        """All counts, float64, exact below 2**53; those of two tallies may be added."""
        return np.concatenate([np.ravel(part).astype(np.float64) for part in (self.confusion, self.top5, self.bins)])

    @classmethod
    def from_vector(cls, vector, classes: int) -> "Tally":
        tally, vector = cls(classes), np.asarray(vector)
        confusion, top5, bins = np.split(vector, [classes**2, classes**2 + classes])
        tally.confusion[:] = np.round(confusion).reshape(tally.confusion.shape)
        tally.top5[:] = np.round(top5)
        tally.bins[:] = bins.reshape(tally.bins.shape)
        return tally

    # What it comes to

    @property
    def top1_accuracy(self) -> float:
        """Share of images whose most likely class is their label."""
        return float(np.trace(self.confusion)) / self._checked()

    @property
    def top5_accuracy(self) -> float:
        """Share of images whose label is among the five most likely classes."""
        return float(self.top5.sum()) / self._checked()

    @property
    def class_accuracy(self) -> np.ndarray:
        """Top-1 accuracy of the images of each class, float64 (classes,); NaN for a class without images."""
        counts = self.confusion.sum(1)
        return np.divide(np.diag(self.confusion), counts, out=np.full(len(counts), np.nan), where=counts > 0)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: how far confidence and accuracy are apart, on average over the images."""
        return float(np.abs(self.bins[:, 1] - self.bins[:, 2]).sum()) / self._checked()

    def _checked(self) -> int:
        if not self.images:
            raise ValueError("expected at least one image; Received: none")
        return self.images
