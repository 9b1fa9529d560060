"""Bounding-box regression: it finds what moves were made by, and is the ridge regression that it says."""

import numpy as np
import pytest
from PIL import Image
from test_rcnn import by_colour
from test_selective_search import OBJECTS, scene

from keras_inception.detection.annotations import AnnotatedPhoto, AnnotatedPhotos
from keras_inception.detection.box_regression import BoxRegression, BoxRegressionFit
from keras_inception.detection.boxes import clip, decode, encode, overlap
from keras_inception.detection.objects import Objects
from keras_inception.detection.scoring import RegionScorer
from training.detection.box_regression import fit_regression


def examples(count=400, features=6, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 100, (count, 2))
    proposals = np.concatenate([corners, corners + rng.uniform(10, 60, (count, 2))], axis=1)
    seen, labels = rng.normal(size=(count, features)), rng.integers(0, classes, count)
    truth = rng.normal(0, 0.05, (classes, features + 1, 4))
    moves = np.einsum("nf,nfo->no", seen, truth[labels, :-1]) + truth[labels, -1]
    return seen, proposals, decode(moves, proposals), labels, truth


def test_it_finds_how_boxes_were_moved():
    seen, proposals, boxes, labels, truth = examples()
    fit = BoxRegressionFit(2, 6, penalty=1e-9)
    for part in (slice(0, 100), slice(100, 400)):
        fit.add(seen[part], proposals[part], boxes[part], labels[part])
    regression = fit.solve()
    np.testing.assert_allclose(regression.weights, truth, atol=1e-6)
    found = regression(seen, proposals, labels)
    np.testing.assert_allclose(found, boxes, atol=1e-4)
    assert np.diag(overlap(found, boxes)).min() > 0.999 > np.diag(overlap(proposals, boxes)).mean()


def test_it_is_a_ridge_regression_with_a_free_constant():
    seen, proposals, boxes, labels, _ = examples(classes=1)
    fit = BoxRegressionFit(1, 6, penalty=50.0)
    fit.add(seen, proposals, boxes, labels)
    moves = encode(boxes, proposals)
    inner, wanted = seen - seen.mean(0), moves - moves.mean(0)
    expected = np.linalg.solve(inner.T @ inner + 50 * np.eye(6), inner.T @ wanted)
    np.testing.assert_allclose(fit.solve().weights[0, :-1], expected, atol=1e-8)


def test_a_class_without_examples_moves_nothing():
    seen, proposals, boxes, _, _ = examples(classes=1)
    fit = BoxRegressionFit(3, 6)
    fit.add(seen, proposals, boxes, np.ones(400, int))
    np.testing.assert_allclose(fit.solve()(seen, proposals, np.full(400, 2)), proposals)


def test_what_is_far_from_all_that_it_knows_moves_by_its_own_size_at_most():
    regression = BoxRegression(np.full((1, 2, 4), 100.0))
    np.testing.assert_allclose(
        regression([[1.0]], [[0, 0, 10, 10]], [0])[0], [15 - 5 * np.e, 15 - 5 * np.e, 15 + 5 * np.e, 15 + 5 * np.e]
    )


def test_it_is_fit_on_proposals_that_are_near_to_objects(tmp_path):
    """Those that overlap an object by 0.6 or more, of all photos, with the penalty that was asked for."""
    rng, photos, proposals, rows, moves = np.random.default_rng(0), [], [], [], []
    scorer = RegionScorer(by_colour())
    for number in range(3):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.roll(scene(), number, axis=0)).save(path)
        photos.append(AnnotatedPhoto(path, Objects(OBJECTS, [0, 1, 1])))
        boxes = np.concatenate([OBJECTS + rng.uniform(-spread, spread, (3, 4)) for spread in (5, 12, 30, 60)])
        proposals.append(clip(boxes, (200, 240)))
        shared = overlap(proposals[-1], OBJECTS)
        for box, shares in zip(proposals[-1], shared, strict=True):
            if shares.max() >= 0.6 and shares.argmax() > 0:
                rows.append([*scorer.features(photos[-1].open()[0], box[None])[0], 1.0])
                moves.append(encode(OBJECTS[shares.argmax()][None], box[None])[0])
    photos = AnnotatedPhotos("scenes", ("a", "b"), tuple(photos))
    rows, moves, done = np.array(rows), np.array(moves), []
    assert 6 < len(rows) < 24
    found = fit_regression(scorer, photos, proposals, penalty=3.0, per_photo=99, progress=done.append)
    penalty = np.diag([3.0] * 6 + [0.0])
    expected = np.linalg.solve(rows.T @ rows + penalty, rows.T @ moves)
    np.testing.assert_allclose(found.weights[1], expected, rtol=1e-3)
    assert done == [1, 1, 1]
    with pytest.raises(ValueError, match="expected proposals that overlap an object by 0.6; Received: none in scenes"):
        fit_regression(scorer, photos, [np.array([[0.0, 0, 9, 9]])] * 3, penalty=3.0, per_photo=99)


def test_bad_input_is_one_sentence():
    for weights in (np.zeros((2, 5)), np.zeros((2, 5, 3)), np.full((2, 5, 4), np.nan)):
        with pytest.raises(ValueError, match=r"expected finite weights \(classes, features \+ 1, 4\); Received: "):
            BoxRegression(weights)
    with pytest.raises(ValueError, match=r"expected features \(n, 4\); Received: features of shape \(1, 3\)"):
        BoxRegression(np.zeros((2, 5, 4)))(np.zeros((1, 3)), [[0, 0, 1, 1]], [0])
