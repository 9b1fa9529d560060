"""The names behind a classifier's outputs: label sets, and `decode_predictions` over them. Nothing is downloaded."""

import collections.abc
import dataclasses
import functools
import importlib.resources
import operator

import numpy as np

# By the number of classes, for predictions that come without a word about their labels. Ten are no sign of CIFAR-10:
# many a fine-tuned network has ten classes of its own.
BY_COUNT = {
    1000: "imagenet",
    1001: "imagenet_background",
    1008: "inception5h",
    205: "places205",
    365: "places365",
}
NAMES = tuple(sorted([*BY_COUNT.values(), "cifar10"]))


@dataclasses.dataclass(frozen=True)
class LabelSet:
    """What the outputs of a classifier stand for, in their order.

    Args:
        name: a short name, such as `"imagenet"`.
        classes: a pair (id, name) per output, or None for an output that stands for no class. The id is the WordNet
            id where there is one, else the name as the data set writes it.
    """

    name: str
    classes: tuple[tuple[str, str] | None, ...]

    def __len__(self):
        return len(self.classes)


@functools.cache
def label_set(name: str) -> LabelSet:
    """A label set by its name.

    Args:
        name: one of `"imagenet"` (1000 classes by ascending WordNet id: BVLC, torchvision, Keras),
            `"imagenet_background"` (1001: TF-slim), `"inception5h"` (1008, in an order of its own), `"cifar10"`,
            `"places205"`, `"places365"`.

    Raises:
        ValueError: there is no such label set.
    """
    if name not in NAMES:
        raise ValueError(f"expected labels to be one of {', '.join(NAMES)}; Received: labels={name!r}")
    if name == "imagenet":
        classes = [tuple(line.split(" ", 1)) for line in _lines(name)]
    elif name == "imagenet_background":
        classes = [("background", "background"), *label_set("imagenet").classes]
    elif name == "inception5h":
        names = dict(label_set("imagenet").classes)
        # A dummy, 1000 classes in the order of the ILSVRC2012 development kit, 7 outputs that were never named.
        classes = [None, *((wordnet_id, names[wordnet_id]) for wordnet_id in _lines(name)), *[None] * 7]
    else:
        classes = [(line, line.replace("_", " ")) for line in _lines(name)]
    return LabelSet(name, tuple(classes))


def imagenet_columns(name: str) -> tuple[int, ...]:
    """Where another label set keeps ImageNet's classes: column `k` of `imagenet` is column `columns[k]` of `name`.

    `predictions[:, imagenet_columns("inception5h")]` puts 1008 outputs into the order that labels are counted in.

    Args:
        name: `"imagenet"`, `"imagenet_background"` or `"inception5h"`.

    Raises:
        ValueError: the label set does not hold ImageNet's classes.
    """
    columns = {pair: column for column, pair in enumerate(label_set(name).classes)}
    try:
        return tuple(columns[pair] for pair in label_set("imagenet").classes)
    except KeyError as error:
        valid = "imagenet, imagenet_background, inception5h"
        raise ValueError(f"expected a label set of ImageNet, one of {valid}; Received: name={name!r}") from error


def decode_predictions(preds, top=5, labels=None):
    """The best classes of each sample, as `keras.applications` gives them.

    Args:
        preds: scores of shape (samples, classes), an array or a tensor of any backend; or the dict of a model with
            auxiliary heads, of which `"predictions"` is read.
        top: how many classes per sample; all of them if there are fewer.
        labels: the name of a label set (see `label_set`), a `LabelSet`, one name per output, or a model of this
            package, which knows its labels. None: the label set with this number of classes.

    Returns:
        A list with one list per sample of tuples `(id, name, score)`, best first. Outputs that stand for no class are
        left out.

    Raises:
        ValueError: the shape is another, or the labels do not fit.
    """
    scores = _scores(preds)
    classes = class_pairs(labels, scores.shape[1])
    try:
        top = operator.index(top)
    except TypeError:
        raise ValueError(f"expected top to be a positive int; Received: top={top!r}") from None
    if top < 1:
        raise ValueError(f"expected top to be a positive int; Received: top={top!r}")
    columns = np.array([column for column, pair in enumerate(classes) if pair is not None], dtype=int)
    named = scores[:, columns]
    best = np.argsort(-named, axis=1, kind="stable")[:, :top]
    return [
        [(*classes[columns[place]], float(row[place])) for place in order]
        for row, order in zip(named, best, strict=True)
    ]


def _lines(name):
    text = importlib.resources.files("keras_inception").joinpath("data", "labels", f"{name}.txt").read_text("utf-8")
    return text.splitlines()


def _scores(preds):
    """Predictions of any backend as a float64 array of shape (samples, classes)."""
    if isinstance(preds, collections.abc.Mapping):
        if "predictions" not in preds:
            raise ValueError(f"expected the key 'predictions'; Received: preds with the keys {sorted(preds)}")
        preds = preds["predictions"]
    if hasattr(preds, "detach"):
        # A torch tensor turns into an array only off the tape and on the CPU, and bfloat16 not even then.
        preds = preds.detach().cpu().double()
    scores = np.asarray(np.asarray(preds), dtype="float64")
    if scores.ndim != 2:
        raise ValueError(f"expected preds of shape (samples, classes); Received: preds of shape {scores.shape}")
    return scores


def class_pairs(labels, count: int) -> tuple:
    """One (id, name), or None, per output.

    Args:
        labels: as for `decode_predictions`.
        count: how many outputs there are.

    Raises:
        ValueError: the labels do not fit, or there are none for so many outputs.
    """
    if hasattr(labels, "get_layer"):
        labels = _labels_of(labels)
    if labels is None:
        if count not in BY_COUNT:
            known = ", ".join(f"{number} ({name})" for number, name in sorted(BY_COUNT.items()))
            raise ValueError(
                f"expected labels=, for no label set has as many classes; known are {known}; "
                f"Received: preds with {count} classes"
            )
        labels = BY_COUNT[count]
    if isinstance(labels, str):
        labels = label_set(labels)
    if isinstance(labels, LabelSet):
        name, classes = labels.name, labels.classes
    elif isinstance(labels, collections.abc.Iterable):
        name, classes = "labels", tuple(_pair(label) for label in labels)
    else:
        raise ValueError(f"expected a label set's name, a list of names, or a model; Received: labels={labels!r}")
    if len(classes) != count:
        raise ValueError(f"expected {len(classes)} classes, as {name} has; Received: preds with {count} classes")
    return classes


def _labels_of(model):
    """The labels in the spec that a model carries."""
    pixels = _pixels_of(model)
    if pixels is None:
        raise ValueError(
            f"expected a model of this package, with a layer 'pixels'; Received: labels={model!r}; "
            "pass labels= as a list of names"
        )
    return (pixels.spec or {}).get("labels")


def _pixels_of(model):
    """The layer that carries a model's spec, known by its name: this module imports no layers."""
    for layer in getattr(model, "layers", ()):
        found = layer if layer.name == "pixels" and hasattr(layer, "spec") else _pixels_of(layer)
        if found is not None:
            return found
    return None


def _pair(label):
    """A user's label, a name or an (id, name), as (id, name)."""
    if label is None:
        return None
    if isinstance(label, str):
        return label, label
    pair = tuple(label) if isinstance(label, collections.abc.Sequence) else ()
    if len(pair) != 2:
        raise ValueError(f"expected every label to be a name or a pair (id, name); Received: {label!r}")
    return pair
