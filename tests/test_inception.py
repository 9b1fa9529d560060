"""The Inception module in both forms: widths, names, and values against the same module written out in NumPy."""

import keras
import numpy as np
import pytest

from keras_inception.layers import BATCH_NORM_STYLE, InceptionWidths, inception_module, naive_inception_module
from keras_inception.layers.inception import relu_name


def build(module, *arguments, **options):
    inputs = keras.Input((6, 6, 4))
    return keras.Model(inputs, module(inputs, *arguments, name="inception_3a", **options))


def test_layers_carry_the_names_of_the_paper_and_caffe():
    model = build(inception_module, (2, 3, 4, 5, 6, 7))
    names = {layer.name for layer in model.layers[1:]}
    assert names == {
        "inception_3a_1x1",
        "inception_3a_relu_1x1",
        "inception_3a_3x3_reduce",
        "inception_3a_relu_3x3_reduce",
        "inception_3a_3x3",
        "inception_3a_relu_3x3",
        "inception_3a_5x5_reduce",
        "inception_3a_relu_5x5_reduce",
        "inception_3a_5x5",
        "inception_3a_relu_5x5",
        "inception_3a_pool",
        "inception_3a_pool_proj",
        "inception_3a_relu_pool_proj",
        "inception_3a_output",
    }


def slow_convolution(x, kernel, bias):
    """A "same" convolution of one image as a sum over the kernel's places, and the ReLU."""
    k = kernel.shape[0]
    padded = np.pad(x, ((k // 2, k // 2), (k // 2, k // 2), (0, 0)))
    h, w = x.shape[:2]
    result = sum(padded[i : i + h, j : j + w] @ kernel[i, j] for i in range(k) for j in range(k))
    return np.maximum(result + bias, 0)


def test_values_against_numpy():
    model = build(inception_module, (2, 3, 4, 5, 6, 7))
    x = np.random.default_rng(0).normal(size=(6, 6, 4))

    def conv(x, branch):
        return slow_convolution(x, *model.get_layer(f"inception_3a_{branch}").get_weights())

    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    pooled = np.max([padded[i : i + 6, j : j + 6] for i in range(3) for j in range(3)], axis=0)
    expected = np.concatenate(
        [
            conv(x, "1x1"),
            conv(conv(x, "3x3_reduce"), "3x3"),
            conv(conv(x, "5x5_reduce"), "5x5"),
            conv(pooled, "pool_proj"),
        ],
        axis=-1,
    )
    np.testing.assert_allclose(model(x[None].astype("float32"))[0], expected, rtol=1e-4, atol=1e-4)


def test_parameter_count():
    # 4 -> 2; 4 -> 3 -> 4 (3x3); 4 -> 5 -> 6 (5x5); 4 -> 7
    weights = 4 * 2 + 4 * 3 + 9 * 3 * 4 + 4 * 5 + 25 * 5 * 6 + 4 * 7
    assert build(inception_module, (2, 3, 4, 5, 6, 7)).count_params() == weights + 2 + 3 + 4 + 5 + 6 + 7
    as_3x3 = weights - 25 * 5 * 6 + 9 * 5 * 6
    assert build(inception_module, (2, 3, 4, 5, 6, 7), large_kernel=3).count_params() == as_3x3 + 27
    # batch norm: no biases, and four numbers a channel
    assert build(inception_module, (2, 3, 4, 5, 6, 7), style=BATCH_NORM_STYLE).count_params() == weights + 4 * 27


def test_naive_module_passes_its_whole_input_on():
    model = build(naive_inception_module, 2, 3, 5)
    assert model.output_shape == (None, 6, 6, 2 + 3 + 5 + 4)
    assert model.count_params() == 4 * 2 + 2 + 9 * 4 * 3 + 3 + 25 * 4 * 5 + 5
    x = np.random.default_rng(0).uniform(size=(1, 6, 6, 4)).astype("float32")
    assert float(model(x)[0, 0, 0, -1]) == x[0, :2, :2, -1].max()


def test_widths():
    assert InceptionWidths(64, 96, 128, 16, 32, 32).output == 256
    with pytest.raises(ValueError, match=r"six widths.*Received: widths=\(1, 2\)"):
        build(inception_module, (1, 2))


@pytest.mark.parametrize(
    "name, expected",
    [
        ("conv1_7x7_s2", "conv1_relu_7x7"),
        ("conv2_3x3_reduce", "conv2_relu_3x3_reduce"),
        ("inception_3a_pool_proj", "inception_3a_relu_pool_proj"),
        ("loss1_conv", "loss1_relu_conv"),
        ("mine", "mine_relu"),
    ],
)
def test_relu_names_are_caffes(name, expected):
    assert relu_name(name) == expected
