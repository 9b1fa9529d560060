"""Which proposals show what, by hand, and what is drawn of them."""

import numpy as np
import pytest

from keras_inception.detection.objects import Objects
from keras_inception.detection.sampling import IGNORED, match, sample

BACKGROUND = 3
PROPOSALS = [[0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 4.9], [50, 50, 60, 60], [20, 20, 30, 31], [5, 0, 15, 10]]


def test_matching_by_hand():
    objects = Objects([[0, 0, 10, 10], [20, 20, 30, 30], [10, 0, 20, 10]], [2, 0, 1])
    matches = match(PROPOSALS, objects, BACKGROUND)
    assert matches.labels.tolist() == [2, 2, 3, 3, 0, 3], "at the threshold it shows the object, below it does not"
    assert matches.objects[[0, 1, 2, 4]].tolist() == [0, 0, 0, 1]
    np.testing.assert_allclose(matches.overlaps, [1, 0.5, 0.49, 0, 100 / 110, 1 / 3])
    assert match(PROPOSALS, objects, BACKGROUND, threshold=0.3).labels.tolist() == [2, 2, 2, 3, 0, 2]


def test_nothing_is_learned_from_difficult_objects_and_crowds():
    boxes = [[0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 90, 90]]
    objects = Objects(boxes, [2, 0, 1], [True, False, False], [False, False, True])
    assert match(PROPOSALS, objects, BACKGROUND).labels.tolist() == [IGNORED, IGNORED, 3, IGNORED, 0, 3]


def test_no_objects_and_no_proposals():
    nothing = Objects(np.zeros((0, 4)), np.zeros(0, int))
    assert match(PROPOSALS, nothing, BACKGROUND).labels.tolist() == [3] * 6
    assert len(match(np.zeros((0, 4)), nothing, BACKGROUND).labels) == 0


def test_a_quarter_shows_objects():
    labels = np.array([0] * 10 + [1] * 40 + [BACKGROUND] * 200 + [IGNORED] * 9)
    drawn = sample(labels, 128, BACKGROUND, np.random.default_rng(0))
    assert len(drawn) == len(set(drawn.tolist())) == 128, "none twice"
    assert (labels[drawn] == BACKGROUND).sum() == 96 and (labels[drawn] == IGNORED).sum() == 0
    again = sample(labels, 128, BACKGROUND, np.random.default_rng(0))
    assert np.array_equal(drawn, again) and not np.array_equal(np.sort(drawn), drawn)


@pytest.mark.parametrize(
    ("labels", "shows"),
    [([0, 3, 3], 4), ([0, 1, IGNORED], 16), ([3, 3, IGNORED], 0), ([0] * 40 + [3], 4)],
    ids=["few objects", "no background", "no objects", "little background"],
)
def test_where_there_are_too_few(labels, shows):
    labels = np.array(labels)
    drawn = sample(labels, 16, BACKGROUND, np.random.default_rng(0))
    assert len(drawn) == 16 and (labels[drawn] < BACKGROUND).sum() == shows and (labels[drawn] >= 0).all()


def test_where_there_are_none():
    assert len(sample([IGNORED], 16, BACKGROUND, np.random.default_rng(0))) == 0
    assert len(sample([], 16, BACKGROUND, np.random.default_rng(0))) == 0
