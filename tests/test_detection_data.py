"""What detectors are trained on: proposals that are kept, what they cover, and regions that are drawn from them."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from keras_inception.datasets import open_source
from keras_inception.detection.annotations import AnnotatedPhoto, AnnotatedPhotos
from keras_inception.detection.objects import Objects
from training.detection.proposals import coverage, propose
from training.detection.regions import cut_for_training

BOXES = np.array([[10, 10, 30, 40], [50, 20, 80, 50]], float)


@pytest.fixture
def photos(tmp_path):
    """Four photos with a red and a blue rectangle on grey; a fifth with nothing."""
    found = []
    for number in range(5):
        pixels = np.full((60, 90, 3), 128, np.uint8)
        objects = Objects(BOXES if number < 4 else np.zeros((0, 4)), [0, 1] if number < 4 else np.zeros(0, int))
        for (left, top, right, bottom), colour in zip(
            objects.boxes.astype(int), ((220, 0, 0), (0, 0, 220)), strict=False
        ):
            pixels[top:bottom, left:right] = colour
        path = tmp_path / "photos" / str(number) / "photo.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(pixels).save(path)
        found.append(AnnotatedPhoto(path, objects))
    return AnnotatedPhotos("toys", ("red", "blue"), tuple(found))


def near(image):
    """The objects, moved a little, and places without any."""
    others = [[0, 45, 20, 58], [30, 0, 50, 20], [60, 50, 200, 90], [300, 300, 400, 400]]
    return np.concatenate([BOXES + [2, 0, 2, 0], BOXES + [0, 3, 0, 3], others])


def test_proposals_are_made_once(photos, tmp_path):
    calls, bar = [], []

    def source(image):
        calls.append(image.shape)
        return near(image)

    found = propose(photos, source, tmp_path / "kept", progress=bar.append)
    assert len(calls) == 5 and bar == [1] * 5 and [boxes.shape for boxes in found] == [(7, 4)] * 5, (
        "what is outside is not"
    )
    assert found[0].max(0).tolist() == [60, 50, 90, 60], "clipped"
    again = propose(photos, source, tmp_path / "kept", parallel=False)
    assert len(calls) == 5 and all(np.array_equal(one, other) for one, other in zip(found, again, strict=True))
    next(pathlib.Path(tmp_path / "kept").iterdir()).unlink()
    propose(photos, source, tmp_path / "kept")
    assert len(calls) == 6, "that of one photo, which had gone"


@pytest.mark.parametrize("data", [b"", b"no array", None])
def test_files_of_others(photos, tmp_path, data):
    propose(photos, near, tmp_path / "kept")
    path = sorted((tmp_path / "kept").iterdir())[0]
    if data is None:
        np.save(path, np.zeros(4))
    else:
        path.write_bytes(data)
    with pytest.raises(ValueError, match=r"expected boxes \(n, 4\); Received: .*photo-"):
        propose(photos, near, tmp_path / "kept")


def test_a_source_that_fails_is_an_error(photos, tmp_path):
    def source(image):
        raise ValueError("expected something else; Received: this")

    with pytest.raises(ValueError, match="expected something else"):
        propose(photos, source, tmp_path / "kept")


def test_coverage_by_hand(photos):
    proposals = [BOXES, BOXES[:1], BOXES[1:] + [10, 0, 10, 0], np.zeros((0, 4)), BOXES]
    found = coverage(photos, proposals)
    assert found.proposals == pytest.approx(6 / 5) and found.covered == pytest.approx(4 / 8)
    assert found.by_class == {"red": 2 / 4, "blue": 2 / 4}
    assert coverage(photos, proposals, threshold=0.51).covered == pytest.approx(3 / 8), "10 of 30 to the side is a half"
    nothing = AnnotatedPhotos("nothing", ("red",), ())
    assert np.isnan([coverage(nothing, []).covered, coverage(nothing, []).proposals]).all()


def test_regions_to_train_on(photos, tmp_path):
    proposals = propose(photos, near, tmp_path / "kept")
    options = {"per_photo": 16, "size": 20, "context": 0.1, "fill": (0.0, 255.0, 0.0)}
    counts = cut_for_training(photos, proposals, tmp_path / "train.npz", **options)
    assert counts == {"red": counts["red"], "blue": 16 - counts["red"], "background": 64} and counts["red"] > 0
    source = open_source("arrays", "train", tmp_path)
    assert source.classes == ("red", "blue", "background") and source.images.shape == (80, 20, 20, 3)
    middle = source.images[:, 8:12, 8:12].mean((1, 2))
    reddish = middle[:, 0] > middle[:, 2] + 60
    bluish = middle[:, 2] > middle[:, 0] + 60
    assert reddish[source.labels == 0].all() and bluish[source.labels == 1].all()
    assert not (reddish | bluish)[source.labels == 2].all()
    cut_for_training(photos, proposals, tmp_path / "again.npz", **options)
    assert np.array_equal(open_source("arrays", "again", tmp_path).images, source.images), "a function of the seed"
    cut_for_training(photos, proposals, tmp_path / "other.npz", seed=1, **options)
    assert not np.array_equal(open_source("arrays", "other", tmp_path).labels, source.labels)


def test_photos_with_nothing_to_learn_from(photos, tmp_path):
    empty = AnnotatedPhotos("empty", ("red",), photos.photos[4:])
    with pytest.raises(ValueError, match="expected photos with something to learn from; Received: empty, with nothing"):
        cut_for_training(empty, [np.zeros((0, 4))], tmp_path / "x.npz", per_photo=4, size=8, fill=(0, 0, 0))
