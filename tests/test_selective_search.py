"""Selective search: it finds what is plain to see, always the same, in pixels of the image."""

import sys

import numpy as np
import pytest

from keras_inception.detection.boxes import overlap
from keras_inception.detection.selective_search import MODES, SelectiveSearch, selective_search

OBJECTS = np.array([[20, 30, 90, 100], [120, 20, 180, 120], [40, 120, 110, 180]], float)
COLOURS = [(200, 40, 40), (40, 180, 60), (50, 60, 200)]


def scene(scale=1):
    """Three rectangles on grey, each of a colour of its own, with a little noise."""
    rng = np.random.default_rng(0)
    image = np.full((200 * scale, 240 * scale, 3), 120.0)
    for (left, top, right, bottom), colour in zip((OBJECTS * scale).astype(int), COLOURS, strict=True):
        image[top:bottom, left:right] = colour
    return (image + rng.normal(0, 4, image.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("mode", MODES)
def test_objects_that_are_plain_to_see_are_among_the_proposals(mode):
    image = scene()
    boxes = selective_search(image, mode)
    assert (overlap(OBJECTS, boxes).max(1) > 0.9).all()
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= [240, 200]).all() and (boxes[:, 2:] > boxes[:, :2]).all()
    assert len(np.unique(boxes, axis=0)) == len(boxes)
    assert np.array_equal(boxes, selective_search(image, mode)), "the order too"
    assert np.array_equal(boxes[:3], selective_search(image, mode, limit=3))


def test_boxes_are_in_pixels_of_the_image_whatever_its_size():
    for scale in (1, 3):
        for width in (None, 240, 500):
            boxes = selective_search(scene(scale), width=width) / scale
            assert (overlap(OBJECTS, boxes).max(1) > 0.9).all(), (scale, width)


def test_twice_the_superpixels_are_half_of_the_proposals():
    """On an image of many parts; the paper says so of section 8's change."""
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 256, (30, 40, 3), np.uint8), np.ones((12, 12, 1), np.uint8))
    counts = {mode: len(selective_search(image, mode, smallest=1)) for mode in ("rcnn", "paper")}
    assert counts["paper"] < 0.75 * counts["rcnn"], counts


@pytest.mark.parametrize("mode, sizes", [("rcnn", (50, 100)), ("paper", (100, 200))])
def test_superpixels_are_those_of_the_mode(mode, sizes):
    """Each superpixel is a proposal: k is the smallest size too, on HSV and on Lab, all at R-CNN's width."""
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 256, (12, 16, 3), np.uint8), np.ones((12, 12, 1), np.uint8))
    image = (image + rng.normal(0, 12, image.shape)).clip(0, 255).astype(np.uint8)
    boxes = set(map(tuple, selective_search(image, mode, width=None, smallest=0)))

    def missing(colours, size):
        converted = cv2.cvtColor(image, colours)
        parts = cv2.ximgproc.segmentation.createGraphSegmentation(0.8, size, size).processImage(converted)
        corners = [np.argwhere(parts == number) for number in range(parts.max() + 1)]
        return sum((*part.min(0)[::-1], *(part.max(0)[::-1] + 1)) not in boxes for part in corners)

    for colours in (cv2.COLOR_RGB2HSV, cv2.COLOR_RGB2Lab):
        assert [missing(colours, size) for size in sizes] == [0, 0]
        assert missing(colours, 150 if mode == "rcnn" else 50) > 0, "of other sizes not all"
    assert missing(cv2.COLOR_RGB2YCrCb, sizes[0]) > 0, "of other colours neither"


def test_the_smallest_box():
    image = scene()
    boxes = selective_search(image, width=None, smallest=65)
    assert len(boxes) and ((boxes[:, 2:] - boxes[:, :2]) >= 65).all()
    assert len(boxes) < len(selective_search(image, width=None, smallest=1))


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (5, 7)])
def test_images_without_anything(shape):
    boxes = selective_search(np.zeros((*shape, 3), np.uint8), width=None)
    assert boxes.shape == (0, 4)


@pytest.mark.parametrize("shape, width", [((300, 1), 500), ((40_000, 30), None), ((30, 40_000), None)])
def test_a_strip_is_made_so_short_that_opencv_can_do_it(shape, width, monkeypatch):
    cv2 = pytest.importorskip("cv2")
    made, resize = [], cv2.resize
    monkeypatch.setattr(
        cv2, "resize", lambda pixels, size, **options: made.append(size) or resize(pixels, size, **options)
    )
    monkeypatch.setattr(sys.modules[SelectiveSearch.__module__], "MAX_SIDE", 600)
    boxes = selective_search(np.zeros((*shape, 3), np.uint8), width=width, smallest=0)
    assert boxes.tolist() == [[0, 0, *shape[::-1]]] and [max(size) for size in made] == [600]


def test_bad_input_is_one_sentence(monkeypatch):
    with pytest.raises(
        ValueError, match="expected mode to be one of fast, quality, rcnn, paper; Received: mode='slow'"
    ):
        selective_search(scene(), "slow")
    for image in (np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((0, 5, 3), np.uint8)):
        with pytest.raises(ValueError, match=r"expected an image \(h, w, 3\) of uint8; Received: "):
            selective_search(image)
    monkeypatch.setitem(sys.modules, "cv2.ximgproc", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-inception\[detection\]'"):
        selective_search(scene())
