"""The label sets against published checksums of the files they stand for, and `decode_predictions`."""

import hashlib
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_inception import labels
from keras_inception.labels import LabelSet, decode_predictions, imagenet_columns, label_set
from keras_inception.layers import Pixels

# Names that torchvision, from which ours are, tells apart or shortens.
KERAS_NAMES = {"crane bird": "crane", "maillot tank suit": "maillot"}
INCEPTION5H_NAMES = {**KERAS_NAMES, "cannon": "cannon [ground]", "teddy": "teddy bear"}


def one_hot(count, *columns):
    """A sample per column: 1 there, and a slope elsewhere that breaks ties."""
    scores = np.tile(-np.arange(count) / 1e6, (len(columns), 1))
    scores[np.arange(len(columns)), columns] = 1.0
    return scores


@pytest.mark.parametrize("count, name", labels.BY_COUNT.items())
def test_every_set_has_distinct_classes(count, name):
    assert len(label_set(name)) == count
    classes = [pair for pair in label_set(name).classes if pair is not None]
    assert len({wordnet_id for wordnet_id, _ in classes}) == len(classes) == len({text for _, text in classes})
    assert all(text == text.strip() != "" for pair in classes for text in pair)


def test_imagenet_is_the_class_index_of_keras():
    index = {
        str(k): [wordnet_id, KERAS_NAMES.get(name, name).replace(" ", "_")]
        for k, (wordnet_id, name) in enumerate(label_set("imagenet").classes)
    }
    # keras/src/applications/imagenet_utils.py
    assert hashlib.md5(json.dumps(index).encode()).hexdigest() == "c2c37ea517e94d9795004a39431a14cb"
    ids = [wordnet_id for wordnet_id, _ in label_set("imagenet").classes]
    assert ids == sorted(ids)


def test_inception5h_is_the_label_file_of_the_zip():
    pairs = label_set("inception5h").classes
    assert pairs[0] is None and pairs[1001:] == (None,) * 7
    lines = ["dummy", *(INCEPTION5H_NAMES.get(name, name) for _, name in pairs[1:1001])]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert digest == "da2a31ecfe9f212ae8dd07379b11a74cb2d7a110eba12c5fc8c862a65b8e6606"


def test_ambiguous_names_of_inception5h():
    # map_clsloc.txt of the development kit; its lines are counted from 1, as are the outputs after the dummy.
    pairs = label_set("inception5h").classes
    assert pairs[429] == ("n02012849", "crane bird")
    assert pairs[545] == ("n03126707", "crane")
    assert pairs[782] == ("n03710637", "maillot")
    assert pairs[977] == ("n03710721", "maillot tank suit")
    assert pairs[50] == ("n02113186", "Cardigan")
    assert pairs[836] == ("n02963159", "cardigan")


def test_places365_is_the_file_of_the_authors():
    lines = (f"/{name[0]}/{name} {k}\n" for k, (name, _) in enumerate(label_set("places365").classes))
    text = "".join(lines).removesuffix("\n")
    # torchvision/datasets/places365.py
    assert hashlib.md5(text.encode()).hexdigest() == "06c963b85866bd0649f97cb43dd16673"


def test_places205_follows_its_letters():
    names = [name for name, _ in label_set("places205").classes]
    assert (names[0], names[13], names[36], names[98], names[204]) == (
        "abbey",
        "apartment_building/outdoor",
        "bakery/shop",
        "hotel/outdoor",
        "yard",
    )
    assert [name[0] for name in names] == sorted(name[0] for name in names)
    assert label_set("places205").classes[1] == ("airport_terminal", "airport terminal")


def test_background_comes_first():
    assert label_set("imagenet_background").classes[0] == ("background", "background")
    assert label_set("imagenet_background").classes[1:] == label_set("imagenet").classes


@pytest.mark.parametrize("name", ["imagenet", "imagenet_background", "inception5h"])
def test_columns_of_imagenet(name):
    columns = imagenet_columns(name)
    assert len(set(columns)) == 1000
    for wordnet_id, k in (("n01440764", 0), ("n02012849", 134), ("n03126707", 517), ("n15075141", 999)):
        assert label_set(name).classes[columns[k]][0] == wordnet_id
    if name == "inception5h":
        assert columns[:2] == (449, 450) and columns[134] == 429


def test_columns_of_something_else():
    with pytest.raises(ValueError, match="one of imagenet, .*Received: name='cifar10'"):
        imagenet_columns("cifar10")


def test_unknown_set():
    with pytest.raises(ValueError, match="cifar10, imagenet, .*Received: labels='imagnet'"):
        label_set("imagnet")


def test_sets_are_frozen():
    with pytest.raises(AttributeError):
        label_set("cifar10").name = "other"


@pytest.mark.parametrize("count, name", labels.BY_COUNT.items())
def test_the_count_chooses_the_set(count, name):
    (best, *rest), second = decode_predictions(one_hot(count, 7, 8))
    assert best == (*label_set(name).classes[7], 1.0)
    assert second[0][:2] == label_set(name).classes[8]
    assert len(rest) == 4
    scores = [score for *_, score in (best, *rest)]
    assert scores == sorted(scores, reverse=True)


def test_keras_order_of_the_crane():
    assert decode_predictions(one_hot(1000, 134), top=1) == [[("n02012849", "crane bird", 1.0)]]
    assert decode_predictions(one_hot(1008, 429), top=1) == [[("n02012849", "crane bird", 1.0)]]
    assert decode_predictions(one_hot(1001, 135), top=1) == [[("n02012849", "crane bird", 1.0)]]


def test_outputs_without_a_class_are_left_out():
    assert (
        decode_predictions(one_hot(1008, 0, 1007), top=1, labels="inception5h")
        == [[("n02119789", "kit fox", -1e-06)]] * 2
    )


class TapedTensor:
    """Refuses to become an array where a torch tensor does: on the tape, on another device, and as bfloat16."""

    def __init__(self, array, left=("detach", "cpu", "double")):
        self.array, self.left = array, left

    def _step(self, name):
        return TapedTensor(self.array, [step for step in self.left if step != name])

    def detach(self):
        return self._step("detach")

    def cpu(self):
        return self._step("cpu")

    def double(self):
        return self._step("double")

    def __array__(self, dtype=None, copy=None):
        if self.left:
            raise RuntimeError(f"call {self.left[0]}() first")
        return np.asarray(self.array, dtype)


# jax and torch themselves: tests/parity/test_labels.py
@pytest.mark.parametrize(
    "tensor", [np.float16, lambda x: x.tolist(), tf.constant, lambda x: tf.cast(x, "bfloat16"), TapedTensor]
)
def test_tensors(tensor):
    assert decode_predictions(tensor(np.eye(10)[[3]]), top=1, labels="cifar10") == [[("cat", "cat", 1.0)]]


def test_dict_of_a_model_with_heads():
    preds = {"aux_4a": np.eye(10), "predictions": np.eye(10)[[9]], "aux_4d": np.eye(10)}
    assert decode_predictions(preds, top=1, labels="cifar10") == [[("truck", "truck", 1.0)]]
    with pytest.raises(ValueError, match="'predictions'.*aux_4a"):
        decode_predictions({"aux_4a": np.eye(10)})


@pytest.mark.parametrize(
    "given", ["cifar10", label_set("cifar10"), label_set("cifar10").classes, ["x"] * 9 + ["truck"], ("x", "truck") * 5]
)
def test_labels_in_every_form(given):
    assert decode_predictions(np.eye(10)[[9]], top=1, labels=given) == [[("truck", "truck", 1.0)]]


def model_with(labels):
    """A model whose pixel layer carries these labels."""
    inputs = keras.Input((4, 4, 3))
    return keras.Model(inputs, Pixels(spec={"labels": labels}, name="pixels")(inputs))


@pytest.mark.parametrize("spec, name", [("cifar10", "bird"), (list("abcdefghij"), "c")])
def test_labels_of_a_model(spec, name):
    for model in (model_with(spec), keras.Sequential([keras.Input((4, 4, 3)), model_with(spec)])):
        assert decode_predictions(np.eye(10)[[2]], top=1, labels=model) == [[(name, name, 1.0)]]


def test_ten_classes_are_not_taken_for_cifar10():
    with pytest.raises(ValueError, match="expected labels=.*Received: preds with 10 classes"):
        decode_predictions(np.eye(10))
    with pytest.raises(ValueError, match="expected labels="):
        decode_predictions(np.eye(10), labels=model_with(None))


def test_a_model_of_someone_else():
    with pytest.raises(ValueError, match="expected a model of this package"):
        decode_predictions(np.eye(10), labels=keras.Sequential([keras.Input((4,)), keras.layers.Dense(10)]))


def test_top_is_clamped():
    assert [len(row) for row in decode_predictions(np.eye(10), top=99, labels="cifar10")] == [10] * 10
    assert len(decode_predictions(one_hot(1008, 3), top=2000)[0]) == 1000


def test_ties_keep_the_order_of_the_classes():
    (best,) = decode_predictions(np.zeros((1, 10)), top=3, labels="cifar10")
    assert [name for name, *_ in best] == ["airplane", "automobile", "bird"]


def test_no_samples():
    assert decode_predictions(np.zeros((0, 10)), labels="cifar10") == []


@pytest.mark.parametrize(
    "preds, options, message",
    [
        (np.zeros(1000), {}, r"shape \(samples, classes\); Received: preds of shape \(1000,\)"),
        (np.zeros((1, 2, 1000)), {}, r"Received: preds of shape \(1, 2, 1000\)"),
        (np.zeros((1, 5)), {}, "expected labels=.*Received: preds with 5 classes"),
        (np.zeros((1, 5)), {"labels": "imagenet"}, "expected 1000 classes.*Received: preds with 5 classes"),
        (np.zeros((1, 5)), {"labels": ["a", "b"]}, "expected 2 classes"),
        (np.zeros((1, 2)), {"labels": [("a",), "b"]}, "expected every label to be"),
        (np.zeros((1, 5)), {"labels": 5}, "Received: labels=5"),
        (np.zeros((1, 10)), {"top": 0, "labels": "cifar10"}, "Received: top=0"),
        (np.zeros((1, 10)), {"top": 2.5, "labels": "cifar10"}, "Received: top=2.5"),
    ],
)
def test_bad_input(preds, options, message):
    with pytest.raises(ValueError, match=message):
        decode_predictions(preds, **options)


def test_a_set_of_ones_own():
    animals = LabelSet("animals", (None, ("c", "cat"), ("d", "dog")))
    assert decode_predictions([[0.9, 0.2, 0.7]], labels=animals) == [[("d", "dog", 0.7), ("c", "cat", 0.2)]]
