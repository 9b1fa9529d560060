"""R-CNN: a detector of coloured rectangles, whose classifier is written down by hand."""

import keras
import numpy as np
import pytest
from PIL import Image
from test_detector_folder import WIDTHS
from test_selective_search import COLOURS, OBJECTS, scene

import keras_inception
from keras_inception.detection.average_precision import average_precision
from keras_inception.detection.box_regression import BoxRegression
from keras_inception.detection.objects import Objects
from keras_inception.detection.rcnn import RCNN
from keras_inception.detection.regions import cut_regions
from keras_inception.detection.scoring import MapScorer, RegionScorer
from keras_inception.detection.selective_search import selective_search

COLOURED = ("red", "green", "blue")


def by_colour(sharpness=20.0, size=16):
    """Something of a colour is where the inner half of a region is of it, and what is around is not."""
    pixels = keras.Input((size, size, 3))
    inner = keras.layers.Cropping2D(size // 4)(pixels)
    means = [keras.layers.GlobalAveragePooling2D()(part) for part in (inner, pixels)]
    layer = keras.layers.Dense(4, activation="softmax", name="classifier")
    model = keras.Model(pixels, layer(keras.layers.Concatenate()(means)))
    away = np.array(COLOURS, float) - 120
    away /= np.square(away).sum(1, keepdims=True)
    # The mean of all is a quarter of the inner and three quarters of what is around it.
    kernel = np.concatenate([away.T * 4 / 3, -away.T * 4 / 3])
    layer.set_weights([sharpness * np.pad(kernel, [(0, 0), (0, 1)]), sharpness * np.array([0, 0, 0, 0.8])])
    return model


def test_it_finds_what_is_there():
    detector = RCNN(by_colour(), selective_search, classes=COLOURED, threshold=0.5, context=0.25)
    found, nothing = detector([scene(), np.full((90, 90, 3), 120, np.uint8)])
    assert len(nothing) == 0
    assert found.scores.tolist() == sorted(found.scores, reverse=True)
    truth = [Objects(OBJECTS, [0, 1, 2])]
    assert average_precision([found], truth, COLOURED, thresholds=(0.7,)).mean == 1, found


def test_sources_are_taken_together_and_clipped_to_the_image():
    image = scene()
    sources = [lambda _: [[-50, -50, 30, 30], [0, 0, 30, 30]], lambda _: [[300, 300, 400, 400], [5, 5, 900, 60]]]
    detector = RCNN(by_colour(), sources, classes=COLOURED)
    assert detector.propose(image).tolist() == [[0, 0, 30, 30], [5, 5, 240, 60]]
    assert len(RCNN(by_colour(), lambda _: np.zeros((0, 4)), classes=COLOURED)([image])[0]) == 0


@pytest.mark.parametrize("count", [0, 1, 5, 16, 17])
def test_scores_are_those_of_the_classifier_on_each_region(count):
    image, boxes = scene(), np.concatenate([OBJECTS] * 6)[:count] + np.arange(count)[:, None] % 5
    scorer = RegionScorer([by_colour(), by_colour(2.0)], batch_size=16)
    expected = np.zeros((0, 4))
    if count:
        crops = cut_regions(image, boxes, 16, fill=(127.5,) * 3)
        expected = np.mean([model(crops).numpy() for model in scorer.models], axis=0)
    np.testing.assert_allclose(scorer(image, boxes), expected, atol=1e-5)
    assert scorer.features(image, boxes).shape == (count, 6)


def test_a_classifier_without_a_linear_layer():
    network = keras_inception.NetworkInNetwork(weights=None, variant="cifar10")
    scorer = RegionScorer(network, batch_size=4)
    np.testing.assert_allclose(scorer(scene(), OBJECTS).sum(1), 1, atol=1e-5)
    with pytest.raises(ValueError, match="expected a classifier with a linear layer; Received: "):
        scorer.features(scene(), OBJECTS)


def labelled(*labels):
    return keras_inception.GoogLeNet(weights=None, stem="small", input_shape=(32, 32, 3), labels=labels, widths=WIDTHS)


def test_classifiers_must_agree_on_their_labels():
    first = labelled("cat", "dog", "background")
    assert RCNN([first, labelled("cat", "dog", "background")], selective_search).classes == ("cat", "dog")
    assert RCNN([first, keras.models.clone_model(first)], selective_search, classes=("a", "b")).classes == ("a", "b")
    for classes in (None, ("a", "b")):
        with pytest.raises(ValueError, match=r"of the same labels; Received: \('cat', .* and \('dog', 'cat'"):
            RCNN([first, labelled("dog", "cat", "background")], selective_search, classes=classes)
    other, elsewhere = labelled("n1", "n2", "background"), labelled("background", "cat", "dog")
    with pytest.raises(ValueError, match=r"classifiers of the same labels; Received: \('cat', .* and \('n1', 'n2'"):
        RCNN([first, other], selective_search)
    with pytest.raises(ValueError, match=r"the label 'background' last; Received: labels \('background', 'cat', 'dog'"):
        RCNN(elsewhere, selective_search)
    # Who names the classes may know better.
    for models in ([first, other], elsewhere):
        assert RCNN(models, selective_search, classes=("cat", "dog")).classes == ("cat", "dog")


def test_an_image_that_is_none():
    scorer = RegionScorer(by_colour())
    for wrong in (scene()[..., 0], scene()[None], np.zeros((5, 5, 4), np.uint8), np.zeros((0, 5, 3))):
        with pytest.raises(ValueError, match=r"expected an image \(h, w, 3\) of numbers; Received: "):
            scorer(wrong, OBJECTS)


def test_what_is_outside_is_nothing_to_the_network():
    model = keras_inception.GoogLeNet(
        weights=None, stem="small", classes=3, input_shape=(32, 32, 3), labels=("cat", "dog", "background")
    )
    detector = RCNN(model, selective_search)
    assert detector.classes == ("cat", "dog") and detector.scorer.fill == tuple(model.get_layer("pixels").mean)
    assert detector.scorer.features(scene(), OBJECTS).shape == (3, 1024), "pool5"


def cifar10():
    return keras_inception.GoogLeNet(weights="cifar10")


def test_maps_that_are_seen_once_are_those_of_the_network():
    """A region that is the whole image, at the size of the network's input: the same probabilities."""
    model, rng = cifar10(), np.random.default_rng(0)
    image = np.kron(rng.integers(0, 256, (8, 8, 3), np.uint8), np.ones((4, 4, 1), np.uint8))
    expected = model.predict(image[None].astype("float32"), verbose=0)
    scorer = MapScorer(model, "inception_4e_output", context=0.0)
    assert scorer.stride == 4 and scorer.side == 8
    np.testing.assert_allclose(scorer.maps(image).shape, (1, 8, 8, 832))
    maps = scorer.maps(image).numpy()
    np.testing.assert_allclose(scorer.head.predict(maps, verbose=0), expected, atol=1e-5)
    found = scorer(image, [[0, 0, 32, 32]])
    assert found.shape == (1, 10) and found.sum() == pytest.approx(1, abs=1e-5)
    assert scorer.features(image, [[0, 0, 32, 32]] * 3).shape == (3, 1024)


def test_maps_of_an_image_of_any_size():
    """Where an object is in a larger image, its region shows what is there, and not what is elsewhere."""
    scorer = MapScorer(cifar10(), "pool2_3x3_s2", scale=0.5, context=0.0)
    image = np.zeros((101, 150, 3), np.uint8)
    image[40:80, 60:120] = (200, 30, 30)
    maps = scorer.maps(image).numpy()
    assert maps.shape == (1, 25, 38, 192), "half of the image, in whole strides"
    boxes = np.array([[70, 50, 110, 70], [16, 16, 40, 30], [20, 50, 40, 80]]) * scorer._ratio(image)
    inside, outside, elsewhere = scorer.pool(maps, boxes).numpy()
    assert np.abs(inside - outside).mean() > 20 * np.abs(outside - elsewhere).mean()


def test_a_detector_that_looks_once():
    detector = RCNN(MapScorer(cifar10(), "inception_4e_output"), lambda _: OBJECTS)
    (found,) = detector([scene()])
    assert len(detector.classes) == 9 and len(found) > 0
    assert len(detector.detect(scene(), np.zeros((0, 4)))) == 0


def test_layers_that_cannot_be_the_last():
    with pytest.raises(ValueError, match="expected a layer of 'googlenet'; Received: layer='inception_9'"):
        MapScorer(cifar10(), "inception_9")
    with pytest.raises(ValueError, match="expected a layer with square maps; Received: layer='pool5_7x7_s1'"):
        MapScorer(cifar10(), "pool5_7x7_s1")
    with pytest.raises(ValueError, match="expected a scale above 0, and at most 8; Received: scale=0"):
        MapScorer(cifar10(), "pool2_3x3_s2", scale=0)


def test_the_surest_of_a_class_are_looked_at_and_the_others_suppressed():
    image = scene()
    boxes = np.array([OBJECTS[0], OBJECTS[0] + [0, 0, 8, 8], OBJECTS[0] + [0, 0, 30, 30], OBJECTS[1]])
    scores = np.array([[0.6, 0, 0, 0.4], [0.9, 0, 0, 0.1], [0.04, 0, 0, 0.96], [0.5, 0.5, 0, 0]])
    detector = RCNN(by_colour(), selective_search, classes=COLOURED)
    found = detector.select(detector.find_candidates(image, boxes, scores))
    assert found.labels.tolist() == [0, 0, 1] and found.scores.tolist() == [0.9, 0.5, 0.5]
    assert found.boxes.tolist() == [boxes[1].tolist(), boxes[3].tolist(), boxes[3].tolist()]
    few = RCNN(by_colour(), selective_search, classes=COLOURED, candidates=1)
    few = few.select(few.find_candidates(image, boxes, scores))
    assert few.scores.tolist() == [0.9, 0.5] and few.labels.tolist() == [0, 1]


def test_boxes_are_moved_by_a_regression_of_their_class():
    weights = np.zeros((3, 7, 4))
    weights[1, -1, 0] = 0.1  # a tenth of their width to the right
    detector = RCNN(by_colour(), selective_search, classes=COLOURED, regression=BoxRegression(weights))
    scores = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0]])
    found = detector.select(detector.find_candidates(scene(), OBJECTS[:2], scores))
    np.testing.assert_allclose(found.boxes, [OBJECTS[0], OBJECTS[1] + [6, 0, 6, 0]])


def test_what_is_outside_of_the_image_or_has_no_extent_is_not_looked_at():
    detector = RCNN(by_colour(), selective_search, classes=COLOURED, context=0.25)
    boxes = np.concatenate([OBJECTS, OBJECTS[:1], [[-90, -90, -10, -10], [5, 5, 5, 60], [900, 0, 999, 50]]])
    looked = []
    detector.scorer = lambda image, boxes, scorer=detector.scorer: looked.append(boxes) or scorer(image, boxes)
    found = detector.detect(scene(), boxes)
    assert sorted(looked[0].tolist()) == sorted(OBJECTS.tolist()) and len(found) >= 3
    moved_out = np.zeros((3, 7, 4))
    moved_out[:, -1, 0] = -1.0  # a whole width to the left
    left = np.array([[0.0, 0, 40, 40]])
    detector = RCNN(by_colour(), selective_search, classes=COLOURED, regression=BoxRegression(moved_out))
    candidates = detector.find_candidates(scene(), left, np.array([[0.9, 0.0, 0.0, 0.1]]))
    assert [len(boxes) for boxes, _ in candidates] == [0, 0, 0]


def test_memory_does_not_grow_with_the_proposals():
    """Whatever their number, so many regions are cut and looked at at once."""
    scorer, shapes = RegionScorer(by_colour(), batch_size=32, context=0.25), set()
    begin = scorer._begin
    scorer._begin = lambda regions: shapes.add(tuple(regions.shape)) or begin(regions)
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 100, (20_000, 2))
    boxes = np.concatenate([OBJECTS, np.concatenate([corners, corners + 40], axis=1)])
    detector = RCNN(scorer, lambda image: boxes, classes=COLOURED, threshold=0.5)
    (found,) = detector([scene()])
    assert shapes == {(32, 16, 16, 3)} and len(found) > 0


def test_one_look_at_a_large_image_is_a_look_at_a_smaller_one():
    scorer = MapScorer(cifar10(), "pool2_3x3_s2", scale=8.0)
    assert scorer._scaled(np.zeros((4000, 4000, 3), np.uint8)) == (2048, 2048)
    assert scorer._scaled(np.zeros((10, 20, 3), np.uint8)) == (80, 160)


def test_bad_input_is_one_sentence():
    with pytest.raises(ValueError, match="expected at least one source of proposals; Received: none"):
        RCNN(by_colour(), [])
    for name, value in (("threshold", 1.5), ("suppression", -0.1), ("candidates", 0)):
        with pytest.raises(ValueError, match=f"expected {name} .*; Received: {name}={value}"):
            RCNN(by_colour(), selective_search, classes=COLOURED, **{name: value})
    with pytest.raises(ValueError, match="expected a classifier of classes and the background; Received: one of one"):
        RCNN(
            keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(1)]), selective_search
        )
    with pytest.raises(ValueError, match="expected the names of 3 classes, for the classifier has 4 with the backgro"):
        RCNN(by_colour(), selective_search, classes=("a",))
    with pytest.raises(ValueError, match="expected a positive batch_size; Received: batch_size=0"):
        RCNN(by_colour(), selective_search, batch_size=0)
    with pytest.raises(ValueError, match="expected classifiers of square images of one size; Received: "):
        wide = keras.Sequential([keras.Input((8, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(4)])
        RCNN(wide, selective_search)
    for one, what in (
        (scene(), r"an array \(200, 240, 3\)"),
        ("photo.jpg", "str"),
        (Image.fromarray(scene()), "Image"),
    ):
        with pytest.raises(ValueError, match=f"expected photos in a list, also a single one; Received: {what}"):
            RCNN(by_colour(), selective_search, classes=COLOURED)(one)
    with pytest.raises(ValueError, match="expected a readable image; Received: "):
        RCNN(by_colour(), selective_search)([__file__])
