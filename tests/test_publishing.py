"""Models published and loaded back: in a folder, and on a hub on this machine."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tracemalloc

import keras
import numpy as np
import pytest

import keras_inception
from keras_inception import GoogLeNet, Preprocessing, from_hub, model_spec, push_to_hub
from keras_inception.convert.checkpoint import CheckpointError
from keras_inception.hub import folder as folders
from keras_inception.model_folder import writing
from keras_inception.model_folder.loading import verify

NAME = "me/net"


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    labels = ("cat", "dog", "fox")
    return GoogLeNet(weights=None, stem="small", variant="batch_norm", labels=labels, input_shape=(32, 32, 3))


@pytest.fixture(scope="module")
def flowers():
    """A network of one's own upon a GoogLeNet."""
    keras.utils.set_random_seed(2)
    base = GoogLeNet(weights=None, stem="small", include_top=False, pooling="avg", input_shape=(32, 32, 3))
    x = keras.layers.Dense(8, activation="relu", kernel_regularizer="l2", name="hidden")(base.output)
    x = keras.layers.LeakyReLU(name="leaky")(x)
    model = keras.Model(base.input, keras.layers.Dense(2, activation="softmax", name="classes")(x), name="flowers")
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


@pytest.fixture(scope="module")
def nested():
    keras.utils.set_random_seed(3)
    base = GoogLeNet(weights=None, stem="small", include_top=False, pooling="max", input_shape=(32, 32, 3))
    return keras.Sequential([keras.Input((32, 32, 3)), base, keras.layers.Dense(2, name="classes")], name="nested")


@pytest.fixture(scope="module")
def published(model, flowers, tmp_path_factory):
    """Published folders of both, to be copied: publishing builds each network several times."""
    place = tmp_path_factory.mktemp("published")
    push_to_hub(model, place / "model")
    push_to_hub(flowers, place / "flowers", labels=["rose", "tulip"])
    return place


@pytest.fixture
def net(published, tmp_path):
    """A published folder of one's own to spoil."""
    return shutil.copytree(published / "model", tmp_path / "net")


@pytest.fixture
def functional(published, tmp_path):
    """The same, of a network that is built upon one."""
    return shutil.copytree(published / "flowers", tmp_path / "net")


def pixels(count=2, size=32):
    return np.random.default_rng(0).uniform(0, 255, (count, size, size, 3)).astype("float32")


def outputs(model, x=None):
    found = model.predict(pixels() if x is None else x, verbose=0)
    return found["predictions"] if isinstance(found, dict) else found


def publish(hub, model, name=NAME, **options):
    return push_to_hub(model, name, token="hf_me", endpoint=hub.url, **options)


def load(hub, reference, **options):
    return from_hub(reference, token="hf_me", endpoint=hub.url, **options)


def test_publish_tag_publish_again_load_both_and_offline(hub, hub_client, model, monkeypatch):
    first = publish(hub, model, version="v1", metrics={"accuracy": 0.5}, license="mit", private=True)
    changed = keras.models.clone_model(model)
    changed.set_weights(model.get_weights())
    changed.get_layer("loss3_classifier").bias.assign([1.0, 2.0, 3.0])
    second = publish(hub, changed, version="v2")
    for reference, expected in ((f"hf://{NAME}@v1", model), (f"hf://{NAME}", changed), (f"hf://{NAME}@v2", changed)):
        loaded = load(hub, reference)
        np.testing.assert_array_equal(outputs(loaded), outputs(expected))
        assert keras_inception.decode_predictions(outputs(loaded), labels=loaded)[0][0][0] in ("cat", "dog", "fox")
        assert model_spec(loaded) == model_spec(model) and loaded.name == model.name
    monkeypatch.setattr(hub_client, "HF_HUB_OFFLINE", True)
    for commit, expected in ((first, model), (second, changed)):
        np.testing.assert_array_equal(outputs(from_hub(f"hf://{NAME}@{commit}")), outputs(expected))


def test_a_fine_tuning_begins_with_published_weights(hub, hub_client, model, monkeypatch):
    publish(hub, model, version="v1")
    monkeypatch.setattr(hub_client, "ENDPOINT", hub.url)
    template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"  # which the client makes when it is imported
    monkeypatch.setattr(hub_client, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    tuned = GoogLeNet(weights=f"hf://{NAME}@v1", classes=5)
    assert tuned.output_shape == (None, 5)
    kernels = [m.get_layer("inception_4a_3x3").kernel.numpy() for m in (tuned, model)]
    np.testing.assert_array_equal(*kernels)


def test_keras_itself_opens_what_is_published(hub, tmp_path, model):
    publish(hub, model)
    program = (
        "import sys, keras, numpy as np, keras_inception\n"
        f"model = keras.saving.load_model('hf://{NAME}')\n"
        "np.save(sys.argv[1], model.predict(np.load(sys.argv[2]), verbose=0))\n"
        "print('compiled', model.compiled)"
    )
    np.save(tmp_path / "in.npy", pixels())
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-c", program, str(tmp_path / "out.npy"), str(tmp_path / "in.npy")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "compiled False" in result.stdout
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), outputs(model), atol=1e-6)


def test_two_processes_download_once(hub, tmp_path, model):
    publish(hub, model)
    hub.log.clear()
    hub.order("slow", "GET", f"/{NAME}/resolve/.*/model.safetensors", seconds=2, times=None)
    program = f"import keras_inception.hub.stores as s; print(s.fetch('hf://{NAME}').commit)"
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_TOKEN": "hf_me"}
    command = [sys.executable, "-c", program]
    pair = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=120)[0].strip() for process in pair]
    assert answers == [hub.repositories[NAME].resolve("main")] * 2
    downloads = [e for e in hub.log if e.method == "GET" and e.path.endswith("model.safetensors")]
    assert len(downloads) == 1 and hub.fired() == ["slow"]


@pytest.mark.parametrize("kind", ["flowers", "nested"])
def test_a_network_that_is_built_upon_one(hub, kind, request):
    model = request.getfixturevalue(kind)
    publish(hub, model, labels=["rose", "tulip"], metrics={"top1": 90.0})
    loaded = load(hub, f"hf://{NAME}")
    np.testing.assert_array_equal(outputs(loaded), outputs(model))
    assert not loaded.compiled and type(loaded) is type(model)
    assert {row[0] for row in keras_inception.decode_predictions(outputs(loaded), labels=loaded)[0]} == {
        "rose",
        "tulip",
    }
    assert model_spec(loaded).labels == ("rose", "tulip")
    with pytest.raises(
        ValueError, match="a functional model that is built upon one: keras_inception.from_hub loads it"
    ):
        from keras_inception import checkpoints
        from keras_inception.hub import stores

        checkpoints._of_googlenet(stores.fetch(f"hf://{NAME}", endpoint=hub.url).content, NAME)


def test_in_a_folder(tmp_path, model):
    revision = push_to_hub(model, tmp_path / "hub" / "net", metrics={"top1": 50.0})
    assert revision.startswith("sha256:")
    assert {p.name for p in (tmp_path / "hub" / "net").iterdir()} == {folders.CONFIG, folders.WEIGHTS, folders.CARD}
    loaded = from_hub(tmp_path / "hub" / "net")
    np.testing.assert_array_equal(outputs(loaded), outputs(model))
    card = tmp_path / "hub" / "net" / "README.md"
    card.write_text(card.read_text().replace("# net", "# My net"))
    assert push_to_hub(model, tmp_path / "hub" / "net", metrics={"top1": 60.0}) != revision
    assert "# My net" in card.read_text() and "| top1 | 60.0 |" in card.read_text() and "50.0" not in card.read_text()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="expected an empty folder, or one that was published before"):
        push_to_hub(model, tmp_path / "photos")


def test_half_precision_only_where_it_is_asked_for(tmp_path, model):
    sizes = {}
    for dtype in (None, "float16"):
        push_to_hub(model, tmp_path / str(dtype), dtype=dtype)
        sizes[dtype] = (tmp_path / str(dtype) / folders.WEIGHTS).stat().st_size
    assert 1.9 < sizes[None] / sizes["float16"] < 2.1
    np.testing.assert_allclose(outputs(from_hub(tmp_path / "float16")), outputs(model), atol=2e-2)


@pytest.mark.parametrize("policy", ["float64", "bfloat16", "mixed_bfloat16"])
def test_the_variables_own_precision(tmp_path, policy):
    keras.config.set_dtype_policy(policy)
    model = GoogLeNet(weights=None, stem="small", classes=2, input_shape=(32, 32, 3))
    push_to_hub(model, tmp_path / "net")
    loaded = from_hub(tmp_path / "net")
    for mine, theirs in zip(model.weights, loaded.weights, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(np.asarray(mine.numpy(), "float64"), np.asarray(theirs.numpy(), "float64"))


def test_heads_logits_shape_and_dropout_come_back(tmp_path):
    options = {"classifier_activation": None, "dropout": 0.1, "name": "mine"}
    model = GoogLeNet(weights=None, classes=4, aux_heads=True, input_shape=(96, 96, 3), **options)
    push_to_hub(model, tmp_path / "net")
    loaded = from_hub(tmp_path / "net")
    assert set(loaded.output) == {"predictions", "aux_4a", "aux_4d"} and loaded.name == "mine"
    assert loaded.get_layer("pool5_drop_7x7_s1").rate == 0.1
    np.testing.assert_array_equal(outputs(loaded, pixels(1, 96)), outputs(model, pixels(1, 96)))
    model = GoogLeNet(weights=None, classes=4, stem="small", input_shape=(None, None, 3))
    push_to_hub(model, tmp_path / "any")
    assert from_hub(tmp_path / "any").input_shape == (None, None, None, 3)


def test_a_network_without_preprocessing_takes_the_same_input(tmp_path):
    model = GoogLeNet(weights=None, classes=2, stem="small", include_preprocessing=False, input_shape=(32, 32, 3))
    push_to_hub(model, tmp_path / "net")
    np.testing.assert_array_equal(outputs(from_hub(tmp_path / "net")), outputs(model))


def test_preprocessing_labels_card_and_provenance(tmp_path, model):
    preprocessing = Preprocessing(size=48, resize="short_side", resize_to=50)
    given = {
        "preprocessing": preprocessing,
        "labels": ["a", "b", "c"],
        "provenance": {"recipe": "my.py", "commit": "1f", "versions": "keras 2"},
    }
    push_to_hub(model, tmp_path / "net", card="---\nlicense: mit\n---\n# Mine\n", tags=["fun"], **given)
    spec = model_spec(from_hub(tmp_path / "net"))
    assert spec.labels == ("a", "b", "c") and spec.preprocessing == preprocessing.to_dict()
    text = (tmp_path / "net" / "README.md").read_text()
    for part in ("license: mit", "- fun", "# Mine", "resize_to 50", "* recipe: my.py", "* commit: 1f", "keras 3"):
        assert part in text
    published = folders.read_published(tmp_path / "net")
    assert published.provenance["recipe"] == "my.py" and published.provenance["versions"] == "keras 2"
    assert "keras 3" in published.provenance["published with"]


class Strange(keras.layers.Layer):
    def call(self, x):
        return x


class Subclassed(keras.Model):
    def call(self, x):
        return x


def upon(model, layer):
    return keras.Model(model.input, layer(model.output))


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda m: upon(m, keras.layers.Lambda(lambda x: x * 2)), "Lambda"),
        (lambda m: upon(m, Strange()), "Strange"),
        (lambda m: keras.Model(m.input, m.output * 2), "Multiply"),
        (lambda m: Subclassed(), "functional or sequential model of one input"),
        (lambda m: keras.Model([m.input, keras.Input((3,))], m.output), "functional or sequential model of one input"),
        (lambda m: keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), "of one input, of rank 4"),
        (lambda m: keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]), "pixel layer"),
    ],
)
def test_what_cannot_be_published_is_one_error_before_anything_is_sent(hub, model, build, message):
    with pytest.raises(ValueError, match=message):
        publish(hub, build(model))
    assert not hub.log


def test_wrong_arguments(hub, model, tmp_path):
    for options, message in (
        ({"dtype": "int8"}, "expected dtype to be None or 'float16'"),
        ({"labels": ["a"]}, "expected 3 labels, one per class; Received: 1"),
        ({"metrics": {"top1": float("nan")}}, "expected metrics to be finite numbers"),
        ({"card": "---\n[\n---\n"}, "front matter is YAML"),
    ):
        with pytest.raises(ValueError, match=message):
            publish(hub, model, **options)
    for name in ("net", "a/b/c", "me/ne t", "me/..", "hf://me"):
        with pytest.raises(ValueError, match="expected owner/name"):
            publish(hub, model, name)
    for options in ({"version": "v1"}, {"private": True}, {"revision": "x"}, {"create_pr": True}):
        with pytest.raises(ValueError, match="only with a repository of the Hub"):
            push_to_hub(model, tmp_path / "x", **options)
    assert not hub.log and not (tmp_path / "x").exists()
    with pytest.raises(ValueError, match="expected hf://owner/name.*or a folder that holds keras_inception.json"):
        from_hub(tmp_path)


def test_a_model_that_does_not_load_back_is_not_published(hub, model, monkeypatch):
    right = writing.load

    def wrong(content):
        loaded = right(content)
        loaded.get_layer("loss3_classifier").bias.assign([9.0, 0.0, 0.0])
        return loaded

    monkeypatch.setattr(writing, "load", wrong)
    with pytest.raises(ValueError, match="expected the published files to give the outputs of"):
        publish(hub, model)
    assert not hub.log


def changed_json(folder, change):
    path = pathlib.Path(folder) / folders.CONFIG
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda d: d["spec"].update(variant="resnet"), "variant"),
        (lambda d: d["spec"].update(classes=4, labels=None), "loss3_classifier/kernel of shape"),
        (lambda d: d["spec"].update(labels=["a", "b"]), "labels"),
        (lambda d: d["spec"].update(stem="imagenet"), "missing: conv1_7x7_s2"),
        (
            lambda d: d["options"].update(classifier_activation="exec"),
            "expected softmax, linear, sigmoid; Received: classifier_activation='exec'",
        ),
        (lambda d: d["options"].update(weights="x"), "expected the options"),
        (lambda d: d["options"].update(input_shape=[32, 1 << 40, 3]), "expected height, width and channels"),
        (lambda d: d["options"].update(input_shape=[32, 32, 1 << 16]), "expected the channels of the first kernel"),
        (lambda d: d["spec"].update(labels="imagenet"), "'imagenet', which are 1000"),
        (lambda d: d["spec"].update(labels="nonsense"), "expected labels to be one of"),
        (lambda d: d["options"].update(dropout="x"), "expected the options"),
        (lambda d: d["options"].update(dropout=7.0), "0 and 1"),
    ],
)
def test_a_folder_that_does_not_fit(net, change, message):
    changed_json(net, change)
    with pytest.raises(CheckpointError, match=message) as caught:
        from_hub(net)
    assert str(net / "keras_inception.json") in str(caught.value) or "model.safetensors" in str(caught.value)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda tensors: tensors.pop("conv2_3x3/kernel"), "missing: conv2_3x3/kernel"),
        (lambda tensors: tensors.update(more=np.zeros(2, "float32")), "unexpected: more"),
        (
            lambda tensors: tensors.update({"conv2_3x3/kernel": np.zeros(2, "float32")}),
            "shape: conv2_3x3/kernel expected",
        ),
        (lambda tensors: tensors.update({"conv2_3x3/kernel": np.full(2, np.nan)}), "NaN or infinity"),
    ],
)
def test_arrays_that_do_not_fit(net, change, message):
    from safetensors.numpy import load_file, save_file

    path = net / folders.WEIGHTS
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"spec": "{}"})
    record = {"sha256": folders.sha256(path), "bytes": path.stat().st_size}
    changed_json(net, lambda d: d["files"].update({folders.WEIGHTS: record}))
    with pytest.raises(CheckpointError, match=message) as caught:
        from_hub(net)
    assert str(net / "model.safetensors") in str(caught.value)


def test_an_architecture_that_is_larger_than_its_weights_is_never_built(functional):
    path = functional / folders.ARCHITECTURE
    data = json.loads(path.read_text())
    last = next(layer for layer in data["config"]["layers"] if layer["name"] == "classes")
    last["config"]["units"] = 60_000
    path.write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match="config.json: expected .* bytes"):
        from_hub(functional)
    record = {"sha256": folders.sha256(path), "bytes": path.stat().st_size}
    changed_json(functional, lambda d: d["files"].update({folders.ARCHITECTURE: record}))
    with pytest.raises(
        CheckpointError, match="expected the architecture of model.safetensors; Received: one that diff"
    ):
        from_hub(functional)


def rewritten(folder, change):
    """Changes the architecture, and the JSON that vouches for it."""
    path = folder / folders.ARCHITECTURE
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    record = {"sha256": folders.sha256(path), "bytes": path.stat().st_size}
    changed_json(folder, lambda d: d["files"].update({folders.ARCHITECTURE: record}))


def layer(data, name):
    return next(part for part in data["config"]["layers"] if part["config"]["name"] == name)


HUGE = [
    lambda d: layer(d, "pixels_input")["config"].update(batch_shape=[None, 1 << 40, 1 << 40, 3]),
    lambda d: layer(d, "conv2_3x3")["config"].update(filters=60_000),
    lambda d: d["config"]["layers"].insert(
        1, {"module": "keras.layers", "class_name": "Normalization", "config": {"mean": 0.0, "variance": 1e9}}
    ),
]


@pytest.mark.parametrize("change", HUGE)
def test_an_architecture_that_asks_for_much_gets_nothing(functional, change):
    rewritten(functional, change)
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="config.json: "):
        from_hub(functional)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 << 20, peak


def test_labels_that_the_architecture_has_otherwise(functional):
    changed_json(functional, lambda d: d["spec"].update(labels=["tulip", "rose"]))
    with pytest.raises(CheckpointError, match="config.json: expected the spec that keras_inception.json has"):
        from_hub(functional)
    changed_json(functional, lambda d: d["spec"].update(variant="resnet"))
    with pytest.raises(CheckpointError, match="keras_inception.json: expected variant to be one of"):
        from_hub(functional)

    def nine(data):
        data["spec"].update(variant="paper", labels=None, classes=9)

    changed_json(functional, nine)
    rewritten(functional, lambda d: nine(layer(d, "pixels")["config"]))
    with pytest.raises(CheckpointError, match="keras_inception.json: expected classes=2, the model's outputs"):
        from_hub(functional)


def test_as_many_classes_are_not_the_same_classes(tmp_path):
    base = GoogLeNet(weights="cifar10", include_top=False, pooling="avg")
    own = keras.Model(base.input, keras.layers.Dense(10, name="own")(base.output))
    push_to_hub(own, tmp_path / "own")
    assert model_spec(from_hub(tmp_path / "own")).labels is None
    whole = GoogLeNet(weights="cifar10")
    upon_it = keras.Model(whole.input, keras.layers.Rescaling(1.0, name="again")(whole.output))
    push_to_hub(upon_it, tmp_path / "whole")
    assert model_spec(from_hub(tmp_path / "whole")).labels == "cifar10"


def test_layers_with_statistics_and_whole_numbers(tmp_path):
    base = GoogLeNet(weights=None, stem="small", include_top=False, pooling="avg", input_shape=(32, 32, 3))
    normalization = keras.layers.Normalization(name="normal")
    normalization.adapt(np.random.default_rng(0).normal(3, 2, (50, 1024)).astype("float32"))
    model = keras.Model(base.input, keras.layers.Dense(2, name="classes")(normalization(base.output)))
    push_to_hub(model, tmp_path / "net")
    np.testing.assert_allclose(outputs(from_hub(tmp_path / "net")), outputs(model), rtol=1e-6)


def test_a_function_that_somebody_has_registered_is_not_called(functional):
    called = []

    @keras.saving.register_keras_serializable(package="mine")
    def fun(*arguments, **options):
        called.append(arguments)
        return np.zeros((8, 2), "float32")

    rewritten(functional, lambda d: layer(d, "classes")["config"].update(kernel_initializer="mine>fun"))
    with pytest.raises(CheckpointError, match="expected kernel_initializer to be an object; Received: 'mine>fun'"):
        from_hub(functional)
    assert not called


def test_a_private_file_does_not_get_into_a_card(tmp_path, model):
    place = tmp_path / "snapshots" / "net"  # a folder's name does not make it the cache of the client
    push_to_hub(model, place)
    (tmp_path / "secret").write_text("secret")
    (place / "README.md").unlink()
    (place / "README.md").symlink_to(tmp_path / "secret")
    with pytest.raises(CheckpointError, match="expected a file; Received: a link"):
        push_to_hub(model, place)
    assert verify(place)[0].endswith("Received: a link, a folder or a device")


def test_a_card_that_says_something_else_is_noticed(tmp_path, model):
    push_to_hub(model, tmp_path / "net", metrics={"top1": 50.0, "top5": 90.0})
    card = tmp_path / "net" / "README.md"
    text = card.read_text()
    assert verify(tmp_path / "net") == []
    for old, new in (
        ("value: 50.0", "value: 51.0"),
        ("| top1 | 50.0 |", "| top1 | 99.9 |"),
        ("keras_inception: end", "x"),
    ):
        card.write_text(text.replace(old, new))
        assert "README.md: expected" in verify(tmp_path / "net")[0], old
    swapped = (
        text.replace("value: 50.0", "value: x").replace("value: 90.0", "value: 50.0").replace("value: x", "value: 90.0")
    )
    card.write_text(swapped)
    assert len(verify(tmp_path / "net")) == 2


def test_the_order_of_the_axes_is_that_of_whoever_loads(net):
    assert folders.read_published(net).options["input_shape"] == [32, 32, 3]
    keras.config.set_image_data_format("channels_first")
    assert from_hub(net).input_shape == (None, 3, 32, 32)
