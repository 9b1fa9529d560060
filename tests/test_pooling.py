"""Caffe's pooling at every size against the definition, written out slowly."""

import keras
import numpy as np
import pytest
from contracts import check_layer

from keras_inception.layers.pooling import CeilAveragePooling2D, ceil_max_pooling


def slow_pool(x, size, stride, reduce):
    """Caffe's rule: ceil((n - size) / stride) + 1 windows, each cut off at the border."""
    n = x.shape[0]
    count = max(0, -(-(n - size) // stride)) + 1
    starts = [i * stride for i in range(count)]
    return np.array([[reduce(x[r : r + size, c : c + size]) for c in starts] for r in starts])


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("n", [3, 4, 5, 6, 7, 13, 14, 27, 28])
def test_max_pooling_is_caffes(n, known):
    x = np.random.default_rng(n).uniform(size=(1, n, n, 1)).astype("float32")
    inputs = keras.Input((n, n, 1) if known else (None, None, 1))
    model = keras.Model(inputs, ceil_max_pooling(inputs, name="pool"))
    np.testing.assert_array_equal(model(x)[0, :, :, 0], slow_pool(x[0, :, :, 0], 3, 2, np.max))


def test_max_pooling_of_a_map_with_an_odd_and_an_even_side():
    x = np.random.default_rng(0).uniform(size=(1, 6, 7, 1)).astype("float32")
    inputs = keras.Input((6, 7, 1))
    result = keras.Model(inputs, ceil_max_pooling(inputs, name="pool"))(x)
    assert result.shape == (1, 3, 3, 1)
    assert float(result[0, 2, 2, 0]) == x[0, 4:, 4:, 0].max()


@pytest.mark.parametrize("n", [1, 2, 4, 5, 6, 7, 8, 12, 13, 14, 15, 20])
def test_average_pooling_is_caffes(n):
    x = np.random.default_rng(n).uniform(size=(1, n, n, 2)).astype("float32")
    result = CeilAveragePooling2D(5, 3)(x)
    for channel in range(2):
        np.testing.assert_allclose(result[0, :, :, channel], slow_pool(x[0, :, :, channel], 5, 3, np.mean), rtol=1e-5)


def test_average_pooling_contract():
    check_layer(CeilAveragePooling2D(5, 3), (2, 14, 14, 3), (2, 4, 4, 3))
    check_layer(CeilAveragePooling2D(5, 3), (2, 13, 15, 3), (2, 4, 5, 3))


def test_average_pooling_channels_first():
    x = np.random.default_rng(0).uniform(size=(2, 12, 13, 3)).astype("float32")
    last = CeilAveragePooling2D(5, 3, data_format="channels_last")(x)
    first = CeilAveragePooling2D(5, 3, data_format="channels_first")(x.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(np.transpose(first, (0, 2, 3, 1)), last, rtol=1e-5)


def test_average_pooling_needs_a_known_size():
    with pytest.raises(ValueError, match="known height and width"):
        CeilAveragePooling2D()(keras.Input((None, None, 3)))
