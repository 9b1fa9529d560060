"""What the benchmarks compare: that both sides do the work."""

import itertools

import numpy as np
import pytest
from PIL import Image

from training.benchmark import input


def test_the_input_that_is_measured_is_the_training_pipeline(tmp_path):
    files = []
    for number in range(3):
        files.append(tmp_path / f"{number}.jpg")
        Image.new("RGB", (60 + number, 50), (200, 10 * number, 30)).save(files[-1])
    batches = input._photo_dataset([*map(str, files)] * 4, 4, tmp_path / "links")
    images, labels, weights = next(iter(batches))
    assert images.shape == (4, 224, 224, 3) and set(labels.numpy()) <= {0, 1} and weights.numpy().tolist() == [1] * 4
    assert input.rate(iter(batches), 4, 0.1, untimed=1) > 0


def test_what_is_no_batch_of_bytes_is_not_measured():
    with pytest.raises(RuntimeError, match="expected 4 images of 224 x 224, uint8; Received: float32"):
        input.rate(itertools.repeat(np.zeros((4, 3, 224, 224), np.float32)), 4, 0.1)
