"""Network in Network against the published definitions, with the numbers written out; its weights, saved and back."""

import keras
import numpy as np
import pytest
from caffe_files import nin_caffemodel, toy_nin
from contracts import check_gradients

import keras_inception
from keras_inception import GoogLeNet, GoogLeNetSpec, NetworkInNetwork, NetworkInNetworkSpec, checkpoints, model_spec
from keras_inception.convert import names
from keras_inception.models import families, googlenet
from keras_inception.models.network_in_network import NIN_VARIANTS, build_network_in_network, weighted_layers

COUNTS = {"cifar10": 966_986, "cifar100": 984_356, "mnist": 349_674, "imagenet": 7_595_176}
# layer, output; at the variant's own size
MAPS = {
    "cifar10": [("cccp2", (32, 32, 96)), ("pool1", (16, 16, 96)), ("cccp4", (16, 16, 192)), ("pool2", (8, 8, 192))],
    "mnist": [("cccp2", (28, 28, 48)), ("pool1", (14, 14, 48)), ("cccp4", (14, 14, 48)), ("pool2", (7, 7, 48))],
    "imagenet": [
        ("conv1", (54, 54, 96)),
        ("pool1", (27, 27, 96)),
        ("pool2", (13, 13, 256)),
        ("pool3", (6, 6, 384)),
        ("cccp7-1024", (6, 6, 1024)),
    ],
}


@pytest.mark.parametrize("variant", NIN_VARIANTS)
def test_parameters_shapes_and_gradients(variant):
    model = NetworkInNetwork(variant=variant)
    assert model.count_params() == COUNTS[variant]
    for layer, shape in MAPS.get(variant, []):
        assert model.get_layer(layer).output.shape[1:] == shape, layer
    x = np.random.default_rng(0).uniform(0, 255, (2, *model.input_shape[1:])).astype("float32")
    y = keras.ops.convert_to_numpy(model(x))
    assert y.shape == (2, NIN_VARIANTS[variant].classes)
    np.testing.assert_allclose(y.sum(1), 1, rtol=1e-5)
    check_gradients(model, x)
    layers = [layer.name for layer in model.layers if layer.weights]
    assert layers == weighted_layers(model_spec(model))
    # A ReLU follows every convolution, the classifier too: logits are never negative.
    logits = keras.Model(model.input, model.get_layer(f"pool{len(layers) // 3}").output)(x)
    assert keras.ops.convert_to_numpy(logits).min() >= 0
    assert sum(isinstance(layer, keras.layers.ReLU) for layer in model.layers) == len(layers)


def test_the_readers_and_the_builders_have_the_same_names():
    assert list(names.NIN_LAYERS) == weighted_layers(NetworkInNetworkSpec("imagenet"))
    assert list(names.NIN_LAYERS[:9]) == weighted_layers(NetworkInNetworkSpec("cifar10"))
    assert [row.layer for row in names.TABLE] == googlenet.weighted_layers(GoogLeNetSpec())


def test_kernels_begin_as_the_authors_do():
    model = NetworkInNetwork(variant="imagenet")
    deviations = {layer: float(np.std(model.get_layer(layer).kernel)) for layer in weighted_layers(model_spec(model))}
    wanted = dict.fromkeys(deviations, 0.05) | {"conv1": 0.01, "conv3": 0.01, "cccp8-1024": 0.01}
    assert deviations == pytest.approx(wanted, rel=0.05)
    assert not np.any(model.get_layer("conv2").bias)
    small = NetworkInNetwork(variant="cifar100")
    assert float(np.std(small.get_layer("conv1").kernel)) == pytest.approx(0.001, rel=0.05)
    # each kernel is its own: equal shapes do not get equal numbers
    assert not np.array_equal(small.get_layer("cccp3").kernel, small.get_layer("cccp4").kernel)


@pytest.mark.parametrize("variant", NIN_VARIANTS)
def test_any_size_down_to_the_smallest(variant):
    smallest, channels = NIN_VARIANTS[variant].min_size, len(NetworkInNetworkSpec(variant).channels)
    model = NetworkInNetwork(include_top=False, variant=variant, input_shape=(smallest, smallest, channels))
    assert model.output_shape[1:3] == (1, 1)
    with pytest.raises(ValueError, match=f"height and width of {smallest} or more"):
        NetworkInNetwork(variant=variant, input_shape=(smallest - 1, smallest, channels))
    free = NetworkInNetwork(variant=variant, input_shape=(None, None, channels))
    assert free(np.zeros((1, smallest + 3, smallest + 8, channels), "float32")).shape[-1] == model_spec(free).classes


def test_without_the_classifier():
    assert NetworkInNetwork(include_top=False).output_shape == (None, 6, 6, 1024)
    assert NetworkInNetwork(include_top=False, variant="cifar10", pooling="avg").output_shape == (None, 192)
    assert NetworkInNetwork(include_top=False, variant="mnist", pooling="max").output_shape == (None, 96)


def test_pixels_come_in():
    model = NetworkInNetwork(variant="cifar10")
    bare = NetworkInNetwork(variant="cifar10", include_preprocessing=False)
    bare.set_weights(model.get_weights())
    spec = model_spec(model)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    known = (pixels - np.array(spec.mean, "float32")) * np.array(spec.scale, "float32")
    np.testing.assert_allclose(model(pixels), bare(known), rtol=1e-5)


def test_the_second_pooling_may_take_the_average():
    spec = NetworkInNetworkSpec("cifar10", second_pool="average")
    model = build_network_in_network(spec)
    x = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype("float32")
    parts = keras.Model(model.input, [model.get_layer("cccp4_relu").output, model.get_layer("pool2").output])(x)
    before, after = (keras.ops.convert_to_numpy(part)[0] for part in parts)
    assert after.shape == (8, 8, 192)
    np.testing.assert_allclose(after[1, 2], before[2:5, 4:7].mean((0, 1)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after[7, 7], before[14:16, 14:16].mean((0, 1)), rtol=1e-4, atol=1e-5)  # Caffe's border


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"variant": "cifar"}, "variant to be one of cifar10, cifar100, mnist, imagenet; Received: variant='cifar'"),
        ({"classes": 0}, "classes to be a positive integer"),
        ({"pooling": "sum"}, "pooling to be None, 'avg' or 'max'"),
        ({"labels": ["a", "b"], "classes": 3}, "expected 3 labels"),
        ({"weights": "bvlc"}, "the weights of a NetworkInNetwork; Received: weights='bvlc'"),
        ({"weights": "cifar10"}, "the weights of a NetworkInNetwork; Received: 'cifar10', those of a GoogLeNet"),
        ({"weights": "imagenet", "variant": "mnist"}, r"one of imagenet \(nin_imagenet\); Received: variant='mnist'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        NetworkInNetwork(**arguments)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"second_pool": "mean"}, "second_pool to be one of max, average"),
        ({"second_pool": ["max"]}, "second_pool to be one of max, average"),
        ({"mean": (1.0,)}, "mean to be 3 numbers, of R, G, B"),
        ({"variant": "mnist", "mean": (1.0, 2.0, 3.0)}, "mean to be 1 numbers, of grey"),
        ({"labels": ("a",), "classes": 2}, "2 labels, one per class"),
    ],
)
def test_wrong_specs(fields, message):
    with pytest.raises(ValueError, match=message):
        NetworkInNetworkSpec(**fields)


def test_specs_of_all_architectures_are_told_apart():
    spec = NetworkInNetworkSpec("mnist", labels=tuple("0123456789"))
    assert families.parse_spec(spec.to_dict()) == spec
    with pytest.raises(ValueError, match="one of GoogLeNet, NetworkInNetwork; Received: architecture='VGG'"):
        families.parse_spec({"architecture": "VGG"})
    with pytest.raises(ValueError, match="expected fields of variant, classes.*Received: stem"):
        families.parse_spec({"architecture": "NetworkInNetwork", "stem": "small"})


def test_freezing_leaves_the_classifier():
    for variant, last in (("cifar10", "cccp6"), ("imagenet", "cccp8-1024")):
        model = keras_inception.freeze(NetworkInNetwork(variant=variant))
        assert [v.path.split("/")[0] for v in model.trainable_variables] == [last, last]


def test_conversion_of_caffes_file(tmp_path, capsys):
    """To a folder too, on the command line; a small network of the true shapes."""
    import keras_inception_cli

    model = NetworkInNetwork(variant="cifar10", include_preprocessing=False)
    tensors = {name: np.asarray(v.value) for name, v in checkpoints.network_variables(model).items()}
    (tmp_path / "nin.caffemodel").write_bytes(nin_caffemodel(tensors))
    assert keras_inception_cli.main(["convert", str(tmp_path / "nin.caffemodel"), str(tmp_path / "net")]) == 0
    assert keras_inception_cli.main(["info", str(tmp_path / "net")]) == 0
    assert "NetworkInNetwork" in capsys.readouterr().out
    again = keras_inception.from_hub(tmp_path / "net")
    assert model_spec(again).second_pool == "average"
    np.testing.assert_array_equal(again.get_layer("conv1").kernel, model.get_layer("conv1").kernel)
    with pytest.raises(ValueError, match="a known height and width"):
        NetworkInNetwork(weights=tmp_path / "net", input_shape=(None, None, 3))


@pytest.mark.parametrize("kind", ["folder", "safetensors", "keras"])
def test_weights_saved_and_loaded(tmp_path, kind, caplog):
    labels = ("zero", "one")
    model = NetworkInNetwork(variant="mnist", labels=labels)
    path = tmp_path / ("net" if kind == "folder" else f"net.{kind}")
    if kind == "folder":
        keras_inception.push_to_hub(model, path)
        again = keras_inception.from_hub(path)
        assert "Network in Network" in (path / "README.md").read_text()
        assert keras_inception.model_spec(again).labels == labels
    else:
        model.save(tmp_path / "net.keras")
        from keras_inception.pretrained import convert

        convert(tmp_path / "net.keras", path) if kind == "safetensors" else None
        again = NetworkInNetwork(weights=path)
    x = np.random.default_rng(0).uniform(0, 255, (2, 28, 28, 1)).astype("float32")
    np.testing.assert_allclose(again(x), model(x), rtol=1e-5)
    tuned = NetworkInNetwork(weights=path, classes=5)
    assert "with fresh weights: cccp6." in caplog.text and tuned.output_shape == (None, 5)
    np.testing.assert_array_equal(tuned.get_layer("cccp5").kernel, model.get_layer("cccp5").kernel)
    trunk = NetworkInNetwork(include_top=False, weights=path, pooling="avg")
    np.testing.assert_array_equal(trunk.get_layer("conv3").kernel, model.get_layer("conv3").kernel)
    with pytest.raises(ValueError, match="variant='mnist', as the weights .* have it; Received: 'cifar10'"):
        NetworkInNetwork(weights=path, variant="cifar10")
    with pytest.raises(ValueError, match="the weights of a GoogLeNet; Received: .*those of a NetworkInNetwork"):
        GoogLeNet(weights=path)


def test_a_network_built_upon_one_is_published_whole(tmp_path):
    base = NetworkInNetwork(include_top=False, variant="cifar10", pooling="avg")
    model = keras.Model(base.input, keras.layers.Dense(3, name="own")(base.output))
    keras_inception.push_to_hub(model, tmp_path / "net", labels=["a", "b", "c"])
    again = keras_inception.from_hub(tmp_path / "net")
    x = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(again(x), model(x), rtol=1e-5)
    assert "built upon Network in Network" in (tmp_path / "net" / "README.md").read_text()


@pytest.mark.parametrize("variant", ["cifar10", "cifar100", "mnist", "imagenet"])
def test_caffes_files(tmp_path, variant):
    """Toy widths: the reader's own rules; the networks of true size are in tests/parity."""
    from keras_inception.convert import caffe

    tensors = toy_nin(variant)
    path = tmp_path / "nin.caffemodel"
    path.write_bytes(nin_caffemodel(tensors, bgr=variant == "imagenet"))
    checkpoint = caffe.read(path)
    assert checkpoint.spec["architecture"] == "NetworkInNetwork" and checkpoint.spec["variant"] == variant
    assert checkpoint.spec["second_pool"] == ("average" if variant == "cifar10" else "max")
    assert set(checkpoint.tensors) == set(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(checkpoint.tensors[name], array, err_msg=name)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.pop("cccp4/kernel"), "a whole Network in Network; Received: no weights of cccp4"),
        (lambda t: t.update({"cccp7-1024/kernel": t["cccp6/kernel"]}), "no weights of conv4-1024, cccp8-1024"),
        (lambda t: t.update({"cccp3/kernel": t["conv1/kernel"]}), "weights and biases of cccp3 that fit"),
        (lambda t: t.update({"inception_3a_1x1/kernel": t["cccp1/kernel"]}), "the layers of one network"),
    ],
)
def test_caffes_files_that_do_not_fit(tmp_path, change, message):
    from keras_inception.convert import CheckpointError, caffe

    tensors = toy_nin("cifar10")
    change(tensors)
    for name in [name for name in tensors if name.endswith("/kernel")]:
        tensors[f"{name.removesuffix('/kernel')}/bias"] = np.ones(tensors[name].shape[-1], "float32")
    path = tmp_path / "nin.caffemodel"
    path.write_bytes(nin_caffemodel(tensors))
    with pytest.raises(CheckpointError, match=message):
        caffe.read(path)
