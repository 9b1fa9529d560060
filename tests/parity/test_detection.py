"""What detectors are made of, against torchvision's; whole detectors on JAX and PyTorch, against TensorFlow's."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import torch
from torchvision_import import torchvision

import keras_inception
from keras_inception.detection import RCNN, BoxRegression, MultiBox, MultiBoxProposals, SelectiveSearch
from keras_inception.detection.boxes import overlap
from keras_inception.detection.regions import pool_regions


def random_boxes(rng, count, side):
    start = rng.uniform(0, side * 0.7, (count, 2))
    return np.concatenate([start, start + rng.uniform(1, side * 0.3, (count, 2))], axis=1)


@pytest.mark.parametrize("samples", [1, 2, 4])
def test_regions_inside_of_the_maps_are_those_of_roi_align(samples):
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2, 40, 40, 5)).astype(np.float32)
    boxes, numbers = random_boxes(rng, 30, 38) + 1, rng.integers(0, 2, 30)
    ours = pool_regions(maps, boxes, numbers, (7, 6), samples=samples).numpy()
    rows = torch.tensor(np.concatenate([numbers[:, None], boxes], 1), dtype=torch.float32)
    theirs = torchvision.ops.roi_align(
        torch.tensor(maps.transpose(0, 3, 1, 2)), rows, (7, 6), sampling_ratio=samples, aligned=True
    )
    np.testing.assert_allclose(ours, theirs.numpy().transpose(0, 2, 3, 1), atol=2e-4)


def test_overlaps():
    boxes = random_boxes(np.random.default_rng(1), 500, 300)
    tensor = torch.tensor(boxes)
    np.testing.assert_allclose(overlap(boxes[:50], boxes), torchvision.ops.box_iou(tensor[:50], tensor), atol=1e-9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A published detector with all that there is, and noise with three squares; what it finds on TensorFlow."""
    folder = tmp_path_factory.mktemp("detector")
    keras.utils.set_random_seed(0)
    widths = {module: (8,) * 6 for module in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")}
    options = {"weights": None, "variant": "batch_norm", "stem": "small", "widths": widths}
    classifiers = [
        keras_inception.GoogLeNet(input_shape=(32, 32, 3), labels=["a", "b", "background"], **options) for _ in range(2)
    ]
    trunk = keras_inception.GoogLeNet(include_top=False, input_shape=(32, 48, 3), **options)
    proposer = MultiBox(trunk, [[0.1, 0.1, 0.4, 0.5], [0.5, 0.2, 0.9, 0.8]], channels=4, hidden=8)
    regression = BoxRegression(np.random.default_rng(0).normal(0, 0.1, (2, 33, 4)).astype("float32"))
    search = SelectiveSearch("fast", width=96, smallest=8, limit=40)
    sources = [search, MultiBoxProposals(proposer)]
    detector = RCNN(classifiers, sources, threshold=0.1, regression=regression, context=0.1)
    keras_inception.push_to_hub(detector, folder / "hub")
    images = np.random.default_rng(0).integers(90, 150, (2, 64, 96, 3), "uint8")
    for left, colour in ((5, (220, 30, 30)), (35, (30, 220, 30)), (65, (30, 30, 220))):
        images[0, 10:40, left : left + 25] = images[1, 30:55, left : left + 20] = colour
    np.save(folder / "images.npy", images)
    found(folder, "tensorflow")
    return folder


def found(folder, backend):
    program, out = pathlib.Path(__file__).with_name("detector_program.py"), folder / f"{backend}.npz"
    command = [sys.executable, str(program), str(folder / "hub"), str(folder / "images.npy"), str(out)]
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_detector_finds_the_same_on_every_backend(folder, backend):
    found(folder, backend)
    expected, received = (np.load(folder / f"{name}.npz") for name in ("tensorflow", backend))
    assert str(received["backend"]) == backend and set(received) == set(expected)
    for name in set(expected) - {"backend"}:
        assert len(expected[name]) > 2, name
        np.testing.assert_allclose(received[name], expected[name], atol=0.02, err_msg=name)
