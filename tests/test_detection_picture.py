"""Detections as a picture: boxes where they were found, and captions that can be read."""

import numpy as np
from PIL import Image

from keras_inception.detection.average_precision import Curve
from keras_inception.detection.objects import Detections
from keras_inception.detection.picture import COLOURS, draw
from training.detection.pictures import steps

GREY = (128, 128, 128)


def colour(name):
    return tuple(int(name[place : place + 2], 16) for place in (1, 3, 5))


def around(picture, name):
    """The box around all pixels of a colour."""
    rows, columns = np.nonzero((np.asarray(picture) == colour(name)).all(-1))
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_boxes_are_where_they_were_found():
    photo = Image.new("RGB", (900, 700), GREY)
    found = Detections([[100, 200, 300, 400], [500, 50, 880, 690]], [0, 1], [0.9, 0.4])
    picture = draw(photo, found, ("cat", "dog"), captions=False)
    assert picture.size == (900, 700) and photo.getcolors() == [(630000, GREY)], "the photo is as it was"
    assert around(picture, COLOURS[0]) == [100, 200, 300, 400] and around(picture, COLOURS[1]) == [500, 50, 880, 690]
    assert picture.getpixel((200, 300)) == GREY, "frames alone"
    surest = draw(photo, found, ("cat", "dog"), threshold=0.5, captions=False)
    assert colour(COLOURS[1]) not in {each for _, each in surest.getcolors(2**24)}


def test_small_photos_are_enlarged():
    picture = draw(Image.new("RGB", (100, 50), GREY), Detections([[10, 10, 30, 40]], [0], [1.0]), ["x"], captions=False)
    assert picture.size == (1300, 650) and around(picture, COLOURS[0]) == [130, 130, 390, 520]


def test_captions_are_above_the_box_or_inside_and_never_beyond_the_photo():
    photo = Image.new("RGB", (800, 700), GREY)
    for box in ([300, 300, 400, 400], [760, 0, 800, 100], [0, 0, 800, 700]):
        plain = np.asarray(draw(photo, Detections([box], [2], [0.87]), "abc", captions=False))
        picture = np.asarray(draw(photo, Detections([box], [2], [0.87]), ("a", "b", "platelet"), captions=True))
        rows, columns = np.nonzero((plain != picture).any(-1))
        assert len(rows) > 500 and (columns.max() < 799 or box[0] == 760)
        assert rows.max() <= box[1] + 30 and rows.min() >= max(0, box[1] - 30)
    white = (picture == 255).all(-1).sum()
    assert white > 50, "its letters"


def test_nothing_and_what_has_no_extent():
    photo = Image.new("RGB", (700, 700), GREY)
    nothing = Detections(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))
    assert draw(photo, nothing, ()).getcolors() == [(490000, GREY)]
    draw(photo, Detections([[5, 5, 5, 5], [700, 700, 700, 700]], [8, 9], [0.5, 1.0]), [str(n) for n in range(10)])


def test_a_precision_is_that_of_the_recall_where_its_step_ends():
    curve = Curve(np.array([1, 0.5, 2 / 3]), np.array([0.5, 0.5, 1]), np.array([3, 2, 1]), 2, 0.8)
    assert steps(curve) == ([0, 0.5, 0.5, 0.5, 0.5, 1], [1, 1, 0.5, 0.5, 2 / 3, 2 / 3])
    nothing = np.zeros(0)
    assert steps(Curve(nothing, nothing, nothing, 2, 0.0)) == ([], [])
