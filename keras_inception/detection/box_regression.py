"""Bounding-box regression: where an object is, from what is seen in a proposal (R-CNN, appendix C)."""

import numpy as np

from keras_inception.detection.boxes import decode, encode


class BoxRegression:
    """A ridge regression for each class, from features of a proposal to how its box is to be moved.

    Args:
        weights: (classes, features + 1, 4); the last row is the constant.

    Raises:
        ValueError: they are not like that.
    """

    def __init__(self, weights):
        weights = np.asarray(weights, np.float64)
        if weights.ndim != 3 or weights.shape[2] != 4 or weights.shape[1] < 2 or not np.isfinite(weights).all():
            raise ValueError(f"expected finite weights (classes, features + 1, 4); Received: {weights.shape}")
        self.weights = weights

    def __call__(self, features, proposals, labels) -> np.ndarray:
        """Moves proposals.

        Args:
            features: (n, features), of the proposals.
            proposals: (n, 4), with an extent.
            labels: (n,), the classes that they are taken for.

        Returns:
            (n, 4).
        """
        features = np.asarray(features, np.float64)
        if features.ndim != 2 or features.shape[1] + 1 != self.weights.shape[1]:
            raise ValueError(
                f"expected features (n, {self.weights.shape[1] - 1}); Received: features of shape {features.shape}"
            )
        moves = np.einsum("nf,nfo->no", features, self.weights[labels, :-1]) + self.weights[labels, -1]
        # Nothing is e times as large as its proposal, or else the regression is far from what it knows.
        return decode(np.clip(moves, -1, 1), proposals)


class BoxRegressionFit:
    """Gathers examples, a few at a time, of which memory keeps sums alone.

    Args:
        classes: how many.
        features: how many.
        penalty: of the squared weights; R-CNN has 1000. The constant has none.
    """

    def __init__(self, classes: int, features: int, *, penalty: float = 1000.0):
        self.penalty = penalty
        self.squares = np.zeros((classes, features + 1, features + 1))
        self.products = np.zeros((classes, features + 1, 4))

    def add(self, features, proposals, boxes, labels) -> None:
        """Adds proposals (n, 4) with features (n, features), and the boxes of the objects that they are near to.

        R-CNN takes those that overlap an object by more than 0.6.
        """
        features, labels = np.asarray(features, np.float64), np.asarray(labels)
        moves = encode(boxes, proposals)
        for label in np.unique(labels):
            mine = labels == label
            rows = np.concatenate([features[mine], np.ones((mine.sum(), 1))], axis=1)
            self.squares[label] += rows.T @ rows
            self.products[label] += rows.T @ moves[mine]

    def solve(self) -> BoxRegression:
        """The regression of least squares; a class without examples moves nothing."""
        penalty = np.eye(self.squares.shape[1]) * self.penalty
        penalty[-1, -1] = 1e-9
        return BoxRegression(np.linalg.solve(self.squares + penalty, self.products))
