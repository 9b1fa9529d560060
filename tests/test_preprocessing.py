"""Photos in every form that files come in, resized and cropped as the published protocols have it."""

import io
import json
import pathlib
import struct
import zlib

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_inception.layers import Pixels
from keras_inception.preprocessing import INTERPOLATIONS, RESIZES, Preprocessing, open_image, preprocess_input

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def saved(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    file.seek(0)
    return file


def pixels(image):
    return np.asarray(open_image(image)).tolist()


def noise(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


# Forms of photos


def test_grayscale():
    assert pixels(Image.fromarray(np.array([[0, 90], [200, 255]], np.uint8))) == [
        [[0] * 3, [90] * 3],
        [[200] * 3, [255] * 3],
    ]
    assert pixels(Image.new("1", (1, 1), 1)) == [[[255, 255, 255]]]


def test_grayscale_with_alpha_is_composited_on_white():
    image = Image.new("LA", (3, 1))
    for x, value in enumerate([(100, 255), (100, 0), (0, 51)]):
        image.putpixel((x, 0), value)
    assert pixels(saved(image, "PNG")) == [[[100] * 3, [255] * 3, [204] * 3]]  # 0 * 0.2 + 255 * 0.8


def test_rgba_is_composited_on_white():
    image = Image.new("RGBA", (3, 1))
    for x, value in enumerate([(10, 20, 30, 255), (10, 20, 30, 0), (255, 0, 0, 51)]):
        image.putpixel((x, 0), value)
    assert pixels(saved(image, "PNG")) == [[[10, 20, 30], [255, 255, 255], [255, 204, 204]]]


def test_palette_with_and_without_transparency():
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    assert pixels(saved(image, "PNG")) == [[list(RED), list(BLUE)]]
    assert pixels(saved(image, "PNG", transparency=1)) == [[list(RED), list(WHITE)]]
    assert pixels(saved(image, "PNG", transparency=bytes([255, 0]))) == [[list(RED), list(WHITE)]]
    assert pixels(saved(image, "GIF", transparency=0)) == [[list(WHITE), list(BLUE)]]


def test_transparent_colour_of_an_image_without_alpha():
    image = Image.new("RGB", (2, 1), GREEN)
    image.putpixel((1, 0), BLUE)
    assert pixels(saved(image, "PNG", transparency=GREEN)) == [[list(WHITE), list(BLUE)]]


def test_cmyk():
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    for file in (saved(image, "TIFF"), saved(image, "JPEG", quality=95)):
        assert np.abs(np.asarray(open_image(file), int) - RED).max() <= 3


def test_cmyk_jpeg_of_adobe_is_inverted():
    jpeg = saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95).getvalue()
    # PIL stores CMYK inverted, as Adobe does, and says so in an APP14 segment, by which a reader knows.
    assert b"Adobe" in jpeg
    assert np.abs(np.asarray(open_image(io.BytesIO(jpeg)), int) - RED).max() <= 3


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_grayscale_is_scaled_and_not_clipped(format):
    values = np.array([[0, 257], [25700, 65535]], np.uint16)
    file = saved(Image.fromarray(values), format)
    assert Image.open(file).mode.startswith("I;16")
    assert pixels(file) == [[[0] * 3, [1] * 3], [[100] * 3, [255] * 3]]


def test_16_bit_rounds_to_the_nearest():
    assert pixels(Image.fromarray(np.array([[128, 129, 386]], np.uint16))) == [[[0] * 3, [1] * 3, [2] * 3]]


def test_big_endian_16_bit():
    image = Image.frombytes("I;16B", (2, 1), struct.pack(">2H", 25700, 65535))
    assert pixels(image) == [[[100] * 3, [255] * 3]]


def test_32_bit_integers_hold_16_bit_values():
    assert pixels(Image.fromarray(np.array([[0, 25700, 65535]], np.int32))) == [[[0] * 3, [100] * 3, [255] * 3]]
    for bad in (-1, 65536):
        with pytest.raises(ValueError, match=r"0\.\.65535"):
            open_image(saved(Image.fromarray(np.array([[0, bad]], np.int32)), "TIFF"))


def test_32_bit_floats_are_0_to_255():
    assert pixels(saved(Image.fromarray(np.array([[0, 99.6, 255]], np.float32)), "TIFF")) == [
        [[0] * 3, [100] * 3, [255] * 3]
    ]
    for bad in (np.nan, np.inf, -2, 300):
        with pytest.raises(ValueError, match=r"0\.\.255"):
            open_image(Image.fromarray(np.array([[0, bad]], np.float32)))


def png(header, row):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">2I5B", *header, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")


def test_16_bit_colour_png():
    data = png((2, 1, 16, 2), b"\0" + struct.pack(">6H", 65535, 0, 0, 257, 25700, 65535))
    assert pixels(io.BytesIO(data)) == [[[255, 0, 0], [1, 100, 255]]]


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "RGBX", "RGBa"])
def test_other_modes(mode):
    colour = Image.new("RGBA" if mode == "RGBa" else "RGB", (1, 1), RED)
    assert np.abs(np.array(pixels(colour.convert(mode)), int) - RED).max() <= 2


# A 2 x 3 photo and, for each EXIF orientation, what a camera stores so that viewers show the photo: worked out by hand.
PHOTO = [[1, 2, 3], [4, 5, 6]]
STORED = {
    1: [[1, 2, 3], [4, 5, 6]],
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[3, 6], [2, 5], [1, 4]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[4, 1], [5, 2], [6, 3]],
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "16 bit"])
def test_exif_orientation(orientation, format):
    stored = np.array(STORED[orientation], np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    if format == "16 bit":
        file = saved(Image.fromarray(stored.astype(np.uint16) * 257), "PNG", exif=exif)
    else:
        image = Image.fromarray(np.repeat(stored[..., None], 3, 2))
        file = saved(image, format, exif=exif, **({"lossless": True} if format == "WEBP" else {}))
    assert np.asarray(open_image(file))[..., 0].tolist() == PHOTO
    if format == "TIFF":
        file.seek(0)
    assert np.asarray(open_image(Image.open(file)))[..., 0].tolist() == PHOTO


def test_exif_orientation_of_a_jpeg(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: what is stored at the left is shown at the top
    image = Image.new("RGB", (64, 32), RED)
    image.paste(BLUE, (32, 0, 64, 32))
    image.save(tmp_path / "phone.jpg", exif=exif, quality=95)
    photo = np.asarray(open_image(tmp_path / "phone.jpg"), int)
    assert photo.shape == (64, 32, 3)
    assert np.abs(photo[5, 16] - RED).max() < 5 and np.abs(photo[58, 16] - BLUE).max() < 5


def test_animation_gives_the_first_frame():
    frames = [Image.new("RGB", (2, 2), colour) for colour in (RED, GREEN, BLUE)]
    for format in ("GIF", "PNG", "WEBP", "TIFF"):
        options = {"lossless": True} if format == "WEBP" else {}
        file = saved(frames[0], format, save_all=True, append_images=frames[1:], **options)
        assert pixels(file)[0][0] == list(RED), format


def test_arrays():
    for dtype in (np.uint8, np.float32, np.float64, np.int64, np.float16):
        assert pixels(np.array([[0, 200]], dtype)) == [[[0] * 3, [200] * 3]]
    assert pixels(np.array([[[7]]], np.uint8)) == [[[7, 7, 7]]]
    assert pixels(np.array([[[1, 2, 3]]], np.uint8)) == [[[1, 2, 3]]]
    assert pixels(np.array([[[255, 0, 0, 51]]], np.uint8)) == [[[255, 204, 204]]]
    assert pixels(np.array([[[1.4, 1.6, 254.9]]])) == [[[1, 2, 255]]]
    assert pixels(noise(4, 4)[::-1, ::2]) == noise(4, 4)[::-1, ::2].tolist()  # not contiguous


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((2, 2, 2), np.uint8),
        np.zeros((0, 2, 3), np.uint8),
        np.zeros(5, np.uint8),
        np.full((2, 2, 3), -0.5),
        np.full((2, 2, 3), 256),
        np.full((2, 2, 3), np.nan),
        np.array([["a", "b"]]),
        3,
        None,
        b"bytes",
    ],
)
def test_bad_arrays(bad):
    with pytest.raises(ValueError, match="expected .*Received: "):
        open_image(bad)


# Broken files


def test_every_truncation_is_one_clear_error_or_a_photo(tmp_path):
    image = Image.fromarray(noise(8, 8))
    for format in ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"):
        data = saved(image, format).getvalue()
        path = tmp_path / f"photo.{format.lower()}"
        for length in range(0, len(data), max(1, len(data) // 60)):
            path.write_bytes(data[:length])
            try:
                assert open_image(path).size == (8, 8)
            except ValueError as error:
                assert path.name in str(error) and "\n" not in str(error)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP", "PPM"]),
    st.integers(0, 10**6),
    st.binary(min_size=1, max_size=6),
)
def test_damaged_files_raise_nothing_else(format, place, junk):
    data = saved(Image.fromarray(noise(6, 5)), format).getvalue()
    place %= len(data)
    try:
        open_image(io.BytesIO(data[:place] + junk + data[place + len(junk) :]))
    except ValueError as error:
        assert "readable image" in str(error)


def test_a_decompression_bomb_is_refused(tmp_path):
    (tmp_path / "bomb.png").write_bytes(png((30000, 30000, 8, 2), b""))
    with pytest.raises(ValueError, match="bomb.png.*exceeds limit"):
        open_image(tmp_path / "bomb.png")


def test_what_is_no_image_and_what_is_no_file(tmp_path):
    (tmp_path / "notes.jpg").write_text("not a photo")
    with pytest.raises(ValueError, match="notes.jpg"):
        open_image(tmp_path / "notes.jpg")
    with pytest.raises(FileNotFoundError, match="absent.jpg"):
        open_image(str(tmp_path / "absent.jpg"))
    with pytest.raises(ValueError, match="notes.jpg"), open(tmp_path / "notes.jpg", "rb") as file:
        open_image(file)


# Geometry


def gradient(height, width):
    """Red counts the columns from 0 to 255, green the rows."""
    x, y = np.linspace(0, 255, width), np.linspace(0, 255, height)
    return np.stack(np.broadcast_arrays(x[None, :], y[:, None], 0.0), -1).round().astype(np.uint8)


def test_warp_keeps_the_same_share_of_both_sides():
    out = Preprocessing(size=224, resize="warp", resize_to=256)(gradient(300, 600))
    # Columns and rows 16..239 of 256: 16.5/256 and 239.5/256 of the way.
    for channel in (0, 1):
        assert abs(int(out[..., channel].min()) - 255 * 16.5 / 256) <= 1.5
        assert abs(int(out[..., channel].max()) - 255 * 239.5 / 256) <= 1.5


def test_short_side_keeps_the_aspect_ratio():
    out = Preprocessing(size=224, resize="short_side", resize_to=256)(gradient(300, 600))
    # 256 x 512: columns 144..367 of 512, rows 16..239 of 256.
    assert abs(int(out[..., 0].min()) - 255 * 144.5 / 512) <= 1.5
    assert abs(int(out[..., 0].max()) - 255 * 367.5 / 512) <= 1.5
    assert abs(int(out[..., 1].min()) - 255 * 16.5 / 256) <= 1.5


def test_central_fraction_crops_before_it_resizes():
    out = Preprocessing(size=224, resize="central_fraction", fraction=0.875)(gradient(400, 800))
    # int(800 * 0.125 / 2) = 50 columns and 25 rows go on either side; 700 columns become 224, of 3.125 each.
    assert abs(int(out[..., 0].min()) - 255 * (50 + 1.06) / 799) <= 1.5
    assert abs(int(out[..., 1].min()) - 255 * (25 + 0.39) / 399) <= 1.5


def test_central_fraction_rounds_the_border_down():
    image = noise(11, 9)  # int(11 * 0.25 / 2) = 1 and int(9 * 0.25 / 2) = 1: 9 x 7 stays
    out = Preprocessing(size=(9, 7), resize="central_fraction", fraction=0.75)(image)
    np.testing.assert_array_equal(out, image[1:-1, 1:-1])


@pytest.mark.parametrize("height, offset", [(4, 0), (5, 0), (6, 1), (7, 2), (8, 2), (9, 2), (11, 4)])
def test_crop_offset_rounds_half_to_even_as_torchvision(height, offset):
    # The short side is the width, 4; a height of h stays h. (h - 4) / 2 = 0.5, 1.5, 2.5, 3.5 rounds to 0, 2, 2, 4.
    image = noise(height, 4)
    out = Preprocessing(size=4, resize="short_side", resize_to=4)(image)
    np.testing.assert_array_equal(out, image[offset : offset + 4])
    turned = Preprocessing(size=4, resize="short_side", resize_to=4)(image.transpose(1, 0, 2))
    np.testing.assert_array_equal(turned, image[offset : offset + 4].transpose(1, 0, 2))


def test_long_side_is_rounded_down_as_torchvision():
    image = Image.fromarray(noise(100, 67))
    out = Preprocessing(size=32, resize="short_side", resize_to=40)(image)
    resized = image.resize((40, int(40 * 100 / 67)), Image.Resampling.BILINEAR)  # 59.7 -> 59
    np.testing.assert_array_equal(out, np.asarray(resized.crop((4, 14, 36, 46))))  # round(13.5) = 14


@pytest.mark.parametrize("name", INTERPOLATIONS)
def test_interpolation(name):
    image = Image.fromarray(noise(50, 50))
    out = Preprocessing(size=32, resize="warp", resize_to=32, interpolation=name)(image)
    np.testing.assert_array_equal(out, np.asarray(image.resize((32, 32), getattr(Image.Resampling, name.upper()))))


def test_rectangles():
    assert Preprocessing(size=(3, 5))(noise(20, 30)).shape == (3, 5, 3)
    assert Preprocessing(size=(3, 5), resize="warp")(noise(20, 30)).shape == (3, 5, 3)
    assert Preprocessing(size=(3, 5), resize="central_fraction")(noise(20, 30)).shape == (3, 5, 3)


def test_a_very_long_picture_does_not_grow_first():
    # Resized as a whole, it would have 256 x 15,360,000 pixels.
    out = Preprocessing(size=224)(np.full((1, 60000, 3), 77, np.uint8))
    assert out.shape == (224, 224, 3) and (out == 77).all()
    strip = noise(40, 40 * 70)
    long = Preprocessing(size=32, resize_to=36)(strip).astype(int)  # through the box of the resize
    whole = Image.fromarray(strip).resize((36 * 70, 36), Image.Resampling.BILINEAR).crop((1244, 2, 1276, 34))
    assert np.abs(long - np.asarray(whole)).max() <= 2  # PIL keeps a box in single precision


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from(RESIZES),
    st.sampled_from(list(INTERPOLATIONS)),
    st.one_of(st.integers(1, 40), st.tuples(st.integers(1, 40), st.integers(1, 40))),
)
def test_every_size_of_photo(height, width, resize, interpolation, size):
    preprocessing = Preprocessing(size=size, resize=resize, interpolation=interpolation)
    out = preprocessing(np.full((height, width, 3), (10, 20, 30), np.uint8))
    assert out.shape == (*preprocessing.height_width, 3) and out.dtype == np.uint8
    assert (out == (10, 20, 30)).all()


# The settings


def test_defaults():
    assert Preprocessing() == Preprocessing(224, "short_side", 256, 0.875, "bilinear")
    assert Preprocessing(size=32).resize_to == 37  # round(32 * 256 / 224)
    assert Preprocessing(size=(224, 320)).resize_to == 366
    assert Preprocessing(size=(64, 64)) == Preprocessing(size=64) == Preprocessing(size=[64, 64])
    assert hash(Preprocessing()) == hash(Preprocessing(resize_to=256))


@given(
    st.one_of(st.integers(1, 300), st.tuples(st.integers(1, 300), st.integers(1, 300))),
    st.sampled_from(RESIZES),
    st.one_of(st.none(), st.integers(300, 400)),
    st.floats(0.01, 1),
    st.sampled_from(list(INTERPOLATIONS)),
)
def test_round_trip_through_json(size, resize, resize_to, fraction, interpolation):
    first = Preprocessing(size, resize, resize_to, fraction, interpolation)
    assert Preprocessing.from_dict(json.loads(json.dumps(first.to_dict()))) == first


def test_dictionary():
    data = {"size": 224, "resize": "warp", "resize_to": 256, "interpolation": "bilinear"}
    assert Preprocessing.from_dict(data).to_dict() == data
    assert Preprocessing.from_dict({}) == Preprocessing()
    slim = {"size": 224, "resize": "central_fraction", "fraction": 0.875, "interpolation": "bilinear"}
    assert Preprocessing.from_dict(slim).to_dict() == slim


@pytest.mark.parametrize(
    "data, message",
    [
        ({"crop": 224}, "size, resize, resize_to, fraction, interpolation; Received: crop"),
        ({"mean": [0, 0, 0], 3: 4}, "Received: 3, mean"),
        ({"resize": "long_side"}, "short_side, warp, central_fraction; Received: resize='long_side'"),
        ({"interpolation": "cubic"}, "nearest, bilinear, bicubic, lanczos, box"),
        ({"interpolation": ["box"]}, "Received: interpolation"),
        ({"size": 0}, "positive int"),
        ({"size": 224.5}, "positive int"),
        ({"size": True}, "positive int"),
        ({"size": [224, 224, 3]}, "positive int"),
        ({"size": "224"}, "positive int"),
        ({"size": 224, "resize_to": 200}, "at least the size, 224; Received: resize_to=200"),
        ({"resize_to": "256"}, "resize_to='256'"),
        ({"resize": "central_fraction", "fraction": 0}, r"\(0, 1\]"),
        ({"resize": "central_fraction", "fraction": 1.1}, r"\(0, 1\]"),
        ({"resize": "central_fraction", "fraction": "0.5"}, r"\(0, 1\]"),
        ([224], "expected a dictionary"),
        (None, "expected a dictionary"),
    ],
)
def test_bad_settings(data, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing.from_dict(data)


def test_for_size():
    assert Preprocessing().for_size(448, 448) == Preprocessing(448, resize_to=512)
    assert Preprocessing(resize="central_fraction").for_size(10, 20).size == (10, 20)
    assert Preprocessing(32, resize_to=32).for_size(64, 48) == Preprocessing((64, 48), resize_to=64)


# Batches


def model(input_shape, preprocessing=None, pixels=True):
    """A model of one layer, which carries a preprocessing or does not."""
    inputs = keras.Input(input_shape[1:])
    layer = Pixels(spec={"preprocessing": preprocessing} if preprocessing else None, name="pixels")
    return keras.Model(inputs, (layer if pixels else keras.layers.Identity(name="conv1"))(inputs))


def test_one_photo_or_many(tmp_path):
    image = Image.fromarray(noise(40, 50))
    image.save(tmp_path / "a.png")
    settings_ = Preprocessing(size=32)
    expected = settings_(image).astype(np.float32)[None]
    forms = [image, np.asarray(image), tmp_path / "a.png", str(tmp_path / "a.png"), saved(image, "PNG")]
    for form in forms:
        out = preprocess_input(form, settings_)
        assert out.dtype == np.float32
        np.testing.assert_array_equal(out, expected)
    forms[-1].seek(0)
    np.testing.assert_array_equal(preprocess_input(forms, settings_), np.repeat(expected, 5, 0))
    np.testing.assert_array_equal(preprocess_input(pathlib.Path(tmp_path).glob("*.png"), settings_), expected)
    assert preprocess_input([], settings_).shape == (0, 32, 32, 3)


def test_a_batch_of_arrays_is_resized_one_by_one():
    batch = noise(40, 50 * 3).reshape(3, 40, 50, 3)
    out = preprocess_input(batch, Preprocessing(size=32))
    assert out.shape == (3, 32, 32, 3)
    np.testing.assert_array_equal(out[1], Preprocessing(size=32)(batch[1]))
    assert preprocess_input(batch[..., :1], {"size": 16}).shape == (3, 16, 16, 3)


def test_an_array_of_the_right_size_is_a_copy():
    for batch in (
        noise(32, 64).reshape(2, 32, 32, 3),
        np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3)).astype("float32"),
    ):
        out = preprocess_input(batch, Preprocessing(size=32))
        assert out.dtype == np.float32 and not np.shares_memory(out, batch)
        np.testing.assert_array_equal(out, batch)
    with pytest.raises(ValueError, match=r"0\.\.255"):
        preprocess_input(batch / 127.5 - 1, Preprocessing(size=32))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("side", [32, 50])
def test_the_argument_is_not_changed(dtype, side):
    batch = noise(side, 2 * side).reshape(2, side, side, 3).astype(dtype)
    batch.flags.writeable = False
    images = [Image.fromarray(image.astype("uint8")).convert("RGBA") for image in batch]
    before = batch.copy(), [image.tobytes() for image in images]
    preprocess_input(batch, Preprocessing(size=32))[...] = 0
    preprocess_input(images, Preprocessing(size=32))[...] = 0
    np.testing.assert_array_equal(batch, before[0])
    assert [image.tobytes() for image in images] == before[1] and images[0].mode == "RGBA"


def test_opening_gives_a_new_image():
    for mode in ("RGB", "L", "RGBA"):
        image = Image.new(mode, (2, 2))
        open_image(image).paste((9, 9, 9), (0, 0, 2, 2))
        assert not any(image.tobytes())
    array = np.zeros((2, 2, 3), np.uint8)
    opened = open_image(array)
    array[...] = 9
    assert not any(opened.tobytes())


def test_the_model_says_how():
    photo = Image.fromarray(noise(60, 90))
    warp = {"size": 32, "resize": "warp", "resize_to": 40, "interpolation": "bicubic"}
    trained = model((None, 32, 32, 3), warp)
    np.testing.assert_array_equal(preprocess_input(photo, model=trained)[0], Preprocessing.from_dict(warp)(photo))
    assert warp == {"size": 32, "resize": "warp", "resize_to": 40, "interpolation": "bicubic"}
    # An explicit setting wins, and a model at another input size gets the same share of the photo.
    assert preprocess_input(photo, {"size": 8}, trained).shape == (1, 8, 8, 3)
    larger = preprocess_input(photo, model=model((None, 64, 48, 3), warp))[0]
    np.testing.assert_array_equal(larger, Preprocessing((64, 48), "warp", 80, interpolation="bicubic")(photo))
    assert preprocess_input(photo, model=model((None, None, None, 3), warp)).shape == (1, 32, 32, 3)


def test_a_model_that_does_not_say():
    photo = Image.fromarray(noise(60, 90))
    for plain in (model((None, 48, 48, 3)), model((None, 48, 48, 3), pixels=False), model((None, 3, 48, 48))):
        np.testing.assert_array_equal(preprocess_input(photo, model=plain)[0], Preprocessing(48)(photo))
    assert preprocess_input(photo, model=model((None, None, None, 3))).shape == (1, 224, 224, 3)
    assert preprocess_input(photo).shape == (1, 224, 224, 3)


def test_bad_arguments():
    photo = Image.new("RGB", (4, 4))
    for bad in ("channels_last", 224):
        with pytest.raises(ValueError, match="expected a Preprocessing"):
            preprocess_input(photo, bad)
    for bad in (3, None, np.zeros((1, 2, 4, 4, 3), np.uint8), [[1, 2]], np.float32(3)):
        with pytest.raises(ValueError, match="Received"):
            preprocess_input(bad)
