"""What the benchmarks compare: that both sides do the work."""

import itertools

import numpy as np
import pytest
from PIL import Image

from training.benchmark import detection, input, sparse, topology


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


@pytest.mark.parametrize("count", [1, 3, 7])
def test_blocks_are_the_dense_product_of_what_they_join(count, monkeypatch):
    for name, value in {"INPUTS": 20, "FILTERS": 9, "POSITIONS": 11}.items():
        monkeypatch.setattr(sparse, name, value)
    rng = np.random.default_rng(0)
    x, dense = rng.normal(size=(20, 11)).astype("float32"), rng.normal(size=(9, 20)).astype("float32")
    groups = [np.repeat(np.arange(count), [len(part) for part in np.array_split(np.arange(n), count)]) for n in (9, 20)]
    joined = np.where(groups[0][:, None] == groups[1], dense, 0)
    np.testing.assert_allclose(sparse._blocks(dense, x, count)(), joined @ x, rtol=1e-4, atol=1e-5)


def test_sparse_products_are_measured_and_drawn(monkeypatch, tmp_path):
    for name, value in {"INPUTS": 60, "FILTERS": 50, "POSITIONS": 64, "DENSITIES": (1 / 10, 1 / 2)}.items():
        monkeypatch.setattr(sparse, name, value)
    report = sparse.sparse(1, 1, 0.01)
    found = report["1 thread"]
    assert [row["density"] for row in found["densities"]] == [0.1, 0.5] and "100x" in report[sparse.CLAIMED]
    assert all(row["csr, ms"] > 0 and row["blocks, ms"] > 0 for row in found["densities"]) and found["dense, ms"] > 0
    sparse.draw(report, tmp_path / "sparse.png")
    with Image.open(tmp_path / "sparse.png") as picture:
        assert np.ptp(np.asarray(picture.convert("L"))) > 200


def test_a_detector_is_measured(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    small = {"variant": "batch_norm", "stem": "small", "input_shape": (32, 32, 3)}
    (image,) = detection._images(tmp_path, 3)
    assert image.shape == (48, 64, 3)
    assert detection._regions(image, 8, 4, 1, 0.01, small)["regions / network"] > 0
    assert detection._looks(image, 8, 4, 1, 0.01, small)["once / each"] > 0
    assert detection._suppression(200, 1, 0.01)["boxes that stay"] > 0
    stages = detection._stages([image], 1, small)
    assert stages.pop("pixels") == "64 x 48"
    assert {"MultiBox", "classifying them", "suppression"} < set(stages) and all(value > 0 for value in stages.values())
    with pytest.raises(ValueError, match="expected a folder with photos; Received: "):
        (tmp_path / "none").mkdir()
        detection._images(tmp_path / "none", 3)


def test_statistics_are_measured_against_a_forward_pass():
    found = topology._measure({"weights": "cifar10"}, 1, 16, 32)
    assert found["forward pass, images/s"] > 0
    assert all(value > 0.5 for name, value in found.items() if name.endswith("forward pass") and "/" in name)
