"""How a photo becomes the input of a model: opened in any of its forms, resized, cropped; stored with the weights.

Pixels stay what they are, RGB in 0..255. Mean and scale are no part of this: they live in a model's first layer.
"""

import dataclasses
import operator
import os

import numpy as np
from PIL import Image, ImageOps

RESIZES = ("short_side", "warp", "central_fraction")
INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}
# The size before the crop, relative to the crop: the 256 of 224 that the field has used since AlexNet.
RATIO = 256 / 224

# What counts as a photo in a folder.
IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .gif .bmp .tif .tiff .avif .jp2 .ppm .pgm .pbm .pnm".split()
)


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """A resize and a central crop, as published with a set of weights.

    The resize decides the accuracy that one measures, so it belongs to the weights, not to the user:

    * `"short_side"`: the short side becomes `resize_to`, the aspect ratio stays (torchvision, and most training today);
    * `"warp"`: both sides become `resize_to`, the aspect ratio is lost (Caffe's ImageNet, so BVLC GoogLeNet);
    * `"central_fraction"`: the central `fraction` of both sides is cut out and warped to `size` (TF-slim).

    After the first two, the central `size` is cut out. Shrinking is antialiased, as everywhere in PIL.

    Args:
        size: height and width of the result, one int or a pair `(h, w)`.
        resize: one of `"short_side"`, `"warp"`, `"central_fraction"`.
        resize_to: side in pixels before the crop, at least `size`. `None`: `size` times 256/224.
            Not used by `"central_fraction"`.
        fraction: in (0, 1]; used by `"central_fraction"` alone.
        interpolation: one of `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos"`, `"box"`.

    Raises:
        ValueError: a value is not one of the above.
    """

    size: int | tuple[int, int] = 224
    resize: str = "short_side"
    resize_to: int | None = None
    fraction: float = 0.875
    interpolation: str = "bilinear"

    def __post_init__(self):
        for name, valid in (("resize", RESIZES), ("interpolation", tuple(INTERPOLATIONS))):
            if getattr(self, name) not in valid:
                raise ValueError(
                    f"expected {name} to be one of {', '.join(valid)}; Received: {name}={getattr(self, name)!r}"
                )
        height, width = self._checked_size()
        # One form for each meaning, so that equal settings compare equal and survive JSON.
        self._set("size", height if height == width else (height, width))
        if self.resize == "central_fraction":
            if not _is_number(self.fraction) or not 0 < self.fraction <= 1:
                raise ValueError(f"expected fraction in (0, 1]; Received: fraction={self.fraction!r}")
            self._set("fraction", float(self.fraction))
            self._set("resize_to", None)
            return
        self._set("fraction", type(self).fraction)
        largest = max(height, width)
        resize_to = round(largest * RATIO) if self.resize_to is None else _positive_int(self.resize_to)
        if resize_to is None or resize_to < largest:
            raise ValueError(
                f"expected resize_to of at least the size, {largest}; Received: resize_to={self.resize_to!r}"
            )
        self._set("resize_to", resize_to)

    def _set(self, name, value):
        object.__setattr__(self, name, value)

    def _checked_size(self):
        pair = self.size if isinstance(self.size, (tuple, list)) else (self.size, self.size)
        sides = tuple(_positive_int(side) for side in pair)
        if len(sides) != 2 or None in sides:
            raise ValueError(
                f"expected size to be a positive int or a pair (height, width) of them; Received: size={self.size!r}"
            )
        return sides

    @property
    def height_width(self) -> tuple[int, int]:
        """The size of the result as a pair."""
        return self.size if isinstance(self.size, tuple) else (self.size, self.size)

    @classmethod
    def from_dict(cls, data: dict) -> "Preprocessing":
        """Reads the form that `to_dict` writes; what is left out has its default.

        Raises:
            ValueError: not a dictionary, or an unknown key or value.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(data, dict):
            raise ValueError(
                f"expected a dictionary with keys from {', '.join(names)}; Received: preprocessing={data!r}"
            )
        unknown = [str(key) for key in data if key not in names]
        if unknown:
            raise ValueError(f"expected keys from {', '.join(names)}; Received: {', '.join(sorted(unknown))}")
        return cls(**data)

    def to_dict(self) -> dict:
        """Plain JSON data, with the keys that matter to this kind of resize."""
        size = list(self.size) if isinstance(self.size, tuple) else self.size
        how = {"fraction": self.fraction} if self.resize == "central_fraction" else {"resize_to": self.resize_to}
        return {"size": size, "resize": self.resize, **how, "interpolation": self.interpolation}

    def for_size(self, height: int, width: int) -> "Preprocessing":
        """The same treatment for another input size: the crop keeps its share of the resized photo."""
        if self.resize == "central_fraction":
            return dataclasses.replace(self, size=(height, width))
        scale = max(height, width) / max(self.height_width)
        return dataclasses.replace(self, size=(height, width), resize_to=round(self.resize_to * scale))

    def __call__(self, image) -> np.ndarray:
        """Resizes and crops one photo.

        Args:
            image: whatever `open_image` takes.

        Returns:
            uint8 array (h, w, 3), RGB.
        """
        image = open_image(image)
        height, width = self.height_width
        resample = INTERPOLATIONS[self.interpolation]
        if self.resize == "central_fraction":
            return np.array(_central_fraction(image, self.fraction).resize((width, height), resample))
        if self.resize == "warp":
            new_width = new_height = self.resize_to
        else:
            new_width, new_height = _scaled(image.size, self.resize_to)
        left, top = _offset(new_width, width), _offset(new_height, height)
        if max(new_width, new_height) > 64 * self.resize_to:
            # A picture this long would grow to gigabytes before the crop throws nearly all of it away.
            x, y = image.width / new_width, image.height / new_height
            box = (left * x, top * y, (left + width) * x, (top + height) * y)
            return np.array(image.resize((width, height), resample, box=box))
        return np.array(image.resize((new_width, new_height), resample).crop((left, top, left + width, top + height)))


def preprocess_input(images, preprocessing=None, model=None) -> np.ndarray:
    """Makes the input batch of a model from photos in any form: resizes and crops, no more, and leaves the photos be.

    An array that has the right size already is taken as prepared: its values pass as they are. Files and PIL images
    always go through the published resize and crop.

    Args:
        images: one photo or an iterable of photos, each a path, an open file, a PIL image or an array (see
            `open_image`); or one array (n, h, w, c).
        preprocessing: a `Preprocessing`, or its dictionary. `None`: the model's.
        model: a model of this library; what it was trained with is used, at its input size. `None`: short side 256,
            crop 224.

    Returns:
        float32 array (n, h, w, 3), RGB in 0..255.

    Raises:
        ValueError: a photo cannot be read, or an argument is not one of the above.
        OSError: a file cannot be opened.
    """
    preprocessing = find_preprocessing(preprocessing, model)
    height, width = preprocessing.height_width
    images = _as_list(images)
    batch = np.empty((len(images), height, width, 3), np.float32)
    for out, image in zip(batch, images, strict=True):
        if _is_array(image) and np.shape(image) == out.shape:
            out[...] = _checked_array(image)
        else:
            out[...] = preprocessing(image)
    return batch


def open_image(image) -> Image.Image:
    """Opens a photo in any of its forms as 8-bit RGB, upright.

    EXIF orientation is applied, transparency is composited on white, CMYK and palettes are converted, 16-bit grayscale
    is scaled (65535 becomes 255). Of an animation, a file gives the first frame. Colour profiles are not applied.

    Args:
        image: a path, an open binary file, a PIL image, or an array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4) with
            values in 0..255 of any integer or floating type. Values in 0..1 are not guessed at: they are a black photo.

    Returns:
        A new PIL image of mode RGB.

    Raises:
        ValueError: not a readable image (the message names the file), or values out of range.
        OSError: the file cannot be opened.
    """
    if isinstance(image, (str, os.PathLike)):
        with open(image, "rb") as file:
            return _decode(file, os.fspath(image))
    if isinstance(image, Image.Image):
        return _decode(image, getattr(image, "filename", "") or f"a PIL image of mode {image.mode}")
    if hasattr(image, "read"):
        return _decode(image, str(getattr(image, "name", "") or "an open file"))
    if _is_array(image):
        return _from_array(_checked_array(image))
    raise ValueError(
        f"expected a path, an open file, a PIL image or an array; Received: image of {type(image).__name__}"
    )


def _decode(source, name: str) -> Image.Image:
    try:
        image = source if isinstance(source, Image.Image) else Image.open(source)
        return _to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:
        # PIL's decoders meet damage with nearly any class: OSError, SyntaxError, IndexError, DecompressionBombError.
        reason = str(error).strip().splitlines()
        what = type(error).__name__ if not reason or isinstance(error, Image.UnidentifiedImageError) else reason[0]
        raise ValueError(f"expected a readable image; Received: {name} ({what})") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):
        # PIL's own conversion clips at 255, which turns a 16-bit scan white.
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"expected integer pixels in 0..65535, not {values.min()}..{values.max()}")
        return Image.fromarray(np.round(values / 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        return _from_array(_checked_array(np.asarray(image)))
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _checked_array(image) -> np.ndarray:
    array = np.asarray(image)
    if array.ndim not in (2, 3) or 0 in array.shape or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ValueError(
            f"expected an image array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4); Received: shape={array.shape}"
        )
    if array.dtype == np.uint8:
        return array
    try:
        array = array.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"expected an array of numbers in 0..255; Received: dtype={array.dtype}") from error
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 255):  # written so that NaN fails too
        raise ValueError(
            f"expected pixels in 0..255, neither normalized nor 16-bit; Received: values in {low:g}..{high:g}"
        )
    return array


def _from_array(array: np.ndarray) -> Image.Image:
    if array.dtype != np.uint8:
        array = np.round(array).astype(np.uint8)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return _to_rgb(Image.fromarray(np.ascontiguousarray(array)))


def find_preprocessing(preprocessing=None, model=None) -> Preprocessing:
    """What `preprocess_input` does: what it is told, or else what the model was trained with, at its input size.

    Args:
        preprocessing, model: as for `preprocess_input`.

    Raises:
        ValueError: `preprocessing` is no `Preprocessing`, nor its dictionary.
    """
    if isinstance(preprocessing, dict):
        return Preprocessing.from_dict(preprocessing)
    if isinstance(preprocessing, Preprocessing):
        return preprocessing
    if preprocessing is not None:
        raise ValueError(f"expected a Preprocessing or its dictionary; Received: preprocessing={preprocessing!r}")
    if model is None:
        return Preprocessing()
    stored = _stored(model)
    shape = model.input_shape
    height, width = shape[1:3] if shape[-1] in (1, 3, None) else shape[2:4]
    if not stored:
        return Preprocessing(size=(height or 224, width or 224))
    preprocessing = stored if isinstance(stored, Preprocessing) else Preprocessing.from_dict(dict(stored))
    wanted = (height or preprocessing.height_width[0], width or preprocessing.height_width[1])
    return preprocessing if wanted == preprocessing.height_width else preprocessing.for_size(*wanted)


def _stored(model):
    """The preprocessing in the spec that a model carries in its layer `pixels`: this module imports no layers."""
    for layer in getattr(model, "layers", ()):
        spec = getattr(layer, "spec", None) if layer.name == "pixels" else None
        found = spec.get("preprocessing") if spec else _stored(layer)
        if found:
            return found
    return None


def _as_list(images) -> list:
    if isinstance(images, (str, os.PathLike, Image.Image)) or hasattr(images, "read"):
        return [images]
    if _is_array(images):
        array = np.asarray(images)
        return list(array) if array.ndim == 4 else [array]
    try:
        return list(images)
    except TypeError as error:
        raise ValueError(f"expected photos or an array of them; Received: images of {type(images).__name__}") from error


def _scaled(size, short):
    """(width, height) with the short side at `short`; the long side is rounded down, as in torchvision."""
    width, height = size
    if width <= height:
        return short, int(short * height / width)
    return int(short * width / height), short


def _offset(length, crop):
    return int(round((length - crop) / 2))  # round half to even, as torchvision's CenterCrop has it


def _central_fraction(image, fraction):
    """Cuts the border off as `tf.image.central_crop` does: the same whole number of pixels on either side."""
    x, y = (int((side - side * fraction) / 2) for side in image.size)
    return image.crop((x, y, image.width - x, image.height - y))


def _is_array(image) -> bool:
    return hasattr(image, "__array__") and not isinstance(image, Image.Image)


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _positive_int(value):
    """`value` as an int, or None where it is not a positive whole number."""
    try:
        value = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None
    return value if value and value > 0 else None
