"""The networks of Arora, Bhaskara, Ge and Ma (2013), of which all is known, and how much of one `recover` has found."""

import dataclasses

import numpy as np

from keras_inception.topology.arora import RecoveredLayer
from keras_inception.topology.extra import of_the_extra


@dataclasses.dataclass(frozen=True)
class SparseNetwork:
    """A random network, of which only the lowest layer is to be seen.

    Args:
        weights: from the lowest pair of layers up: dense float32 (units, units above), zero where there is no edge.
        density: the probability with which a unit of the uppermost layer is on.
    """

    weights: tuple[np.ndarray, ...]
    density: float

    @classmethod
    def random(cls, width=1000, degree=8, density=0.005, depth=1, *, seed=0) -> "SparseNetwork":
        """A network as the theorem has it.

        Args:
            width: units of every layer.
            degree: children of a unit, drawn without replacement; their weights are uniform in [-1, 1], so that half of
                them are turned on by it.
            density: of the uppermost layer.
            depth: hidden layers.
            seed: of the edges and weights.

        Raises:
            ValueError: a number is not what it can be.
        """
        if not (0 < degree <= width and depth > 0 and 0 < density < 1):
            raise ValueError(
                "expected a degree up to the width, a hidden layer at least, and a density between 0 and 1; Received: "
                f"width={width}, degree={degree}, depth={depth}, density={density}"
            )
        rng = np.random.default_rng(seed)
        layers = []
        for _ in range(depth):
            weights = np.zeros((width, width), "float32")
            for parent in range(width):
                weights[rng.choice(width, degree, replace=False), parent] = rng.uniform(-1, 1, degree)
            layers.append(weights)
        return cls(tuple(layers), density)

    def sample(self, count: int, *, seed=1, batch=4096) -> np.ndarray:
        """What is seen of the network: bool (count, units of the lowest layer).

        Raises:
            ValueError: no samples are asked for.
        """
        if count < 1:
            raise ValueError(f"expected a sample or more; Received: count={count}")
        rng = np.random.default_rng(seed)
        seen = []
        for start in range(0, count, batch):
            some = min(batch, count - start)
            on = (rng.random((some, self.weights[-1].shape[1])) < self.density).astype("float32")
            for weights in reversed(self.weights):
                on = (on @ weights.T > 0).astype("float32")
            seen.append(on > 0)
        return np.concatenate(seen)


def visible(weights: np.ndarray, above: np.ndarray | None = None) -> np.ndarray:
    """The hidden units of which there is something to be seen.

    One that turns on one unit, and no other, is not to be told from that; and one that no unit of the layer above turns
    on is never on.

    Args:
        weights: (units, hidden units).
        above: (hidden units, units above them); None: the hidden units are the uppermost.

    Returns:
        bool (hidden units,).
    """
    several = (weights > 0).sum(0) > 1
    return several if above is None else several & (above > 0).any(1)


@dataclasses.dataclass(frozen=True)
class Score:
    """How much of the truth was found.

    Args:
        recall: share of the true edges, of those that turn a unit on, that were found.
        precision: share of the found edges, of those that turn a unit on, that are true.
        off_recall: share of the true edges that turn a unit off, that were found, of hidden units that were.
        off_precision: share of the found edges that turn a unit off, that are true; NaN where none was found.
        units: share of the hidden units, of those that turn on any, of which more than half of these edges were found.
        order: of each true hidden unit, the found one that is it, or -1.
    """

    recall: float
    precision: float
    off_recall: float
    off_precision: float
    units: float
    order: np.ndarray


def score(
    layer: RecoveredLayer, weights: np.ndarray, below: np.ndarray | None = None, above: np.ndarray | None = None
) -> Score:
    """Compares a found layer with the true one, whose units are found in any order.

    Args:
        layer: what was found.
        weights: the truth, (units below, hidden units): the edges that turn a unit on are those above zero. What is not
            `visible` of the hidden units counts as not found, whatever was.
        below: which found unit below each true one is (`Score.order` of the layer below); None: they are observed.
        above: weights of the layer above, which tell what is visible; None: the hidden units are the uppermost.

    Returns:
        A `Score`.

    Raises:
        ImportError: scipy is not installed; the message says what to install.
    """
    with of_the_extra("scipy"):
        from scipy.optimize import linear_sum_assignment

    where = np.arange(len(weights)) if below is None else below
    candidates = np.flatnonzero(visible(weights, above))

    def matrix(sets) -> np.ndarray:
        """Of the true units below, whether each is in a set."""
        found = np.zeros((len(weights), len(layer.children)), bool)
        for number, units in enumerate(sets):
            found[:, number] = np.isin(where, units) & (where >= 0)
        return found

    truth, found = weights[:, candidates] > 0, matrix(layer.children)
    shared = truth.T.astype("float32") @ found.astype("float32")
    rows, columns = linear_sum_assignment(-shared)
    matched = shared[rows, columns]
    order = np.full(weights.shape[1], -1)
    good = matched > truth.sum(0)[rows] / 2
    order[candidates[rows[good]]] = columns[good]
    off = (weights[:, candidates[rows[good]]] < 0) & matrix(layer.turned_off)[:, columns[good]]

    def share(some, of, otherwise=0.0) -> float:
        return float(some / of) if of else otherwise

    return Score(
        share(matched.sum(), (weights > 0).sum()),
        share(matched.sum(), sum(map(len, layer.children))),
        share(off.sum(), (weights < 0).sum()),
        share(off.sum(), sum(map(len, layer.turned_off)), np.nan),
        share(good.sum(), (weights > 0).any(0).sum()),
        order,
    )
