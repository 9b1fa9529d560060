"""Multiply-adds of whole networks: the sum of Table 1's rows, and small ones by hand."""

import keras
import pytest

from keras_inception import GoogLeNet, NetworkInNetwork
from keras_inception.models.hmax import HMAX
from keras_inception.models.operations import multiply_adds
from keras_inception.models.table_1 import table_1_costs


def test_googlenet_is_the_sum_of_its_rows():
    total = sum(row.cost.operations for row in table_1_costs())
    model = GoogLeNet(weights=None)
    assert multiply_adds(model) == total == 1_582_671_872
    assert multiply_adds(model) == total, "and nothing that was made of it in between counts"
    keras.Model(model.input, model.get_layer("inception_3a_output").output)
    model(keras.Input((224, 224, 3)))
    assert multiply_adds(model) == total


def test_network_in_network_by_hand():
    layers = ((3, 192, 5, 32), (192, 160, 1, 32), (160, 96, 1, 32), (96, 192, 5, 16), (192, 192, 1, 16))
    layers += ((192, 192, 1, 16), (192, 192, 3, 8), (192, 192, 1, 8), (192, 10, 1, 8))
    expected = sum(inputs * filters * size**2 * side**2 for inputs, filters, size, side in layers)
    assert multiply_adds(NetworkInNetwork(weights=None, variant="cifar10")) == expected


def test_gabor_filters_and_prototypes_by_hand():
    model = HMAX(8, patch_sizes=(4,), bands=(1, 2), input_shape=(32, 32, 3))
    filters = 4 * (7**2 + 9**2 + 11**2 + 13**2) * 32**2
    prototypes = 4 * 4 * 4 * 8 * ((8 - 3) ** 2 + (7 - 3) ** 2)  # on the maps of both bands: 8 x 8, and 7 x 7
    assert multiply_adds(model) == filters + prototypes
    classifier = keras.Sequential([model, keras.layers.BatchNormalization(), keras.layers.Dense(10)])
    classifier.build((None, 32, 32, 3))
    assert multiply_adds(classifier) == filters + prototypes + 80
    stem = GoogLeNet(weights=None, stem="small_gabor", classes=10)
    small = GoogLeNet(weights=None, stem="small", classes=10)
    # 48 filters in place of 64, for the 1x1 convolution behind them too.
    fixed, learned = 3 * filters // 32**2 + 48 * 64, 3 * 3 * 3 * 64 + 64 * 64
    assert multiply_adds(stem) - multiply_adds(small) == 32**2 * (fixed - learned)


@pytest.mark.parametrize(
    "layer, message",
    [
        (keras.layers.DepthwiseConv2D(3, name="deep"), "Received: deep, a DepthwiseConv2D"),
        (keras.layers.Dense(4, name="dense"), r"maps of known size; Received: dense, of shape \(None, None, 8, 4\)"),
        (keras.layers.Conv2D(4, 3, name="conv"), r"maps of known size; Received: conv, of shape \(None, None, 6, 4\)"),
    ],
)
def test_what_cannot_be_counted(layer, message):
    inputs = keras.Input((None, 8, 3))
    with pytest.raises(ValueError, match=message):
        multiply_adds(keras.Model(inputs, layer(inputs)))


def test_a_model_without_a_graph():
    class Own(keras.Model):
        pass

    with pytest.raises(ValueError, match="made of inputs and outputs; Received: Own"):
        multiply_adds(Own())
