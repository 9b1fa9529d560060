"""Boxes: worked by hand, against pixels that are counted, and through every mapping and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_inception.detection.boxes import (
    Mapping,
    area,
    checked_boxes,
    clip,
    decode,
    encode,
    intersection,
    overlap,
    suppress,
)
from keras_inception.detection.objects import Detections, Objects

WHOLE = st.integers(0, 30)


@st.composite
def some_boxes(draw, least=0, most=8, extent=0):
    count = draw(st.integers(least, most))
    rows = [
        (x, y, x + draw(st.integers(extent, 20)), y + draw(st.integers(extent, 20)))
        for x, y in draw(st.lists(st.tuples(WHOLE, WHOLE), min_size=count, max_size=count))
    ]
    return np.array(rows, float).reshape(-1, 4)


def painted(box, height_width=(64, 64)):
    """The pixels that a box covers."""
    image = np.zeros(height_width, bool)
    left, top, right, bottom = (round(float(side)) for side in box)
    image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
    return image


def around(image):
    """The box around what is painted."""
    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def test_overlap_by_hand():
    first = np.array([[0, 0, 10, 10], [5, 5, 5, 9]], float)
    second = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [5, 5, 15, 15], [10, 0, 20, 10], [5, 5, 5, 9]], float)
    assert area(second).tolist() == [100, 100, 100, 100, 0]
    assert intersection(first, second)[0].tolist() == [100, 50, 25, 0, 0]
    np.testing.assert_allclose(overlap(first, second)[0], [1, 50 / 150, 25 / 175, 0, 0])
    assert overlap(first, second)[1].tolist() == [0] * 5, "what has no extent overlaps nothing, not even itself"


@settings(max_examples=60, deadline=None)
@given(some_boxes(), some_boxes())
def test_areas_are_pixels_that_can_be_counted(first, second):
    shared = intersection(first, second)
    assert shared.shape == overlap(first, second).shape == (len(first), len(second))
    for row, box in enumerate(first):
        assert area(first)[row] == painted(box).sum()
        for column, other in enumerate(second):
            both, either = painted(box) & painted(other), painted(box) | painted(other)
            assert shared[row, column] == both.sum()
            assert overlap(first, second)[row, column] == pytest.approx(both.sum() / max(1, either.sum()))


@settings(max_examples=60, deadline=None)
@given(some_boxes(), st.integers(-20, 20), st.integers(-20, 20))
def test_clipped_boxes_cover_what_is_inside(boxes, x, y):
    boxes = boxes + [x, y, x, y]
    for box, inside in zip(boxes, clip(boxes, (24, 32)), strict=True):
        assert np.array_equal(painted(box, (24, 32)), painted(inside, (24, 32)))
        assert 0 <= inside[0] <= inside[2] <= 32 and 0 <= inside[1] <= inside[3] <= 24


@settings(max_examples=60, deadline=None)
@given(
    some_boxes(least=1, most=1, extent=1), st.integers(1, 4), st.integers(1, 4), st.integers(0, 9), st.integers(0, 9)
)
def test_a_painted_box_is_where_its_mapping_says(boxes, wider, higher, left, top):
    """Mirrored, enlarged, cut out of the image, and mapped back: the same box, to a pixel."""
    image = painted(boxes[0])
    image = image[:, ::-1]
    to = Mapping.flipped(64)
    image = image.repeat(higher, axis=0).repeat(wider, axis=1)
    to = to.then(Mapping.resized((64, 64), image.shape))
    image = np.pad(image, 50)[50 - top : 300, 50 - left :]
    to = to.then(Mapping.cropped(-left, -top))
    assert around(image) == to(boxes)[0].tolist()
    np.testing.assert_allclose(to.inverse()(to(boxes)), boxes, atol=1e-9)
    np.testing.assert_allclose(to.then(to.inverse())(boxes), boxes, atol=1e-9)


def test_reduced_to_a_third_and_back_it_is_the_same_box_to_a_pixel():
    boxes = np.random.default_rng(0).integers(0, 400, (50, 4)).astype(float)
    boxes = np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], axis=1)
    small = Mapping.resized((480, 640), (160, 213))
    assert np.abs(small.inverse()(small(boxes).round()) - boxes).max() <= 1.6, "half a pixel of the small image"
    np.testing.assert_allclose(small.inverse()(small(boxes)), boxes, atol=1e-9)


def test_regression_targets_by_hand():
    moves = encode([[10, 20, 30, 60]], [[0, 0, 10, 20]])
    np.testing.assert_allclose(moves, [[(20 - 5) / 10, (40 - 10) / 20, np.log(2), np.log(2)]])
    assert encode([[3, 4, 5, 8]], [[3, 4, 5, 8]]).tolist() == [[0, 0, 0, 0]]
    with pytest.raises(ValueError, match="expected boxes and proposals with an extent"):
        encode([[0, 0, 0, 5]], [[0, 0, 10, 20]])


@settings(max_examples=60, deadline=None)
@given(some_boxes(least=3, most=3, extent=1), some_boxes(least=3, most=3, extent=1))
def test_moves_lead_to_the_boxes(boxes, proposals):
    np.testing.assert_allclose(decode(encode(boxes, proposals), proposals), boxes, atol=1e-9)


def test_suppression_by_hand():
    boxes = [[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 4], [20, 0, 30, 10], [0, 1, 10, 10]]
    assert suppress(boxes, [0.5, 0.9, 0.8, 0.1, 0.7], 0.5).tolist() == [1, 2, 3]
    assert suppress(boxes, [0.5, 0.9, 0.8, 0.1, 0.7], 0.3).tolist() == [1, 3]
    assert suppress(boxes, [0.5, 0.9, 0.8, 0.1, 0.7], 0.5, limit=2).tolist() == [1, 2]
    assert suppress(boxes, [0.5] * 5, 0.5).tolist() == [0, 2, 3], "of equal scores the first is the higher"
    assert suppress(boxes, [0.5, 0.9, 0.8, 0.1, 0.7], 0.5, labels=[0, 1, 1, 1, 0]).tolist() == [1, 2, 4, 3]
    assert suppress(np.zeros((0, 4)), [], 0.5).tolist() == []
    assert suppress([[0, 0, 10, 5], [0, 0, 10, 10]], [0.9, 0.8], 0.5).tolist() == [0, 1], "0.5 is not above 0.5"
    assert suppress([[1, 1, 1, 5]] * 2, [0.9, 0.8], 0.5).tolist() == [0, 1], "what has no extent suppresses nothing"
    for threshold, kept in ((0, [1, 3]), (1, [1, 2, 4, 0, 3]), (np.float64(0.5), [1, 2, 3])):
        assert suppress(boxes, [0.5, 0.9, 0.8, 0.1, 0.7], threshold).tolist() == kept
    assert suppress(boxes[:2], [1 - 1e-9, 1.0], 0.5).tolist() == [1], "equal in single precision"
    assert suppress(boxes[:2], [-np.inf, -np.inf], 0.95).tolist() == [0, 1]
    assert suppress(boxes, [0.5, 0.9, 0.8, 0.1, 0.7], 0.5, limit=0).tolist() == []


def slowly_suppressed(boxes, scores, threshold, labels):
    left, kept = sorted(range(len(boxes)), key=lambda number: -scores[number]), []
    while left:
        first, *left = left
        kept.append(first)
        left = [
            number
            for number in left
            if labels[number] != labels[first] or overlap(boxes[[first]], boxes[[number]])[0, 0] <= threshold
        ]
    return kept


@pytest.mark.parametrize("count", [1, 100, 1000])
def test_suppression_is_the_obvious_one(count):
    rng = np.random.default_rng(count)
    start = rng.uniform(0, 100, (count, 2))
    boxes = np.concatenate([start, start + rng.uniform(5, 40, (count, 2))], axis=1)
    scores, labels = rng.random(count), rng.integers(0, 3, count)
    assert suppress(boxes, scores, 0.4, labels=labels).tolist() == slowly_suppressed(boxes, scores, 0.4, labels)
    together = slowly_suppressed(boxes, scores, 0.4, np.zeros(count))
    assert suppress(boxes, scores, 0.4).tolist() == together
    assert suppress(boxes, scores, 0.4, limit=5).tolist() == together[:5]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: checked_boxes([1, 2, 3, 4]), r"expected boxes \(n, 4\); Received: shape \(4,\)"),
        (lambda: checked_boxes([[5, 0, 4, 9]]), r"expected boxes xmin, ymin, xmax, ymax; Received: \[5.0, 0.0, 4.0"),
        (lambda: checked_boxes([[0, 0, float("nan"), 9]]), "expected boxes xmin, ymin, xmax, ymax"),
        (lambda: Objects([[0, 0, 1, 1]], [0, 1]), r"expected labels \(1,\), one for each box; Received: shape \(2,\)"),
        (lambda: Objects([[0, 0, 1, 1]], [-1]), "expected labels from 0; Received: -1"),
        (lambda: Objects([[0, 0, 1, 1]], [0.5]), "expected labels that are integers; Received: float64"),
        (lambda: Objects([[0, 0, 1, 1]], [0], difficult=[]), r"expected difficult \(1,\)"),
        (lambda: Detections([[0, 0, 1, 1]], [0], [float("nan")]), "expected scores that are numbers"),
        (lambda: suppress([[0, 0, 1, 1]], [float("nan")], 0.5), "expected scores that are numbers; Received: NaN"),
        (lambda: suppress([[0, 0, 1, 1]], [0.5], 1.5), "expected a threshold in 0..1, and .*; Received: threshold=1.5"),
        (lambda: suppress([[0, 0, 1, 1]], [0.5], float("nan")), "expected a threshold in 0..1, .*: threshold=nan"),
        (lambda: suppress([[0, 0, 1, 1]], [0.5], 0.5, limit=-1), "and a limit of 0 or more; .*limit=-1"),
        (
            lambda: suppress([[0, 0, 1, 1]], [0.5, 0.5], 0.5),
            "expected a score, and a label if any, for each of 1 ",
        ),
    ],
)
def test_bad_input_is_one_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_what_was_said_of_an_image_does_not_change():
    boxes = np.array([[0.0, 0, 2, 3]])
    objects = Objects(boxes, [1])
    boxes[0] = 7
    assert objects.boxes.tolist() == [[0, 0, 2, 3]]
    assert len(objects) == 1 and objects.areas.tolist() == [6] and not objects.crowd.any()
    with pytest.raises(ValueError, match="read-only"):
        objects.boxes[0] = 0
