"""Networks and weights together: what a user gets for weights=, and what for arguments that contradict them."""

import logging
import tracemalloc

import keras
import numpy as np
import pytest

import keras_inception
from keras_inception import (
    CheckpointError,
    GoogLeNet,
    GoogLeNetSpec,
    checkpoints,
    decode_predictions,
    model_spec,
    pretrained,
)
from keras_inception.convert.checkpoint import Checkpoint
from keras_inception.hub import download, manifest, serialization
from keras_inception.models.googlenet import build_googlenet


def weights_file(path, spec, *, input_shape=None):
    """Random weights of a spec as a file of ours, whose biases and statistics are not the initial ones."""
    model = build_googlenet(spec, input_shape=input_shape)
    rng = np.random.default_rng(0)
    for variable in model.weights:
        if "kernel" not in variable.path:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    serialization.write(path, checkpoints.to_checkpoint(model))
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


def claim(path, **fields):
    """A file of one small tensor that claims to be a network."""
    spec = {**GoogLeNetSpec().to_dict(), **fields}
    serialization.write(path, Checkpoint(spec, {"loss3_classifier/kernel": np.zeros((2, 3), "float32")}))
    return path


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"classes": 10**9}, r"loss3_classifier/kernel of shape \(1024, 1000000000\); Received: \(2, 3\)"),
        ({"input_size": 31}, "input size of 32 or more; Received: 31"),
        ({"input_size": [64]}, "input_size"),
        ({"variant": []}, "variant"),
        ({"stem": {}}, "stem"),
        ({"lrn": 5}, "lrn=5"),
        ({"lrn": [{}, {}]}, "lrn"),
        ({"mean": 5}, "mean=5"),
        ({"scale": [1]}, "scale"),
        ({"scale": [1, 1, "1"]}, "scale"),
        ({"labels": 5}, "labels=5"),
        ({"labels": ["a"]}, "1000 labels, one per class"),
        ({"preprocessing": 5}, "preprocessing=5"),
        ({"source": []}, "source"),
        ({"aux_heads": 1}, "aux_heads=1"),
        ({"classes": True}, "classes=True"),
        ({"depth": 22}, "Received: depth"),
    ],
)
def test_a_spec_is_not_believed(tmp_path, fields, message):
    path = claim(tmp_path / "claims.safetensors", **fields)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=f"claims.safetensors: .*{message}"):
            GoogLeNet(weights=path)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_heads_of_a_size_that_the_file_does_not_fill(tmp_path):
    tensors = {f"loss{n}_classifier/kernel": np.zeros((1024, 2), "float32") for n in (1, 2, 3)}
    tensors |= {f"loss{n}_fc/kernel": np.zeros((2048, 4), "float32") for n in (1, 2)}
    spec = GoogLeNetSpec(classes=2, aux_heads=True, input_size=10**6)
    serialization.write(tmp_path / "claims.safetensors", Checkpoint(spec.to_dict(), tensors))
    with pytest.raises(CheckpointError, match="loss1_fc/kernel for an input size of 1000000; Received: less"):
        GoogLeNet(weights=tmp_path / "claims.safetensors")


@pytest.mark.parametrize("shape", [(64, 64, 3), (96, 80, 3)])
@pytest.mark.parametrize("name", ["m.safetensors", "m.keras", "m"])
def test_the_input_size_is_the_weights_too(tmp_path, shape, name, caplog):
    model = GoogLeNet(weights=None, input_shape=shape, classes=3, aux_heads=True)
    model.save(tmp_path / "source.keras")
    again = GoogLeNet(weights=pretrained.convert(tmp_path / "source.keras", tmp_path / name), aux_heads=True)
    assert again.input_shape == (None, *shape) and model_spec(again).height_width == shape[:2]
    assert not caplog.records
    same(again, model, "loss1_fc")


def test_weights_behind_an_input_tensor_with_weights_of_its_own(heads_file, tmp_path):
    inputs = keras.Input((64, 64, 4))
    rgb = keras.layers.Conv2D(3, 1, name="to_rgb")(inputs)
    model = GoogLeNet(weights=heads_file[0], input_tensor=rgb)
    same(model, heads_file[1], "conv1_7x7_s2")
    assert not any(name.startswith("to_rgb") for name in checkpoints.to_checkpoint(model).tensors)


def test_a_model_whose_classifier_was_replaced(tmp_path):
    base = GoogLeNet(weights=None, variant="batch_norm", input_shape=(48, 48, 3), classes=3)
    cut = keras.Model(base.input, keras.layers.Dense(2, name="mine")(base.get_layer("pool5_7x7_s1").output))
    with pytest.raises(CheckpointError, match=r"expected loss3_classifier/kernel of shape \(1024, 3\); Received: none"):
        checkpoints.to_checkpoint(cut)
    nested = keras.Sequential(
        [GoogLeNet(weights=None, include_top=False, input_shape=(48, 48, 3)), keras.layers.Flatten()]
    )
    assert model_spec(nested).variant == "paper"


def test_a_bare_network_stays_bare(tmp_path):
    model = GoogLeNet(weights=None, include_preprocessing=False, input_shape=(48, 48, 3), classes=3)
    model.save(tmp_path / "bare.keras")
    x = np.random.default_rng(0).normal(size=(2, 48, 48, 3)).astype("float32")
    np.testing.assert_allclose(GoogLeNet(weights=tmp_path / "bare.keras")(x), model(x), rtol=1e-5)


def test_wrong_arguments_are_told_before_anything_is_fetched():
    for arguments in (
        {"pooling": "sum"},
        {"input_shape": 224},
        {"input_shape": (31, 31, 3)},
        {"classes": 0},
        {"stem": "x"},
    ):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            GoogLeNet(weights="/nonexistent.pth", **arguments)


def test_the_name_of_a_label_set(heads_file):
    model = GoogLeNet(weights=heads_file[0], labels="cifar10", input_shape=(64, 64, 3))
    assert model.output_shape == (None, 10) and model_spec(model).labels == "cifar10"
    with pytest.raises(ValueError, match="Received: labels='flowers'"):
        GoogLeNet(weights=None, labels="flowers")


def test_other_labels_for_the_same_classes_are_told(heads_file, caplog):
    GoogLeNet(weights=heads_file[0], labels=list("gfedcba"), input_shape=(64, 64, 3))
    assert "under the given labels" in caplog.text


@pytest.mark.parametrize("tag", ["bvlc", "places205", "places365"])
def test_a_file_by_its_path_has_what_the_manifest_knows(tag):
    entry = manifest.entries()[tag]
    known = checkpoints._published({"architecture": "GoogLeNet", "variant": "paper", "classes": entry.classes})
    assert (known["mean"], known["labels"]) == (entry.mean, entry.labels)


def test_a_damaged_conversion_is_made_anew(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("KERAS_INCEPTION_CACHE", str(tmp_path))
    path = download.converted_path(manifest.resolve("slim"))
    path.write_bytes(b"damaged")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        download.DownloadError, match="slim"
    ):  # it would be converted from the original, which is not here
        GoogLeNet(weights="slim")
    assert "slim-7a620c43-v1.safetensors" in caplog.text and not path.exists()


@pytest.mark.parametrize("stem, size", [("gabor", 64), ("small_gabor", 32)])
def test_a_gabor_stem_is_saved_published_and_loaded(tmp_path, stem, size):
    model = GoogLeNet(weights=None, stem=stem, classes=3, aux_heads=stem == "gabor", input_shape=(size, size, 3))
    x = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype("float32")
    expected = model(x)["predictions"] if stem == "gabor" else model(x)
    keras_inception.push_to_hub(model, tmp_path / "net")
    model.save(tmp_path / "net.keras")
    for path in (tmp_path / "net", tmp_path / "net.keras"):
        again = GoogLeNet(weights=path)
        assert model_spec(again).stem == stem
        np.testing.assert_allclose(again(x), expected, rtol=1e-4)
    upon = keras.Model(again.input, keras.layers.Dense(2, name="own")(again.get_layer("pool5_7x7_s1").output))
    keras_inception.push_to_hub(upon, tmp_path / "upon")
    np.testing.assert_allclose(keras_inception.from_hub(tmp_path / "upon")(x), upon(x), rtol=1e-4, atol=1e-5)


def test_modules_of_ones_own_widths_are_saved_published_and_loaded(tmp_path):
    widths = (("3a", (8, 16, 24, 8, 8, 8)), ("5b", (16, 24, 32)))
    model = build_googlenet(GoogLeNetSpec("batch_norm", "small", 3, widths=widths))
    keras_inception.push_to_hub(model, tmp_path / "net")
    x = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    for again in (GoogLeNet(weights=tmp_path / "net"), keras_inception.from_hub(tmp_path / "net")):
        assert model_spec(again).widths == widths
        np.testing.assert_allclose(again(x), model(x), rtol=1e-4)
    checkpoint = checkpoints.to_checkpoint(model)
    huge = {"3a": (8, 16, 10**9, 8, 8, 8), "5b": (16, 24, 32)}
    # Arrays whose last dimension is as said, and that hold little or nothing.
    for shape in (None, (10**9, 0), (0, 10**9)):
        tensors = dict(checkpoint.tensors)
        if shape is not None:
            tensors["inception_3a_3x3/kernel"] = np.zeros(shape, "float32")
        claims = {**checkpoint.spec, "widths": tuple(huge.items())}
        path = serialization.write(tmp_path / "huge.safetensors", Checkpoint(claims, tensors))
        with pytest.raises(CheckpointError, match=r"expected \d{12} weights in modules of these widths; Received: \d+"):
            GoogLeNet(weights=path)
    assert model_spec(GoogLeNet(weights=None, stem="small", widths=dict(widths))).widths == widths
    with pytest.raises(ValueError, match="expected widths=.* as the weights .* have it"):
        GoogLeNet(weights=tmp_path / "net", widths={"3a": (8, 16, 24)})
    text = (tmp_path / "net" / "README.md").read_text()
    assert "modules 3a, 5b of other widths" in text
