"""What a training program says when its data is not what it should be, and of which work directory it takes hold."""

import logging

import numpy as np
import pytest
from PIL import Image

from keras_inception.datasets import ArraySource, open_source
from training import input_pipeline
from training.loop import NotFiniteError
from training.options import Augmentation
from training.recipe import Recipe
from training.run import BrokenImages, claim, one_sentence

OPTIONS = {"size": 32, "batch_size": 2, "augmentation": Augmentation(), "seed": 0, "epochs": [0]}


@pytest.fixture
def folder(tmp_path):
    for label in "ab":
        for number in range(4):
            path = tmp_path / label / f"{number}.jpg"
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (40, 40)).save(path)
    (tmp_path / "a" / "1.jpg").write_bytes(b"no image")
    return tmp_path


def test_a_fatal_image_is_named_in_one_sentence(folder):
    source = open_source("folder", "train", folder)
    with pytest.raises(Exception, match="assertion failed") as raised:
        list(input_pipeline.training_batches(source, **OPTIONS, broken="fatal"))
    assert one_sentence(raised.value) == "expected an image that can be decoded; Received: a/1.jpg"


def test_a_label_outside_the_classes_is_named_in_one_sentence():
    source = ArraySource(np.zeros((4, 32, 32, 3), "uint8"), np.arange(4), list("abcd"))
    source.classes = ("a", "b", "c")
    with pytest.raises(Exception, match="assertion failed") as raised:
        list(input_pipeline.training_batches(source, **OPTIONS))
    assert one_sentence(raised.value) == "expected labels in [0, 3); Received: 3 of 3"


def test_broken_images_are_named_once_and_counted(caplog):
    broken = BrokenImages()
    with caplog.at_level(logging.WARNING, "training"):
        for name in ("a/1.jpg", "b/2.jpg", "a/1.jpg"):
            broken(name)
    assert broken.names == {"a/1.jpg", "b/2.jpg"} and len(caplog.records) == 2 and "a/1.jpg" in caplog.text


def test_errors_that_need_a_traceback_get_one():
    assert one_sentence(KeyError("x")) is None and one_sentence(TypeError("unsupported")) is None
    assert one_sentence(NotFiniteError("the loss of step 3 is nan")) == "the loss of step 3 is nan"
    assert one_sentence(OSError(28, "No space left")) == "[Errno 28] No space left"


def test_a_work_directory_belongs_to_one_recipe(tmp_path):
    recipe = Recipe(epochs=3)
    claim(tmp_path / "run", recipe)
    claim(tmp_path / "run", Recipe(epochs=3, keep=9, checkpoint_every=5, evaluate_every=2))  # what changes no weight
    with pytest.raises(ValueError, match=r"begun with epochs=3, learning_rate=0.0015$"):
        claim(tmp_path / "run", Recipe(epochs=4, learning_rate=0.1))
