"""The training of MultiBox: what it sees, and that one that was interrupted ends as it would have."""

import json

import keras
import numpy as np
import pytest
from PIL import Image
from test_multibox import scenes, tiny_trunk

from keras_inception.detection.annotations import AnnotatedPhoto, AnnotatedPhotos
from keras_inception.detection.objects import Objects
from training.detection.multibox import Photos, mirror, train


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("photos"), []
    for number, (image, boxes) in enumerate(zip(*scenes(60, 0), strict=True)):
        Image.fromarray(image).resize((96, 48), Image.Resampling.NEAREST).save(folder / f"{number}.png")
        boxes = boxes[boxes[:, 2] > 0] * [96, 48, 96, 48]
        found.append(AnnotatedPhoto(folder / f"{number}.png", Objects(boxes, np.zeros(len(boxes), int))))
    return AnnotatedPhotos("squares", ("square",), tuple(found))


def bright(image):
    """The box around what is bright, in shares."""
    rows, columns = (np.flatnonzero((image.min(-1) > 100).any(axis)) for axis in (1, 0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / image.shape[0]


def test_boxes_go_with_their_images(photos):
    data = Photos(photos, (48, 48), batch_size=20, mirrored=True)
    assert len(data) == 3 and len(data.objects) == sum(len(photo.objects) for photo in photos)
    seen = set()
    for epoch in (0, 1):
        data.epoch = epoch
        for number in range(3):
            for image, boxes in zip(*data[number], strict=True):
                there = boxes[boxes[:, 2] > boxes[:, 0]]
                around = [*there[:, :2].min(0), *there[:, 2:].max(0)]
                np.testing.assert_allclose(bright(image), around, atol=1e-6)
                seen.add(tuple(np.round(around, 4)))
    assert len(seen) > 80, "mirrored otherwise in the second epoch"
    again = Photos(photos, (48, 48), batch_size=20, mirrored=True)
    again.epoch = 1
    assert np.array_equal(again[2][0], data[2][0])


def test_few_objects_have_few_priors(photos, tmp_path, caplog):
    few = AnnotatedPhotos("few", photos.classes, photos.photos[:3])
    model = train(tiny_trunk, few, tmp_path, priors=200, epochs=1, batch_size=3)
    count = sum(len(photo.objects) for photo in few)
    assert model.output_shape == (None, count, 5)
    assert f"MultiBox has {count} priors, not 200: there are no more different boxes." in caplog.messages


def test_a_mirror_by_hand():
    images, boxes = np.arange(12.0).reshape(1, 2, 2, 3), np.array([[[0.1, 0.2, 0.4, 0.9], [0, 0, 0, 0]]])
    mirror(images, boxes, np.array([True]), 0)
    np.testing.assert_allclose(boxes, [[[0.6, 0.2, 0.9, 0.9], [1, 0, 1, 0]]])
    assert images[0, 0, 0].tolist() == [3, 4, 5]
    mirror(images, boxes, np.array([True]), 1)
    np.testing.assert_allclose(boxes, [[[0.6, 0.1, 0.9, 0.8], [1, 1, 1, 1]]])
    assert images[0, 0, 0].tolist() == [9, 10, 11]
    mirror(images, boxes, np.array([False]), 1)
    assert images[0, 0, 0].tolist() == [9, 10, 11]


def seeded_trunk():
    keras.utils.set_random_seed(7)
    return tiny_trunk()


def test_it_learns_is_kept_and_goes_on(photos, tmp_path):
    options = {"priors": 12, "epochs": 6, "batch_size": 10, "learning_rate": 3e-3}
    whole = train(seeded_trunk, photos, tmp_path / "whole", **options)
    losses = json.loads((tmp_path / "whole" / "losses.json").read_text())
    assert len(losses) == 6 and losses[-1] < 0.9 * losses[0], losses
    again = train(seeded_trunk, photos, tmp_path / "whole", **options)
    assert all(np.array_equal(*pair) for pair in zip(again.get_weights(), whole.get_weights(), strict=True))

    class Interrupted(Exception):
        pass

    done = []

    def stop(epochs):
        done.append(epochs)
        if len(done) == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(seeded_trunk, photos, tmp_path / "parts", **options, progress=stop)
    assert not (tmp_path / "parts" / "multibox.keras").exists()
    (last,) = (tmp_path / "parts" / "checkpoints").iterdir()
    (last.parent / "half.part").write_bytes(b"of a process that was killed while it wrote")
    resumed = train(seeded_trunk, photos, tmp_path / "parts", **options, progress=done.append)
    assert done == [1, 1, 1, 3, 1, 1, 1]
    for one, other in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    np.testing.assert_allclose(json.loads((tmp_path / "parts" / "losses.json").read_text()), losses, rtol=1e-4)
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {"multibox.keras", "losses.json"}


def test_photos_without_objects(photos):
    nothing = AnnotatedPhotos("nothing", ("square",), (AnnotatedPhoto(photos[0].path, Objects(np.zeros((0, 4)), [])),))
    with pytest.raises(ValueError, match="expected photos with objects; Received: nothing, without any"):
        Photos(nothing, (8, 8), batch_size=1)
