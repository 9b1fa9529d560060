"""What training does to an image: what chance decides, the pixels that come of it, and PIL as the reference."""

import collections
import dataclasses
import functools
import io
import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from scipy import stats

from keras_inception.datasets.photos import DCT
from keras_inception.preprocessing import Preprocessing
from training import augmentation
from training.augmentation import augment, center, decide
from training.colour import DISTORTIONS, ORDERS, distort, light
from training.options import INTERPOLATIONS, Augmentation

STILL = Augmentation(crop="none", mirror=False, photometric=0, lighting=0)
SHIFT = Augmentation(crop="shift", mirror=False, photometric=0, lighting=0)
ENHANCERS = {"contrast": ImageEnhance.Contrast, "brightness": ImageEnhance.Brightness, "colour": ImageEnhance.Color}


def photo(height=120, width=160, seed=0):
    """Smooth colours with edges and some noise: what photos have, and flat noise has not."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (8, 9, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    smooth[height // 3 : height // 2, width // 4 : width // 2] = (250, 240, 20)
    return np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


def assert_levels(result, expected, tolerance=0.501):
    """The result, uint8, is what was expected, rounded."""
    assert result.dtype == np.uint8
    assert np.abs(np.asarray(result, np.float32) - expected).max() <= tolerance


def encoded(pixels, format="JPEG", mode="RGB", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, format, **options)
    return file.getvalue()


@functools.cache
def decisions(count=4000, height=300, width=400, **options):
    """The decisions for `count` seeds, each field as one array."""
    options = Augmentation(**options)
    seeds = tf.stack([tf.zeros(count, tf.int32), tf.range(count)], 1)
    signature = type(decide((0, 0), height, width, options))(
        tf.int32, tf.int32, tf.bool, tf.int32, tf.float32, tf.float32
    )
    one = functools.partial(decide, height=height, width=width, options=options)
    decided = tf.function(lambda: tf.map_fn(one, seeds, fn_output_signature=signature))()
    return type(decided)(*(field.numpy() for field in decided))


# Decisions


def test_area_is_uniform_and_aspect_within_its_range():
    _, _, height, width = decisions().window.T
    area = height * width / (300 * 400)
    assert stats.kstest(area, stats.uniform(0.08, 0.92).cdf).pvalue > 0.01
    aspect = width / height
    assert aspect.min() > 3 / 4 - 0.01 and aspect.max() < 4 / 3 + 0.01
    # Of a small patch every ratio fits: the logarithm is uniform, so wide and tall are equally likely.
    small = np.log(aspect[area < 0.5])
    assert stats.kstest(small, stats.uniform(np.log(3 / 4), np.log(16 / 9)).cdf).pvalue > 0.01


def test_patches_are_within_the_image_and_everywhere():
    top, left, height, width = decisions().window.T
    for start, side, whole in ((top, height, 300), (left, width, 400)):
        assert start.min() == 0 and (start + side).max() == whole and side.min() >= 1
        free = whole - side
        place = (start[free > 50] + 0.5) / (free[free > 50] + 1)
        assert stats.kstest(place, "uniform").pvalue > 0.01


@pytest.mark.parametrize("height, width, largest", [(100, 300, 4 / 9), (300, 100, 4 / 9), (200, 300, 8 / 9)])
def test_area_of_a_long_image_ends_where_no_aspect_fits(height, width, largest):
    window = decisions(500, height, width).window
    area = window[:, 2] * window[:, 3] / (height * width)
    assert stats.kstest(area, stats.uniform(0.08, largest - 0.08).cdf).pvalue > 0.01


def test_an_image_too_long_for_any_patch_gives_the_largest():
    # 0.08 * 500 = 40 pixels do not fit: 1 x 4/3 is the largest patch of the aspect ratios allowed.
    window = decisions(200, 1, 500).window
    assert (window[:, 0] == 0).all() and (window[:, 2:] == 1).all()
    assert window[:, 1].min() < 50 and window[:, 1].max() > 450


def test_each_interpolation_and_order_is_equally_likely_and_half_are_mirrored():
    drawn = decisions()
    for field, kinds in ((drawn.interpolation, len(INTERPOLATIONS)), (drawn.order, len(ORDERS))):
        counts = np.bincount(field)
        assert len(counts) == kinds and stats.chisquare(counts).pvalue > 0.01
    assert abs(drawn.mirror.mean() - 0.5) < 0.03
    assert len(ORDERS) == 6
    assert not decisions(50, mirror=False).mirror.any()


def test_factors_are_uniform_and_lighting_is_normal():
    drawn = decisions()
    for column in drawn.factors.T:
        assert stats.kstest(column, stats.uniform(0.5, 1.0).cdf).pvalue > 0.01
    for column in drawn.lighting.T:
        assert stats.kstest(column, stats.norm(0, 0.1).cdf).pvalue > 0.01


def test_no_decision_depends_on_another():
    drawn = decisions()
    _, left, height, width = drawn.window.T
    columns = [height * width, width / height, left / (400 - width + 1), drawn.interpolation, drawn.mirror, drawn.order]
    table = np.column_stack([*columns, drawn.factors, drawn.lighting]).astype(float)
    small = table[:, 0] < 0.5 * 300 * 400  # of large patches, the area limits the ratio
    correlation = np.corrcoef(table[small].T) - np.eye(table.shape[1])
    assert np.abs(correlation).max() < 4.5 / np.sqrt(small.sum())


def test_shifts_are_uniform():
    window = decisions(2000, 32, 32, crop="shift", shift=2).window
    assert (window[:, 2:] == 32).all()
    for column in (window[:, 0], window[:, 1]):
        assert sorted(set(column)) == [-2, -1, 0, 1, 2]
        assert stats.chisquare(np.bincount(column + 2)).pvalue > 0.01


# The same function everywhere


@pytest.mark.parametrize(
    "kind, crop", [("mixed", "area"), ("arrays", "area"), ("mixed", "shift"), ("arrays", "shift"), ("jpeg", "none")]
)
def test_eager_mapped_and_batched_agree(kind, crop):
    arrays = [photo(48, 48, i) for i in range(6)]
    images = {
        "jpeg": [encoded(array) for array in arrays],
        "mixed": [encoded(array, ("PNG", "JPEG", "GIF", "BMP")[i % 4]) for i, array in enumerate(arrays)],
        "arrays": np.stack(arrays),
    }[kind]
    seeds = np.stack([np.full(6, 7), np.arange(6)], 1)
    options = Augmentation(crop=crop)

    def one(image, seed):
        return augment(image, seed, 32, options)

    eager = np.stack([one(image, seed) for image, seed in zip(images, seeds, strict=True)])
    assert eager.shape == (6, 32, 32, 3) and eager.dtype == np.uint8
    dataset = tf.data.Dataset.from_tensor_slices((images, seeds))
    mapped = dataset.map(one, num_parallel_calls=2)
    assert mapped.element_spec == tf.TensorSpec((32, 32, 3), tf.uint8)
    for results in (np.stack(list(mapped.as_numpy_iterator())), next(dataset.batch(6).map(one).as_numpy_iterator())):
        assert_levels(results, eager)
    assert_levels(one(images, seeds), eager)


def test_seed_decides():
    image, options = photo(), Augmentation()
    first = augment(image, (1, 2), 24, options).numpy()
    np.testing.assert_array_equal(first, augment(image, (1, 2), 24, options))
    np.testing.assert_array_equal(first, augment(image, np.array([1, 2], np.int32), 24, options))
    for other in ((2, 1), (1, 3), (2, 2)):
        assert np.abs(first - augment(image, other, 24, options).numpy().astype(float)).mean() > 1


@pytest.mark.parametrize("image", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), [["a"]], 3])
def test_what_is_no_image(image):
    with pytest.raises(ValueError, match="expected an encoded image or uint8"):
        augment(image, (0, 0), 4, Augmentation())
    with pytest.raises(ValueError, match="expected an encoded image or uint8"):
        center(image, 4, 4)


@pytest.mark.parametrize("crop", ["area", "none"])
@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"no image", encoded(photo())[:300]])
def test_a_broken_image_is_an_error(data, crop):
    with pytest.raises(tf.errors.InvalidArgumentError):
        augment(data, (0, 0), 8, Augmentation(crop=crop))


# Forms of images


@pytest.mark.parametrize("crop", ["area", "shift", "none"])
@pytest.mark.parametrize("height, width", [(1, 1), (1, 500), (500, 1), (3, 2), (700, 600)])
def test_any_size_gives_pixels_in_range(height, width, crop):
    pixels = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (height, width, 3))
    options = Augmentation(crop=crop, photometric=1, lighting=3)
    for image in (pixels, encoded(pixels), encoded(pixels, "PNG")):
        results = np.stack([augment(image, (5, i), 16, options) for i in range(5)])
        assert results.shape == (5, 16, 16, 3)
        assert results.min() >= 0 and results.max() <= 255


def test_bicubic_stays_in_range():
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[2:6, 2:6] = 255
    options = Augmentation(area=(1, 1), aspect=(1, 1), interpolations=("bicubic",), photometric=0, lighting=0)
    result = augment(pixels, (0, 0), 20, options).numpy()
    assert result.min() == 0 and result.max() == 255


def test_the_cut_of_a_jpeg_is_that_of_its_pixels():
    """Where colours are stored at half the resolution, the decoder of a part lacks its neighbours at the border."""
    options = dataclasses.replace(STILL, crop="area", interpolations=("nearest",))
    for subsampling, limit in ((0, 0), (2, 1)):
        data = encoded(photo(), quality=95, subsampling=subsampling)
        pixels = tf.io.decode_jpeg(data, 3, dct_method=DCT)
        np.testing.assert_array_equal(pixels, Image.open(io.BytesIO(data)))
        for i in range(8):
            difference = np.subtract(*(augment(form, (0, i), 40, options) for form in (data, pixels)), dtype=np.int16)
            assert np.abs(difference).mean() <= limit
            assert np.abs(difference[2:-2, 2:-2]).max() <= (0 if limit == 0 else 2)


@pytest.mark.parametrize("function", [functools.partial(augment, seed=(0, 1), options=STILL, size=16), None])
@pytest.mark.parametrize(
    "format, mode, tolerance",
    [("PNG", "RGB", 0), ("PNG", "L", 0), ("PNG", "P", 0), ("GIF", "P", 0), ("JPEG", "L", 0), ("JPEG", "CMYK", 1)],
)
def test_forms_of_images_give_what_pil_gives(function, format, mode, tolerance):
    function = function or functools.partial(center, size=16, resize_to=16)
    data = encoded(photo(16, 16), format, mode)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float32)
    assert np.abs(function(data).numpy() - expected).mean() <= tolerance


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_jpegs_are_cut_as_rgb(mode):
    pixels = np.full((40, 50, 3), (90, 90, 90) if mode == "L" else (200, 30, 60), np.uint8)
    options = dataclasses.replace(STILL, crop="area")
    result = augment(encoded(pixels, mode=mode, quality=95), (0, 0), 8, options)
    assert np.abs(result.numpy() - pixels[0, 0].astype(np.float32)).max() <= 3


# Crops


def test_shift_by_hand():
    row = np.array([10, 20, 30], np.uint8)
    image = np.broadcast_to(row[:, None], (1, 3, 3))
    # Reflection does not repeat the border: ... 30 20 [10 20 30] 20 10 ...
    expected = {-2: (30, 20, 10), -1: (20, 10, 20), 0: (10, 20, 30), 1: (20, 30, 20), 2: (30, 20, 10)}
    options = dataclasses.replace(SHIFT, shift=2)
    # One row is its own reflection, and is drawn three times by the resize.
    results = {i: tuple(augment(image, (0, i), 3, options)[0, :, 0].numpy().astype(int).tolist()) for i in range(30)}
    for i, result in results.items():
        assert result == expected[int(decide((0, i), 1, 3, options).window[1])]
    assert set(results.values()) == set(expected.values())


def test_shift_keeps_the_size_or_averages():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    options = dataclasses.replace(SHIFT, shift=0)
    np.testing.assert_array_equal(augment(image, (0, 0), 8, options), image)
    means = image.reshape(4, 2, 4, 2, 3).mean((1, 3))
    assert_levels(augment(image, (0, 0), 4, options), means)


def test_mirror():
    image = photo(16, 16)
    options = dataclasses.replace(STILL, mirror=True)
    kinds = collections.Counter()
    for i in range(20):
        result = augment(image, (0, i), 16, options).numpy()
        mirrored = bool(decide((0, i), 16, 16, options).mirror)
        np.testing.assert_array_equal(result, image[:, ::-1] if mirrored else image)
        kinds[mirrored] += 1
    assert min(kinds.values()) >= 5


@pytest.mark.parametrize("method", INTERPOLATIONS)
@pytest.mark.parametrize("side", [20, 32, 45, 64])
def test_interpolations(method, side):
    image = photo(side, side)
    options = dataclasses.replace(STILL, crop="area", area=(1, 1), aspect=(1, 1), interpolations=(method,))
    expected = tf.cast(tf.image.resize(image, (32, 32), method), tf.float32)
    assert_levels(augment(image, (0, 0), 32, options), tf.clip_by_value(expected, 0.0, 255.0))


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 40))
def test_nearest_is_that_of_tensorflow(height, width, size):
    """But where two pixels are equally near, and TensorFlow's rounding errors decide."""
    pixels = np.arange(height * width, dtype=np.float32).reshape(height, width, 1)
    rows, columns = ((2 * np.arange(size) + 1) * side % (2 * size) != 0 for side in (height, width))
    expected = tf.image.resize(pixels, (size, size), "nearest").numpy()
    result = augmentation._resized(pixels, size, "nearest").numpy()
    np.testing.assert_array_equal(result[rows][:, columns], expected[rows][:, columns])


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_long_sides_are_halved(method):
    pixels = np.random.default_rng(0).integers(0, 256, (128, 40, 3), np.uint8)
    halves = pixels.reshape(64, 2, 40, 3).mean(1, dtype=np.float32)  # the other side is not too long
    expected = np.clip(tf.image.resize(halves, (32, 32), method), 0, 255)
    np.testing.assert_allclose(augmentation._resized(pixels, 32, method), expected, atol=1e-3)


def test_long_sides_are_halved_again():
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    means = pixels.reshape(32, 8, 32, 8, 3).mean((1, 3))
    np.testing.assert_allclose(augmentation._resized(pixels, 32, "bilinear"), means, atol=1e-3)


@pytest.mark.parametrize("method", ["bilinear", "area"])
@pytest.mark.parametrize("height, width", [(64, 63), (65, 90), (129, 70), (300, 257)])
def test_every_pixel_has_a_part(method, height, width):
    rng = np.random.default_rng(0)
    for y, x in rng.integers(0, (height, width), (40, 2)):
        pixels = np.zeros((height, width, 3), np.float32)
        pixels[y, x] = 1
        assert tf.reduce_sum(augmentation._resized(pixels, 32, method)) > 0


@pytest.mark.parametrize("height, width", [(120, 160), (161, 90), (300, 301), (64, 64), (20, 31)])
def test_center_is_the_preprocessing_of_the_library(height, width):
    image = photo(height, width)
    expected = Preprocessing(size=56, resize_to=64)(image).astype(np.float32)
    for form in (image, encoded(image, "PNG")):
        difference = np.abs(center(form, 56, 64).numpy() - expected)
        assert difference.mean() < 0.5 and difference.max() < 3
    jpeg = encoded(image)
    expected = Preprocessing(size=56, resize_to=64)(io.BytesIO(jpeg)).astype(np.float32)
    assert np.abs(center(jpeg, 56, 64).numpy() - expected).mean() < 0.5
    np.testing.assert_array_equal(center([jpeg, jpeg], 56, 64)[1], center(jpeg, 56, 64))


def test_center_of_the_stored_size_leaves_the_pixels_alone():
    image = photo(32, 32)
    np.testing.assert_array_equal(center(image, 32, 32), image)
    np.testing.assert_array_equal(center(image, 24, 32), image[4:28, 4:28])
    with pytest.raises(ValueError, match="resize_to of at least the size, 32; Received: resize_to=24"):
        center(image, 32, 24)


# Colours


@pytest.mark.parametrize("name", DISTORTIONS)
@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.3, 1.5])
def test_each_distortion_is_that_of_pil(name, factor):
    image = photo()
    factors = [factor if name == other else 1.0 for other in DISTORTIONS]
    expected = np.asarray(ENHANCERS[name](Image.fromarray(image)).enhance(factor), np.float32)
    result = distort(tf.cast(image, tf.float32), 0, tf.constant(factors, tf.float32))
    assert np.abs(np.floor(result) - expected).max() <= 1  # PIL cuts the fraction off, of the luma too


def test_distortions_in_each_order_are_those_of_pil():
    image, factors = photo(), dict(zip(DISTORTIONS, (1.5, 1.4, 0.6), strict=True))
    values = tf.constant(list(factors.values()), tf.float32)
    results = np.stack([distort(tf.cast(image, tf.float32), order, values) for order in range(6)])
    for order, names in enumerate(ORDERS):
        expected = Image.fromarray(image)
        for name in names:
            expected = ENHANCERS[name](expected).enhance(factors[name])
        difference = np.abs(results - np.asarray(expected, np.float32))
        assert difference[order].max() < 5  # PIL's lost fractions, multiplied by up to 1.5 * 1.4
        assert difference.mean((1, 2, 3)).argmin() == order


def test_distortions_by_hand():
    # Luma of the first pixel: 0.299 * 100 = 29.9; with the black one, the mean of the image is 14.95.
    image = tf.constant([[[100.0, 0, 0], [0, 0, 0]]])
    for factor, expected in (
        (0.5, ([[57.475, 7.475, 7.475], [7.475] * 3], [[50, 0, 0], [0] * 3], [[64.95, 14.95, 14.95], [0] * 3])),
        (1.5, ([[142.525, 0, 0], [0] * 3], [[150, 0, 0], [0] * 3], [[135.05, 0, 0], [0] * 3])),
        (3.0, ([[255, 0, 0], [0] * 3], [[255, 0, 0], [0] * 3], [[240.2, 0, 0], [0] * 3])),
    ):
        for i, pixels in enumerate(expected):
            factors = tf.constant([factor if i == j else 1.0 for j in range(3)])
            np.testing.assert_allclose(distort(image, 0, factors), [pixels], atol=1e-4)


def test_lighting_by_hand():
    image = tf.fill((2, 3, 3), 128.0)
    # The first component alone, at 0.1 of its standard deviation of 55.46: 5.546 * (-0.5675, -0.5808, -0.5836).
    first = light(image, tf.constant([0.1, 0.0, 0.0])).numpy()
    np.testing.assert_allclose(first, np.broadcast_to([124.85264, 124.77888, 124.76335], (2, 3, 3)), atol=1e-3)
    # All three: 128 + 0.7192 * 4.794 + 0.4009 * 2.296 - 0.5675 * 5.546, and so on, with alphas 0.1, 1 and 2.
    every = light(image, tf.constant([0.1, 1.0, 2.0])).numpy()
    np.testing.assert_allclose(every[0, 0], [129.22095, 122.88837, 122.39747], atol=1e-3)
    # The result is a photo's pixels.
    assert light(image, tf.constant([-3.0, 0, 0])).numpy().max() < 255 < 128 + 3 * 55.46 * 0.8
    assert light(tf.fill((1, 1, 3), 250.0), tf.constant([-1.0, 0, 0])).numpy().tolist() == [[[255.0] * 3]]
    assert light(tf.fill((1, 1, 3), 5.0), tf.constant([1.0, 0, 0])).numpy().tolist() == [[[0.0] * 3]]


def test_the_decisions_are_what_happens_to_the_pixels():
    image = photo(40, 40)
    options = dataclasses.replace(STILL, photometric=0.5, lighting=0.1)
    for i in range(5):
        decided = decide((3, i), 40, 40, options)
        expected = light(distort(tf.cast(image, tf.float32), decided.order, decided.factors), decided.lighting)
        assert_levels(augment(image, (3, i), 40, options), expected)


# Options


def test_options_survive_json():
    options = Augmentation(crop="shift", area=(0.2, 0.9), interpolations=("area",), shift=2)
    assert Augmentation(**json.loads(json.dumps(dataclasses.asdict(options)))) == options
    assert Augmentation(area=[0.5, 1]) == Augmentation(area=(0.5, 1.0))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"crop": "centre"}, "crop to be one of area, window, shift, none; Received: crop='centre'"),
        ({"area": (0.5, 0.08)}, "area to be two positive numbers, smallest first"),
        ({"area": (0, 1)}, "area to be two positive numbers"),
        ({"area": (0.5, 1.5)}, r"shares of the area in \(0, 1\]"),
        ({"area": 0.5}, "area to be two positive numbers"),
        ({"area": ("a", "b")}, "area to be two positive numbers"),
        ({"aspect": (4 / 3, 3 / 4)}, "aspect to be two positive numbers, smallest first"),
        ({"aspect": (-1, 1)}, "aspect to be two positive numbers"),
        ({"aspect": (1, float("inf"))}, "aspect to be two positive numbers"),
        ({"aspect": (float("nan"), 1)}, "aspect to be two positive numbers"),
        ({"interpolations": ()}, "interpolations from bilinear, area, nearest, bicubic; Received"),
        ({"interpolations": "area"}, "interpolations from"),
        ({"interpolations": ("lanczos",)}, "interpolations from"),
        ({"mirror": 1}, "mirror to be True or False"),
        ({"shift": -1}, "shift to be a whole number from 0; Received: shift=-1"),
        ({"shift": 1.5}, "shift to be a whole number"),
        ({"photometric": -0.1}, r"photometric in \[0, 1\]"),
        ({"photometric": 1.1}, r"photometric in \[0, 1\]"),
        ({"lighting": -0.1}, "lighting of at least 0"),
        ({"lighting": True}, "lighting of at least 0"),
    ],
)
def test_wrong_options(wrong, message):
    with pytest.raises(ValueError, match="expected " + message):
        Augmentation(**wrong)


def test_caffes_crop_is_a_square_anywhere():
    options = Augmentation(crop="window", window=0.5, mirror=False, photometric=0, lighting=0)
    windows = np.array([decide((7, number), 60, 100, options).window for number in range(300)])
    assert (windows[:, 2:] == 30).all(), "half of the short side"
    for column, places in ((0, 31), (1, 71)):
        assert windows[:, column].min() == 0 and windows[:, column].max() == places - 1
        assert stats.kstest(windows[:, column] / (places - 1), "uniform").pvalue > 1e-3
    image = photo(60, 100)
    top, left = windows[0, :2]
    exact = Augmentation(**{**dataclasses.asdict(options), "interpolations": ("nearest",)})
    np.testing.assert_array_equal(augment(image, (7, 0), 30, exact), image[top : top + 30, left : left + 30])
