"""Means and products of pairs of vectors, summed up part by part without losing digits."""

import numpy as np


class Moments:
    """Counts, means, and sums of squares and products of deviations of pairs (a, b) of vectors, in float64.

    Parts are merged as Chan, Golub and LeVeque do: nothing is lost where means are large, and their order is of no
    matter. A part's own products are float32, about its own mean, of so few rows that this loses nothing.
    """

    # Corrections of rank one wait until so many can be made as one product of matrices.
    WAITING = 32
    ROWS = 1024  # of a part

    def __init__(self, channels: int):
        self.count = 0
        self.mean_a, self.mean_b = np.zeros(channels), np.zeros(channels)
        self.squares_a, self.squares_b = np.zeros(channels), np.zeros(channels)
        self.products = np.zeros((channels, channels))
        self._corrections: list[tuple[float, np.ndarray, np.ndarray]] = []

    def add(self, a: np.ndarray, b: np.ndarray) -> None:
        """Merges a batch, part by part.

        Args:
            a, b: float32 (n, channels); one array where they are equal, for BLAS then computes one half of the products
                only.
        """
        for start in range(0, len(a), self.ROWS):
            part, near = _centred(a[start : start + self.ROWS])
            self._add(part, near, *((part, near) if a is b else _centred(b[start : start + self.ROWS])))

    def _add(self, a, near_a, b, near_b):
        n = len(a)
        self.products += a.T @ b
        ones = np.ones(n, "float32")
        rest_a = (ones @ a).astype("float64") / n
        rest_b = rest_a if a is b else (ones @ b).astype("float64") / n
        delta_a, delta_b = near_a + rest_a - self.mean_a, near_b + rest_b - self.mean_b
        weight = self.count * n / (self.count + n)
        self._corrections += [(-n, rest_a, rest_b), (weight, delta_a, delta_b)]
        if a is not b:
            for squares, x, rest, delta in (
                (self.squares_a, a, rest_a, delta_a),
                (self.squares_b, b, rest_b, delta_b),
            ):
                squares += np.einsum("ij,ij->j", x, x) - n * rest**2 + weight * delta**2
        self.count += n
        self.mean_a += delta_a * (n / self.count)
        self.mean_b += delta_b * (n / self.count)
        if len(self._corrections) >= self.WAITING:
            self._correct()

    def _correct(self) -> None:
        if self._corrections:
            weights, a, b = (np.array(part) for part in zip(*self._corrections, strict=True))
            self.products += (weights[:, None] * a).T @ b
            self._corrections = []

    def finish(self, equal: bool) -> "Moments":
        """All corrections made; `equal`: a and b were always one array."""
        self._correct()
        if equal:
            self.squares_a = self.squares_b = np.maximum(self.products.diagonal(), 0)
        self.squares_a, self.squares_b = np.maximum(self.squares_a, 0), np.maximum(self.squares_b, 0)
        return self


def _centred(rows) -> tuple[np.ndarray, np.ndarray]:
    """Rows without their mean, and what it is to float32's digits: the rest is left in them."""
    near = np.full(len(rows), 1 / len(rows), "float32") @ rows
    return rows - near, near
