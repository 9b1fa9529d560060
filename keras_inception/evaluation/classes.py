"""Which output of a model a data set's label means: by the names of both."""

import re

import numpy as np

from keras_inception.labels import class_pairs


def class_names(model, count: int) -> tuple[str, ...]:
    """The names of a model's outputs: the ids where there are any, as WordNet's; else numbers."""
    pairs = _known(model, count)
    return tuple(str(number) if pair is None else pair[0] for number, pair in enumerate(pairs or [None] * count))


def match_classes(names, model, count: int) -> np.ndarray:
    """The model's output for each class of a data set.

    Args:
        names: the data set's classes, in label order: names, WordNet ids, or both (`n01440764_tench`); or the numbers
            from 0, for those of the model.
        model: a model, which may know its labels.
        count: how many outputs it has.

    Returns:
        int64 (len(names),).

    Raises:
        ValueError: the model lacks a class, or has two of a name.
    """
    names = [str(name) for name in names]
    if names == [str(number) for number in range(len(names))] and len(names) <= count:
        return np.arange(len(names))
    pairs = _known(model, count)
    if pairs is None:
        if len(names) != count:
            raise ValueError(
                f"expected as many classes as the model has, {count}, for it does not know their names; "
                f"Received: {len(names)}"
            )
        return np.arange(count)
    outputs = {}
    for output, pair in enumerate(pairs):
        for key in {_plain(part) for part in pair or ()}:
            outputs.setdefault(key, []).append(output)
    found = [next((outputs[key] for key in _keys(name) if key in outputs), []) for name in names]
    wrong = [name for name, places in zip(names, found, strict=True) if len(places) != 1]
    if wrong:
        shown = ", ".join(wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise ValueError(f"expected classes that the model has, each of them once; Received: {shown}")
    columns = np.array([places[0] for places in found], np.int64)
    if len(set(columns.tolist())) < len(columns):
        raise ValueError(f"expected each class once; Received: {len(columns)} names of {len(set(columns))} classes")
    return columns


def _known(model, count):
    """The labels of a model that knows them."""
    try:
        return class_pairs(model, count) if model.get_layer("pixels").spec.get("labels") else None
    except (ValueError, AttributeError):
        return None


def _keys(name):
    """What a class may be called by, the surest first."""
    wordnet_id = re.match(r"n\d{8}(?=_|$)", name)
    return [*([wordnet_id[0]] if wordnet_id else []), _plain(name)]


def _plain(name):
    return " ".join(re.split(r"[\s_]+", name.strip().lower()))
