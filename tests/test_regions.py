"""Regions: against a slow, obvious bilinear interpolation, by hand, and at the edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_inception.detection.regions import CONTEXT, cut_regions, dilate, pool_regions

MAPS = np.random.default_rng(0).uniform(0, 255, (2, 9, 13, 3)).astype(np.float32)
FILL = np.array([10.0, 120.0, 240.0], np.float32)


def value_at(pixels, x, y, fill):
    """A bilinear value at a point in pixels from the upper left corner, of an image that goes on for ever as `fill`."""
    height, width, _ = pixels.shape
    x, y = x - 0.5, y - 0.5  # the middle of the first pixel is at half a pixel
    total = np.zeros(3)
    for row in (int(np.floor(y)), int(np.floor(y)) + 1):
        for column in (int(np.floor(x)), int(np.floor(x)) + 1):
            weight = (1 - abs(y - row)) * (1 - abs(x - column))
            inside = 0 <= row < height and 0 <= column < width
            total += weight * (pixels[row, column] if inside else fill)
    return total


def obviously(maps, boxes, numbers, height, width, samples, fill):
    regions = np.zeros((len(boxes), height, width, 3))
    for region, (left, top, right, bottom), number in zip(regions, boxes, numbers, strict=True):
        for row in range(height * samples):
            for column in range(width * samples):
                x = left + (column + 0.5) * (right - left) / (width * samples)
                y = top + (row + 0.5) * (bottom - top) / (height * samples)
                region[row // samples, column // samples] += value_at(maps[number], x, y, fill) / samples**2
    return regions


@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("size", [(4, 4), (3, 5), (1, 1)])
def test_they_are_what_an_obvious_implementation_gives(size, samples):
    boxes = [[0, 0, 13, 9], [2.3, 1.7, 8.1, 6.4], [-4, -3, 5, 20], [11, 7, 30, 12], [4, 4, 4, 4], [0.5, 0.5, 1.5, 1.5]]
    numbers = [0, 1, 0, 1, 1, 0]
    found = pool_regions(MAPS, np.array(boxes), numbers, size, samples=samples, fill=FILL).numpy()
    np.testing.assert_allclose(found, obviously(MAPS, boxes, numbers, *size, samples, FILL), atol=0.02)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-20, 40), min_size=4, max_size=4))
def test_any_box(sides):
    left, right = sorted(sides[:2])
    top, bottom = sorted(sides[2:])
    boxes = [[left, top, right, bottom]]
    found = pool_regions(MAPS, np.array(boxes), [0], 3, samples=2, fill=FILL).numpy()
    np.testing.assert_allclose(found, obviously(MAPS, boxes, [0], 3, 3, 2, FILL), atol=0.02)


def test_the_image_itself_and_its_halves():
    image = MAPS[0][:8, :12]
    whole = cut_regions(image, [[0, 0, 12, 12]], 12, context=0.0, samples=1, fill=FILL).numpy()[0]
    np.testing.assert_allclose(whole[:8], image, atol=1e-3)
    np.testing.assert_allclose(whole[9:], np.broadcast_to(FILL, (3, 12, 3)), atol=1e-3)
    half = pool_regions(image[None], np.array([[0, 0, 12, 8]]), [0], (4, 6), samples=2).numpy()[0]
    np.testing.assert_allclose(half, image.reshape(4, 2, 6, 2, 3).mean((1, 3)), atol=1e-3)


def test_what_is_outside_has_the_colour_that_was_asked_for():
    image = np.full((20, 20, 3), 200, np.uint8)
    found = cut_regions(image, [[100, 100, 140, 120], [-50, 5, -10, 9]], 8, fill=FILL).numpy()
    np.testing.assert_allclose(found, np.broadcast_to(FILL, found.shape), atol=1e-3)


def test_context_by_hand():
    """Of 224 pixels, 192 show the box and 16 at each side what is around it."""
    assert dilate([[100, 100, 292, 196]])[0].numpy().tolist() == pytest.approx([84, 92, 308, 204])
    assert dilate([[3, 4, 5, 6]], 0.0).numpy().tolist() == [[3, 4, 5, 6]]
    image = np.zeros((224, 224, 3), np.float32)
    image[16:208, 16:208] = 255
    found = cut_regions(image, [[16, 16, 208, 208]], 224, samples=1).numpy()[0]
    np.testing.assert_allclose(found, image, atol=0.05)
    with pytest.raises(ValueError, match="expected context from 0 to below 0.5; Received: context=0.5"):
        dilate([[0, 0, 1, 1]], 0.5)
    assert CONTEXT * 32 == pytest.approx(2.29, abs=0.01)


def test_no_boxes():
    assert cut_regions(MAPS[0], np.zeros((0, 4)), 7).shape == (0, 7, 7, 3)
