"""Groups of units that fire together, and how far apart in the map they still do (section 3 of the paper)."""

import dataclasses

import numpy as np

from keras_inception.topology.correlation import LayerStatistics
from keras_inception.topology.extra import of_the_extra

# Standard deviations of chance above which a correlation counts.
CLEAR = 3


@dataclasses.dataclass(frozen=True)
class UnitCluster:
    """Units of a layer that are highly correlated.

    Args:
        units: channels, sorted.
        cohesion: mean correlation of two different ones at one place; 1 for a single unit.
        rings: mean correlation of one at a place with one at so many rows or columns from it, from 0 up, each unit's
            with itself too.
        spread: root of the mean square of the distance, in places of the map, at which they correlate; distances are
            weighted by the correlation there, where it is clearly above zero, and end where the statistics do: with a
            radius of 2, it is 2 where they correlate alike at all offsets.
        patch: rows and columns of the square in which the correlation is at least half of that at one place.
    """

    units: np.ndarray
    cohesion: float
    rings: tuple[float, ...]
    spread: float
    patch: int


def cluster_units(statistics: LayerStatistics, *, threshold=0.5, fraction=0.5, method="average") -> list[UnitCluster]:
    """Groups the units of a layer by the correlation of their activations.

    Args:
        statistics: of the layer, at offsets up to the radius that patches are to be told by: 2 for up to 5 x 5.
        threshold: correlation down to which groups are joined, between -1 and 1.
        fraction: of the correlation at one place, that a cluster's patch must have at its border.
        method: how the distance of groups follows from that of units: `"average"`, `"complete"`, or another of
            `scipy.cluster.hierarchy.linkage` that takes any distances.

    Returns:
        The clusters, those of most units first. Every unit is in one, but for those that never change.

    Raises:
        ImportError: scipy is not installed; the message says what to install.
        ValueError: a number is not what it can be, or no unit ever changes.
    """
    with of_the_extra("scipy"):
        from scipy.cluster.hierarchy import fcluster, linkage
        from scipy.spatial.distance import squareform
    if not (-1 < threshold < 1 and 0 < fraction <= 1):
        raise ValueError(
            "expected a threshold between -1 and 1, and a fraction up to 1; Received: "
            f"threshold={threshold}, fraction={fraction}"
        )
    units = np.setdiff1d(np.arange(statistics.units), statistics.constant)
    if not len(units):
        raise ValueError(f"expected units that change; Received: {statistics.layer}, of which none does")
    here = statistics.correlation()[np.ix_(units, units)]
    if len(units) == 1:
        numbers = np.array([1])
    else:
        distances = 1 - (here + here.T) / 2
        np.fill_diagonal(distances, 0)
        numbers = fcluster(linkage(squareform(distances, checks=False), method), 1 - threshold, "distance")
    _, numbers = np.unique(numbers, return_inverse=True)
    sizes = np.bincount(numbers)
    rows, columns = np.nonzero(numbers[:, None] == numbers)  # all pairs within a cluster
    profiles = {}
    for offset in statistics.offsets:
        within = statistics.correlation(offset)[units[rows], units[columns]]
        profiles[offset] = np.bincount(numbers[rows], within) / sizes**2
    pairs = np.maximum(sizes * (sizes - 1), 1)
    cohesion = np.where(sizes > 1, (profiles[0, 0] * sizes**2 - sizes) / pairs, 1)
    # Of independent places' correlation, the deviations that make it clear.
    chance = {offset: CLEAR / np.sqrt(statistics.count(offset)) for offset in profiles}
    found = []
    for number in range(len(sizes)):
        profile = {offset: float(values[number]) for offset, values in profiles.items()}
        rings = _rings(profile)
        patch = _patch(rings, fraction)
        chosen = units[numbers == number]
        found.append(UnitCluster(chosen, float(cohesion[number]), rings, _spread(profile, chance), patch))
    return sorted(found, key=lambda cluster: (-len(cluster.units), tuple(cluster.units)))


def _rings(profile) -> tuple[float, ...]:
    """Means over all offsets of the same distance, which is the larger of rows and columns."""
    by_distance: dict[int, list[float]] = {}
    for (rows, columns), value in profile.items():
        by_distance.setdefault(max(abs(rows), abs(columns)), []).append(value)
    return tuple(float(np.mean(by_distance[distance])) for distance in sorted(by_distance))


def _patch(rings, fraction) -> int:
    distance = 0
    while distance + 1 < len(rings) and rings[distance + 1] >= fraction * rings[0]:
        distance += 1
    return 2 * distance + 1


def _spread(profile, chance) -> float:
    weights = np.array([value if value > chance[offset] else 0.0 for offset, value in profile.items()])
    squares = np.array([rows**2 + columns**2 for rows, columns in profile])
    return float(np.sqrt((weights * squares).sum() / weights.sum())) if weights.any() else 0.0
