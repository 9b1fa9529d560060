"""The optimizer against Caffe's arithmetic, by hand."""

import contextlib

import keras
import numpy as np
import pytest

from training.optimizer import CaffeSGD


def variables():
    kernel = keras.Variable(np.array([1.0, -2.0], "float32"), name="kernel")
    bias = keras.Variable(np.array([0.5], "float32"), name="bias")
    return kernel, bias


def test_two_steps_by_hand():
    kernel, bias = variables()
    optimizer = CaffeSGD(0.1, momentum=0.9, l2=0.01, bias_multiplier=2.0)
    optimizer.build([kernel, bias])
    for _ in range(2):
        optimizer.apply([np.array([0.3, 0.0], "float32"), np.array([1.0], "float32")], [kernel, bias])
    # The penalty goes through the momentum: velocity = 0.9 * velocity - 0.1 * (gradient + 0.01 * weight)
    first = 1 - 0.1 * (0.3 + 0.01 * 1)
    second = first + 0.9 * (first - 1) - 0.1 * (0.3 + 0.01 * first)
    decayed = -2 + 0.1 * 0.01 * 2
    decayed_twice = decayed + 0.9 * (decayed + 2) - 0.1 * 0.01 * decayed
    assert np.array(kernel.value) == pytest.approx([second, decayed_twice], abs=1e-6)
    # Twice the rate, and no penalty: 0.5 - 0.2, then -0.9 * 0.2 - 0.2
    assert np.array(bias.value) == pytest.approx([0.3 - 0.38], abs=1e-6)


def test_without_penalty_and_multiplier_it_is_keras_own():
    ours, theirs = variables(), variables()
    gradients = [np.array([0.3, -0.1], "float32"), np.array([1.0], "float32")]
    for optimizer, weights in ((CaffeSGD(0.1, 0.9, True), ours), (keras.optimizers.SGD(0.1, 0.9, True), theirs)):
        for _ in range(3):
            optimizer.apply(gradients, list(weights))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(np.array(a.value), np.array(b.value))


def test_a_rate_of_its_own():
    """As if the variable, which others may change meanwhile, had it; biases at their multiple."""
    results = []
    for variable_rate, own in ((0.1, None), (77.0, 0.1)):
        kernel, bias = variables()
        optimizer = CaffeSGD(variable_rate, momentum=0.9, l2=0.01, bias_multiplier=2.0)
        optimizer.build([kernel, bias])
        with contextlib.nullcontext() if own is None else optimizer.at(own):
            optimizer.apply([np.array([0.3, 0.0], "float32"), np.array([1.0], "float32")], [kernel, bias])
        results.append([*np.array(kernel.value), *np.array(bias.value)])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-6)
    optimizer.learning_rate.assign(0.0)
    optimizer.apply([np.array([0.3, 0.0], "float32"), np.array([1.0], "float32")], [kernel, bias])
    # From then on the variable's again; what is left is the momentum of one step.
    assert float(bias.value[0]) == pytest.approx(0.3 - 0.9 * 0.2, abs=1e-6)


def test_averages_and_the_rate():
    kernel, bias = variables()
    optimizer = CaffeSGD(0.1, use_ema=True, ema_momentum=0.75)
    optimizer.build([kernel, bias])
    values = []
    for _ in range(2):
        optimizer.apply([np.array([1.0, 0.0], "float32"), np.array([1.0], "float32")], [kernel, bias])
        values.append(np.array(kernel.value))
    (first, average), (second, _) = optimizer.averages
    assert first is kernel and second is bias
    np.testing.assert_allclose(average.value, 0.75 * values[0] + 0.25 * values[1], rtol=1e-6)
    assert any(variable is optimizer.rate for variable in optimizer.variables)
    optimizer.learning_rate = 0.5
    assert float(optimizer.rate.value) == 0.5
    assert CaffeSGD(0.1).averages == []


def test_config():
    optimizer = CaffeSGD(0.1, momentum=0.8, l2=0.3, bias_multiplier=2.0, use_ema=True)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert (again.l2, again.bias_multiplier, again.momentum) == (0.3, 2.0, 0.8)
