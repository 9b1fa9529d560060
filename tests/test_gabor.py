"""The Gabor filters against the published table and formula; the layer against the definition, written out slowly."""

import math

import keras
import numpy as np
import pytest
from contracts import check_layer
from PIL import Image

from keras_inception.layers.gabor import SERRE_SCALES, GaborFilterBank, field, gabor_bank, gabor_filter


def test_the_published_table():
    assert [scale.size for scale in SERRE_SCALES] == list(range(7, 38, 2))
    for number, (size, sigma, wavelength) in enumerate(SERRE_SCALES):
        # The closed form that the table's numbers are roundings of; that of 23 is 12.78, and printed 12.7.
        exact = 2 * size / (4.0 - 0.05 * number)
        assert wavelength == pytest.approx(exact, abs=0.051 if size != 23 else 0.081)
        assert sigma == pytest.approx(0.8 * exact, abs=0.051)


def test_a_filter_is_the_formula():
    size, sigma, wavelength = SERRE_SCALES[1]
    for degrees in (0, 45, 90, 135, 30):
        t = math.radians(degrees)
        values = np.zeros((size, size))
        for row in range(size):
            for column in range(size):
                x, y = column - 4, row - 4
                if math.hypot(x, y) <= 4.5:
                    u, v = x * math.cos(t) + y * math.sin(t), -x * math.sin(t) + y * math.cos(t)
                    wave = math.cos(2 * math.pi * u / wavelength)
                    values[row, column] = math.exp(-(u * u + 0.09 * v * v) / (2 * sigma**2)) * wave
        inside = values != 0
        values[inside] -= values[inside].mean()
        values /= math.sqrt((values**2).sum())
        np.testing.assert_allclose(gabor_filter(size, sigma, wavelength, degrees), values, atol=1e-12)


@pytest.mark.parametrize("scale", SERRE_SCALES, ids=lambda scale: str(scale.size))
def test_zero_mean_unit_norm_and_nothing_outside_the_circle(scale):
    for degrees in (0, 45, 90, 135):
        values = gabor_filter(*scale, degrees)
        assert values.sum() == pytest.approx(0, abs=1e-12) and (values**2).sum() == pytest.approx(1)
        assert not values[~field(scale.size)].any() and field(scale.size).sum() < scale.size**2
        np.testing.assert_allclose(values, values[::-1, ::-1], atol=1e-12)  # even: a cosine
    vertical, horizontal = gabor_filter(*scale, 0), gabor_filter(*scale, 90)
    np.testing.assert_allclose(vertical, horizontal.T, atol=1e-12)
    assert np.ptp(vertical[scale.size // 2]) > 2 * np.ptp(vertical[:, scale.size // 2])  # 0: stripes that stand


def test_a_bank_is_any_subset():
    assert [bank.shape for bank in gabor_bank()] == [(n, n, 4) for n in range(7, 38, 2)]
    (bank,) = gabor_bank([9], [0, 30])
    np.testing.assert_array_equal(bank[..., 1], gabor_filter(*SERRE_SCALES[1], 30))


def slow(image, size, degrees, stride):
    """|filter . patch| / ||patch|| at every place, of one channel; the image is black around."""
    wave, inside = gabor_filter(*next(s for s in SERRE_SCALES if s.size == size), degrees), field(size)
    height, width = image.shape
    counts = -(-height // stride), -(-width // stride)
    # TensorFlow's "same": what the last window lacks, halved, stands in front.
    before = [max(0, (c - 1) * stride + size - n) // 2 for c, n in zip(counts, image.shape, strict=True)]
    padded = np.pad(image, [(b, size + stride) for b in before])
    result = np.zeros(counts)
    for row in range(counts[0]):
        for column in range(counts[1]):
            patch = padded[row * stride : row * stride + size, column * stride : column * stride + size] * inside
            norm = np.linalg.norm(patch)
            result[row, column] = abs((wave * patch).sum()) / norm if norm else 0
    return result


@pytest.mark.parametrize("stride", [1, 2])
def test_the_layer_is_the_definition(stride):
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (2, 20, 23, 3)).astype("float32")
    images[1, :, :12] = 0  # where nothing is seen, nothing is answered
    found = np.asarray(GaborFilterBank(sizes=(7, 11), orientations=(0, 45), strides=stride)(images))
    grey = images @ np.array([0.299, 0.587, 0.114])
    for n in range(2):
        for filter_, (size, degrees) in enumerate([(7, 0), (7, 45), (11, 0), (11, 45)]):
            np.testing.assert_allclose(found[n, :, :, filter_], slow(grey[n], size, degrees, stride), atol=1e-5)
    assert not found[1, :, : 6 // stride].any()
    each = np.asarray(GaborFilterBank(sizes=(7,), strides=stride, colours="each")(images))
    assert each.shape[-1] == 12
    np.testing.assert_allclose(each[0, :, :, 4 + 2], slow(images[0, :, :, 1], 7, 90, stride), atol=1e-5)


def test_a_filter_answers_one_to_itself_at_any_contrast():
    bank = gabor_bank()
    for contrast in (0.01, 200.0):
        for scale, size in enumerate(range(7, 38, 2)):
            image = np.zeros((1, 41, 41, 1), "float32")
            at = (41 - size) // 2
            image[0, at : at + size, at : at + size, 0] = contrast * bank[scale][..., 2]
            responses = np.asarray(GaborFilterBank(sizes=(size,))(image))[0, 20, 20]
            assert responses[2] == pytest.approx(1, abs=1e-4) and responses.argmax() == 2
            assert responses.max() <= 1 + 1e-4


def test_the_contract():
    check_layer(GaborFilterBank(sizes=(7, 9), strides=2), (2, 12, 13, 3), (2, 6, 7, 8))
    check_layer(GaborFilterBank(sizes=(7,), orientations=(10,), colours="each"), (1, 8, 8, 2), (1, 8, 8, 2))
    layer = GaborFilterBank()
    assert layer(keras.Input((None, 64, 1))).shape == (None, None, 64, 64) and not layer.weights


def test_channels_first():
    x = np.random.default_rng(0).uniform(0, 255, (2, 12, 13, 3)).astype("float32")
    last = GaborFilterBank(sizes=(7, 9), strides=2, colours="each", data_format="channels_last")(x)
    first = GaborFilterBank(sizes=(7, 9), strides=2, colours="each", data_format="channels_first")
    received = first(x.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(np.transpose(received, (0, 2, 3, 1)), last, rtol=1e-5, atol=1e-6)
    assert first.compute_output_shape((2, 3, 12, 13)) == (2, 24, 6, 7)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: GaborFilterBank(sizes=(8,)), r"sizes of the table, among 7, 9, .*37; Received: \[8\]"),
        (lambda: GaborFilterBank(sizes=()), "a size, and from 1 to 180 orientations; Received: 0 sizes"),
        (lambda: GaborFilterBank(orientations=range(181)), "from 1 to 180 orientations; Received: 16 sizes, 181"),
        (lambda: GaborFilterBank(sizes=(7, 9, 7)), "each size once"),
        (lambda: GaborFilterBank(colours="rgb"), "'grey' or 'each'; Received: colours='rgb'"),
        (lambda: GaborFilterBank()(np.zeros((1, 9, 9, 2), "float32")), "1 or 3 channels"),
        (lambda: GaborFilterBank(strides=0), "strides of one positive number; Received: strides=0"),
        (
            lambda: GaborFilterBank(data_format="first"),
            "'channels_last' or 'channels_first'; Received: data_format='first'",
        ),
        (lambda: gabor_filter(8, 3, 4, 0), "an odd size"),
        (lambda: gabor_filter(1, 3, 4, 0), "not constant"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_bank_as_a_picture(tmp_path):
    from keras_inception.visualize.gabor import draw_gabor_bank

    draw_gabor_bank(tmp_path / "bank.png")
    draw_gabor_bank(tmp_path / "some.png", sizes=(7, 21), orientations=(0, 30))
    with Image.open(tmp_path / "bank.png") as whole, Image.open(tmp_path / "some.png") as some:
        assert whole.width > 3 * some.width and whole.height > some.height
        grey = np.asarray(whole.convert("L"))
        assert (grey < 60).mean() > 0.005 and (grey == 255).mean() > 0.3  # dark stripes, and paper between the filters
