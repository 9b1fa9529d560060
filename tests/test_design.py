"""Groups of units and the modules that they ask for: planted groups of known width, and budgets that are kept."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_inception
from keras_inception.layers.cost import reduced_module
from keras_inception.topology import cluster_units, correlation_statistics, design_module
from keras_inception.topology.design import MULTIPLE, Demand, demand, fit_to_budget


def smooth(field, size):
    """Means over squares of size x size places."""
    for axis in (1, 2):
        field = sum(np.roll(field, shift, axis) for shift in range(size)) / size
    return field / field.std()


@pytest.fixture(scope="module")
def planted():
    """Maps of 30 units in five groups, of which each follows a source of its own, as wide as 1, 3 or 7 places; one
    unit never changes.
    """
    import keras

    rng = np.random.default_rng(0)
    groups = [(range(0, 8), 1), (range(8, 14), 1), (range(14, 20), 3), (range(20, 26), 7), (range(26, 29), 7)]
    maps = np.zeros((60, 16, 16, 30), "float32")
    for units, size in groups:
        source = smooth(rng.normal(size=(60, 16, 16)), size)
        for unit in units:
            maps[..., unit] = source + 0.4 * rng.normal(size=source.shape)
    maps[..., 29] = 3
    inputs = keras.Input((16, 16, 30))
    model = keras.Model(inputs, keras.layers.Identity(name="layer")(inputs))
    statistics = correlation_statistics(model, "layer", maps, radius=3, positions=256)["layer"]
    return statistics, groups


def test_planted_groups_are_found_with_their_width(planted):
    statistics, groups = planted
    clusters = cluster_units(statistics)
    found = {tuple(cluster.units): cluster for cluster in clusters}
    assert set(found) == {tuple(units) for units, _ in groups}, "and the constant unit is in none"
    assert [len(cluster.units) for cluster in clusters] == [8, 6, 6, 6, 3]
    for units, size in groups:
        cluster = found[tuple(units)]
        assert cluster.cohesion == pytest.approx(1 / 1.16, abs=0.03)
        assert cluster.patch == {1: 1, 3: 3, 7: 5}[size]
        assert cluster.rings[0] > cluster.rings[1] and len(cluster.rings) == 4
    spreads = {size: found[tuple(units)].spread for units, size in groups}
    assert spreads[1] < spreads[3] < spreads[7]


def test_a_higher_threshold_parts_groups(planted):
    statistics, _ = planted
    assert len(cluster_units(statistics, threshold=0.95)) == 29
    assert len(cluster_units(statistics, threshold=-0.9)) < 5


def test_what_planted_groups_ask_for(planted):
    statistics, _ = planted
    asked = demand(statistics)
    assert asked.clusters == (2, 1, 2) and asked.shares == (0.4, 0.2, 0.4)
    # One source, and noise of 0.16 / 1.16 of the variance in six units: one component keeps 0.86 + 0.14 / 6.
    assert demand(statistics, explained=0.85).dimensions == (1, 2)
    assert demand(statistics, explained=1.0).dimensions == (6, 9)


@pytest.mark.parametrize("budget", [1e6, 1e7, 1e8])
def test_a_module_stays_within_its_budget_and_uses_it(planted, budget):
    statistics, _ = planted
    widths = design_module(statistics, budget)
    spent = reduced_module(30, widths, 16, 16).operations
    assert spent <= budget and all(width % MULTIPLE == 0 and width > 0 for width in widths)
    assert spent > 0.7 * budget
    assert widths.n1x1 == pytest.approx(2 * widths.n3x3, abs=2 * MULTIPLE)
    assert widths.n3x3_reduce <= 24 and widths.n5x5_reduce <= 24, "30 inputs, in eights"
    assert isinstance(widths, keras_inception.layers.InceptionWidths)


@given(
    st.tuples(*[st.integers(0, 900)] * 3).filter(any),
    st.tuples(*[st.integers(0, 900)] * 2),
    st.integers(1, 1200),
    st.integers(1, 60),
    st.floats(1, 1e10),
)
@settings(max_examples=300, deadline=None)
def test_any_demand_within_any_budget(clusters, dimensions, inputs, side, budget):
    smallest = reduced_module(inputs, (MULTIPLE,) * 6, side, side).operations
    if budget < smallest:
        with pytest.raises(ValueError, match="which the smallest module costs"):
            fit_to_budget(Demand(clusters, dimensions), inputs, (side, side), budget)
        return
    widths = fit_to_budget(Demand(clusters, dimensions), inputs, (side, side), budget)
    assert reduced_module(inputs, widths, side, side).operations <= budget
    assert max(widths.n3x3_reduce, widths.n5x5_reduce) <= max(inputs, MULTIPLE)


def test_a_budget_too_small_is_one_sentence(planted):
    for budget, expected in (
        (float("nan"), "multiply-adds or more, .*; Received: budget=nan"),
        (float("inf"), "that ends"),
    ):
        with pytest.raises(ValueError, match=expected):
            design_module(planted[0], budget)
    with pytest.raises(ValueError, match="above 0, up to 1; Received: explained=2"):
        design_module(planted[0], 1e9, explained=2)
    with pytest.raises(ValueError, match=r"budget of 802,816 multiply-adds or more.*30 channels of 16 x 16; Rec"):
        design_module(planted[0], 1000)


def test_statistics_without_offsets_are_one_sentence(planted):
    statistics, _ = planted
    near = dataclasses.replace(
        statistics, moments={o: m for o, m in statistics.moments.items() if max(map(abs, o)) < 2}
    )
    with pytest.raises(ValueError, match="offsets up to 2, which tell .* Received: offsets up to 1 of layer"):
        design_module(near, 1e8)


def test_units_that_never_change_are_no_groups():
    import keras

    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, keras.layers.Identity(name="layer")(inputs))
    statistics = correlation_statistics(model, "layer", np.full((5, 4, 4, 3), 2.0, "float32"), radius=2)["layer"]
    for function in (cluster_units, lambda statistics: design_module(statistics, 1e6)):
        with pytest.raises(ValueError, match="expected units that change; Received: layer, of which none does"):
            function(statistics)


@pytest.mark.parametrize("options", [{"threshold": 1.0}, {"fraction": 0}])
def test_wrong_arguments(planted, options):
    with pytest.raises(ValueError, match="a threshold between -1 and 1, and a fraction up to 1"):
        cluster_units(planted[0], **options)
