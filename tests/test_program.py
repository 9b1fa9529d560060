"""How a program ends: one sentence where that explains it, also of what TensorFlow says, and else a traceback."""

import numpy as np
import pytest
from PIL import Image

from keras_inception.datasets import ArraySource, open_source
from training import input_pipeline
from training.loop import NotFiniteError
from training.options import Augmentation
from training.program import finish, one_sentence

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


def test_errors_that_need_a_traceback_get_one():
    assert one_sentence(KeyError("x")) is None and one_sentence(TypeError("unsupported")) is None
    assert one_sentence(NotFiniteError("the loss of step 3 is nan")) == "the loss of step 3 is nan"
    assert one_sentence(OSError(28, "No space left")) == "[Errno 28] No space left"


def test_a_program_ends_with_what_it_returns_or_one_sentence(capsys):
    def fails(error):
        raise error

    assert finish("x", lambda: "done") == 0
    assert capsys.readouterr() == ("done\n", "")
    assert finish("x", lambda: fails(ValueError("expected a; Received: b"))) == 1
    assert capsys.readouterr() == ("", "x: expected a; Received: b\n")
    with pytest.raises(KeyError):
        finish("x", lambda: fails(KeyError("y")))


def test_what_memory_does_not_hold_is_one_sentence():
    with pytest.raises(MemoryError) as raised:
        np.empty((1 << 50,), "float64")
    assert one_sentence(raised.value).startswith("expected enough memory; Received: Unable to allocate")
    assert one_sentence(MemoryError()) == "expected enough memory; Received: less"
