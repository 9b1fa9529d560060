"""What section 3 of the paper expects of correlations, each expectation as a number that can come out either way."""

import dataclasses

import numpy as np

from keras_inception.layers.cost import reduced_module
from keras_inception.layers.inception import InceptionWidths
from keras_inception.topology.clustering import cluster_units
from keras_inception.topology.correlation import LayerStatistics
from keras_inception.topology.design import demand, fit_to_budget

# An expectation holds from here on at every threshold, and fails below the other; between them it is undecided.
HOLDS, FAILS = 0.75, 0.5
# Training made a difference where the trained network differs from the untrained ones by so much.
DIFFERS = 0.25


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the inputs of a module ask for, beside what the module has.

    Args:
        module: its name in Table 1.
        layer: the layer that it stands on.
        map_size: height and width of its map.
        units: channels of that layer, and how many of them ever change.
        groups: of correlated units, how many are as wide as 1x1, 3x3, and 5x5 or more.
        spread: root mean square distance of correlation within a group, in places of the map: the mean over units.
            It is 2 where all offsets of up to 2 places are alike.
        widths: the module that they ask for at the multiply-adds of the network's own.
        own: the widths of the network's own module.
    """

    module: str
    layer: str
    map_size: tuple[int, int]
    units: tuple[int, int]
    groups: tuple[int, int, int]
    spread: float
    widths: InceptionWidths
    own: InceptionWidths

    @property
    def share(self) -> float:
        """Of 3x3 and 5x5 among the groups."""
        return sum(self.groups[1:]) / sum(self.groups)

    @property
    def own_share(self) -> float:
        """Of 3x3 and 5x5 among the filters of the network's own module, its pooling branch left out."""
        return (self.own.n3x3 + self.own.n5x5) / (self.own.output - self.own.pool_proj)


def ask(module: str, statistics: LayerStatistics, own: InceptionWidths, *, threshold: float) -> Asked:
    """What the statistics of a module's inputs ask for.

    Args:
        module: its name in Table 1.
        statistics: of the layer below it, with offsets up to 2.
        own: the widths that the network has there.
        threshold: correlation down to which units are grouped.
    """
    clusters = cluster_units(statistics, threshold=threshold)
    asked = demand(statistics, clusters=clusters)
    sizes = [len(cluster.units) for cluster in clusters]
    budget = reduced_module(statistics.units, own, *statistics.map_size).operations
    return Asked(
        module,
        statistics.layer,
        statistics.map_size,
        (statistics.units, statistics.units - len(statistics.constant)),
        asked.clusters,
        float(np.average([cluster.spread for cluster in clusters], weights=sizes)),
        fit_to_budget(asked, statistics.units, statistics.map_size, budget),
        own,
    )


def rising(values, map_sizes) -> float:
    """How often the higher of two modules has the larger value, of all pairs of modules on maps of one size.

    Modules on maps of different sizes are not compared: a place of theirs is another distance in the photo.

    Returns:
        A share, 0.5 for values in no order; ties count half.
    """
    found = rising_by_map(values, map_sizes).values()
    if not found:
        raise ValueError(f"expected two modules on maps of one size; Received: maps of {map_sizes}")
    right, pairs = map(sum, zip(*found, strict=True))
    return right / pairs


def rising_by_map(values, map_sizes) -> dict[tuple[int, int], tuple[float, int]]:
    """By the size of the map: how many pairs of modules have the larger value in the higher one, of how many pairs."""
    found = {}
    for b in range(len(values)):
        for a in range(b):
            if map_sizes[a] == map_sizes[b]:
                right, pairs = found.get(map_sizes[b], (0.0, 0))
                found[map_sizes[b]] = right + (values[b] > values[a]) + 0.5 * (values[b] == values[a]), pairs + 1
    return found


def spreads_with_depth(modules: list[Asked]) -> float:
    """'As features of higher abstraction are captured by higher layers, their spatial concentration [decreases].'"""
    return rising([m.spread for m in modules], [m.map_size for m in modules])


def larger_patches_with_depth(modules: list[Asked]) -> float:
    """'... suggesting that the ratio of 3x3 and 5x5 convolutions should increase as we move to higher layers.'"""
    return rising([m.share for m in modules], [m.map_size for m in modules])


def larger_patches_over_all(modules: list[Asked]) -> float:
    """The same of all pairs of modules: filters are counted in places, and the paper names no exception."""
    return rising([m.share for m in modules], [None] * len(modules))


def fewer_of_larger(modules: list[Asked]) -> float:
    """'There will be a decreasing number of patches over larger and larger regions.'"""
    return float(np.mean([m.groups[0] >= m.groups[1] >= m.groups[2] for m in modules]))


def as_table_1(modules: list[Asked]) -> float:
    """What the statistics ask for is what the authors chose: the modules' shares of 3x3 and 5x5 are in one order.

    Returns:
        The share of all pairs of modules that both order alike; ties count half.
    """
    asked, own = np.array([(m.share, m.own_share) for m in modules]).T
    first, second = np.triu_indices(len(modules), 1)
    alike = np.sign(asked[first] - asked[second]) * np.sign(own[first] - own[second])
    return float(np.mean((alike + 1) / 2))


EXPECTATIONS = {
    "on maps of one size, correlated units spread out with depth": spreads_with_depth,
    "on maps of one size, higher modules ask for more 3x3 and 5x5": larger_patches_with_depth,
    "of all modules, the higher ask for more 3x3 and 5x5": larger_patches_over_all,
    "there are fewer groups of larger patches": fewer_of_larger,
    "Table 1 is what the statistics ask for": as_table_1,
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """How an expectation came out.

    Args:
        expectation: in words.
        trained: its measure, 0 to 1, on the trained network, by threshold.
        control: on untrained ones, the mean over them, by threshold.
    """

    expectation: str
    trained: dict[float, float]
    control: dict[float, float]

    @property
    def outcome(self) -> str:
        """`"holds"`, `"fails"`, or `"undecided"`, where the thresholds disagree or the measure is between."""
        values = self.trained.values()
        if min(values) >= HOLDS:
            return "holds"
        return "fails" if max(values) < FAILS else "undecided"

    @property
    def effect(self) -> str:
        """What training did, by the differences from the untrained networks at all thresholds.

        `"more"` or `"less"` where all of them are as large as `DIFFERS`, `"same"` where none is, else `"unclear"`.
        """
        differences = [self.trained[t] - self.control[t] for t in self.trained]
        if min(differences) >= DIFFERS:
            return "more"
        if max(differences) <= -DIFFERS:
            return "less"
        return "same" if max(map(abs, differences)) < DIFFERS else "unclear"

    def sentence(self) -> str:
        """In plain words."""
        numbers = ", ".join(f"{self.trained[t]:.2f} ({self.control[t]:.2f})" for t in self.trained)
        outcome = {"holds": "holds", "fails": "does not hold", "undecided": "is undecided"}[self.outcome]
        effect = {
            "more": "training made it more so",
            "less": "training made it less so",
            "same": "untrained networks are much the same",
            "unclear": "what training does to it depends on the threshold",
        }[self.effect]
        return f"{self.expectation[0].upper()}{self.expectation[1:]}: {outcome}; {effect}. {numbers}."


def compare(trained: dict[float, list[Asked]], controls: list[dict[float, list[Asked]]]) -> list[Finding]:
    """All expectations of a trained network and of untrained ones.

    Args:
        trained: its modules, from the lowest up, by threshold.
        controls: likewise, of each untrained network.
    """
    return [
        Finding(
            words,
            {t: measure(modules) for t, modules in trained.items()},
            {t: float(np.mean([measure(control[t]) for control in controls])) for t in trained},
        )
        for words, measure in EXPECTATIONS.items()
    ]


def middle(asked: dict[float, list[Asked]]) -> float:
    """The threshold in the middle, of which tables and pictures show the details."""
    return sorted(asked)[len(asked) // 2]
