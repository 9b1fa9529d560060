"""Which output of a model a data set's label means: by the names of both."""

import logging
import re

import numpy as np

from keras_inception.labels import class_pairs
from keras_inception.layers.pixels import stored_spec

logger = logging.getLogger(__name__)


def class_names(model, count: int, columns=None, names=()) -> tuple[str, ...]:
    """The names of a model's outputs, each once: its own, with the WordNet id where there is one.

    Args:
        model: a model, which may know its labels.
        count: how many outputs it has.
        columns, names: the outputs of a data set's classes, and their names, for a model that knows none.
    """
    pairs = _known(model, count)
    if pairs is not None:
        return tuple(str(number) if pair is None else _called(*pair) for number, pair in enumerate(pairs))
    found = [str(number) for number in range(count)]
    for output, name in zip(() if columns is None else columns, names, strict=False):
        # The name of a folder may have bytes that are no text, which nobody could print.
        found[output] = str(name).encode(errors="replace").decode()
    return tuple(found)


def check_same_classes(models, count: int) -> None:
    """Raises ValueError where models that know their labels know different ones."""
    known = [pairs for pairs in (_known(model, count) for model in models) if pairs is not None]
    for pairs in known[1:]:
        if pairs != known[0]:
            one, other = next((a, b) for a, b in zip(known[0], pairs, strict=True) if a != b)
            raise ValueError(
                f"expected models of the same classes in one order; Received: {one} where another has {other}"
            )


def match_classes(names, model, count: int) -> np.ndarray:
    """The model's output for each class of a data set.

    Args:
        names: the data set's classes, in label order: names, WordNet ids, or both (`n01440764_tench`); or numbers of
            the model's outputs.
        model: a model, which may know its labels.
        count: how many outputs it has.

    Returns:
        int64 (len(names),).

    Raises:
        ValueError: the model lacks a class, or has two of a name.
    """
    names = [str(name) for name in names]
    if len(set(names)) < len(names):
        raise ValueError(f"expected each class once; Received: {len(names)} names, {len(set(names))} of them different")
    pairs = _known(model, count)
    outputs = {}
    for output, pair in enumerate(pairs or ()):
        for key in {_plain(part) for part in pair or ()}:
            outputs.setdefault(key, []).append(output)
    found = [next((outputs[key] for key in _keys(name) if key in outputs), []) for name in names]
    # Of a model that knows its labels, numbers are accepted only as all of them: a few might be the names of others.
    numbers = all(name.isdecimal() for name in names) and set(map(int, names)) <= set(range(count))
    if not any(found) and numbers and (pairs is None or len(names) == count):
        found = [[int(name)] for name in names]
        if pairs is None and names == sorted(names) != sorted(names, key=int):
            logger.warning(
                "The classes %s, ... are taken for the numbers of the model's outputs, not for their order by name.",
                ", ".join(names[:3]),
            )
    elif pairs is None and len(names) != count:
        raise ValueError(
            f"expected as many classes as the model has, {count}, for it does not know their names; "
            f"Received: {len(names)}"
        )
    elif pairs is None:
        found = [[number] for number in range(count)]
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
    labels = stored_spec(model).get("labels")
    try:
        return class_pairs(labels, count) if labels else None
    except ValueError:  # of the network that it was made of, which had another classifier
        return None


def _called(key, name):
    return name if _plain(key) == _plain(name) else f"{key} {name}"


def _keys(name):
    """What a class may be called by, the surest first."""
    wordnet_id = re.match(r"n\d{8}(?=_|$)", name)
    return [*([wordnet_id[0]] if wordnet_id else []), _plain(name)]


def _plain(name):
    return " ".join(re.split(r"[\s_]+", name.strip().lower()))
