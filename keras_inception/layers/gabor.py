"""Series of fixed Gabor filters (Serre et al. 2007), which the paper names as where its filters of several sizes come
from: the first layer of their model of the visual cortex, S1.
"""

import functools
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_inception.layers.precision import at_least_float32


class GaborScale(NamedTuple):
    """A row of Serre et al.'s table: rows and columns of the filter, and the Gabor's width and wavelength in pixels."""

    size: int
    sigma: float
    wavelength: float


# As published: two scales make a band.
SERRE_SCALES = (
    GaborScale(7, 2.8, 3.5),
    GaborScale(9, 3.6, 4.6),
    GaborScale(11, 4.5, 5.6),
    GaborScale(13, 5.4, 6.8),
    GaborScale(15, 6.3, 7.9),
    GaborScale(17, 7.3, 9.1),
    GaborScale(19, 8.2, 10.3),
    GaborScale(21, 9.2, 11.5),
    GaborScale(23, 10.2, 12.7),
    GaborScale(25, 11.3, 14.1),
    GaborScale(27, 12.3, 15.4),
    GaborScale(29, 13.4, 16.8),
    GaborScale(31, 14.6, 18.2),
    GaborScale(33, 15.8, 19.7),
    GaborScale(35, 17.0, 21.2),
    GaborScale(37, 18.2, 22.8),
)
ORIENTATIONS = (0, 45, 90, 135)  # degrees
MAX_ORIENTATIONS = 180
ASPECT = 0.3
_BY_SIZE = {scale.size: scale for scale in SERRE_SCALES}
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def field(size: int) -> np.ndarray:
    """The receptive field: True inside the circle of diameter `size`, (size, size)."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.hypot(x, y) <= size / 2


def gabor_filter(size: int, sigma: float, wavelength: float, orientation: float, aspect: float = ASPECT) -> np.ndarray:
    """One filter: a cosine under a Gaussian, of zero mean and unit norm, and zero outside its circle.

    `exp(-(u^2 + aspect^2 v^2) / (2 sigma^2)) cos(2 pi u / wavelength)`, where u runs across the stripes and v along
    them. The mean is taken out within the circle, so that all three hold.

    Args:
        size: rows and columns, odd.
        sigma: width of the Gaussian, in pixels.
        wavelength: from stripe to stripe, in pixels.
        orientation: of the direction across the stripes, in degrees from the x axis towards the y axis, which points
            down: 0 has vertical stripes, 90 horizontal ones.
        aspect: how much shorter the Gaussian is across than along, gamma.

    Returns:
        float64 (size, size).

    Raises:
        ValueError: the size is not odd and positive, or the filter would be constant.
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f"expected an odd size, so that the filter has a middle; Received: size={size}")
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    angle = np.deg2rad(orientation)
    across, along = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    values = np.exp(-(across**2 + (aspect * along) ** 2) / (2 * sigma**2)) * np.cos(2 * np.pi * across / wavelength)
    inside = field(size)
    values = np.where(inside, values - values[inside].mean(), 0)
    norm = np.linalg.norm(values)
    if not norm > 1e-6:
        raise ValueError(f"expected a filter that is not constant; Received: size={size}, wavelength={wavelength}")
    return values / norm


def gabor_bank(sizes=None, orientations=ORIENTATIONS) -> list[np.ndarray]:
    """The filters of several scales of Serre et al.'s table, at several orientations.

    Args:
        sizes: which scales, by the filters' size, 7 to 37; None for all 16.
        orientations: in degrees; see `gabor_filter`.

    Returns:
        For each scale, float64 (size, size, orientations).

    Raises:
        ValueError: a size that is not in the table, one twice, or nothing at all; more than 180 orientations.
    """
    return list(_bank(*_checked(sizes, orientations)))


def _checked(sizes, orientations) -> tuple[tuple, tuple]:
    sizes = tuple(_BY_SIZE) if sizes is None else tuple(sizes)
    if unknown := [size for size in sizes if size not in _BY_SIZE]:
        known = ", ".join(map(str, _BY_SIZE))
        raise ValueError(f"expected sizes of the table, among {known}; Received: {unknown!r:.200}")
    if len(set(sizes)) < len(sizes):
        raise ValueError(f"expected each size once; Received: sizes={sizes!r:.200}")
    if not sizes or not 0 < len(orientations) <= MAX_ORIENTATIONS:
        raise ValueError(
            f"expected a size, and from 1 to {MAX_ORIENTATIONS} orientations; Received: {len(sizes)} sizes, "
            f"{len(orientations)} orientations"
        )
    return sizes, tuple(float(angle) for angle in orientations)


@functools.lru_cache(maxsize=8)  # a stranger's architecture may have thousands of layers, which then share them
def _bank(sizes, orientations) -> tuple[np.ndarray, ...]:
    bank = tuple(np.stack([gabor_filter(*_BY_SIZE[size], angle) for angle in orientations], -1) for size in sizes)
    for filters in bank:
        filters.flags.writeable = False
    return bank


@keras.saving.register_keras_serializable(package="keras_inception")
class GaborFilterBank(keras.layers.Layer):
    """Serre et al.'s S1: fixed Gabor filters of several sizes and orientations at every place.

    A response is `|filter . patch| / ||patch||`, over the filter's circle: 1 where the patch is the filter, whatever
    its contrast; 0 where the patch is black. There is nothing to learn in it.

    Args:
        sizes: which scales, by the filters' size, among 7, 9, ..., 37; None for all 16.
        orientations: in degrees; see `gabor_filter`.
        strides: rows and columns between responses.
        colours: `"grey"`: RGB is made grey first (ITU-R BT.601); `"each"`: every channel has its own responses.
        data_format: `"channels_last"` or `"channels_first"`; None for the one of the Keras configuration.

    Call arguments:
        inputs: (n, height, width, channels), any real dtype.

    Returns:
        (n, ceil(height / strides), ceil(width / strides), sizes x orientations), times the channels with `"each"`; for
        each channel the scales in order, for each scale its orientations.

    Raises:
        ValueError: an argument, or the number of channels, is not as said.
    """

    def __init__(self, sizes=None, orientations=ORIENTATIONS, strides=1, colours="grey", data_format=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        if colours not in ("grey", "each"):
            raise ValueError(f"expected colours to be 'grey' or 'each'; Received: colours={colours!r}")
        if type(strides) is not int or strides < 1:
            raise ValueError(f"expected strides of one positive number; Received: strides={strides!r:.100}")
        if data_format not in (None, "channels_last", "channels_first"):
            raise ValueError(
                f"expected 'channels_last' or 'channels_first'; Received: data_format={data_format!r:.100}"
            )
        self.sizes, self.orientations = _checked(sizes, orientations)
        self.strides, self.colours = strides, colours
        self.data_format = keras.config.image_data_format() if data_format is None else data_format

    @property
    def filters(self) -> int:
        """Responses at a place, of one channel."""
        return len(self.sizes) * len(self.orientations)

    def build(self, input_shape):
        channels = input_shape[-1 if self.data_format == "channels_last" else 1]
        if self.colours == "grey" and channels not in (1, 3):
            raise ValueError(f"expected 1 or 3 channels with colours='grey'; Received: {channels}")
        super().build(input_shape)

    def call(self, inputs):
        # The squares of 1369 pixels do not fit into half precision.
        x = ops.cast(inputs, at_least_float32(self.compute_dtype))
        if self.data_format == "channels_first":
            x = ops.transpose(x, (0, 2, 3, 1))
        if self.colours == "grey" and x.shape[-1] == 3:
            x = ops.sum(x * ops.convert_to_tensor(np.array(_LUMA), dtype=x.dtype), -1, keepdims=True)
        if x.shape[-1] == 1:
            x = self._responses(x)
        else:  # each channel as an image of its own, and back again
            n, height, width, channels = ops.shape(x)
            x = ops.reshape(ops.transpose(x, (0, 3, 1, 2)), (n * channels, height, width, 1))
            x = self._responses(x)
            _, height, width, filters = ops.shape(x)
            x = ops.transpose(ops.reshape(x, (n, channels, height, width, filters)), (0, 2, 3, 1, 4))
            x = ops.reshape(x, (n, height, width, channels * filters))
        if self.data_format == "channels_first":
            x = ops.transpose(x, (0, 3, 1, 2))
        return ops.cast(x, self.compute_dtype)

    def _responses(self, x):
        """(n, rows, columns, filters) of one channel, (n, height, width, 1)."""
        energy, found = ops.square(x), []
        options = {"strides": self.strides, "padding": "same", "data_format": "channels_last"}
        for size, bank in zip(self.sizes, _bank(self.sizes, self.orientations), strict=True):
            kernel = ops.convert_to_tensor(bank[:, :, None], dtype=x.dtype)
            circle = ops.convert_to_tensor(field(size)[:, :, None, None], dtype=x.dtype)
            norm = ops.sqrt(ops.maximum(ops.conv(energy, circle, **options), 0))
            responses = ops.abs(ops.conv(x, kernel, **options))
            found.append(ops.where(norm > 0, responses / ops.where(norm > 0, norm, 1), 0))
        return ops.concatenate(found, axis=-1)

    def compute_output_shape(self, input_shape):
        last = self.data_format == "channels_last"
        channels, *sides = (input_shape[3], *input_shape[1:3]) if last else input_shape[1:]
        rows, columns = (None if n is None else -(-n // self.strides) for n in sides)
        count = self.filters * (channels if self.colours == "each" else 1)
        return (input_shape[0], rows, columns, count) if last else (input_shape[0], count, rows, columns)

    def get_config(self):
        config = {"sizes": self.sizes, "orientations": self.orientations, "strides": self.strides}
        return {**super().get_config(), **config, "colours": self.colours, "data_format": self.data_format}
