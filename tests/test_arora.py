"""Random sparse networks recovered from what is seen of their lowest layer, against the edges that made them."""

import inspect

import numpy as np
import pytest

from keras_inception.topology import arora
from keras_inception.topology.arora import (
    RecoveredLayer,
    communities,
    corrected,
    hidden_values,
    recover,
    related_pairs,
    turned_off,
    unaccounted,
)
from keras_inception.topology.sparse_network import SparseNetwork, score, visible


def test_a_random_network_is_as_the_theorem_has_it():
    network = SparseNetwork.random(200, 6, 0.02, depth=2, seed=3)
    for weights in network.weights:
        assert weights.shape == (200, 200) and ((weights != 0).sum(0) == 6).all()
        assert -1 <= weights.min() < -0.9 and 0.9 < weights.max() <= 1
    seen = network.sample(4000, seed=5)
    rng = np.random.default_rng(5)
    top = rng.random((4000, 200)) < 0.02
    middle = top @ network.weights[1].T > 0
    np.testing.assert_array_equal(seen, middle @ network.weights[0].T > 0)
    assert 0.1 < seen.mean() < 0.25, "three of the six children are turned on, twice"


@pytest.mark.parametrize("degree, density, samples", [(8, 0.005, 20_000), (24, 0.005, 20_000)])
def test_the_layer_above_a_thousand_units_is_recovered(degree, density, samples):
    network = SparseNetwork.random(1000, degree, density)
    (layer,) = recover(network.sample(samples))
    found = score(layer, network.weights[0])
    assert found.recall > 0.95 and found.precision > 0.95 and found.units > 0.9
    # Units with one positive edge, or none, make no pair; of all others every one is found.
    edges = (network.weights[0] > 0).sum(0)
    assert (found.order[edges > 1] >= 0).mean() > 0.97


def test_what_recovers_sees_the_lowest_layer_alone():
    assert list(inspect.signature(recover).parameters) == ["observed", "depth", "options"]
    assert "sparse_network" not in inspect.getsource(arora)


def test_two_layers():
    network = SparseNetwork.random(1000, 8, 0.001, depth=2)
    layers = recover(network.sample(20_000), depth=2)
    first = score(layers[0], network.weights[0], above=network.weights[1])
    second = score(layers[1], network.weights[1], first.order)
    # Of the lower layer 2 % are never on, for no unit turns them on.
    assert first.recall > 0.94 and first.precision > 0.94
    assert second.recall > 0.93 and second.precision > 0.9


def turned_on(hidden, children, units):
    return np.stack([hidden[:, [u in part for part in children]].any(1) for u in range(units)], 1)


def test_children_are_corrected_once_it_is_known_when_their_parents_are_on():
    """Two hidden units with a parent in common, and one without: a pair of cousins is no set, a child was missing."""
    rng = np.random.default_rng(0)
    above = rng.random((20_000, 3)) < 0.02
    hidden = np.stack([above[:, 0] | above[:, 1], above[:, 1] | above[:, 2], rng.random(20_000) < 0.02], 1)
    children = [[0, 1, 2, 3], [4, 5, 6, 7], [7, 8, 9]]
    seen = turned_on(hidden, children, 11)
    guessed = [np.array(units) for units in ([0, 4], [0, 1, 2], [4, 5, 6, 7, 3], [7, 8, 9])]
    found = corrected(seen, guessed)
    assert sorted(map(list, found)) == children
    np.testing.assert_array_equal(unaccounted(seen, found), np.zeros_like(seen))
    left = unaccounted(seen, found[:1])
    assert not left[:, found[0]].any() and left[:, 8].sum() == seen[:, 8].sum()


def test_a_set_is_kept_where_it_shares_most_of_another():
    """When the first is on, so are three of the four children of the second, which is not."""
    hidden = np.random.default_rng(0).random((20_000, 2)) < 0.02
    children = [[0, 1, 2, 3, 4, 5], [3, 4, 5, 6]]
    seen = turned_on(hidden, children, 7)
    assert sorted(map(list, corrected(seen, [np.array(units) for units in children]))) == children


def test_what_is_mostly_on_is_no_child_of_all():
    network = SparseNetwork.random(300, 8, 0.01)
    seen = network.sample(20_000)
    rng = np.random.default_rng(0)
    for rate in (0.3, 0.6, 1):
        seen[:, 5] = rng.random(20_000) < rate
        (layer,) = recover(seen)
        assert not any(5 in units for units in layer.children)
        found = score(layer, network.weights[0])
        assert found.recall > 0.98 and found.precision > 0.99


def test_what_turns_units_off_is_found_where_units_are_often_on():
    network = SparseNetwork.random(500, 8, 0.02)
    (layer,) = recover(network.sample(20_000))
    found = score(layer, network.weights[0])
    assert found.recall > 0.97 and found.off_recall > 0.35 and found.off_precision > 0.95


def test_turned_off():
    """The second hidden unit turns off a child of the first; the third is mostly on with the second."""
    rng = np.random.default_rng(0)
    hidden = rng.random((20_000, 4)) < 0.05
    hidden[:, 2] = np.where(rng.random(20_000) < 0.8, hidden[:, 1], hidden[:, 2])
    children = [np.arange(5 * number, 5 * number + 5) for number in range(4)]
    seen = turned_on(hidden, children, 20)
    assert [units.tolist() for units in turned_off(seen, children)] == [[], [], [], []]
    seen[:, 0] &= ~hidden[:, 1]
    assert [units.tolist() for units in turned_off(seen, children)] == [[], [0], [], []]
    assert turned_off(seen, []) == []
    # Where a hidden unit has all other children of a unit's parent, they do not tell that this parent is on.
    several = [np.array([0, 1, 2]), np.array([1, 2, 3, 4, 5]), np.arange(6, 11)]
    hidden = rng.random((20_000, 3)) < 0.005
    assert [units.tolist() for units in turned_off(turned_on(hidden, several, 11), several)] == [[], [], []]
    pairs = [np.array([0, 1]), *children[1:]]  # the other child alone tells too little of their parent
    assert [units.tolist() for units in turned_off(seen, pairs)] == [[], [], [], []]


def test_it_fails_where_the_theorem_does_not_hold():
    network = SparseNetwork.random(1000, 8, 0.005)
    few = recover(network.sample(300))
    assert not few or score(few[0], network.weights[0]).recall < 0.5
    crowded = SparseNetwork.random(400, 8, 0.3)
    found = recover(crowded.sample(4000))
    assert not found or score(found[0], crowded.weights[0]).recall < 0.5


def test_chance_is_no_relation():
    noise = np.random.default_rng(0).random((20_000, 500)) < 0.03
    assert related_pairs(noise).sum() < 10
    assert not related_pairs(np.zeros((50, 4), bool)).any() and recover(np.zeros((50, 4), bool)) == []


def test_a_network_that_can_be_seen_through():
    rng = np.random.default_rng(0)
    hidden = rng.random((5000, 3)) < 0.05
    children = [np.array([0, 1, 2, 3]), np.array([4, 5, 6]), np.array([3, 7])]  # 3 has two parents
    weights = np.zeros((8, 3), "float32")
    for parent, units in enumerate(children):
        weights[units, parent] = 1
    seen = hidden @ weights.T > 0
    (layer,) = recover(seen)
    assert [units.tolist() for units in layer.children] == [[0, 1, 2, 3], [4, 5, 6], [3, 7]]
    np.testing.assert_array_equal(hidden_values(seen, list(layer.children), share=0.8), hidden)
    found = score(layer, weights[:, ::-1])
    assert (found.recall, found.precision, found.units) == (1, 1, 1) and found.order.tolist() == [2, 1, 0]


def test_a_pair_that_is_never_on_together_is_no_set():
    seen = np.eye(4, dtype=bool)[np.arange(40) % 4]
    seen[:20, 1] = seen[:20, 0]
    related = np.zeros((4, 4), bool)
    related[0, 1] = related[1, 0] = related[2, 3] = related[3, 2] = True
    assert [units.tolist() for units in communities(seen, related)] == [[0, 1]]


def test_a_score_counts_edges():
    weights = np.zeros((6, 2), "float32")
    weights[[0, 1, 2], 0] = 0.5
    weights[[3, 4], 1] = [0.5, -0.5]
    found = score(RecoveredLayer((np.array([0, 1, 5]),)), weights)
    assert found.recall == pytest.approx(2 / 4) and found.precision == pytest.approx(2 / 3)
    assert found.units == 0.5 and found.order.tolist() == [0, -1]
    assert found.off_recall == 0 and np.isnan(found.off_precision)
    weights[[4, 5], 0] = -0.5
    sets = (np.array([0, 1]), np.array([3]))
    found = score(RecoveredLayer(sets, (np.array([3, 4, 5]), np.array([4]))), weights)
    assert found.off_recall == pytest.approx(2 / 3) and found.off_precision == 2 / 4  # of the second nothing is visible


def test_what_a_hidden_unit_that_was_not_found_turns_off_is_not_found():
    weights = np.zeros((8, 1), "float32")
    weights[[0, 1], 0], weights[7, 0] = 1, -1
    found = score(RecoveredLayer((np.array([4, 5]),), (np.array([7]),)), weights)
    assert found.recall == found.off_recall == found.off_precision == 0


def test_what_leaves_no_trace_is_not_found():
    weights = np.zeros((6, 2), "float32")
    weights[0, 0] = weights[[0, 1], 1] = 1
    found = score(RecoveredLayer((np.array([0, 1]), np.array([0, 5]))), weights)
    assert found.recall == pytest.approx(2 / 3) and found.precision == 0.5 and found.order.tolist() == [-1, 0]
    assert visible(weights).tolist() == [False, True]
    above = np.array([[1], [-1]])
    assert visible(weights, above).tolist() == [False, False]
    found = score(RecoveredLayer((np.array([0, 1]),)), weights, None, above)
    assert found.recall == found.precision == found.units == 0 and found.order.tolist() == [-1, -1]


@pytest.mark.parametrize("options", [{"degree": 2000}, {"degree": 0}, {"density": 1.0}, {"depth": 0}])
def test_wrong_arguments(options):
    with pytest.raises(ValueError, match="a degree up to the width, a hidden layer"):
        SparseNetwork.random(**options)


def test_nothing_observed():
    with pytest.raises(ValueError, match=r"\(samples, units\); Received: shape \(0, 7\)"):
        recover(np.zeros((0, 7)))
    with pytest.raises(ValueError, match="on or off, 1 or 0; Received: nan"):
        recover(np.array([[1, np.nan]]))
    with pytest.raises(ValueError, match="a sample or more; Received: count=0"):
        SparseNetwork.random(5, 2).sample(0)


def test_sets_that_share_a_half_are_two():
    """Of pairs that have a unit in common each is a set of its own; with a degree of four most sets are pairs."""
    network = SparseNetwork.random(1000, 4, 0.005)
    edges = network.weights[0] > 0
    found = score(recover(network.sample(20_000))[0], network.weights[0])
    visible = edges[:, edges.sum(0) > 1].sum() / edges.sum()
    assert found.precision > 0.99 and visible - 0.01 < found.recall <= visible
