"""Photos in a graph are those that `open_image` gives: every orientation, transparency, palettes, rare formats."""

import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, features

from keras_inception.datasets.photos import decode_photo, jpeg_orientation
from keras_inception.preprocessing import Preprocessing, open_image
from training.augmentation import augment, center
from training.options import Augmentation

RNG = np.random.default_rng(0)
SMOOTH = Image.fromarray(RNG.integers(0, 256, (5, 7, 4), np.uint8)).resize((42, 30), Image.Resampling.BICUBIC)


def encoded(image, format="JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def exif(orientation, endian="<") -> bytes:
    data = Image.Exif()
    data.endian = endian
    data[0x010F] = "a maker whose name takes more than four bytes"
    data[0x0112] = orientation
    return data.tobytes()


GRAPH = tf.function(decode_photo, input_signature=[tf.TensorSpec((), tf.string)])


def in_graph(data) -> np.ndarray:
    return GRAPH(tf.constant(data)).numpy()


def opened(data) -> np.ndarray:
    return np.asarray(open_image(io.BytesIO(data)), np.int64)


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation(orientation, endian):
    data = encoded(SMOOTH.convert("RGB"), exif=exif(orientation, endian), quality=95)
    assert int(jpeg_orientation(tf.constant(data))) == orientation
    np.testing.assert_array_equal(in_graph(data), opened(data))
    assert in_graph(data).shape[:2] == ((42, 30) if orientation >= 5 else (30, 42))
    evaluated = center(data, 16, 20).numpy().astype(int)
    assert np.abs(evaluated - Preprocessing(16, "short_side", 20)(io.BytesIO(data))).max() <= 1.5
    # What training cuts out is cut out of the upright image.
    pixels = in_graph(data)
    for crop in ("area", "window", "none"):
        options = Augmentation(crop, interpolations=("nearest",), photometric=0, lighting=0)
        for seed in range(4):
            expected = augment(pixels, (0, seed), 16, options).numpy().astype(int)
            difference = np.abs(augment(data, (0, seed), 16, options).numpy() - expected)
            assert difference.mean() <= 1 and expected.std() > 5


def with_alpha(mode):
    image = SMOOTH.convert(mode)
    if mode == "P":
        image = SMOOTH.convert("RGB").quantize(16)
        image.info["transparency"] = 3
    return image


CASES = {
    "PNG with alpha": ("PNG", with_alpha("RGBA"), {}, 1),
    "grey PNG with alpha": ("PNG", with_alpha("LA"), {}, 1),
    "PNG with a transparent colour": ("PNG", with_alpha("P"), {"transparency": 3}, 1),
    "PNG with a palette": ("PNG", SMOOTH.convert("RGB").quantize(16), {}, 0),
    "PNG": ("PNG", SMOOTH.convert("RGB"), {}, 0),
    "grey PNG": ("PNG", SMOOTH.convert("L"), {}, 0),
    "PNG of one bit": ("PNG", SMOOTH.convert("1"), {}, 0),
    "PNG of sixteen bits": (
        "PNG",
        Image.fromarray(RNG.integers(0, 2**16, (20, 30)).astype(np.uint16)),
        {},
        1,
    ),
    "BMP": ("BMP", SMOOTH.convert("RGB"), {}, 0),
    "BMP with a palette": ("BMP", SMOOTH.convert("RGB").quantize(16), {}, 0),
    "GIF": ("GIF", SMOOTH.convert("RGB").quantize(16), {}, 0),
    "GIF with a transparent colour": ("GIF", with_alpha("P"), {"transparency": 3}, 0),
    "WebP": ("WEBP", SMOOTH.convert("RGB"), {}, 0),
    "WebP with alpha": ("WEBP", with_alpha("RGBA"), {"lossless": True}, 0),
    "TIFF": ("TIFF", SMOOTH.convert("RGB"), {}, 0),
    "TIFF with orientation": ("TIFF", SMOOTH.convert("RGB"), {"exif": exif(6)}, 0),
    "grey JPEG": ("JPEG", SMOOTH.convert("L"), {}, 0),
    "progressive JPEG": ("JPEG", SMOOTH.convert("RGB"), {"progressive": True}, 0),
    "CMYK JPEG": ("JPEG", SMOOTH.convert("CMYK"), {"quality": 95}, 2),
}


@pytest.mark.parametrize("name", CASES)
def test_forms(name):
    format, image, options, tolerance = CASES[name]
    if format == "WEBP" and not features.check("webp"):
        pytest.skip("this PIL has no WebP")
    data = encoded(image, format, **options)
    expected = opened(data)
    assert expected.std() > 10
    assert np.abs(in_graph(data) - expected).max() <= tolerance


@pytest.mark.parametrize("name", [name for name in CASES if "JPEG" in name or "PNG" in name])
def test_without_pil(name):
    """For other processes; a palette's transparent colour is all that is lost, and there is no Python in the graph."""
    format, image, options, tolerance = CASES[name]
    data = encoded(image, format, **options)
    graph = tf.function(lambda data: decode_photo(data, pil=False)).get_concrete_function(tf.TensorSpec((), tf.string))
    difference = np.abs(graph(tf.constant(data)).numpy() - opened(data)).max(-1)
    assert (difference > tolerance).mean() <= (0.2 if name == "PNG with a transparent colour" else 0)
    library = graph.graph.as_graph_def().library.function
    assert not any("Py" in node.op for function in library for node in function.node_def)


HEAD = encoded(SMOOTH.convert("RGB"), exif=exif(6))


@settings(deadline=None)  # the first is traced
@example(b"", 0)
@example(b"II", 2)
@given(st.binary(max_size=64), st.integers(0, 80))
def test_damaged_exif_data_are_an_orientation_or_none(noise, keep):
    """What begins as EXIF data and goes on as anything; the photo is decoded all the same."""
    start = HEAD.index(b"Exif\0\0") + 6
    segment = (HEAD[start : start + keep] + noise)[:100].ljust(100, b"\0")
    data = (
        HEAD[:2] + b"\xff\xe1" + (108).to_bytes(2, "big") + b"Exif\0\0" + segment + encoded(SMOOTH.convert("RGB"))[2:]
    )
    assert 1 <= int(jpeg_orientation(tf.constant(data))) <= 8
    assert sorted(in_graph(data).shape) == [3, 30, 42]


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_what_is_no_image_is_an_error(data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        in_graph(data)
