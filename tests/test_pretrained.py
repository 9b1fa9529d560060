"""Networks and weights together: what a user gets for weights=, and what for arguments that contradict them."""

import logging

import keras
import numpy as np
import pytest

from keras_inception import CheckpointError, GoogLeNet, GoogLeNetSpec, decode_predictions, model_spec, pretrained
from keras_inception.hub import serialization
from keras_inception.models.googlenet import build_googlenet


def weights_file(path, spec, *, input_shape=None):
    """Random weights of a spec as a file of ours, whose biases and statistics are not the initial ones."""
    model = build_googlenet(spec, input_shape=input_shape)
    rng = np.random.default_rng(0)
    for variable in model.weights:
        if "kernel" not in variable.path:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    serialization.write(path, pretrained.to_checkpoint(model))
    return model


@pytest.fixture(scope="module")
def heads_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "heads.safetensors"
    return path, weights_file(path, GoogLeNetSpec(aux_heads=True, classes=7, labels=tuple("abcdefg"), source="test"))


@pytest.fixture(scope="module")
def slim_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "slim.safetensors"
    return path, weights_file(path, GoogLeNetSpec("slim", classes=1001, labels="imagenet_background"))


def same(a, b, layer):
    for x, y in zip(a.get_layer(layer).get_weights(), b.get_layer(layer).get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)


def test_what_is_not_said_the_weights_say(heads_file):
    path, source = heads_file
    model = GoogLeNet(weights=path)
    spec = model_spec(model)
    assert (spec.classes, spec.labels, spec.source, spec.aux_heads) == (7, tuple("abcdefg"), "test", False)
    assert model.input_shape == (None, 224, 224, 3)
    x = np.random.default_rng(0).uniform(0, 255, (1, 224, 224, 3)).astype("float32")
    np.testing.assert_allclose(model(x), source(x)["predictions"], rtol=1e-5)
    with_heads = GoogLeNet(weights=str(path), aux_heads=True)
    for name, expected in source(x).items():
        np.testing.assert_allclose(with_heads(x)[name], expected, rtol=1e-5)


def test_other_classes_keep_the_trunk_and_the_heads_but_their_last_layers(heads_file, caplog):
    path, source = heads_file
    with caplog.at_level(logging.WARNING, "keras_inception"):
        model = GoogLeNet(weights=path, classes=5, aux_heads=True)
    assert [record.getMessage() for record in caplog.records] == [
        "The weights have 7 classes and the model 5: the trunk is kept; with fresh weights: loss1_classifier, "
        "loss2_classifier, loss3_classifier."
    ]
    assert {name: tensor.shape[-1] for name, tensor in model.output.items()} == {
        "predictions": 5,
        "aux_4a": 5,
        "aux_4d": 5,
    }
    for layer in ("conv1_7x7_s2", "inception_5b_pool_proj", "loss1_fc", "loss2_conv"):
        same(model, source, layer)
    assert model_spec(model).labels is None and model_spec(model).source == "test"


def test_labels_stay_with_the_model(heads_file):
    model = GoogLeNet(weights=heads_file[0], labels=["cat", "dog"], input_shape=(64, 64, 3))
    assert model_spec(model).classes == 2 and model_spec(model).labels == ("cat", "dog")
    assert decode_predictions(np.array([[0.1, 0.9]]), labels=model)[0][0][:2] == ("dog", "dog")
    with pytest.raises(ValueError, match="expected 3 labels, one per class; Received: 2"):
        GoogLeNet(weights=None, labels=["cat", "dog"], classes=3)


def test_the_same_number_of_classes_keeps_the_classifier(heads_file, caplog):
    path, source = heads_file
    with caplog.at_level(logging.WARNING, "keras_inception"):
        model = GoogLeNet(weights=path, classes=7)
    assert not caplog.records
    same(model, source, "loss3_classifier")


def test_heads_at_another_size_begin_anew(heads_file, caplog):
    path, source = heads_file
    with caplog.at_level(logging.WARNING, "keras_inception"):
        model = GoogLeNet(weights=path, aux_heads=True, input_shape=(128, 128, 3))
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2 and "loss1_fc has fresh weights" in messages[0] and "2048 inputs" in messages[0]
    same(model, source, "loss1_conv")
    same(model, source, "loss1_classifier")


@pytest.mark.parametrize("size", [191, 238])
def test_published_heads_fit_191_to_238(heads_file, size, caplog):
    with caplog.at_level(logging.WARNING, "keras_inception"):
        GoogLeNet(weights=heads_file[0], aux_heads=True, input_shape=(size, size, 3))
    assert not caplog.records


def test_without_top(heads_file):
    path, source = heads_file
    model = GoogLeNet(weights=path, include_top=False, pooling="avg", input_shape=(64, 64, 3))
    assert model.output_shape == (None, 1024)
    same(model, source, "inception_5b_pool_proj")


def test_slim_drops_its_background_unless_asked(slim_file):
    path, source = slim_file
    kernel, bias = source.get_layer("loss3_classifier").get_weights()
    model = GoogLeNet(weights=path, input_shape=(64, 64, 3))
    assert model.output_shape == (None, 1000) and model_spec(model).labels == "imagenet"
    np.testing.assert_array_equal(model.get_layer("loss3_classifier").get_weights()[0], kernel[:, 1:])
    np.testing.assert_array_equal(model.get_layer("loss3_classifier").get_weights()[1], bias[1:])
    whole = GoogLeNet(weights=path, input_shape=(64, 64, 3), classes=1001)
    assert model_spec(whole).labels == "imagenet_background"
    same(whole, source, "loss3_classifier")
    explicit = GoogLeNet(weights=path, input_shape=(64, 64, 3), classes=1000)
    same(explicit, model, "loss3_classifier")


def test_contradictions(heads_file, slim_file):
    with pytest.raises(ValueError, match="expected variant='paper', as the weights.*Received: 'slim'"):
        GoogLeNet(weights=heads_file[0], variant="slim")
    with pytest.raises(ValueError, match="expected stem='imagenet'"):
        GoogLeNet(weights=heads_file[0], stem="small")
    with pytest.raises(ValueError, match="aux_heads=True"):
        GoogLeNet(weights=slim_file[0], aux_heads=True)
    with pytest.raises(ValueError, match=r"shape: conv1_7x7_s2/kernel expected \(7, 7, 1, 64\)"):
        GoogLeNet(weights=heads_file[0], input_shape=(64, 64, 1))


def test_unknown_weights_list_what_there_is(tmp_path):
    with pytest.raises(
        ValueError, match="'imagenet'.*'bvlc'.*hf://owner/name.*caffemodel.*Received: weights='nothing'"
    ):
        GoogLeNet(weights="nothing")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match="of another kind"):
        GoogLeNet(weights=tmp_path / "notes.txt")
    with pytest.raises(CheckpointError, match="keras_inception.json"):
        GoogLeNet(weights=tmp_path)
    with pytest.raises(ValueError, match="public ImageNet weights.*batch_norm"):
        GoogLeNet(weights="imagenet", variant="batch_norm")
    with pytest.raises(ValueError, match="hf://owner/name"):
        GoogLeNet(weights="hf://nothing")


@pytest.mark.parametrize("name", ["out.safetensors", "out.keras", "out"])
def test_convert(heads_file, tmp_path, name):
    path, source = heads_file
    destination = pretrained.convert(path, tmp_path / "folder" / name)
    model = GoogLeNet(weights=destination, aux_heads=True)
    same(model, source, "inception_3a_5x5")
    assert model_spec(model) == model_spec(source)


def test_convert_to_something_unknown(heads_file, tmp_path):
    with pytest.raises(ValueError, match="ends in .safetensors or .keras"):
        pretrained.convert(heads_file[0], tmp_path / "out.h5")


def test_fine_tuning_a_frozen_trunk_from_a_file(heads_file):
    from keras_inception import freeze

    model = freeze(GoogLeNet(weights=heads_file[0], classes=2, input_shape=(64, 64, 3)))
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    x, y = np.random.default_rng(0).uniform(0, 255, (4, 64, 64, 3)).astype("float32"), np.array([0, 1, 0, 1])
    model.fit(x, y, verbose=0)
    same(model, heads_file[1], "inception_5b_1x1")
    assert [v.path for v in model.trainable_variables] == ["loss3_classifier/kernel", "loss3_classifier/bias"]


def test_pixel_values_of_every_type_are_taken(heads_file):
    model = GoogLeNet(weights=heads_file[0], input_shape=(64, 64, 3))
    x = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), "uint8")
    expected = model.predict(x.astype("float32"), verbose=0)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-5)
    keras.config.set_dtype_policy("mixed_bfloat16")
    half = GoogLeNet(weights=heads_file[0], input_shape=(64, 64, 3))
    np.testing.assert_allclose(half.predict(x, verbose=0), expected, atol=0.05)
