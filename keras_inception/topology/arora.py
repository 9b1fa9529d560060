"""The construction that the paper's section 3 rests on, on its own ground: Arora, Bhaskara, Ge and Ma (2013).

Their networks are random and sparse: each hidden unit has a few children among the units below, with weights of either
sign, and a unit is on when the weights of its parents that are on sum up to more than zero. Two units that are on
together more often than by chance share a parent; units of which all pairs do are the children of one. So the layer
above a layer is found from the correlations of the layer alone, then which of its units are on, and so on upwards.

So much for the edges that turn a unit on. Those that turn one off are fainter: that two units are on together less
often than by chance is seen only of units that are often on. They are found last, as in the theorem, when it is known
which hidden units are on.
"""

import dataclasses

import numpy as np

from keras_inception.topology.extra import of_the_extra

# Of a layer, how often what is left is looked at again, and the share of its units that this must add to go on.
ROUNDS, GAIN = 6, 0.01


def related_pairs(observed: np.ndarray, *, significance=6.0) -> np.ndarray:
    """Which units are on together so often that they must share a parent.

    By how much more often than by chance is the rate of the parent that they share, however many other parents either
    has, and so a covariance is compared, not a correlation.

    Args:
        observed: bool (samples, units).
        significance: deviations of chance that a covariance must exceed.

    Returns:
        bool (units, units), symmetric, False on the diagonal. Relations through a grandparent are weaker than those
        through a parent: what is less than half as strong as the strongest of most units does not count.
    """
    x = observed.astype("float32")
    together = (x.T @ x).astype("float64") / len(x)
    chance = np.outer(together.diagonal(), together.diagonal())
    covariance = together - chance
    np.fill_diagonal(covariance, 0)
    # The count of samples in which two independent units are on is Poisson's; of rare ones, that of one sample.
    deviation = np.sqrt(np.maximum(chance, 1 / len(x)) / len(x))
    clear = covariance > significance * deviation
    if not clear.any():
        return clear
    return clear & (covariance > _level(np.where(clear, covariance, 0)) / 2)


def _level(covariance: np.ndarray) -> float:
    """What most pairs of one parent have for a covariance; relations through grandparents, which are weaker, aside.

    Args:
        covariance: symmetric; 0 where it is not clear.
    """
    found, units = covariance[covariance > 0], len(covariance)
    # The third strongest: the strongest may share two parents, and a unit's siblings are more than a few.
    third = np.sort(covariance, axis=1)[:, -3:][:, 0]
    level = np.median(third[third > 0]) if third.any() else np.median(found)

    def about(value):
        return ((0.75 * value <= found) & (found < 1.5 * value)).sum() / units

    # But where units have many siblings, three of them may share two parents with it, or more. Those are about as many
    # as chance makes of the pairs that share one, which are half as strong: of s siblings of n units, s * s / 2n. At
    # most four times as many, for of the weaker pairs not all are clear.
    doubled = False
    while about(level) < 2 * about(level / 2) ** 2 / units:
        level, doubled = level / 2, True
    return np.median(found[(level / 2 < found) & (found < 1.5 * level)]) if doubled else level


def communities(observed: np.ndarray, related: np.ndarray, *, share=0.6, overlap=0.5, support=0.3) -> list[np.ndarray]:
    """Sets of units that are on together: the children of one hidden unit each.

    Where two related units are on, their parent is, most of the time, and with it its other children: correlations of
    three. The children of other parents of either are not, nor, mostly, those of their grandparents' other children.

    Args:
        observed: bool (samples, units).
        related: bool (units, units), symmetric: pairs that share a parent.
        share: of the samples in which the two of a pair are on, and not by chance, in which its siblings are on too.
        overlap: sets that share more than this of the larger one are one, and so is a set with one that is all in it.
        support: share of a set's pairs that must have led to it, or to what is the same.

    Returns:
        Sets of two units or more, as sorted indices, the largest first.
    """
    seen = np.ascontiguousarray(observed, "uint8")
    rate, when = seen.mean(0), [np.flatnonzero(column) for column in seen.T]
    votes: dict[tuple, int] = {}
    strength: dict[tuple, float] = {}  # samples in which a pair was on, and not by chance
    for u, row in enumerate(related):
        with_u = seen[when[u]]
        for v in np.flatnonzero(row[u + 1 :]) + u + 1:
            both = with_u[with_u[:, v] > 0]
            if not len(both):
                continue  # never on together
            chance = len(when[u]) * rate[v] / len(both)  # the share of them that is no sign of a parent
            also = both.sum(0, dtype="int64") / len(both)
            group = tuple(np.flatnonzero(also > share * (1 - chance) + rate).tolist())
            votes[group] = votes.get(group, 0) + 1
            strength[group] = max(strength.get(group, 0), len(both) * (1 - chance))
    # What many pairs have led to comes first, then the large: their parts are not sets of their own.
    kept: list[set] = []
    supporters: list[int] = []
    by_unit: list[list[int]] = [[] for _ in rate]
    for group in sorted(votes, key=lambda group: (-votes[group], -len(group), group)):
        units = set(group)
        rivals = sorted({number for unit in group for number in by_unit[unit]})
        same = next((number for number in rivals if _same(units, kept[number], overlap)), None)
        if same is not None:
            supporters[same] += votes[group]
        elif len(units) > 1:
            for unit in group:
                by_unit[unit].append(len(kept))
            kept.append(units)
            supporters.append(votes[group])
    # A pair that no third unit goes with may have many grandparents in common; that is less than a parent.
    usual = np.median([strength[tuple(sorted(units))] for units in kept if len(units) > 2] or [0])
    # Where chance has gathered units, few of their pairs have led to them.
    sure = [len(units) * (len(units) - 1) / 2 * support <= count for units, count in zip(kept, supporters, strict=True)]
    strong = [len(units) > 2 or strength[tuple(sorted(units))] > 0.75 * usual for units in kept]
    groups = (np.array(sorted(units)) for units, *keep in zip(kept, sure, strong, strict=True) if all(keep))
    return sorted(groups, key=lambda units: (-len(units), tuple(units)))


def _same(a: set, b: set, overlap: float) -> bool:
    shared = len(a & b)
    return shared > overlap * max(len(a), len(b)) or shared == min(len(a), len(b))


def hidden_values(observed: np.ndarray, children: list[np.ndarray], *, share=0.5) -> np.ndarray:
    """Which hidden units are on: those of whose children more than a share are.

    Args:
        observed: bool (samples, units).
        children: of each hidden unit, those with positive weights.
        share: a child may be off though its parent is on, by another one's negative weight.

    Returns:
        bool (samples, hidden units).
    """
    columns = np.ascontiguousarray(observed.T, "uint8")
    values = np.zeros((len(observed), len(children)), bool)
    for number, units in enumerate(children):
        values[:, number] = columns[units].sum(0, dtype="int32") > share * len(units)
    return values


def corrected(observed: np.ndarray, children: list[np.ndarray], *, share=1 / 3, least=3) -> list[np.ndarray]:
    """The children of hidden units of which it is known when they are on.

    A child is on when its parent is and none of its other parents. So a unit that the others account for wherever one
    is on, as its grandparent's other children do, is not its child; and if it is left with none, it is no hidden unit.

    Args:
        observed: bool (samples, units).
        children: of each hidden unit, as far as they are known.
        share: of the samples in which a hidden unit is on, and no other one that turns a unit on, nor chance does, in
            which a child is on too. Negative weights of others make it less than one.
        least: such samples that there must be, and at least a twentieth of all in which the hidden unit is on.

    Returns:
        Sets of two units or more, as sorted indices.
    """
    # The smallest first: what chance has gathered is small, and goes before it can account for others.
    children = sorted(children, key=lambda units: (len(units), tuple(units)))
    seen, values = np.ascontiguousarray(observed, "uint8"), hidden_values(observed, children)
    accounted = np.zeros(seen.shape, "int16")  # how many hidden units turn a unit on
    belongs = np.zeros((len(children), seen.shape[1]), bool)
    for number, units in enumerate(children):
        belongs[number, units] = True
        accounted[np.ix_(np.flatnonzero(values[:, number]), units)] += 1
    # How often a unit is on though no hidden unit that is known turns it on.
    idle = accounted == 0
    chance = (seen & idle).sum(0) / np.maximum(len(seen) / 20, idle.sum(0))
    for number, units in enumerate(children):
        rows = np.flatnonzero(values[:, number])
        accounted[np.ix_(rows, units)] -= 1
        others, seen_here = accounted[rows], seen[rows]
        # Another that shares children is not on for these being on: its own must be.
        for rival in np.flatnonzero(belongs[:, units].sum(1) > 1):
            own = belongs[rival] & ~belongs[number]
            if not own.any():
                continue  # itself, or one that is all in it
            doubtful = np.flatnonzero(values[rows, rival])
            doubtful = doubtful[seen_here[np.ix_(doubtful, own)].sum(1) <= own.sum() / 2]
            if len(doubtful):
                others[np.ix_(doubtful, belongs[rival])] -= 1
        alone = others <= 0
        samples = alone.sum(0)
        often = (seen_here & alone).sum(0) > (chance + share * (1 - chance)) * samples
        found = often & (samples >= np.maximum(least, len(rows) / 20))
        belongs[number] = found if found.sum() > 1 else False
        accounted[np.ix_(rows, belongs[number])] += 1
    return [np.flatnonzero(row) for row in belongs if row.any()]


def unaccounted(observed: np.ndarray, children: list[np.ndarray]) -> np.ndarray:
    """Where units are on that no known hidden unit turns on: bool (samples, units)."""
    left = np.array(observed.T, bool)  # units first: the rows of a set are few
    for units, on in zip(children, hidden_values(observed, children).T, strict=True):
        left[units] &= ~on
    return left.T


def turned_off(observed, children: list[np.ndarray], *, doubt=0.02, false=0.01) -> list[np.ndarray]:
    """The units that hidden ones turn off, once it is known which ones they turn on.

    A unit whose parent is on is on, unless another parent turns it off. So looked at are the samples in which all other
    children of a parent are on, for then it is on itself; and of them those in which a hidden unit is on beside those
    in which it is not. Those are few: where one hidden unit in 200 is on, two certain ones are in 1 of 40,000 samples.

    Args:
        observed: bool (samples, units).
        children: of each hidden unit, those that it turns on.
        doubt: share of the samples in which all other children are on, that chance may have of them; of a parent of few
            children it has more, and they do not tell of it.
        false: share of what is found that may be chance of the samples, by Fisher's exact test and Benjamini and
            Hochberg's bound. Children that are wrong, and hidden units that depend on each other, are not in it.

    Returns:
        Of each hidden unit the units that it turns off, sorted.

    Raises:
        ImportError: scipy is not installed; the message says what to install.
    """
    if not children:
        return []
    with of_the_extra("scipy"):
        from scipy.stats import false_discovery_control, hypergeom

    values = np.ascontiguousarray(hidden_values(observed, children).T)
    seen = np.ascontiguousarray(np.transpose(observed), bool)
    rate, hidden_rate = seen.mean(1), values.mean(1)
    belongs = np.zeros((len(children), len(seen)), bool)
    for number, units in enumerate(children):
        belongs[number, units] = True
    told = np.zeros(seen.shape, bool)  # where a unit's parent is on, as its other children tell
    for number, units in enumerate(children):
        on = seen[units].sum(0, dtype="int32")
        rivals = np.flatnonzero(belongs[:, units].any(1))
        rivals = rivals[rivals != number]
        for unit in units:
            rest = units[units != unit]
            all_on = on - seen[unit] == len(rest)
            most = doubt * all_on.mean()
            # Another that has most of them, and chance for the others, tell nothing of this one.
            without = hidden_rate[rivals] * np.where(belongs[np.ix_(rivals, rest)], 1, rate[rest]).prod(1)
            all_on &= ~values[rivals[without >= most]].any(0)
            if np.prod(rate[rest]) < most:
                told[unit] |= all_on
    trials, on = _together(values, told), _together(values, told & seen)
    for number, units in enumerate(children):
        trials[number, units] = on[number, units] = 0
    probability = hypergeom.cdf(on, np.maximum(1, told.sum(1)), (told & seen).sum(1), trials)
    clear = false_discovery_control(probability, axis=None).reshape(probability.shape) < false
    if not clear.any():
        return [np.array([], int) for _ in children]
    limit = probability[clear].max()
    found = np.zeros(clear.shape, bool)
    for unit in np.flatnonzero(clear.any(0)):
        # A hidden unit that is on with one that turns the unit off need not do so itself: the clearest first, and then
        # where it is not on.
        rest, samples = np.flatnonzero(clear[:, unit]), np.flatnonzero(told[unit])
        while len(rest):
            on_here, unit_on = values[np.ix_(rest, samples)], seen[unit, samples]
            count, both = on_here.sum(1), (on_here & unit_on).sum(1)
            probability = hypergeom.cdf(both, len(samples), unit_on.sum(), count)
            clearest = probability.argmin()
            if probability[clearest] > limit:
                break
            found[rest[clearest], unit] = True
            samples = samples[~on_here[clearest]]
            rest = np.delete(rest, clearest)
    return [np.flatnonzero(row) for row in found]


def _together(a, b, samples=8192) -> np.ndarray:
    """In how many samples each row of a and each of b are both on; float32 counts up to 2**24 exactly."""
    counts = np.zeros((len(a), len(b)), "float32")
    for start in range(0, a.shape[1], samples):
        part = slice(start, start + samples)
        counts += a[:, part].astype("float32") @ b[:, part].T.astype("float32")
    return counts.astype(int)


@dataclasses.dataclass(frozen=True)
class RecoveredLayer:
    """A hidden layer as it was found from the layer below.

    Args:
        children: of each hidden unit, the units below that it turns on, sorted.
        turned_off: likewise, those that it turns off, as far as they are to be told.
    """

    children: tuple[np.ndarray, ...]
    turned_off: tuple[np.ndarray, ...] = ()


def recover(observed: np.ndarray, depth=1, **options) -> list[RecoveredLayer]:
    """The hidden layers above an observed one, from what is seen of it alone.

    Args:
        observed: bool (samples, units).
        depth: how many layers, from the lowest up.
        options: of `related_pairs`.

    Returns:
        A `RecoveredLayer` each; fewer where a layer shows no relations.

    Raises:
        ImportError: scipy is not installed; the message says what to install.
        ValueError: nothing was observed, or what is neither on nor off.
    """
    observed = np.asarray(observed)
    if observed.ndim != 2 or not observed.size:
        raise ValueError(f"expected samples of units, (samples, units); Received: shape {observed.shape}")
    if not (valid := (observed == 0) | (observed == 1)).all():
        raise ValueError(f"expected units that are on or off, 1 or 0; Received: {observed[~valid][0]}")
    observed = observed.astype(bool)
    layers = []
    for _ in range(depth):
        children = _layer_above(observed, **options)
        if not children:
            break
        layers.append(RecoveredLayer(tuple(children), tuple(turned_off(observed, children))))
        observed = hidden_values(observed, children)
    return layers


def _layer_above(observed: np.ndarray, **options) -> list[np.ndarray]:
    """The children of each unit of the layer above.

    In deep networks a hidden unit with few parents is on more rarely than the others, and its children's relations are
    as weak as those of cousins under the others. So the strong are found first, then those in what is left.

    Args:
        observed: bool (samples, units).
        options: of `related_pairs`.
    """
    children: list[np.ndarray] = []
    left = observed
    for _ in range(ROUNDS):
        before = len(children)
        children = corrected(observed, children + communities(left, related_pairs(left, **options)))
        if len(children) - before <= GAIN * len(children):
            break
        left = unaccounted(observed, children)
    return sorted(children, key=lambda units: (-len(units), tuple(units)))
