"""Feature extraction under the names of every format."""

import numpy as np
import pytest

from keras_inception import GoogLeNet, GoogLeNetSpec, features
from keras_inception.features import resolve
from keras_inception.models.googlenet import build_googlenet


@pytest.fixture(scope="module")
def paper():
    return GoogLeNet(weights=None, input_shape=(64, 64, 3), classes=4)


@pytest.fixture(scope="module")
def slim():
    return build_googlenet(GoogLeNetSpec("slim", aux_heads=True), input_shape=(64, 64, 3))


def test_three_names_of_one_tensor(paper):
    x = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    names = ["inception_4c/output", "Mixed_4d", "mixed4c", "inception4c", "inception_4c_output"]
    result = features(paper, names)(x)
    assert list(result) == names
    for name in names:
        assert result[name].shape == (1, 4, 4, 512)
        np.testing.assert_array_equal(result[name], result["inception_4c/output"])


@pytest.mark.parametrize(
    "name, layer",
    [
        ("Mixed_4d", "inception_4c_output"),  # TF-slim's letters run one ahead ...
        ("mixed4d", "inception_4d_output"),  # ... and Lucid's do not
        ("inception_3a/5x5", "inception_3a_relu_5x5"),  # Caffe's blob, after the ReLU in place
        ("inception_3a_5x5", "inception_3a_5x5"),  # our layer, before it
        ("mixed3a_5x5", "inception_3a_relu_5x5"),
        ("mixed3a_5x5_pre_relu", "inception_3a_5x5"),
        ("inception3a.branch3.1", "inception_3a_relu_5x5"),
        ("Mixed_3b/Branch_2/Conv2d_0b_3x3", "inception_3a_relu_5x5"),
        ("Mixed_5b/Branch_2/Conv2d_0a_3x3", "inception_5a_relu_5x5"),
        ("conv2d2", "conv2_relu_3x3"),
        ("conv1/7x7_s2", "conv1_relu_7x7"),
        ("localresponsenorm1", "conv2_norm2"),
        ("maxpool10", "pool4_3x3_s2"),
        ("pool5/7x7_s1", "pool5_7x7_s1"),
        ("loss3/classifier", "loss3_classifier"),
        ("prob", "predictions"),
        ("conv1/relu_7x7", "conv1_relu_7x7"),
        ("pool5/drop_7x7_s1", "pool5_drop_7x7_s1"),
    ],
)
def test_aliases(paper, name, layer):
    assert resolve(paper, name) == layer


def test_batch_norm_variants_activate_after_the_normalization(slim):
    assert resolve(slim, "Conv2d_1a_7x7") == "conv1_relu_7x7"
    assert resolve(slim, "conv2d0_pre_relu") == "conv1_7x7_s2_bn"
    assert resolve(slim, "pool4/3x3_s2") == "pool4_2x2_s2"
    assert resolve(slim, "head0_bottleneck") == "loss1_relu_conv"
    assert resolve(slim, "nn1") == "loss2_relu_fc"


def test_a_name_with_two_meanings(paper):
    # torchvision's maxpool1 is in front of conv2, Lucid's behind it: only a model of theirs can tell.
    with pytest.raises(ValueError, match="pool1_3x3_s2 in torchvision, pool2_3x3_s2 in lucid"):
        resolve(paper, "maxpool1")
    torchvision = build_googlenet(GoogLeNetSpec("torchvision"), input_shape=(64, 64, 3))
    assert resolve(torchvision, "maxpool1") == "pool1_3x3_s2"
    inception5h = build_googlenet(GoogLeNetSpec("inception5h"), input_shape=(64, 64, 3))
    assert resolve(inception5h, "maxpool1") == "pool2_3x3_s2"


def test_unknown_names(paper):
    for name in ("inception_6a/output", "mixed_4d", "head0_bottleneck"):
        with pytest.raises(ValueError, match="case-sensitive; Received: " + repr(name)):
            features(paper, name)
