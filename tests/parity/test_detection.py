"""What detectors are made of, against torchvision's."""

import numpy as np
import pytest
import torch
from torchvision_import import torchvision

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
