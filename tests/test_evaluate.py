"""Evaluations against a slow, obvious implementation; ensembles, streams, and what is killed goes on."""

import dataclasses
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_inception
from keras_inception.datasets import ArraySource, FolderSource, synthetic
from keras_inception.evaluation import PROTOCOLS, Protocol, cut_crops
from keras_inception.evaluation.classes import class_names, match_classes
from keras_inception.evaluation.metrics import Tally
from keras_inception.evaluation.outputs import is_logits
from keras_inception.evaluation.progress import Progress
from keras_inception.evaluation.table import table_3

RNG = np.random.default_rng(0)
SHAPES = [(40, 56), (56, 40), (33, 33), (20, 70), (32, 48), (64, 32), (90, 95)]
PHOTOS = [
    np.asarray(Image.fromarray(RNG.integers(0, 256, (6, 6, 3), np.uint8)).resize((w, h), Image.Resampling.BICUBIC))
    for h, w in SHAPES
]
LABELS = [0, 1, 2, 3, 0, 1, 2]
CLASSES = 7


def small_model(seed=0, *, activation="softmax", classes=CLASSES, size=32, name="small"):
    """Far from linear in its pixels, so that averages before and after it differ."""
    keras.utils.set_random_seed(seed)
    layers = [
        keras.layers.Rescaling(1 / 64, offset=-2),
        keras.layers.Conv2D(8, 5, strides=3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(classes, activation=activation, kernel_initializer=keras.initializers.RandomNormal(0.3)),
    ]
    return keras.Sequential([keras.Input((size, size, 3)), *layers], name=name)


def obviously(models, protocol, photos=PHOTOS, preprocessing=None):
    """One photo at a time, one crop at a time, one model at a time."""
    found = []
    for photo in photos:
        crops = cut_crops(photo, protocol, preprocessing or keras_inception.Preprocessing(32))
        found.append(np.mean([model(crop[np.newaxis]).numpy()[0] for model in models for crop in crops], axis=0))
    return np.array(found)


def pairs():
    signature = (tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((), tf.int64))
    return tf.data.Dataset.from_generator(lambda: zip(PHOTOS, LABELS, strict=True), output_signature=signature)


@pytest.mark.parametrize("batch_size", [2, 64, 1000])
@pytest.mark.parametrize("protocol", ["1", "10", "144", "warp", "central_fraction"])
def test_it_is_what_an_obvious_implementation_gives(protocol, batch_size):
    models = [small_model(0), small_model(1)]
    expected = obviously(models, protocol)
    evaluation = keras_inception.evaluate(models, pairs(), protocol, batch_size=batch_size, progress=False)
    assert evaluation.images == 7
    found = np.zeros((CLASSES, CLASSES), int)
    np.add.at(found, (LABELS, expected.argmax(1)), 1)
    np.testing.assert_array_equal(evaluation.confusion, found)
    # The sum of all confidences, which no difference in any crop would leave as it is.
    assert evaluation.tally.bins[:, 1].sum() == pytest.approx(expected.max(1).sum(), abs=1e-4)
    ranks = (-expected).argsort(1)[:, :5]
    assert evaluation.top5_accuracy == np.mean([label in row for label, row in zip(LABELS, ranks, strict=True)])


def test_an_ensemble_of_one_is_the_model():
    model = small_model()
    alone, ensemble = (keras_inception.evaluate(each, pairs(), "10", progress=False) for each in (model, [model]))
    np.testing.assert_array_equal(alone.tally.to_vector(), ensemble.tally.to_vector())
    twice = keras_inception.evaluate([model, model], pairs(), "10", progress=False)
    np.testing.assert_allclose(twice.tally.to_vector(), alone.tally.to_vector(), atol=1e-6)


def test_crops_and_models_commute():
    """The mean over models of means over crops is the mean over crops of means over models; and of any order."""
    models = [small_model(seed, name=f"small{seed}") for seed in range(3)]
    pixels = keras.Input((32, 32, 3))
    joined = keras.Model(pixels, keras.layers.Average()([model(pixels) for model in models]))
    one = keras_inception.evaluate(models, pairs(), "144", progress=False)
    other = keras_inception.evaluate(joined, pairs(), "144", from_logits=False, progress=False)
    turned = keras_inception.evaluate(models[::-1], pairs(), "144", progress=False)
    for found in (other, turned):
        np.testing.assert_array_equal(found.confusion, one.confusion)
        np.testing.assert_allclose(found.tally.to_vector(), one.tally.to_vector(), atol=1e-5)


def test_logits_are_given_their_softmax():
    model, logits = small_model(), small_model(activation=None)
    logits.set_weights(model.get_weights())
    one, other = (keras_inception.evaluate(each, pairs(), "10", progress=False) for each in (model, logits))
    np.testing.assert_allclose(other.tally.to_vector(), one.tally.to_vector(), atol=1e-5)
    custom = keras.Model(model.inputs, keras.layers.Lambda(lambda x: x)(model.outputs[0]))
    with pytest.raises(ValueError, match="expected from_logits=True or False, for the last layer does not say it"):
        keras_inception.evaluate(custom, pairs(), progress=False)


def test_the_softmax_is_that_of_the_classes():
    """Found from the output itself: not by the order of layers; through what changes nothing, and in inner models."""
    pixels = keras.Input((32, 32, 3))
    flat = keras.layers.Flatten()(pixels)
    softmax = keras.layers.Dense(7, activation="softmax")(flat)
    other = keras.layers.Dense(4)(flat)
    several = keras.Model(pixels, {"predictions": softmax, "quality": other})
    inner = keras.Model(pixels, {"quality": other, "predictions": softmax})
    linear = keras.layers.Activation("linear", dtype="float32")
    outputs = {
        "another output comes after it": (several, False),
        "in a model in the model": (keras.Model(pixels, inner(pixels)["predictions"]), False),
        "a cast behind it": (keras.Model(pixels, linear(softmax)), False),
        "an operation": (keras.Model(pixels, keras.ops.softmax(other)), False),
        "a layer of its own": (keras.Sequential([pixels, keras.layers.Flatten(), keras.layers.Softmax()]), False),
        "dropout behind logits": (keras.Model(pixels, keras.layers.Dropout(0.5)(linear(other))), True),
        "a Sequential in a model": (keras.Model(pixels, small_model(activation=None)(pixels)), True),
    }
    for name, (model, expected) in outputs.items():
        assert is_logits(model) is expected, name


def encoded_pairs():
    data = [tf.io.encode_png(photo).numpy() for photo in PHOTOS]
    return tf.data.Dataset.from_tensor_slices({"image": data, "label": LABELS, "more": LABELS})


def files(tmp_path):
    for number, (photo, label) in enumerate(zip(PHOTOS, LABELS, strict=True)):
        (tmp_path / str(label)).mkdir(exist_ok=True, parents=True)
        Image.fromarray(photo).save(tmp_path / str(label) / f"{number}.png")
    return FolderSource(tmp_path, "all")


@pytest.mark.parametrize("kind", ["encoded", "iterable", "folder"])
def test_data_sets_of_every_kind(tmp_path, kind):
    model = small_model()
    dataset = {
        "encoded": encoded_pairs,
        "iterable": lambda: [(Image.fromarray(photo), label) for photo, label in zip(PHOTOS, LABELS, strict=True)],
        "folder": lambda: files(tmp_path),
    }[kind]()
    expected = keras_inception.evaluate(model, pairs(), "10", progress=False)
    found = keras_inception.evaluate(model, dataset, "10", progress=False)
    np.testing.assert_allclose(found.tally.to_vector(), expected.tally.to_vector(), atol=1e-6)


def test_arrays_sources_and_batches_are_the_same():
    source, model = synthetic("validation", examples=21), small_model(classes=10)
    images, labels = source.images, source.labels
    whole = tf.data.Dataset.from_tensor_slices((images, labels))
    kinds = [(images, labels), (images.astype("float32"), labels), whole, whole.batch(8)]
    kinds.append(ArraySource(images, labels))
    vectors = [keras_inception.evaluate(model, kind, progress=False).tally.to_vector() for kind in kinds]
    for vector in vectors[1:]:
        np.testing.assert_allclose(vector, vectors[0], atol=1e-6)
    assert vectors[0][:100].sum() == 21, "no multiple of the batch"


def test_our_own_network_as_keras_evaluates_it():
    model, source = keras_inception.GoogLeNet(weights="cifar10"), synthetic("validation", examples=30)
    evaluation = keras_inception.evaluate(model, (source.images, source.labels), batch_size=8, progress=False)
    model.compile(
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(5)], loss="sparse_categorical_crossentropy"
    )
    _, accuracy, top5 = model.evaluate(source.images.astype("float32"), source.labels, verbose=0)
    assert (evaluation.top1_accuracy, evaluation.top5_accuracy) == pytest.approx((accuracy, top5))
    assert evaluation.classes[3] == "cat"


def test_auxiliary_heads_do_not_count():
    source = synthetic("validation", examples=6)
    model = keras_inception.GoogLeNet(weights=None, stem="small", classes=10, input_shape=(32, 32, 3), aux_heads=True)
    plain = keras_inception.remove_aux_heads(model)
    one, other = (
        keras_inception.evaluate(each, (source.images, source.labels), progress=False) for each in (model, plain)
    )
    np.testing.assert_allclose(one.tally.to_vector(), other.tally.to_vector(), atol=1e-6)


def test_limit(tmp_path):
    found = keras_inception.evaluate(small_model(), pairs(), limit=3, progress=False)
    assert found.confusion.sum(1)[:3].tolist() == [1] * 3, "the first"
    for label in range(CLASSES):
        (tmp_path / str(label)).mkdir()
        for number in range(10):
            Image.fromarray(PHOTOS[label]).save(tmp_path / str(label) / f"{number}.png")
    source = FolderSource(tmp_path, "all")
    one, again = (keras_inception.evaluate(small_model(), source, limit=30, progress=False) for _ in range(2))
    assert one.images == 30 and (one.confusion.sum(1) > 0).sum() >= 5, "not the three first classes of a folder"
    np.testing.assert_array_equal(one.confusion, again.confusion)


def test_the_bar_knows_how_many_there_are(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    keras_inception.evaluate(small_model(), files(tmp_path))
    assert "7/7 [" in capsys.readouterr().err
    keras_inception.evaluate(small_model(), files(tmp_path), progress=False)
    assert capsys.readouterr().err == ""


def test_what_takes_no_pixels_is_refused():
    bare = keras_inception.GoogLeNet(weights="cifar10", include_preprocessing=False)
    with pytest.raises(ValueError, match=r"models of pixels 0\.\.255; Received: .* include_preprocessing=False"):
        keras_inception.evaluate(bare, pairs(), progress=False)


def test_models_by_name():
    models = {"a/model": small_model(0), "b/model": small_model(1)}
    assert keras_inception.evaluate(models, pairs(), progress=False).models == ("a/model", "b/model")
    table = table_3(models, pairs(), ("1",), progress=False).to_dict()
    assert [single["model"] for single in table["singles"]] == ["a/model", "b/model"]
    assert len(table_3(small_model(), pairs(), ("1",), progress=False).rows) == 1


def test_numbers_of_a_model_without_names_are_said(tmp_path, caplog):
    names = sorted(map(str, range(12)))
    with caplog.at_level("WARNING", "keras_inception"):
        assert match_classes(names, small_model(classes=12), 12).tolist() == list(map(int, names))
    assert caplog.messages == [
        "The classes 0, 1, 10, ... are taken for the numbers of the model's outputs, not for their order by name."
    ]


def test_classes_are_found_by_their_names(tmp_path):
    """A folder of some of CIFAR-10's classes, in an order of its own."""
    source = synthetic("validation", examples=40)
    for name, number in (("truck", 9), ("airplane", 0), ("deer", 4)):
        (tmp_path / name).mkdir()
        for index in range(3):
            Image.fromarray(source.images[number + index]).save(tmp_path / name / f"{index}.png")
    model = keras_inception.GoogLeNet(weights="cifar10")
    evaluation = keras_inception.evaluate(model, FolderSource(tmp_path, "all"), progress=False)
    counts = dict(zip(evaluation.classes, evaluation.confusion.sum(1).tolist(), strict=True))
    assert {name: count for name, count in counts.items() if count} == {"airplane": 3, "deer": 3, "truck": 3}
    (tmp_path / "tram").mkdir()
    Image.fromarray(source.images[0]).save(tmp_path / "tram" / "0.png")
    with pytest.raises(ValueError, match="expected classes that the model has, each of them once; Received: tram"):
        keras_inception.evaluate(model, FolderSource(tmp_path, "all"), progress=False)


def floats(value, dtype=float, labels=(0, 1)):
    return np.full((2, 40, 40, 3), value, dtype), np.array(labels)


def channels_unknown():
    signature = (tf.TensorSpec((None, None, None), tf.uint8), tf.TensorSpec((), tf.int64))
    return tf.data.Dataset.from_generator(lambda: [(np.zeros((40, 40, 1), np.uint8), 0)], output_signature=signature)


def grey_model():
    return keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Flatten(), keras.layers.Dense(7)])


def map_model():
    return keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Rescaling(1.0)])


def list_model():
    pixels = keras.Input((32, 32, 3))
    flat = keras.layers.Flatten()(pixels)
    return keras.Model(pixels, [keras.layers.Dense(7)(flat), keras.layers.Dense(7)(flat)])


@pytest.mark.parametrize(
    "models, data, options, message",
    [
        ([], None, {}, "at least one model"),
        ([small_model(), small_model(size=48)], None, {}, "one input size and one number of classes"),
        ([small_model(), small_model(classes=8)], None, {}, "one input size and one number of classes"),
        (small_model(), None, {"protocol": "12"}, "expected a protocol, one of 1, 10, 144"),
        (small_model(), None, {"batch_size": 0}, "a positive batch_size"),
        (small_model(), tf.data.Dataset.from_tensors((PHOTOS[0], 0)).repeat(), {}, "a data set with an end, or limit="),
        (small_model(), tf.data.Dataset.from_tensors((PHOTOS[0][..., :1], 0)), {}, r"RGB images, \(h, w, 3\)"),
        (
            small_model(),
            tf.data.Dataset.from_tensors((PHOTOS[0][:1].repeat(70, 1), 0)),
            {"protocol": "10"},
            r"1 to 64; Received: \[1 3920\]$",
        ),
        (small_model(), [(b"no image", 0)], {}, "expected a readable image; Received: an open file"),
        (small_model(), [], {}, "at least one image; Received: none"),
        (small_model(), iter([]), {"resume": "state"}, "data that can be read again, to resume"),
        (small_model(), 3, {}, "a data set of \\(image, label\\); Received: int"),
        (small_model(), tf.data.Dataset.range(3), {}, "a data set of \\(image, label\\)"),
        (small_model(), (np.zeros((2, 32, 32, 3), np.uint8), np.array([0, 9])), {}, r"labels in \[0, 7\); Received: 9"),
        (small_model(), None, {"preprocessing": keras_inception.Preprocessing(48)}, "the models' input size"),
        (small_model(), None, {"classes": ("a", "b")}, "as many classes as the model has, 7"),
        (small_model(), None, {"classes": tuple("aabcdef")}, "expected each class once; Received: 7 names, 6 of them"),
        (small_model(), None, {"limit": 0}, "expected limit=None, or 1 or more; Received: limit=0"),
        (small_model(), None, {"limit": -1}, "expected limit=None, or 1 or more; Received: limit=-1"),
        (small_model(), [(np.zeros((40, 40, 3)) - 1, 0)], {}, r"expected pixels in 0\.\.255, neither .* values in -1"),
        (
            small_model(),
            floats(-1.0),
            {},
            r"pixels in 0\.\.255, neither normalized nor 16-bit; Received: values in -1\.\.-1$",
        ),
        (
            small_model(),
            floats(np.nan),
            {},
            r"pixels in 0\.\.255, neither normalized nor 16-bit; Received: values in nan",
        ),
        (small_model(), floats(256, np.uint16), {}, r"neither normalized nor 16-bit; Received: values in 256\.\.256$"),
        (small_model(), floats(True, bool), {}, r"expected pixels in 0\.\.255, or encoded images; Received: bool"),
        (small_model(), floats(1, labels=[0.7, 1.0]), {}, "expected labels that are integers; Received: float64"),
        (small_model(), floats(1, labels=[0]), {}, "expected a label for each image; Received: 2 images, 1 labels"),
        (small_model(), channels_unknown(), {}, r"expected RGB images, \(h, w, 3\); Received: \[40 40 1\]$"),
        (small_model(), [(3.5, 0)], {}, "expected a path, an open file, a PIL image or an array; Received: "),
        (small_model(), [(PHOTOS[0], "cat")], {}, "expected data that can be read; Received: ValueError: invalid"),
        (grey_model(), None, {}, r"expected models of RGB images; Received: an input of shape \(None, 32, 32, 1\)"),
        (map_model(), None, {}, r"an output \(n, classes\); Received: one of shape \(None, 32, 32, 3\)"),
        (list_model(), None, {}, "expected one output, or several by name; Received: 2 without names"),
        (
            small_model(),
            None,
            {"preprocessing": keras_inception.Preprocessing(32, interpolation="nearest")},
            "^expected an interpolation, one of bilinear, bicubic, lanczos; Received: 'nearest'$",
        ),
    ],
)
def test_mistakes(models, data, options, message):
    with pytest.raises(ValueError, match=message):
        keras_inception.evaluate(models, pairs() if data is None else data, progress=False, **options)


def labelled(labels, resize="short_side", seed=0):
    """A network that knows its classes, and how it sees photos."""
    keras.utils.set_random_seed(seed)
    size = 32
    model = keras_inception.GoogLeNet(
        weights=None, stem="small", classes=len(labels), labels=labels, input_shape=(size, size, 3)
    )
    pixels = model.get_layer("pixels")
    pixels.spec = {**pixels.spec, "preprocessing": {"size": size, "resize": resize, "resize_to": 40}}
    return model


def test_models_of_different_classes_are_no_ensemble():
    models = [labelled(("cat", "dog", "ox")), labelled(("ox", "cat", "dog"))]
    with pytest.raises(ValueError, match="models of the same classes in one order; Received: .*cat.*ox"):
        keras_inception.evaluate(models, [(PHOTOS[0], 0)], progress=False)


def test_models_that_see_photos_differently_need_to_be_told():
    models = [labelled(("cat", "dog")), labelled(("cat", "dog"), "warp")]
    with pytest.raises(ValueError, match="models that see photos in the same way, or preprocessing="):
        keras_inception.evaluate(models, [(PHOTOS[0], 0)], progress=False)
    for options in ({"protocol": "10"}, {"preprocessing": keras_inception.Preprocessing(32)}):
        assert keras_inception.evaluate(models, [(PHOTOS[0], 0)], progress=False, **options).images == 1


@pytest.mark.parametrize(
    "names, labels, expected",
    [
        (("2", "0", "1"), ("0", "1", "2"), [2, 0, 1]),  # its own names, which are numbers
        (("1", "0", "2"), ("cat", "dog", "ox"), [1, 0, 2]),
        (("1", "0"), ("cat", "dog", "ox"), None),  # may be the names of others
        (("cat", "CAT"), ("cat", "dog", "ox"), None),
    ],
)
def test_names_and_numbers_of_classes(names, labels, expected):
    model = labelled(labels)
    if expected is None:
        with pytest.raises(
            ValueError, match="expected (classes that the model has, each of them once|each class once)"
        ):
            match_classes(names, model, 3)
    else:
        assert match_classes(names, model, 3).tolist() == expected


def test_the_classes_of_imagenet():
    model = keras_inception.GoogLeNet(weights=None, stem="small", labels="imagenet", input_shape=(32, 32, 3))
    found = match_classes(["n02123045_tabby", "Tench"], model, 1000)
    assert found.tolist() == [281, 0] and class_names(model, 1000)[281] == "n02123045 tabby"


def test_the_names_of_the_data_set_are_kept():
    evaluation = keras_inception.evaluate(small_model(), pairs(), classes=tuple("abcdefg"), progress=False)
    assert evaluation.classes == tuple("abcdefg") and "Received" not in str(evaluation)
    assert class_names(small_model(), 7) == tuple("0123456")


def test_a_broken_image_is_named(tmp_path):
    source = files(tmp_path)
    (tmp_path / "2" / "6.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="expected images that can be decoded; Received: 2/6.png"):
        keras_inception.evaluate(small_model(), source, "144", progress=False)


def test_a_file_that_is_not_there():
    with pytest.raises(OSError, match="No such file or directory: 'missing.jpg'"):
        keras_inception.evaluate(small_model(), [("missing.jpg", 0)], progress=False)


MEMORY = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import keras_inception
from test_evaluate import small_model
from keras_inception.datasets import synthetic

source, model = synthetic("validation", examples=600), small_model(classes=10)
for protocol, count in (("10", 60), ("144", 60), ("144", 600)):
    data = (source.images[:count], source.labels[:count])
    keras_inception.evaluate(model, data, protocol, progress=False)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_crops_or_the_photos():
    """The highest that the system has seen, in MiB. All crops of 540 photos more would be 912."""
    folder = str(pathlib.Path(__file__).parent)
    result = subprocess.run([sys.executable, "-c", MEMORY, folder], capture_output=True, text=True, timeout=200)
    few_crops, few_photos, many = map(int, result.stdout.split())
    assert few_photos - few_crops < 100 and many - few_photos < 100, result.stdout


KILLED = """
import sys
import numpy as np
import keras_inception.evaluation.progress as progress
progress.SAVE_EVERY = 0.0
sys.path.insert(0, sys.argv[1])
import keras_inception
from test_evaluate import small_model
from keras_inception.datasets import synthetic
source = synthetic("validation", examples=400)
print("begun", flush=True)
found = keras_inception.evaluate(small_model(classes=10), (source.images, source.labels), "144", resume=sys.argv[2])
found.save(sys.argv[3])
"""


def test_a_killed_evaluation_goes_on(tmp_path):
    state = tmp_path / "state.npz"

    def start(name):
        arguments = [str(pathlib.Path(__file__).parent), str(state), str(tmp_path / name)]
        return subprocess.Popen([sys.executable, "-c", KILLED, *arguments], stderr=subprocess.PIPE, text=True)

    def done():
        try:
            with np.load(state) as file:
                return int(file["done"])
        except (OSError, ValueError, KeyError):
            return 0

    process = start("killed.json")
    deadline = time.monotonic() + 120
    while done() < 50:
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL and not (tmp_path / "killed.json").exists()
    at = done()
    assert 50 <= at < 400
    again = start("again.json")
    assert again.wait(200) == 0, again.communicate()
    source = synthetic("validation", examples=400)
    model = small_model(classes=10)
    whole = keras_inception.evaluate(model, (source.images, source.labels), "144", progress=False)
    found = json.loads((tmp_path / "again.json").read_text())
    assert found["images"] == 400 and found["confusion"] == whole.confusion.tolist()
    assert found["expected_calibration_error"] == pytest.approx(whole.calibration_error, rel=1e-9)
    # The file says that all is done: no photo is looked at again.
    assert done() == 400


def test_the_file_of_another_evaluation(tmp_path):
    state = tmp_path / "state.npz"
    keras_inception.evaluate(small_model(), pairs(), "10", resume=state, progress=False)
    same = keras_inception.evaluate(small_model(), pairs(), "10", resume=state, progress=False)
    assert same.images == 7, "and not fourteen"
    scaled = small_model()
    scaled.layers[0].scale = 1 / 65  # no weight, and yet another network
    changes = ({"protocol": "1"}, {"models": small_model(5)}, {"models": scaled}, {"limit": 3}, {"from_logits": True})
    for changed in changes:
        options = {"models": small_model(), "protocol": "10", **changed}
        with pytest.raises(ValueError, match="expected the file of this evaluation .*; Received: .*of another"):
            keras_inception.evaluate(options.pop("models"), pairs(), resume=state, progress=False, **options)
    for other in (pairs().skip(1), pairs().take(6).apply(tf.data.experimental.assert_cardinality(6))):
        with pytest.raises(ValueError, match="Received: .*of another"):
            keras_inception.evaluate(small_model(), other, "10", resume=state, progress=False)
    shutil.copy(state, tmp_path / "table.10")
    with pytest.raises(ValueError, match="Received: .*of another"):
        table_3([small_model(0), small_model(1)], pairs(), ["10"], resume=tmp_path / "table", progress=False)
    for damaged in (state.read_bytes()[:-30], b"no file of ours", b""):
        state.write_bytes(damaged)
        with pytest.raises(ValueError, match="expected the file of an evaluation; Received: "):
            keras_inception.evaluate(small_model(), pairs(), "10", resume=state, progress=False)


@pytest.mark.parametrize("kind", ["folder", "arrays"])
def test_data_that_have_changed_are_other_data(tmp_path, kind):
    source, state = files(tmp_path / "photos"), tmp_path / "state"
    images, labels = np.zeros((6, 32, 32, 3), np.uint8), np.arange(6)

    def evaluate(source, images):
        data = source if kind == "folder" else (images, labels[: len(images)])
        return keras_inception.evaluate(small_model(), data, resume=state, progress=False)

    assert evaluate(source, images).images == evaluate(source, images).images == (7 if kind == "folder" else 6)
    (tmp_path / "photos" / "2" / "2.png").unlink()  # neither the first, nor the last of its class
    with pytest.raises(ValueError, match="expected the file of this evaluation .*; Received: .*of another"):
        evaluate(FolderSource(tmp_path / "photos", "all"), images[:4])


def test_any_damage_to_the_file_is_one_sentence(tmp_path):
    state = tmp_path / "state"
    keras_inception.evaluate(small_model(), pairs(), resume=state, progress=False)
    good, model, rng = state.read_bytes(), small_model(), np.random.default_rng(0)
    # The headers of a zip file, where a byte can mean another compression, a password, another version.
    for place in [*range(0, 30), *range(len(good) - 120, len(good))]:
        state.write_bytes(good[:place] + bytes([good[place] ^ int(rng.integers(1, 256))]) + good[place + 1 :])
        try:
            found = Progress(state, [Tally(CLASSES)], lambda: "another")
        except ValueError as error:
            assert "; Received: " in str(error)
        else:
            assert found is None, "of another, if it can be read at all"
    state.write_bytes(good)
    assert keras_inception.evaluate(model, pairs(), resume=state, progress=False).images == 7


def test_what_an_interrupt_leaves_is_kept(tmp_path, monkeypatch):
    """In the middle of counting a photo, which is then counted once, when the evaluation goes on."""
    add, state, calls = Tally.add, tmp_path / "state", []

    def interrupted(self, probabilities, labels):
        add(self, probabilities, labels)
        calls.append(labels)
        if len(calls) < 2:
            return
        # A process that was begun in the background ignores the signal, but for this.
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.signal(signal.SIGINT, handler)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Tally, "add", interrupted)
        keras_inception.evaluate(small_model(), pairs(), "144", batch_size=16, resume=state, progress=False)
    with np.load(state) as file:
        assert int(file["done"]) == 1
        content = {name: file[name] for name in file}
    options = {"batch_size": 16, "progress": False}
    whole = keras_inception.evaluate(small_model(), pairs(), "144", **options)
    resumed = keras_inception.evaluate(small_model(), pairs(), "144", resume=state, **options)
    assert resumed.images == 7 and resumed.confusion.tolist() == whole.confusion.tolist()
    with open(state, "wb") as file:
        np.savez(file, **{**content, "done": 3})
    with pytest.raises(ValueError, match="expected counts of 3 photos; Received: .*, with those of 1"):
        keras_inception.evaluate(small_model(), pairs(), "144", resume=state, **options)


def test_a_layer_of_somebodys_own_without_a_configuration(tmp_path):
    class Own(keras.layers.Layer):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def call(self, x):
            return self.factor * x

    own = keras.Sequential([keras.Input((32, 32, 3)), Own(2), keras.layers.Flatten(), keras.layers.Dense(7)])
    for _ in range(2):
        assert keras_inception.evaluate(own, pairs(), resume=tmp_path / "state", progress=False).images == 7


def test_the_report(tmp_path):
    evaluation = keras_inception.evaluate([small_model(), small_model(1, name="other")], pairs(), "10", progress=False)
    evaluation.save(tmp_path / "out.json", tmp_path / "out.png")
    data = json.loads((tmp_path / "out.json").read_text())
    assert data["protocol"]["name"] == "10" and data["protocol"]["crops"] == 10 and data["models"] == ["small", "other"]
    assert data["precisions"] == ["float32", "float32"]
    assert data["top1_accuracy"] == evaluation.top1_accuracy and data["confusion"] == evaluation.confusion.tolist()
    assert [entry["images"] for entry in data["classes"]] == [2, 2, 2, 1, 0, 0, 0]
    assert data["classes"][4]["top1_accuracy"] is None
    weighted = sum(
        entry["images"] * abs(entry["confidence"] - entry["accuracy"])
        for entry in data["calibration"]
        if entry["images"]
    )
    assert weighted / 7 == pytest.approx(data["expected_calibration_error"])
    text = str(evaluation)
    assert "7 images, 2 models, 10 crops (10)" in text and f"{evaluation.top1_accuracy:.2%}" in text
    assert len(data["calibration"]) == 15


def test_the_picture(tmp_path):
    evaluation = keras_inception.evaluate(small_model(), pairs(), progress=False)
    tally = Tally(CLASSES)
    tally.add(np.eye(CLASSES) * 0.5 + 0.5 / CLASSES, np.arange(CLASSES))
    dataclasses.replace(evaluation, tally=tally).save(png=tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    height, width, _ = pixels.shape
    panels = {"confusion": pixels[:, : width // 2], "by class": pixels[: height // 2, width * 2 // 3 :]}
    panels["calibration"] = pixels[height // 2 :, width * 2 // 3 :]
    for name, panel in panels.items():
        blue = (panel[..., 2] - panel[..., 0] > 40).mean()
        assert width > 1000 and blue > 0.01, f"{name} is empty"


def test_any_names_can_be_drawn_and_printed(tmp_path):
    names = ("$a_$", "\\alpha", "b\udcff", "$", "ä", "f", "g")
    evaluation = keras_inception.evaluate(small_model(), pairs(), classes=names, progress=False)
    evaluation.save(tmp_path / "out.json", tmp_path / "out.png")
    str(evaluation).encode()
    assert evaluation.classes[2] == "b?"


def test_table_3():
    """Each row is the evaluation that it says; the one model is the best under the first protocol."""
    models = [small_model(seed) for seed in (1, 2, 3)]  # the best of top 1 is the second, of top 5 the third
    table = table_3(models, pairs(), progress=False)
    shape = [(len(row.models), row.protocol.name) for row in table.rows]
    assert shape == [(1, "1"), (1, "10"), (1, "144"), (3, "1"), (3, "10"), (3, "144")]
    assert [row["cost"] for row in table.columns()] == [1, 10, 144, 3, 30, 432]
    accuracies = [keras_inception.evaluate(model, pairs(), progress=False).top1_accuracy for model in models]
    assert [single.top1_accuracy for single in table.singles] == accuracies
    best = models[int(np.argmax(accuracies))]
    top5 = [keras_inception.evaluate(model, pairs(), progress=False).top5_accuracy for model in models]
    assert np.argmax(top5) != np.argmax(accuracies), "or else this would not tell by which the best is found"
    for row in table.rows:
        alone = keras_inception.evaluate(
            best if len(row.models) == 1 else models, pairs(), row.protocol, progress=False
        )
        np.testing.assert_allclose(row.tally.to_vector(), alone.tally.to_vector(), atol=1e-6)
    lines = str(table).splitlines()
    assert len(lines) == 8 and lines[2].count("base") == 2 and lines[0].startswith("| models | crops | cost |")
    change = table.columns()[3]["top1_change"]
    assert f"| 3 | 1 | 3 | {1 - table.rows[3].top1_accuracy:.2%} | {change:+.2%} |" in lines[5]


def test_table_3_reads_its_data_for_each_protocol():
    with pytest.raises(ValueError, match="expected data that can be read for each protocol; Received: zip"):
        table_3([small_model()], zip(PHOTOS, LABELS, strict=True), progress=False)


def test_table_3_of_one_model():
    assert len(table_3([small_model()], pairs(), ("1", "10"), progress=False).rows) == 2


def test_a_protocol_of_ones_own():
    mine = Protocol("whole", (256, 288), squares=3, windows=("whole",))
    expected = obviously([small_model()], mine)
    evaluation = keras_inception.evaluate(small_model(), pairs(), mine, progress=False)
    assert evaluation.tally.bins[:, 1].sum() == pytest.approx(expected.max(1).sum(), abs=1e-4)
    assert mine.crops == 6 and PROTOCOLS["144"].crops == 144
