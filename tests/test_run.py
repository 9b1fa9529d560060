"""Of which work directory a run takes hold, and what it says of broken images."""

import logging

import pytest

from training.recipe import Recipe
from training.run import BrokenImages, claim


def test_broken_images_are_named_once_and_counted(caplog):
    broken = BrokenImages()
    with caplog.at_level(logging.WARNING, "training"):
        for name in ("a/1.jpg", "b/2.jpg", "a/1.jpg"):
            broken(name)
    assert broken.names == {"a/1.jpg", "b/2.jpg"} and len(caplog.records) == 2 and "a/1.jpg" in caplog.text


def test_a_work_directory_belongs_to_one_recipe(tmp_path):
    recipe = Recipe(epochs=3)
    claim(tmp_path / "run", recipe)
    claim(tmp_path / "run", Recipe(epochs=3, keep=9, checkpoint_every=5, evaluate_every=2))  # what changes no weight
    with pytest.raises(ValueError, match=r"begun with epochs=3, learning_rate=0.0015$"):
        claim(tmp_path / "run", Recipe(epochs=4, learning_rate=0.1))
