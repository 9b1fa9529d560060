"""From correlation statistics to an Inception module: one filter per group of units, as large as the group is wide."""

import dataclasses

import numpy as np

from keras_inception.layers.cost import reduced_module
from keras_inception.layers.inception import InceptionWidths
from keras_inception.topology.clustering import UnitCluster, cluster_units
from keras_inception.topology.correlation import LayerStatistics

# Filters come in so many at a time, as those of Table 1 do.
MULTIPLE = 8
# The pooling branch is "an additional parallel path" that no statistics ask for: Table 1 gives it an eighth.
POOL_SHARE = 1 / 8


@dataclasses.dataclass(frozen=True)
class Demand:
    """What statistics ask of the module above a layer, before any budget.

    Args:
        clusters: how many groups of units want a patch of 1x1, 3x3, and 5x5 or more.
        dimensions: how many numbers the inputs of the 3x3, and of the 5x5 groups can be reduced to.
    """

    clusters: tuple[int, int, int]
    dimensions: tuple[int, int]

    @property
    def shares(self) -> tuple[float, float, float]:
        """Of 1x1, 3x3 and 5x5 among the groups."""
        return tuple(count / sum(self.clusters) for count in self.clusters)


def demand(
    statistics: LayerStatistics, *, explained=0.9, clusters: list[UnitCluster] | None = None, **options
) -> Demand:
    """What the groups of a layer's units ask for.

    Args:
        statistics: of the layer below, with offsets up to 2.
        explained: share of the variance that a reduction must keep.
        clusters: `cluster_units` of the statistics; None: they are made here.
        options: of `cluster_units`.

    Raises:
        ValueError: the statistics have no offsets up to 2, or `explained` is no share.
    """
    if not 0 < explained <= 1:
        raise ValueError(f"expected explained above 0, up to 1; Received: explained={explained}")
    known = max(abs(step) for offset in statistics.offsets for step in offset)
    if known < min(2, max(statistics.map_size) - 1):
        raise ValueError(
            "expected statistics of offsets up to 2, which tell groups of 5x5 from narrower ones; Received: "
            f"offsets up to {known} of {statistics.layer}"
        )
    clusters = cluster_units(statistics, **options) if clusters is None else clusters
    groups = {size: [c for c in clusters if min(c.patch, 5) == size] for size in (1, 3, 5)}
    dimensions = (_dimensions(statistics, groups[size], explained) for size in (3, 5))
    return Demand(tuple(len(groups[size]) for size in (1, 3, 5)), tuple(dimensions))


def _dimensions(statistics, clusters, explained) -> int:
    """Principal components that keep a share of the variance of some clusters' units, each of unit variance."""
    if not clusters:
        return 0
    units = np.concatenate([cluster.units for cluster in clusters])
    values = np.linalg.eigvalsh(statistics.correlation()[np.ix_(units, units)])[::-1]
    return int(np.searchsorted(np.cumsum(values), explained * len(units) * (1 - 1e-9)) + 1)


def design_module(statistics: LayerStatistics, budget: float, **options) -> InceptionWidths:
    """The module above a layer that its statistics ask for, as wide as a budget allows.

    Each group of correlated units becomes filters of the next layer, of 1x1, 3x3 or 5x5 as the group's own width in the
    map is; the reductions keep what principal components of the inputs of their branch keep. All widths are then scaled
    together.

    Args:
        statistics: of the layer below, with offsets up to 2 (`correlation_statistics(..., radius=2)`).
        budget: multiply-adds for one image that the module may cost.
        options: of `demand` and `cluster_units`.

    Returns:
        Widths, multiples of 8.

    Raises:
        ValueError: the budget is too small for any module; no unit of the layer ever changes.
        ImportError: scipy is not installed; the message says what to install.
    """
    asked = demand(statistics, **options)
    return fit_to_budget(asked, statistics.units, statistics.map_size, budget)


def fit_to_budget(asked: Demand, inputs: int, map_size: tuple[int, int], budget: float) -> InceptionWidths:
    """The widest module of the asked proportions within a budget; see `design_module`."""
    one, three, five = asked.clusters
    pool = POOL_SHARE / (1 - POOL_SHARE) * (one + three + five)
    base = (one, asked.dimensions[0], three, asked.dimensions[1], five, pool)

    def at(scale: float) -> InceptionWidths:
        widths = [MULTIPLE * max(1, int(scale * value / MULTIPLE)) for value in base]
        # A reduction to more than there is would be none.
        most = max(MULTIPLE, inputs // MULTIPLE * MULTIPLE)
        return InceptionWidths(*(min(width, most) if place in (1, 3) else width for place, width in enumerate(widths)))

    def cost(scale: float) -> int:
        return reduced_module(inputs, at(scale), *map_size).operations

    if budget == float("inf"):
        raise ValueError("expected a budget that ends; Received: budget=inf")
    if not cost(0) <= budget:
        raise ValueError(
            f"expected a budget of {cost(0):,} multiply-adds or more, which the smallest module costs upon {inputs} "
            f"channels of {map_size[0]} x {map_size[1]}; Received: budget={budget:,}"
        )
    low, high = 0.0, 1.0
    while cost(high) <= budget:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(middle) <= budget else (low, middle)
    return at(low)
