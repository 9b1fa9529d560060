"""Local response normalization against hand-worked values, TensorFlow's operation, and its own precision promise."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from contracts import check_layer

from keras_inception.layers import LocalResponseNormalization


def test_contract():
    check_layer(LocalResponseNormalization(), (2, 3, 4, 8), (2, 3, 4, 8))


def test_hand_worked_value_in_tensorflows_convention():
    # Channels 1, 2, 3, 4 and a window of three: the sums of squares are 1+4, 1+4+9, 4+9+16, 9+16.
    x = np.array([1.0, 2.0, 3.0, 4.0], "float32").reshape(1, 1, 1, 4)
    layer = LocalResponseNormalization(depth_radius=1, bias=2.0, alpha=0.5, beta=0.5)
    # 2 + 0.5 * (5, 14, 29, 25) = 4.5, 9, 16.5, 14.5
    expected = [1 / 4.5**0.5, 2 / 9**0.5, 3 / 16.5**0.5, 4 / 14.5**0.5]
    np.testing.assert_allclose(np.ravel(layer(x)), expected, rtol=1e-6)


def test_hand_worked_value_in_caffes_convention():
    # Caffe divides alpha by local_size: with local_size 3 and alpha 3 each square weighs 1.
    x = np.array([1.0, 2.0, 3.0, 4.0], "float32").reshape(1, 1, 1, 4)
    layer = LocalResponseNormalization.from_caffe(local_size=3, alpha=3.0, beta=0.75, k=1.0)
    expected = [1 / 6**0.75, 2 / 15**0.75, 3 / 30**0.75, 4 / 26**0.75]
    np.testing.assert_allclose(np.ravel(layer(x)), expected, rtol=1e-6)


def test_defaults_are_bvlc_googlenets():
    ours = LocalResponseNormalization().get_config()
    caffe = LocalResponseNormalization.from_caffe(local_size=5, alpha=1e-4, beta=0.75, k=1.0).get_config()
    assert {k: v for k, v in ours.items() if k != "name"} == {k: v for k, v in caffe.items() if k != "name"}


@pytest.mark.parametrize(
    "constants", [(2, 1.0, 2e-5, 0.75), (5, 2.0, 1e-4, 0.5), (4, 1.0, 1e-4 / 9, 0.6), (0, 1.0, 1.0, 1.0)]
)
@pytest.mark.parametrize("channels", [5, 16, 24, 48])  # in one piece, and in blocks of 16
def test_equals_tensorflows_operation(constants, channels):
    x = np.random.default_rng(0).normal(scale=50, size=(2, 5, 7, channels)).astype("float32")
    expected = tf.nn.local_response_normalization(x, *constants)
    np.testing.assert_allclose(LocalResponseNormalization(*constants)(x), expected, rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_is_float32_inside(policy):
    # 400 squared is above float16's largest number; the result is not.
    x = np.full((1, 1, 1, 5), 400.0, "float32")
    layer = LocalResponseNormalization(dtype=policy)
    expected = 400 / (1 + 2e-5 * np.array([3, 4, 5, 4, 3]) * 160_000) ** 0.75
    np.testing.assert_allclose(np.ravel(tf.cast(layer(x), "float32")), expected, rtol=0.01)


def test_channels_first_equals_channels_last():
    x = np.random.default_rng(0).normal(size=(2, 5, 7, 24)).astype("float32")
    expected = LocalResponseNormalization(data_format="channels_last")(x)
    result = LocalResponseNormalization(data_format="channels_first")(x.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(np.transpose(result, (0, 2, 3, 1)), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"depth_radius": -1}, "depth_radius=-1"),
        ({"depth_radius": 1.5}, "depth_radius=1.5"),
        ({"bias": 0.0}, "bias=0.0"),
    ],
)
def test_bad_constants(arguments, message):
    with pytest.raises(ValueError, match=message):
        LocalResponseNormalization(**arguments)
    with pytest.raises(ValueError, match="local_size=4"):
        LocalResponseNormalization.from_caffe(local_size=4)


def test_an_unknown_size():
    x = np.random.default_rng(0).normal(size=(2, 5, 7, 32)).astype("float32")
    inputs = keras.Input((None, None, 32))
    model = keras.Model(inputs, LocalResponseNormalization()(inputs))
    np.testing.assert_allclose(model(x), LocalResponseNormalization()(x), rtol=1e-6)
    np.testing.assert_allclose(model.predict(x, verbose=0), LocalResponseNormalization()(x), rtol=1e-6)


@pytest.mark.parametrize("channels", [6, 32])
def test_gradient(channels):
    x = tf.constant(np.random.default_rng(0).normal(size=(1, 1, 2, channels)))
    layer = LocalResponseNormalization(alpha=0.1)
    theoretical, numerical = tf.test.compute_gradient(
        lambda v: layer(tf.cast(v, "float32")), [tf.cast(x, "float32")], delta=1e-2
    )
    np.testing.assert_allclose(theoretical[0], numerical[0], atol=2e-3)


def test_unknown_channels():
    with pytest.raises(ValueError, match="known number of channels"):
        LocalResponseNormalization()(keras.Input((4, 4, None)))
