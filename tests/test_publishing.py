"""Models published and loaded back: in a folder, and on a hub on this machine."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_inception
from keras_inception import GoogLeNet, Preprocessing, from_hub, model_spec, push_to_hub
from keras_inception.convert.checkpoint import CheckpointError
from keras_inception.hub import architecture, directory
from keras_inception.hub import folder as folders
from keras_inception.hub.publish import PublishError
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

        checkpoints._of_network(stores.fetch(f"hf://{NAME}", endpoint=hub.url).content, NAME)


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


def test_of_two_publishers_in_a_folder_one_wins_and_the_other_is_told(tmp_path, model, monkeypatch):
    place = tmp_path / "net"
    first = push_to_hub(model, place, metrics={"top1": 1.0})
    right = writing.write

    def overtaken(*arguments, **options):
        monkeypatch.setattr(writing, "write", right)
        push_to_hub(model, place, metrics={"top1": 2.0})
        return right(*arguments, **options)

    monkeypatch.setattr(writing, "write", overtaken)
    with pytest.raises(PublishError, match=f"another publisher came first; nothing was published.*expected {first}; "):
        push_to_hub(model, place, metrics={"top1": 3.0})
    assert folders.read_published(place).metrics == {"top1": 2.0} and verify(place) == []
    assert push_to_hub(model, place, metrics={"top1": 3.0}) == directory.revision(place)


def test_publishers_of_several_users_are_exclusive(tmp_path, published):
    program = (
        "import sys, time\n"
        "from keras_inception.hub import directory, folder\n"
        "from keras_inception.hub.publish import PublishError\n"
        "usual = folder.read_text\n"
        "folder.read_text = lambda *a, **o: (time.sleep(2), usual(*a, **o))[1]  # while it has the lock\n"
        "expected = directory.revision(sys.argv[2])\n"
        "try:\n"
        "    print(directory.put(sys.argv[1], sys.argv[2], expected))\n"
        "except PublishError:\n"
        "    print('came second')\n"
    )
    place = shutil.copytree(published / "model", tmp_path / "net")
    pairs = []
    for number in range(2):
        mine = shutil.copytree(published / "model", tmp_path / f"mine{number}")
        changed_json(mine, lambda data, number=number: data["metrics"].update(top1=float(number)))
        environment = {**os.environ, "KERAS_INCEPTION_CACHE": str(tmp_path / f"cache{number}")}
        command = [sys.executable, "-c", program, str(mine), str(place)]
        pairs.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    answers = [process.communicate(timeout=120)[0].strip() for process in pairs]
    assert sorted(answers)[0] == "came second" and sorted(answers)[1] == directory.revision(place)
    assert folders.read_published(place).metrics == {"top1": float(answers.index(directory.revision(place)))}


@pytest.mark.parametrize("name", [folders.CONFIG, folders.WEIGHTS, folders.CARD])
def test_a_rename_that_fails_brings_back_what_was_there(tmp_path, published, monkeypatch, name):
    place = shutil.copytree(published / "flowers", tmp_path / "net")
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    right = os.replace

    def failing(source, destination):
        if pathlib.Path(destination) == place / name and ".part." in str(source):
            raise PermissionError(13, "a reader has it open")
        right(source, destination)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(PermissionError):
        directory.put(published / "model", place, directory.revision(place))
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    monkeypatch.undo()
    directory.put(published / "model", place, directory.revision(place))
    assert verify(place) == [] and not (place / folders.ARCHITECTURE).exists()


def test_publishing_in_a_folder_that_fails_leaves_what_was_there(tmp_path, published, model, monkeypatch):
    place = tmp_path / "net"
    copied = []

    def failing(source, destination):
        copied.append(destination)
        if len(copied) == 2:
            raise OSError(28, "No space left on device")
        return pathlib.Path(destination).write_bytes(pathlib.Path(source).read_bytes())

    monkeypatch.setattr("keras_inception.hub.directory.shutil.copyfile", failing)
    for before in (set(), {folders.CONFIG, folders.WEIGHTS, folders.CARD}):
        with pytest.raises(OSError, match="No space left"):
            directory.put(published / "model", place, directory.revision(place))
        assert {path.name for path in place.iterdir()} == before
        copied[:] = [None] * 10
        directory.put(published / "model", place, directory.revision(place))
        assert verify(place) == []
        copied.clear()


def test_what_an_interrupted_publication_left_is_written_over(tmp_path, published):
    place = tmp_path / "net"
    place.mkdir()
    hidden = [f".keras_inception.part.{folders.CARD}", f".keras_inception.before.{folders.CONFIG}"]
    for name in (folders.WEIGHTS, "config.json", *hidden):
        (place / name).write_bytes(b"half")
    directory.put(published / "model", place, directory.revision(place))
    assert verify(place) == []
    assert {path.name for path in place.iterdir()} == {folders.CONFIG, folders.WEIGHTS, folders.CARD}


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
    keras.config.set_dtype_policy("float32")
    loaded = from_hub(tmp_path / "net")
    assert keras.config.dtype_policy().name == "float32"
    assert loaded.get_layer("conv2_3x3").dtype_policy.name == policy
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
    base = GoogLeNet(weights=None, stem="small", include_top=False, pooling="avg", include_preprocessing=False)
    upon_it = keras.Model(base.input, keras.layers.Dense(2, name="own")(base.output))
    for name, each in (("net", model), ("upon", upon_it)):
        push_to_hub(each, tmp_path / name)
        loaded = from_hub(tmp_path / name)
        np.testing.assert_array_equal(outputs(loaded), outputs(each))
        assert model_spec(loaded).mean == (123.0, 117.0, 104.0), "what its input was made with is still known"
        assert "then, not in the model, (pixel" in (tmp_path / name / folders.CARD).read_text()
    # Whoever asks for the weights alone has the usual network, pixels in.
    usual = GoogLeNet(weights=tmp_path / "net")
    np.testing.assert_allclose(outputs(usual), outputs(model, pixels() - [123.0, 117.0, 104.0]), atol=1e-6)


def changed_activation(model):
    model.get_layer("conv2_3x3").activation = keras.activations.gelu
    return keras.models.clone_model(model)


def changed_epsilon(model):
    model.get_layer("conv2_3x3_bn").epsilon = 0.5
    return keras.models.clone_model(model)


def rewired(model):
    """The layers of a GoogLeNet, its last ReLU left out on one way."""
    x = model.get_layer("inception_5b_output").output
    x = model.get_layer("pool5_7x7_s1")(keras.layers.Dropout(0.5, name="pool5_drop_7x7_s1")(x))
    x = model.get_layer("loss3_classifier")(x)
    return keras.Model(model.input, model.get_layer("predictions")(x), name="rewired")


@pytest.mark.parametrize("change", [changed_activation, changed_epsilon, rewired])
def test_a_googlenet_that_was_changed_is_published_as_what_it_is(tmp_path, change):
    model = change(GoogLeNet(weights=None, stem="small", variant="batch_norm", classes=3, input_shape=(32, 32, 3)))
    push_to_hub(model, tmp_path / "net")
    loaded = from_hub(tmp_path / "net")
    assert folders.read_published(tmp_path / "net").kind == "functional"
    np.testing.assert_array_equal(outputs(loaded), outputs(model))
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]


def test_what_is_for_training_alone_does_not_make_another_network(tmp_path):
    model = GoogLeNet(weights=None, stem="small", classes=3, input_shape=(32, 32, 3))
    keras_inception.freeze(model, upto="inception_4a_output")
    model.get_layer("conv2_3x3").kernel_regularizer = keras.regularizers.L2(1e-4)
    push_to_hub(model, tmp_path / "net")
    assert folders.read_published(tmp_path / "net").kind == "GoogLeNet"
    assert GoogLeNet(weights=tmp_path / "net", classes=5).output_shape == (None, 5)


def test_two_networks_in_one_keep_what_each_is(tmp_path):
    parts = [
        GoogLeNet(weights=None, stem="small", variant=variant, include_top=False, pooling="avg", name=variant)
        for variant in ("paper", "torchvision")
    ]
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Concatenate()([part(inputs) for part in parts])
    model = keras.Model(inputs, keras.layers.Dense(2, name="own")(x), name="both")
    push_to_hub(model, tmp_path / "net", labels=["a", "b"])
    loaded = from_hub(tmp_path / "net")
    np.testing.assert_array_equal(outputs(loaded), outputs(model))
    assert model_spec(loaded).labels == ("a", "b")
    assert [model_spec(loaded.get_layer(part.name)).variant for part in parts] == ["paper", "torchvision"]
    assert model_spec(loaded.get_layer("torchvision")) == model_spec(parts[1])


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


def shared(model):
    """A model, and beside it one of its layers."""
    inner = keras.Sequential([model, own := keras.layers.Dense(3, name="own")], name="inner")
    return keras.Model(model.input, keras.layers.Add()([inner(model.input), own(model.output)]), name="shared")


def upon(model, layer):
    return keras.Model(model.input, layer(model.output))


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda m: upon(m, keras.layers.Lambda(lambda x: x * 2)), "Lambda"),
        (lambda m: upon(m, Strange()), "Strange"),
        (lambda m: upon(m, keras.layers.Activation(lambda x: x * 2)), "activation to be an object of Keras' own class"),
        (lambda m: shared(m), "layers that are shared within one model only"),
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
        ({"metrics": {"confusion": np.zeros((2, 2))}}, "expected metrics to be finite numbers .*Received: confusion="),
        ({"provenance": {"recipe": pathlib.Path("x")}}, "expected provenance to be texts by name; Received: recipe="),
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
    with pytest.raises(ValueError, match="Received: 'me/net', which on the Hub is hf://me/net"):
        from_hub("me/net")


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
    lambda d: small(d, {"axis": [1, 2, 3], "mean": 0.0, "variance": 1.0}, "Normalization", 12_000, 3),
    lambda d: small(d, {"axis": [1, 2, 3]}, "Normalization", 12_000, 3),
    lambda d: small(d, {}, "LocalResponseNormalization", 8, 17_001),
    lambda d: small(d, {"pool_size": 6, "strides": 1}, "CeilAveragePooling2D", 12_000, 3),
    lambda d: small(d, {"output_size": 12_000}, "AdaptiveAveragePooling2D", 12_000, 3),
    lambda d: small(d, {"units": 1_000_000}, "Dense", 1_000, 1_000_000),
    lambda d: many(d, "LocalResponseNormalization", [None, 1, 1, 1023], 200),
    lambda d: many(d, "Normalization", [None, 1, 1, 1 << 20], 200),
]


def many(data, name, shape, count):
    """Puts many layers side by side upon an input."""
    small(data, {}, name, 8, 16)
    layers = data["config"]["layers"]
    layers[0]["config"]["batch_shape"] = shape
    for number in range(count):
        layers.append(json.loads(json.dumps(layers[1]).replace('"layer"', f'"layer{number}"')))
    data["config"]["output_layers"] = [[layer["name"], 0, 0] for layer in layers[1:]]


def small(data, config, name, side, channels):
    """Puts another architecture in the place: one layer on a large map."""
    kind = keras.layers.__dict__.get(name) or keras_inception.layers.__dict__[name]
    inputs = keras.Input((8, 8, 16))
    usual = {"Dense": {"units": 1}, "AdaptiveAveragePooling2D": {"output_size": 1}}.get(name, {})
    model = keras.Model(inputs, kind(**usual, name="layer")(inputs))
    made = json.loads(json.dumps(architecture.bare(keras.saving.serialize_keras_object(model))))
    made["config"]["layers"][0]["config"]["batch_shape"] = [None, side, side, channels]
    made["config"]["layers"][1]["config"].update(config)
    made["config"]["layers"].append(
        next(layer for layer in data["config"]["layers"] if layer["class_name"] == "Pixels")
    )
    made["config"]["layers"][-1]["inbound_nodes"] = made["config"]["layers"][1]["inbound_nodes"]
    data.clear()
    data.update(made)


LOADING = """
import pathlib, resource, sys
import keras_inception
keras_inception.from_hub(sys.argv[1])  # TensorFlow takes what it always takes
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for place in sys.argv[2:]:
    try:
        keras_inception.from_hub(place)
    except ValueError as error:
        print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_an_architecture_that_asks_for_much_gets_nothing(functional, tmp_path):
    places = []
    for number, change in enumerate(HUGE):
        places.append(shutil.copytree(functional, tmp_path / f"huge{number}"))
        rewritten(places[-1], change)
    # In a process of its own, for TensorFlow's memory is none of Python's.
    command = [sys.executable, "-c", LOADING, str(functional), *map(str, places)]
    *said, grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(said) == len(HUGE) and all("config.json: expected " in line for line in said), said
    assert int(grown) < 150, f"{grown} MiB"


@pytest.mark.parametrize("stem", ["small", "small_gabor", "without its first kernel"])
def test_channels_that_the_arrays_do_not_have(tmp_path, stem):
    model = GoogLeNet(weights=None, stem=stem if "gabor" in stem else "small", classes=2)
    push_to_hub(model, tmp_path / "net")
    if stem == "without its first kernel":
        content = folders.read(tmp_path / "net")
        checkpoint = content.checkpoint()
        checkpoint.tensors.pop("conv1_3x3_s1/kernel")
        folders.write(tmp_path / "net", checkpoint, options=content.published.options)
    changed_json(tmp_path / "net", lambda d: d["options"].update(input_shape=[32, 32, 1 << 20]))
    with pytest.raises(CheckpointError, match="keras_inception.json: expected the channels of the first kernel"):
        from_hub(tmp_path / "net")


def test_a_layer_that_divides_by_zero_is_one_sentence(tmp_path):
    base = GoogLeNet(weights=None, stem="small_gabor", include_top=False)
    x = keras.layers.AdaptiveAveragePooling2D(1, name="adaptive")(base.output)
    push_to_hub(keras.Model(base.input, keras.layers.Flatten(name="flat")(x)), tmp_path / "net")
    rewritten(tmp_path / "net", lambda d: layer(d, "conv1_gabor")["config"].update(strides=0))
    with pytest.raises(CheckpointError, match="config.json: "):
        from_hub(tmp_path / "net")


def test_what_an_earlier_version_wrote_with_fewer_fields(functional):
    before = from_hub(functional)

    def older(data):
        for layer in data["config"]["layers"]:
            if layer["class_name"] == "Pixels":
                layer["config"]["spec"].pop("widths")

    rewritten(functional, older)
    changed_json(functional, lambda d: d["spec"].pop("widths"))
    assert model_spec(from_hub(functional)) == model_spec(before)


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
    normalization = keras.layers.Normalization(name="normal")
    normalization.adapt(np.random.default_rng(0).normal(3, 2, (50, 32, 32, 3)).astype("float32"))
    base = GoogLeNet(weights=None, stem="small", include_top=False, pooling="avg", input_shape=(32, 32, 3))
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, keras.layers.Dense(2, name="classes")(base(normalization(inputs))))
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
