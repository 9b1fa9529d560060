"""The cost of modules against figures written out, against networks that Keras built, and what is wrong in Table 1."""

import json

import keras
import numpy as np
import pytest

import keras_inception_cli
from keras_inception import TABLE_1, GoogLeNet, inception_module, naive_inception_module
from keras_inception.layers.cost import naive_module, pointwise_stack, reduced_module
from keras_inception.models.table_1 import K, M, table_1_costs

# weights, biases, millions of multiply-adds: counted by hand from Table 1's channel columns
COUNTED = {
    "convolution 7x7/2": (9_408, 64, 118.014),
    "convolution 3x3/1": (114_688, 256, 359.662),
    "inception (3a)": (163_328, 368, 128.049),
    "inception (3b)": (388_096, 640, 304.267),
    "inception (4a)": (375_552, 624, 73.608),
    "inception (4b)": (448_512, 648, 87.908),
    "inception (4c)": (509_440, 664, 99.850),
    "inception (4d)": (604_672, 704, 118.516),
    "inception (4e)": (867_328, 1_024, 169.996),
    "inception (5a)": (1_042_432, 1_024, 51.079),
    "inception (5b)": (1_442_816, 1_264, 70.698),
    "linear": (1_024_000, 1_000, 1.024),
}


def test_table_1_recounted():
    rows = {row.type: row for row in table_1_costs()}
    assert list(rows) == list(COUNTED)
    for name, (weights, biases, operations) in COUNTED.items():
        cost = rows[name].cost
        assert (cost.weights, cost.biases) == (weights, biases)
        assert cost.operations / M == pytest.approx(operations, abs=5e-4)
    assert sum(row.cost.parameters for row in rows.values()) == 6_998_552 == GoogLeNet(weights=None).count_params()


def built(module, inputs, size, *widths):
    """Parameters of a module that Keras built, its output, and its multiply-adds from its own kernels and maps."""
    x = keras.Input((size, size, inputs))
    model = keras.Model(x, module(x, *widths, name="inception_3a"))
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    operations = sum(np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:3]) for layer in convolutions)
    return model.count_params(), model.output_shape[-1], operations


@pytest.mark.parametrize("row", [row for row in TABLE_1 if row.type.startswith("inception")], ids=lambda row: row.type)
def test_a_cost_is_that_of_the_layers(row):
    found = {cost.type: cost for cost in table_1_costs()}[row.type]
    size, _, outputs = row.output
    parameters, channels, operations = built(inception_module, found.inputs, size, row.widths)
    assert (found.cost.parameters, found.outputs, found.cost.operations) == (parameters, channels, operations)
    naive = row.widths.n1x1, row.widths.n3x3, row.widths.n5x5
    parameters, channels, operations = built(naive_inception_module, found.inputs, size, *naive)
    assert (found.naive.parameters, found.naive_outputs, found.naive.operations) == (parameters, channels, operations)
    assert found.stack.weights == found.inputs * outputs + outputs * outputs


def test_other_maps_and_depths():
    assert reduced_module(3, (1, 1, 1, 1, 1, 1), 2, 5).operations == (3 + 3 + 9 + 3 + 25 + 3) * 10
    assert reduced_module(3, (1, 1, 1, 1, 1, 1), 2, 5, large_kernel=3).weights == 3 + 3 + 9 + 3 + 9 + 3
    assert naive_module(2, (1, 1, 1), 1, 1)[:2] == (2 + 18 + 50, 3)
    assert pointwise_stack(2, 4, 3, 3, depth=3)[:3] == (8 + 16 + 16, 12, 40 * 9)


def test_where_the_paper_is_wrong():
    verdicts = {row.type: row.verdict for row in table_1_costs() if row.verdict}
    assert verdicts == {
        "convolution 7x7/2": "params and ops wrong: right for a separable 7x7 with depth multiplier 8",
        "inception (4a)": "params and ops wrong: right for 204 filters of 3x3",
        "inception (4b)": "params wrong: right for 508 inputs, which 4a with 204 filters gives",
        "inception (4c)": "params wrong, unexplained",
        "inception (4d)": "params wrong, unexplained",
        "inception (4e)": "params wrong, unexplained",
        "inception (5a)": "params and ops wrong: ops right for a 5x5 reduction to 48",
        "inception (5b)": "params wrong, unexplained",
    }


def test_the_command(capsys):
    assert keras_inception_cli.main(["table1"]) == 0
    text = capsys.readouterr().out
    lines = {line[:17].strip(): line.split() for line in text.splitlines()}
    assert lines["inception (3a)"][2:] == "192 256 159.9 128.0 159K 128M 416 378.2 303.5 112.5 89.9".split()
    assert "6,834.5  1,582.7  6,797.7K 1,502M" in text
    assert "inception (4a): params and ops wrong: right for 204 filters of 3x3" in text
    assert keras_inception_cli.main(["table1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[2]["type"] == "inception (3a)" and rows[2]["naive"]["weights"] == 192 * (64 + 9 * 128 + 25 * 32)
    assert rows[0]["printed"] == [2.7, 34] and rows[0]["cost"]["weights"] / K == 9_408 / 1024 and not rows[0]["naive"]
