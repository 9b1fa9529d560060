"""What is counted of an evaluation, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from keras_inception.evaluation.metrics import Tally


def tally(probabilities, labels):
    counts = Tally(np.shape(probabilities)[1])
    counts.add(probabilities, labels)
    return counts


def test_by_hand():
    counts = tally([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.1, 0.5, 0.4], [0.2, 0.2, 0.6]], [0, 0, 1, 2])
    assert counts.images == 4 and counts.top1_accuracy == 0.75 and counts.top5_accuracy == 1.0
    np.testing.assert_array_equal(counts.confusion, [[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    assert counts.class_accuracy.tolist() == [0.5, 1.0, 1.0]
    # Bins of a fifteenth: 0.7 and 0.6 and 0.6 fall to different ones or the same, 0.5 to another.
    # (0.7: hit), (0.6: miss; 0.6: hit), (0.5: hit) -> |0.7-1| + |1.2-1| + |0.5-1|, over four images.
    assert counts.calibration_error == pytest.approx((0.3 + 0.2 + 0.5) / 4)


def test_the_five_best():
    row = [0.3, 0.25, 0.2, 0.1, 0.08, 0.05, 0.02]
    counts = tally([row] * 7, range(7))
    np.testing.assert_array_equal(counts.top5, [1, 1, 1, 1, 1, 0, 0])
    assert counts.top1_accuracy == pytest.approx(1 / 7) and counts.top5_accuracy == pytest.approx(5 / 7)


def test_of_equal_probabilities_the_first_is_the_higher():
    counts = tally([[1 / 8] * 8] * 8, range(8))
    assert counts.top5.sum() == 5 and counts.top5[:5].all() and counts.confusion[:, 0].sum() == 8


def test_a_class_without_images():
    counts = tally([[0.9, 0.1]], [0])
    assert counts.class_accuracy[0] == 1 and np.isnan(counts.class_accuracy[1])


def test_confidence_at_the_borders_of_bins():
    counts = tally([[1.0, 0.0], [0.0, 1.0]], [0, 0])
    assert counts.bins[-1].tolist() == [2, 2, 1] and counts.calibration_error == 0.5
    counts = tally([[0.0, 0.0]], [0])
    assert counts.bins[0].tolist() == [1, 0, 1]


@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(1, 9)), elements=st.floats(0, 1)), st.data())
def test_parts_add_up_and_agree_with_sorting(probabilities, data):
    count, classes = probabilities.shape
    labels = np.array(data.draw(st.lists(st.integers(0, classes - 1), min_size=count, max_size=count)))
    whole, cut = tally(probabilities, labels), data.draw(st.integers(0, count))
    parts = Tally(classes)
    parts.add(probabilities[:cut], labels[:cut])
    parts.add(probabilities[cut:], labels[cut:])
    np.testing.assert_allclose(parts.to_vector(), whole.to_vector())
    order = np.argsort(-probabilities, axis=1, kind="stable")
    assert whole.top1_accuracy == (order[:, 0] == labels).mean()
    assert whole.top5_accuracy == (order[:, :5] == labels[:, np.newaxis]).any(1).mean()
    again = Tally.from_vector(whole.to_vector(), classes)
    np.testing.assert_array_equal(again.confusion, whole.confusion)
    np.testing.assert_array_equal(again.top5, whole.top5)
    np.testing.assert_array_equal(again.bins, whole.bins)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_without_a_class(label):
    with pytest.raises(ValueError, match=rf"expected labels in \[0, 3\); Received: {label}"):
        tally([[0.2, 0.3, 0.5]], [label])


def test_what_is_no_number():
    with pytest.raises(ValueError, match="values that are no numbers"):
        tally([[0.2, np.nan]], [0])


def test_nothing():
    with pytest.raises(ValueError, match="at least one image"):
        Tally(3).top1_accuracy  # noqa: B018
