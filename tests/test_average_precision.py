"""Average precision: worked by hand, by a slow and obvious Pascal VOC, and by pycocotools."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from keras_inception.detection.average_precision import COCO_THRESHOLDS, average_precision
from keras_inception.detection.objects import Detections, Objects

CLASSES = ("cat", "dog", "emu")
SMALL, MEDIUM, LARGE = (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, float("inf"))
NONE = np.zeros((0, 4))


def nothing(kind):
    return kind(NONE, np.zeros(0, int), np.zeros(0)) if kind is Detections else kind(NONE, np.zeros(0, int))


def random_boxes(rng, count, side=160):
    start = rng.uniform(0, side, (count, 2))
    return np.concatenate([start, start + rng.uniform(1, side, (count, 2)) ** rng.uniform(0.5, 1)], axis=1).round()


def random_images(seed, images=7, crowds=True):
    """Objects, and detections that are these, moved a little, and others; scores have ties."""
    rng = np.random.default_rng(seed)
    found, there = [], []
    for _ in range(images):
        count = rng.integers(0, 9)
        boxes, labels = random_boxes(rng, count), rng.integers(0, len(CLASSES), count)
        crowd = (rng.random(count) < 0.2) & crowds
        there.append(Objects(boxes, labels, rng.random(count) < 0.2, crowd))
        copies = rng.integers(0, 4, count)
        moved = np.repeat(boxes, copies, axis=0) + rng.integers(-9, 10, (copies.sum(), 4))
        moved = np.concatenate([np.minimum(moved[:, :2], moved[:, 2:]), np.maximum(moved[:, :2], moved[:, 2:])], axis=1)
        others = rng.integers(0, 5)
        labels = np.concatenate([np.repeat(labels, copies), rng.integers(0, len(CLASSES), others)])
        scores = rng.integers(0, 20, len(labels)) / 20
        found.append(Detections(np.concatenate([moved, random_boxes(rng, others)]), labels, scores))
    return found, there


def pycocotools_result(found, there, areas, limit):
    """Precision at 101 recalls and recall, by threshold and class.

    Difficult objects are said to be of an area that does not count, for pycocotools overwrites `ignore`.
    """
    annotations, results = [], []
    for image, (detections, objects) in enumerate(zip(found, there, strict=True), start=1):
        sizes = np.where(objects.difficult, 1e12, objects.areas)
        for box, label, crowd, size in zip(objects.boxes, objects.labels, objects.crowd, sizes, strict=True):
            x0, y0, x1, y1 = box.tolist()
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image, "category_id": int(label) + 1, "area": float(size)}
                | {"bbox": [x0, y0, x1 - x0, y1 - y0], "iscrowd": int(crowd)}
            )
        for box, label, score in zip(detections.boxes, detections.labels, detections.scores, strict=True):
            x0, y0, x1, y1 = box.tolist()
            results.append(
                {"image_id": image, "category_id": int(label) + 1, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": score}
            )
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": image} for image in range(1, len(found) + 1)],
            "annotations": annotations,
            "categories": [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)],
            "info": {},
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.params.areaRng = [[areas[0], min(areas[1], 1e11)]]
        evaluation.params.areaRngLbl = ["these"]
        evaluation.params.maxDets = [limit]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][..., 0, 0], evaluation.eval["recall"][..., 0, 0]


@pytest.mark.parametrize("areas", [(0.0, float("inf")), SMALL, MEDIUM, LARGE], ids=["all", "small", "medium", "large"])
@pytest.mark.parametrize("limit", [2, 100])
@pytest.mark.parametrize("seed", range(12))
def test_equal_to_pycocotools(seed, limit, areas):
    found, there = random_images(seed)
    precision, recall = pycocotools_result(found, there, areas, limit)
    scores = average_precision(found, there, CLASSES, rule="coco", limit=limit, areas=areas)
    assert scores.thresholds == COCO_THRESHOLDS
    for label, curves in enumerate(scores.curves):
        for row, curve in enumerate(curves):
            expected = precision[row, :, label]
            if curve.objects == 0:
                assert np.all(expected == -1) and np.isnan(curve.average_precision)
                continue
            assert curve.average_precision == pytest.approx(expected.mean(), abs=1e-12)
            assert (curve.recall[-1] if len(curve.recall) else 0) == pytest.approx(recall[row, label])
    known = precision[precision > -1]
    if known.size:
        assert scores.mean == pytest.approx(known.mean(), abs=1e-12)
        assert scores.recall == pytest.approx(recall[recall > -1].mean())
    else:
        assert np.isnan(scores.mean) and np.isnan(scores.recall)


def slow_voc(found, there, label, threshold):
    """The VOC development kit's loop: precision and recall after each detection of a class."""
    candidates = []
    for image, detections in enumerate(found):
        for box, its, score in zip(detections.boxes, detections.labels, detections.scores, strict=True):
            if its == label:
                candidates.append((score, image, box))
    candidates.sort(key=lambda item: -item[0])
    seen, true, false, curve = set(), 0, 0, []
    objects = sum(int(((o.labels == label) & ~o.difficult & ~o.crowd).sum()) for o in there)
    for _, image, box in candidates:
        best, which = -1.0, None
        for number, (other, its) in enumerate(zip(there[image].boxes, there[image].labels, strict=True)):
            width = min(box[2], other[2]) - max(box[0], other[0])
            height = min(box[3], other[3]) - max(box[1], other[1])
            if its != label or width <= 0 or height <= 0:
                continue
            union = (box[2] - box[0]) * (box[3] - box[1]) + (other[2] - other[0]) * (other[3] - other[1])
            if width * height / (union - width * height) > best:
                best, which = width * height / (union - width * height), number
        if which is not None and best >= threshold:
            if there[image].difficult[which] or there[image].crowd[which]:
                continue
            if (image, which) in seen:
                false += 1
            else:
                true += 1
                seen.add((image, which))
        else:
            false += 1
        curve.append((true / (true + false), true / objects if objects else 0.0))
    return curve, objects


def slow_area(curve, rule):
    if rule == "voc2007":
        return sum(max([p for p, r in curve if r >= k / 10], default=0.0) for k in range(11)) / 11
    total, before = 0.0, 0.0
    for number, (_, recall) in enumerate(curve):
        total += (recall - before) * max(p for p, _ in curve[number:])
        before = recall
    return total


@pytest.mark.parametrize("rule", ["voc2007", "voc2010"])
@pytest.mark.parametrize("threshold", [0.5, 0.7])
@pytest.mark.parametrize("seed", range(12))
def test_equal_to_the_obvious_voc(seed, threshold, rule):
    found, there = random_images(seed)
    scores = average_precision(found, there, CLASSES, rule=rule, thresholds=(threshold,))
    for label, (curve,) in enumerate(scores.curves):
        expected, objects = slow_voc(found, there, label, threshold)
        assert curve.objects == objects
        np.testing.assert_allclose(np.stack([curve.precision, curve.recall], 1).reshape(-1, 2), expected or NONE[:, :2])
        if objects:
            assert curve.average_precision == pytest.approx(slow_area(expected, rule), abs=1e-12)


def one_class(scores, boxes, truth, **flags):
    """Detections and objects of one class in one image."""
    count = len(boxes)
    return [Detections(boxes, np.zeros(count, int), scores)], [Objects(truth, np.zeros(len(truth), int), **flags)]


def test_by_hand():
    """Two objects; found: the first, nothing, the first again, the second."""
    truth = [[0, 0, 10, 10], [20, 20, 40, 40]]
    boxes = [[0, 0, 10, 9], [50, 50, 60, 60], [0, 1, 10, 10], [20, 20, 40, 38]]
    found, there = one_class([0.9, 0.8, 0.7, 0.6], boxes, truth)
    area = average_precision(found, there, ["cell"], rule="voc2010")
    ((curve,),) = area.curves
    assert curve.precision.tolist() == [1, 1 / 2, 1 / 3, 2 / 4] and curve.recall.tolist() == [0.5, 0.5, 0.5, 1]
    assert area.mean == pytest.approx(0.5 * 1 + 0.5 * 0.5)
    assert average_precision(found, there, ["cell"], rule="voc2007").mean == pytest.approx((6 * 1 + 5 * 0.5) / 11)
    coco = average_precision(found, there, ["cell"], rule="coco", thresholds=(0.5,))
    assert coco.mean == pytest.approx((51 * 1 + 50 * 0.5) / 101)
    assert average_precision(found, there, ["cell"], rule="coco", thresholds=(0.5,), limit=2).mean == pytest.approx(
        51 / 101
    )


def test_at_the_threshold_an_object_is_found():
    found, there = one_class([0.5], [[0, 0, 10, 5]], [[0, 0, 10, 10]])
    for rule in ("voc2007", "voc2010", "coco"):
        assert average_precision(found, there, ["cell"], rule=rule, thresholds=(0.5,)).mean == pytest.approx(1)
        assert average_precision(found, there, ["cell"], rule=rule, thresholds=(0.51,)).mean == 0


def test_a_difficult_object_need_not_be_found_but_may_be():
    truth, flags = [[0, 0, 10, 10], [20, 20, 40, 40]], {"difficult": [True, False]}
    for rule in ("voc2007", "voc2010", "coco"):
        without = one_class([0.5], [[20, 20, 40, 40]], truth, **flags)
        with_it = one_class([0.9, 0.8, 0.5], [[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 40, 40]], truth, **flags)
        assert average_precision(*without, ["cell"], rule=rule, thresholds=(0.5,)).mean == pytest.approx(1)
        again = average_precision(*with_it, ["cell"], rule=rule, thresholds=(0.5,))
        # COCO lets one detection alone be excused by it; the next is a mistake.
        assert again.mean == pytest.approx(0.5 if rule == "coco" else 1)


def test_a_crowd_takes_any_number():
    truth, flags = [[0, 0, 100, 100], [200, 200, 240, 240]], {"crowd": [True, False]}
    boxes = [[0, 0, 10, 10], [50, 50, 60, 60], [200, 200, 240, 240]]
    found = one_class([0.9, 0.8, 0.5], boxes, truth, **flags)
    assert average_precision(*found, ["cell"], rule="coco", thresholds=(0.5,)).mean == pytest.approx(1)


def test_nothing_there_and_nothing_found():
    empty = average_precision([nothing(Detections)], [nothing(Objects)], CLASSES)
    assert np.isnan(empty.mean) and np.isnan(empty.recall) and all(map(np.isnan, empty.per_class.values()))
    assert np.isnan(average_precision([], [], CLASSES, rule="coco").mean)
    found, there = one_class([0.5], [[0, 0, 9, 9]], [[0, 0, 9, 9]])
    assert average_precision([nothing(Detections)], there, CLASSES).per_class["cat"] == 0
    assert np.isnan(average_precision(found, [nothing(Objects)], CLASSES).mean)
    partly = average_precision(found, there, CLASSES)
    assert partly.mean == pytest.approx(1) and list(map(np.isnan, partly.per_class.values())) == [False, True, True]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["voc2007", "voc2010", "coco"]))
def test_the_order_of_images_is_nothing_where_no_scores_are_equal(seed, rule):
    found, there = random_images(seed, images=4)
    rng = np.random.default_rng(seed)
    found = [Detections(item.boxes, item.labels, rng.random(len(item))) for item in found]
    one = average_precision(found, there, CLASSES, rule=rule)
    other = average_precision(found[::-1], there[::-1], CLASSES, rule=rule)
    np.testing.assert_allclose(list(one.per_class.values()), list(other.per_class.values()), atol=1e-12)


def test_bad_input_is_one_sentence():
    found, there = one_class([0.5], [[0, 0, 9, 9]], [[0, 0, 9, 9]])
    with pytest.raises(ValueError, match="expected rule to be one of voc2007, voc2010, coco; Received: rule='voc'"):
        average_precision(found, there, CLASSES, rule="voc")
    with pytest.raises(ValueError, match="the same images; Received: 1 detections and 0 objects"):
        average_precision(found, [], CLASSES)
    with pytest.raises(ValueError, match=r"expected labels in \[0, 0\); Received: 0"):
        average_precision(found, there, [])
    for thresholds in ((), 0, (0.5, 1.5), float("nan")):
        with pytest.raises(ValueError, match="expected thresholds above 0, up to 1; Received: thresholds="):
            average_precision(found, there, CLASSES, thresholds=thresholds)
    assert average_precision(found, there, CLASSES, thresholds=0.5).mean == 1
    with pytest.raises(ValueError, match=r"expected classes of different names; Received: classes=\('a', 'a'\)"):
        average_precision(found, there, ("a", "a"))
    with pytest.raises(ValueError, match="expected areas with rule='coco' alone"):
        average_precision(found, there, CLASSES, areas=SMALL)
