"""The page of photos and score bars."""

import numpy as np
import pytest
from PIL import Image

from keras_inception.contact_sheet import CARD, FIRST, PADDING, contact_sheet

PREDICTIONS = [("Egyptian cat", 0.75), ("tabby, tabby cat", 0.2), ("lynx", 0.0)]


def card(colour="red", predictions=PREDICTIONS):
    return Image.new("RGB", (60, 80), colour), "cat.jpg", predictions


def columns(sheet):
    """How many red photos stand side by side, counted along the row of pixels that has most of them."""
    red = (np.asarray(sheet) == (255, 0, 0)).all(-1)
    row = red[red.sum(1).argmax()].astype(int)
    return int((np.diff(row, prepend=0) == 1).sum())


@pytest.mark.parametrize("count, expected", [(1, 1), (2, 2), (3, 3), (4, 4), (5, 3), (8, 4), (9, 3), (13, 5), (18, 6)])
def test_grid(count, expected):
    assert columns(contact_sheet([card()] * count, "GoogLeNet")) == expected
    assert columns(contact_sheet([card()] * count, "GoogLeNet", columns=1)) == 1


def test_bars_are_as_long_as_the_scores():
    sheet = np.asarray(contact_sheet([card()], "GoogLeNet", "a subtitle"))
    blue = (sheet == tuple(bytes.fromhex(FIRST[1:]))).all(-1)
    assert abs(int(blue.sum(1).max()) - 0.75 * (CARD - 2 * PADDING)) <= 8  # the round ends are mixed colours


def test_anything_can_be_written_on_it():
    odd = [
        ("a label that is far too long for the width of a card, with all its synonyms", 1.0),
        ("ひ\n\udcff", 1.5),
        ("", -1),
    ]
    sheet = contact_sheet([card(predictions=odd), card(predictions=[])], "t" * 500, "s" * 500)
    assert sheet.mode == "RGB" and sheet.width < 3000


def test_the_bar_of_a_score_that_is_no_number_is_empty():
    sheets = [contact_sheet([card(predictions=[("cat", score)])], "GoogLeNet") for score in (float("nan"), 0.0)]
    for sheet in sheets:
        assert not (np.asarray(sheet) == tuple(bytes.fromhex(FIRST[1:]))).all(-1).any()


def test_no_cards():
    with pytest.raises(ValueError, match="at least one card"):
        contact_sheet([], "GoogLeNet")
