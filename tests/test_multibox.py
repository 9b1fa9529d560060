"""MultiBox: priors, the loss by hand, the matching against all assignments, and a network that learns to propose."""

import itertools
import sys

import keras
import numpy as np
import pytest

from keras_inception.detection.boxes import Mapping, overlap
from keras_inception.detection.multibox import (
    AroundPriors,
    MultiBox,
    MultiBoxLoss,
    MultiBoxProposals,
    assign,
    cluster_priors,
)

NOTHING = [0.0, 0, 0, 0]


def test_priors_are_the_centres_of_groups():
    rng = np.random.default_rng(0)
    centres = np.array([[0.1, 0.1, 0.3, 0.4], [0.2, 0.5, 0.4, 0.9], [0.6, 0.2, 0.9, 0.5]])
    boxes = np.repeat(centres, 50, axis=0) + rng.normal(0, 0.01, (150, 4))
    np.testing.assert_allclose(cluster_priors(rng.permutation(boxes), 3), centres, atol=0.01)
    one, again, other = (cluster_priors(boxes, 20, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one, again) and not np.array_equal(one, other) and one.shape == (20, 4)


def test_priors_that_cannot_be(monkeypatch):
    with pytest.raises(ValueError, match="expected 1 to 2 priors, of so many different boxes; Received: count=3"):
        cluster_priors([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0.5, 1]], 3)
    with pytest.raises(ValueError, match="expected boxes in shares of their images; Received: 0 to 90"):
        cluster_priors([[0, 0, 80, 90]], 1)
    monkeypatch.setitem(sys.modules, "scipy.cluster.vq", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-inception\[detection\]'"):
        cluster_priors([[0, 0, 1, 1]], 1)


def test_the_loss_by_hand():
    """Three predictions, two objects; the third prediction is near to none and sure of itself."""
    truth = np.array([[[0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.9, 0.9], NOTHING]])
    found = np.array([[[0.5, 0.5, 0.9, 0.8, 0.4], [0.1, 0.2, 0.3, 0.3, -0.3], [0.0, 0.8, 0.1, 1.0, 1.2]]])
    assert assign(truth, found, 250.0).tolist() == [[1, 0, -1]]

    def cross_entropy(logit, wanted):
        confidence = 1 / (1 + np.exp(-logit))
        return -np.log(confidence if wanted else 1 - confidence)

    expected = 125 * (0.1**2 + 0.1**2) + cross_entropy(0.4, 1) + cross_entropy(-0.3, 1) + cross_entropy(1.2, 0)
    assert float(MultiBoxLoss(250.0)(truth, found)) == pytest.approx(expected, rel=1e-5)
    nothing = np.zeros((1, 2, 4))
    expected = sum(cross_entropy(logit, 0) for logit in found[0, :, 4])
    assert float(MultiBoxLoss()(nothing, found)) == pytest.approx(expected, rel=1e-5)
    both = MultiBoxLoss()(np.concatenate([truth, np.zeros((1, 3, 4))]), np.concatenate([found, found]))
    assert float(both) == pytest.approx((float(MultiBoxLoss()(truth, found)) + expected) / 2, rel=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_no_assignment_costs_less(seed):
    rng = np.random.default_rng(seed)
    objects, count, alpha = rng.integers(1, 4), 5, 10.0
    corners = rng.random((objects, 2)) / 2
    truth = np.concatenate([corners, corners + 0.1 + rng.random((objects, 2)) / 3], axis=1)
    found = np.concatenate([rng.random((count, 4)), rng.normal(size=(count, 1))], axis=1)

    def cost(which):
        logits = found[:, 4]
        total = np.log1p(np.exp(logits)).sum()
        for whom, place in enumerate(which):
            total += alpha / 2 * np.square(found[place, :4] - truth[whom]).sum() - logits[place]
        return total

    least = min(cost(which) for which in itertools.permutations(range(count), int(objects)))
    assert float(MultiBoxLoss(alpha)(truth[None], found[None])) == pytest.approx(least, rel=1e-5)
    matches = assign(truth[None], found[None], alpha)[0]
    assert sorted(matches[matches >= 0].tolist()) == list(range(objects)), "each object once"


def test_more_objects_than_predictions_and_values_that_are_no_numbers():
    truth = np.array([[[0.1 * n, 0.1, 0.1 * n + 0.1, 0.3] for n in range(5)]])
    found = np.concatenate([truth[:, 1:3], np.zeros((1, 2, 1))], axis=-1)
    assert assign(truth, found, 250.0).tolist() == [[1, 2]]
    found[0, 0, 0] = np.nan
    assert np.isnan(float(MultiBoxLoss()(truth, found)))


def tiny_trunk(size=48):
    pixels = keras.Input((size, size, 3))
    x = keras.layers.Rescaling(1 / 64, offset=-2)(pixels)
    for filters in (16, 24, 32):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(x)
    return keras.Model(pixels, x)


def scenes(count, seed, size=48):
    """Bright squares on a dark ground: images, and their boxes in shares, up to three."""
    rng = np.random.default_rng(seed)
    images, truth = rng.integers(0, 60, (count, size, size, 3)).astype(np.uint8), np.zeros((count, 3, 4))
    for image, boxes in zip(images, truth, strict=True):
        for box in boxes[: rng.integers(1, 4)]:
            side = rng.integers(8, 20)
            left, top = rng.integers(0, size - side, 2)
            image[top : top + side, left : left + side] = rng.integers(150, 256, 3)
            box[:] = np.array([left, top, left + side, top + side]) / size
    return images, truth


def covered(proposals, images, truth):
    """The share of objects that a proposal overlaps by half."""
    best = []
    for image, boxes in zip(images, truth, strict=True):
        pixels = Mapping.resized((1, 1), image.shape[:2])(boxes[boxes[:, 2] > 0])
        best += overlap(pixels, proposals(image)).max(1).tolist()
    return np.mean(np.array(best) >= 0.5)


def test_it_learns_to_propose(tmp_path):
    images, truth = scenes(600, 0)
    boxes = truth.reshape(-1, 4)
    keras.utils.set_random_seed(0)
    model = MultiBox(tiny_trunk(), cluster_priors(boxes[boxes[:, 2] > 0], 25), channels=16, hidden=128, dropout=0.0)
    others, unseen = scenes(100, 1)
    fresh = MultiBoxProposals(model, limit=5)
    assert fresh.model.predict(others[:2].astype("float32"), verbose=0).shape == (2, 25, 5)
    before = covered(fresh, others, unseen)
    model.compile(keras.optimizers.Adam(2e-3), MultiBoxLoss())
    history = model.fit(images.astype("float32"), truth, batch_size=20, epochs=12, verbose=0).history["loss"]
    after = covered(MultiBoxProposals(model, limit=5), others, unseen)
    assert history[-1] < 0.5 * history[0] and after > before + 0.3, (history, before, after)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(MultiBoxProposals(again)(others[0]), MultiBoxProposals(model)(others[0]))


def test_proposals_are_boxes_of_the_image_the_surest_first():
    priors = [[-0.2, 0.1, 0.5, 0.6], [0.0, 0.1, 0.5, 0.6], [0.7, 0.7, 0.7, 0.9], [0.5, 0.5, 1.2, 1.0]]
    pixels = keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(keras.layers.Rescaling(0.0)(pixels))
    bias = np.array([[0, 0, 0, 0, logit] for logit in (0.0, 1.0, 5.0, 3.0)]).ravel()
    moves = keras.layers.Dense(20, bias_initializer=keras.initializers.Constant(bias))(x)
    model = keras.Model(pixels, AroundPriors(priors)(moves))
    image = np.zeros((100, 200, 3), np.uint8)
    found = MultiBoxProposals(model)(image)
    np.testing.assert_allclose(found, [[100, 50, 200, 100], [0, 10, 100, 60]], atol=1e-4)
    assert len(MultiBoxProposals(model, limit=1)(image)) == 1
    assert len(MultiBoxProposals(model, threshold=1)(image)) == 3
    for wrong in (image[..., 0], np.zeros((100, 200, 4), np.uint8), image[:0]):
        with pytest.raises(ValueError, match=r"expected an image \(h, w, 3\) of numbers; Received: uint8"):
            MultiBoxProposals(model)(wrong)


def test_models_that_are_none():
    with pytest.raises(ValueError, match="expected a trunk that gives maps of one size"):
        MultiBox(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]), [[0, 0, 1, 1]])
    with pytest.raises(ValueError, match=r"expected a model from RGB images of one size to boxes \(n, k, 5\)"):
        MultiBoxProposals(tiny_trunk())
