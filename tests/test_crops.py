"""Crop protocols: their tables by hand, on photos of every orientation, and against a slow, obvious implementation."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_inception.evaluation import PROTOCOLS, Protocol, cut_crops
from keras_inception.evaluation.crops import cut, find_protocol
from keras_inception.preprocessing import Preprocessing

# The squares and windows at 144 crops, at the scale 256 of a photo that is already 256 on its short side.
PLACES = [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]


def coordinates(height, width):
    """A photo whose pixels tell where they are: red is half the row, green half the column."""
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return np.stack([rows, columns, np.zeros_like(rows)], -1).astype("float32") / 2


def photo(height, width, seed=0):
    small = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def corners(crops):
    """Row and column of the top left pixel of each crop of `coordinates`."""
    return [tuple((2 * crop[0, 0, :2]).round().astype(int).tolist()) for crop in crops]


def test_counts():
    assert {name: protocol.crops for name, protocol in PROTOCOLS.items()} == {
        "1": 1,
        "10": 10,
        "144": 144,
        "short_side": 1,
        "warp": 1,
        "central_fraction": 1,
    }


@pytest.mark.parametrize(
    "size, sides", [(224, [256, 288, 320, 352]), (32, [37, 41, 46, 50]), (112, [128, 144, 160, 176])]
)
def test_short_sides_are_in_proportion(size, sides):
    assert [scale.resize_to for scale in PROTOCOLS["144"].scales(Preprocessing(size))] == sides


@pytest.mark.parametrize(
    "height, width, squares",
    [
        (256, 341, [(0, 0), (0, 42), (0, 85)]),  # landscape: 85 pixels of room; the middle, 42.5, is rounded to even
        (341, 256, [(0, 0), (42, 0), (85, 0)]),  # portrait
        (256, 256, [(0, 0), (0, 0), (0, 0)]),
    ],
)
def test_the_table_of_144_by_hand(height, width, squares):
    """At the first scale the photo is not resized, so that pixels say where a crop has begun."""
    protocol, scales = PROTOCOLS["144"], PROTOCOLS["144"].scales(Preprocessing())
    crops = cut(coordinates(height, width), protocol, scales[0]).numpy()
    assert crops.shape == (18, 224, 224, 3)
    expected = [(top + y, left + x) for top, left in squares for y, x in PLACES]
    found = corners(np.delete(crops, [5, 11, 17], 0))
    # The crop in the middle of the photo is that of Preprocessing, which rounds once.
    middle = (round((height - 224) / 2), round((width - 224) / 2))
    expected[9] = middle
    assert found == expected
    for (top, left), whole in zip(squares, crops[[5, 11, 17]], strict=True):
        # 256 pixels in 224: the mean place of a resized square is its own.
        rows, columns = 2 * whole[..., 0], 2 * whole[..., 1]
        assert rows.mean() == pytest.approx(top + 127.5, abs=0.01)
        assert columns.mean() == pytest.approx(left + 127.5, abs=0.01)
        assert rows[0, 0] == pytest.approx(top, abs=0.6) and columns[-1, -1] == pytest.approx(left + 255, abs=0.6)


def test_ten_crops_by_hand():
    crops = cut_crops(coordinates(256, 300), "10")
    # The central square begins at column 22.
    assert corners(crops[:5]) == [(0, 22), (0, 54), (32, 22), (32, 54), (16, 38)]
    np.testing.assert_array_equal(crops[5:], crops[:5, :, ::-1])


@pytest.mark.parametrize("height, width", [(300, 400), (400, 300), (50, 81), (20, 20), (224, 1000), (7, 3)])
def test_144_crops_of_any_photo(height, width):
    """Landscape and portrait, and smaller than the crop: the short side is always the protocol's."""
    crops = cut_crops(photo(height, width), "144")
    assert crops.shape == (144, 224, 224, 3) and crops.min() >= 0 and crops.max() <= 255
    distinct = {crop.tobytes() for crop in crops}
    # Of a square photo the three squares are one.
    assert len(distinct) == (144 if height != width else 48)


def obvious(image, size, sides):
    """The paper's sentence, step by step, with PIL: uint8, which rounds after each resize."""
    crops = []
    for side in (round(size * side / 224) for side in sides):
        short = min(image.size)
        width, height = (side if length == short else side * length // short for length in image.size)
        resized = image.resize((width, height), Image.Resampling.BILINEAR)
        room = max(width, height) - side
        for start in (0, round(room / 2), room):
            left, top = (start, 0) if width > height else (0, start)
            square = resized.crop((left, top, left + side, top + side))
            places = [(0, 0), (side - size, 0), (0, side - size), (side - size, side - size)]
            middle = [round((length - size) / 2) for length in (width, height)]
            centre = resized.crop((*middle, middle[0] + size, middle[1] + size))
            if start in (0, room):
                inner = round((side - size) / 2)
                centre = square.crop((inner, inner, inner + size, inner + size))
            crops += [square.crop((x, y, x + size, y + size)) for x, y in places]
            crops += [centre, square.resize((size, size), Image.Resampling.BILINEAR)]
    crops = np.stack([np.asarray(crop, np.float32) for crop in crops])
    return np.concatenate([crops, crops[:, :, ::-1]])


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("height, width", [(90, 133), (133, 90), (20, 29), (32, 32)])
def test_the_crops_are_those_of_an_obvious_implementation(size, height, width):
    image = photo(height, width)
    crops = cut_crops(image, "144", Preprocessing(size))
    expected = obvious(Image.fromarray(image), size, (256, 288, 320, 352))
    assert np.abs(crops - expected).max() <= 2.5 and np.abs(crops - expected).mean() < 0.5


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("resize", ["short_side", "warp", "central_fraction"])
@pytest.mark.parametrize("height, width", [(90, 133), (101, 64), (40, 40), (30, 41)])
def test_one_crop_is_that_of_the_preprocessing(resize, interpolation, height, width):
    preprocessing = Preprocessing(48, resize, interpolation=interpolation)
    image = photo(height, width)
    (crop,) = cut_crops(image, "1", preprocessing)
    difference = np.abs(np.clip(crop, 0, 255) - preprocessing(image))
    assert difference.max() <= 2.5 and difference.mean() < 0.6


@pytest.mark.parametrize("name", ["short_side", "warp", "central_fraction"])
def test_published_resizes(name):
    """Whatever the model's own preprocessing is."""
    image = photo(90, 133)
    (crop,) = cut_crops(image, name, Preprocessing(56, "warp" if name != "warp" else "short_side", resize_to=99))
    expected = Preprocessing(56, name)(image)
    assert Preprocessing(56, name).resize_to in (64, None) and np.abs(crop - expected).max() <= 1.5


def test_inputs_that_are_no_square():
    crops = cut_crops(coordinates(300, 500), PROTOCOLS["10"], Preprocessing((224, 192)))
    assert crops.shape == (10, 224, 192, 3)


def test_the_resize_may_be_a_tensor():
    """As the stream has it, which makes one function for all scales."""
    protocol = PROTOCOLS["144"]
    scales = protocol.scales(Preprocessing(32))
    function = tf.function(lambda pixels, side: cut(pixels, protocol, scales[0], side))
    for scale in scales:
        found = function(photo(60, 70), tf.constant(scale.resize_to))
        np.testing.assert_allclose(found, cut(photo(60, 70), protocol, scale), atol=1e-3)


def test_a_photo_that_is_no_photo():
    with pytest.raises(tf.errors.InvalidArgumentError, match="sides are at most 1 to 64"):
        cut_crops(np.zeros((2, 200, 3), np.uint8), "144")


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"squares": 2}, "1 or 3 squares"),
        ({"windows": ("middle",)}, "windows from top_left, "),
        ({"windows": ()}, "windows from"),
        ({"sides": (200,)}, "sides of at least 224"),
        ({"sides": (256, 288), "resize": "warp"}, "one scale for resize='warp'"),
    ],
)
def test_protocols_that_are_none(fields, message):
    with pytest.raises(ValueError, match=message):
        Protocol("mine", **fields)


def test_protocols_are_found_by_name():
    assert find_protocol(144) is PROTOCOLS["144"] and find_protocol("10").crops == 10
    mine = dataclasses.replace(PROTOCOLS["144"], name="72", mirrored=False)
    assert find_protocol(mine).crops == 72
    with pytest.raises(
        ValueError, match="one of 1, 10, 144, short_side, warp, central_fraction; Received: protocol='12'"
    ):
        find_protocol("12")
