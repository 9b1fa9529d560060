"""Finding image files, and classifying them in batches."""

import errno
import os
import types

import numpy as np
import pytest
from PIL import Image

from keras_inception import classify
from keras_inception.classify import classify_files, find_images


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of files, some of them images, to which relative paths refer."""
    for name in ("b.jpg", "a.PNG", "sub/c.webp", "sub/deeper/d.tiff", ".hidden/e.jpg", "sub/._f.jpg", "odd [1].jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name in ("notes.txt", "sub/README", "photo.dat"):
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.jpg").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_folders_are_searched_through(folder):
    found = ["a.PNG", "b.jpg", "odd [1].jpg", "sub/c.webp", "sub/deeper/d.tiff"]
    assert find_images(["."]) == ([os.path.join(".", name) for name in found], [])
    assert find_images([str(folder)])[0] == [str(folder / name) for name in found]


def test_a_file_counts_whatever_its_suffix(folder):
    assert find_images(["photo.dat", "odd [1].jpg"]) == (["photo.dat", "odd [1].jpg"], [])


def test_patterns(folder):
    assert find_images(["*"]) == (["a.PNG", "b.jpg", "odd [1].jpg"], [])
    assert find_images(["**/*.webp", "sub/**"])[0] == ["sub/c.webp", "sub/deeper/d.tiff"]
    assert find_images(["?.jpg"])[0] == ["b.jpg"]


def test_each_file_once_in_order(folder):
    assert find_images(["sub", "b.jpg", "sub/c.webp", "*.jpg"])[0] == [
        "sub/c.webp",
        "sub/deeper/d.tiff",
        "b.jpg",
        "odd [1].jpg",
    ]


def test_each_file_once_whatever_its_spelling(folder):
    (folder / "link.jpg").symlink_to("b.jpg")
    (folder / "other").symlink_to("sub")
    assert find_images(["./b.jpg", str(folder / "b.jpg"), "sub/../b.jpg", "link.jpg"]) == (["./b.jpg"], [])
    found = ["other/c.webp", "other/deeper/d.tiff"]
    assert find_images(["other", "sub", str(folder / "sub")]) == (found, [])


def test_a_folder_that_cannot_be_read_is_told(folder, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if os.path.basename(path) == "deeper":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found, problems = find_images(["sub", "b.jpg"])
    assert found == ["sub/c.webp", "b.jpg"]
    assert problems == ["expected a readable folder; Received: sub/deeper (Permission denied)"]


def test_what_names_nothing_is_told(folder):
    found, problems = find_images(["empty", "*.gif", "absent.jpg", "b.jpg"])
    assert found == ["b.jpg"]
    assert [problem.split("Received: ")[1] for problem in problems] == [
        "empty, with none",
        "*.gif, with none",
        "absent.jpg, which does not exist",
    ]


class Brightness:
    """Stands for a model: the first of three scores grows with the brightness of the photo."""

    input_shape = (None, 8, 8, 3)
    layers = [types.SimpleNamespace(name="pixels", spec={"preprocessing": {"size": 8, "resize_to": 8}})]

    def __init__(self):
        self.batches = []

    def predict_on_batch(self, batch):
        self.batches.append(len(batch))
        bright = batch.mean((1, 2, 3)) / 255
        return np.stack([bright, (1 - bright) * 0.75, (1 - bright) * 0.25], 1)


LABELS = ["bright", "dark", "darker"]


@pytest.fixture
def photos(tmp_path):
    paths = []
    for index in range(10):
        paths.append(str(tmp_path / f"{index}.png"))
        Image.new("L", (12, 9), index * 25).save(paths[-1])
    return paths


@pytest.mark.parametrize("batch_size, batches", [(1, [1] * 10), (4, [4, 4, 2]), (5, [5, 5]), (10, [10]), (99, [10])])
def test_batches(photos, batch_size, batches):
    model = Brightness()
    results = list(classify_files(model, photos, batch_size=batch_size, labels=LABELS))
    assert model.batches == batches
    assert [result.path for result in results] == photos
    for index, result in enumerate(results):
        scores = {name: score for _, name, score in result.predictions}
        assert scores["bright"] == pytest.approx(index * 25 / 255, abs=1e-6)
        assert result.error is None and result.thumbnail is None


def test_top(photos):
    results = list(classify_files(Brightness(), photos[-1:], top=2, labels=LABELS))
    assert [name for _, name, _ in results[0].predictions] == ["bright", "dark"]


def test_a_broken_file_is_a_result(photos, tmp_path):
    (tmp_path / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    os.remove(photos[5])
    model = Brightness()
    results = list(classify_files(model, photos, batch_size=3, labels=LABELS))
    assert [result.path for result in results] == photos
    assert [index for index, result in enumerate(results) if result.error] == [3, 5]
    assert isinstance(results[3].error, ValueError) and "3.png" in str(results[3].error)
    assert isinstance(results[5].error, FileNotFoundError)
    assert results[3].predictions is None and results[4].predictions is not None
    assert model.batches == [3, 1, 3, 1]


def test_a_batch_of_broken_files(tmp_path):
    (tmp_path / "a.png").touch()
    model = Brightness()
    (result,) = classify_files(model, [str(tmp_path / "a.png")], labels=LABELS)
    assert result.error is not None and model.batches == []


def test_no_files():
    assert list(classify_files(Brightness(), [], labels=LABELS)) == []


def test_memory_is_bounded(photos, monkeypatch):
    prepared = []
    original = classify._prepare
    monkeypatch.setattr(classify, "_prepare", lambda *args: prepared.append(args[1]) or original(*args))
    results = classify_files(Brightness(), photos, batch_size=2, labels=LABELS)
    for count, _ in enumerate(results, 1):
        assert len(prepared) <= count + 4  # this batch, and the next


def test_stopping_early_stops_the_threads(photos):
    results = classify_files(Brightness(), photos, batch_size=2, labels=LABELS)
    next(results)
    results.close()


def test_thumbnails_are_of_the_whole_photo(photos):
    (result,) = classify_files(Brightness(), photos[:1], labels=LABELS, thumbnails=(40, 30))
    assert result.thumbnail.size == (40, 30)
