"""The page of examples and of their augmented views."""

import io
import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_inception.contact_sheet import GAP, PADDING, PAGE
from training.options import Augmentation
from training.preview import CELL, HEADING, SPACE, preview

STILL = Augmentation(crop="none", mirror=False, photometric=0, lighting=0)
COLOURS = ((255, 0, 0), (0, 0, 255), (0, 128, 0))


def png(colour, size=(12, 9)):
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def source(images, labels=None, classes=("red", "blue", "green")):
    """A stand-in for a data set, with its examples in stored order."""
    labels = np.arange(len(images)) if labels is None else labels
    examples = [
        {"id": tf.constant(f"example {i}"), "image": tf.constant(image), "label": tf.constant(label, tf.int64)}
        for i, (image, label) in enumerate(zip(images, labels, strict=True))
    ]
    return types.SimpleNamespace(name="stand-in train", classes=classes, examples=lambda seed: iter(examples))


def drawn(tmp_path, *arguments, **options):
    path = tmp_path / "new" / "preview.png"
    preview(*arguments, path, **options)
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def cells(page, rows, columns):
    """The pictures of a page, as arrays (CELL, CELL, 3)."""
    height = (page.shape[0] - GAP - HEADING) // rows
    tops = [GAP + HEADING + row * height + PADDING for row in range(rows)]
    lefts = [GAP + PADDING + column * (CELL + SPACE) for column in range(columns)]
    return [[page[top : top + CELL, left : left + CELL] for left in lefts] for top in tops]


def test_examples_go_down_and_views_across(tmp_path):
    page = drawn(tmp_path, source([png(colour) for colour in COLOURS]), STILL, 8, rows=3, columns=4)
    for colour, row in zip(COLOURS, cells(page, 3, 4), strict=True):
        for cell in row:
            assert np.unique(cell.reshape(-1, 3), axis=0).tolist() == [list(colour)]
    assert page[0, 0].tolist() == list(bytes.fromhex(PAGE[1:]))


def test_the_first_is_as_evaluated_and_the_others_differ(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    (row,) = cells(drawn(tmp_path, source([noise]), Augmentation(), 40, rows=1, columns=4, resize_to=40), 1, 4)
    enlarged = np.asarray(Image.fromarray(noise).resize((CELL, CELL), Image.Resampling.NEAREST))
    assert (row[0] == enlarged).all()
    for i, cell in enumerate(row):
        assert all((cell != other).any() for other in row[:i])


def test_seed_and_epoch_decide_the_views(tmp_path):
    noise = source([np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)])
    pages = [
        drawn(tmp_path, noise, Augmentation(), 16, rows=1, columns=2, seed=seed, epoch=epoch)
        for seed, epoch in ((1, 2), (1, 2), (2, 2), (1, 3))
    ]
    assert (pages[0] == pages[1]).all()
    assert (pages[0] != pages[2]).any() and (pages[0] != pages[3]).any()


def test_fewer_examples_than_rows_and_broken_ones(tmp_path):
    images = [png(COLOURS[0]), b"no image", png(COLOURS[1])]
    page = drawn(tmp_path, source(images, [0, 1, 2]), STILL, 8, rows=6, columns=2)
    shown = [row[0][0, 0].tolist() for row in cells(page, 2, 2)]
    assert shown == [list(COLOURS[0]), list(COLOURS[1])]
    with pytest.raises(ValueError, match="at least one readable example; Received: stand-in train"):
        preview(source([b"no image"]), STILL, 8, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_class_names_are_written(tmp_path):
    images = [png(COLOURS[0])]
    known, other, unknown = (
        drawn(tmp_path, source(images, [label], ("red", "blue")), STILL, 8, rows=1, columns=2) for label in (0, 1, 7)
    )
    below = slice(GAP + HEADING + PADDING + CELL + 44, None)
    assert (known[below] != other[below]).any() and (known[below] != unknown[below]).any()
    assert (known[: below.start] == other[: below.start]).all()


@pytest.mark.parametrize("wrong", [{"rows": 0}, {"columns": 1}])
def test_a_page_needs_a_row_and_a_view(tmp_path, wrong):
    with pytest.raises(ValueError, match="at least 1 row and 2 columns"):
        preview(source([png("red")]), STILL, 8, tmp_path / "x.png", **wrong)
