"""What every network begins and ends with: the input and its pixel layer, and the activation of a classifier."""

import dataclasses

import keras

from keras_inception.layers.data_format import channel_axis, spatial_shape
from keras_inception.layers.pixels import Pixels
from keras_inception.layers.precision import at_least_float32
from keras_inception.models.spec import NetworkSpec


def check_options(spec: NetworkSpec, *, include_top, input_shape, pooling) -> None:
    """Raises ValueError for what is wrong whatever the weights are, so that nothing is downloaded before it is said."""
    if pooling not in (None, "avg", "max"):
        raise ValueError(f"expected pooling to be None, 'avg' or 'max'; Received: pooling={pooling!r}")
    if spec.aux_heads and not include_top:
        raise ValueError(
            "expected aux_heads=False with include_top=False: heads are classifiers; Received: aux_heads=True"
        )
    if input_shape is not None:
        if not isinstance(input_shape, (tuple, list)) or len(input_shape) != 3:
            raise ValueError(f"expected input_shape to be three numbers, without the batch; Received: {input_shape}")
        _check_size(tuple(input_shape), spec)


def _check_size(shape: tuple, spec: NetworkSpec) -> None:
    channels_last = channel_axis() == -1
    sizes, channels = (shape[:2], shape[2]) if channels_last else (shape[1:], shape[0])
    if any(n is not None and n < spec.min_size for n in sizes):
        raise ValueError(f"expected height and width of {spec.min_size} or more; Received: input_shape={shape}")
    if spec.aux_heads and None in sizes:
        raise ValueError(
            "expected a known height and width with aux_heads=True, for the heads' linear layers depend on them; "
            f"Received: input_shape={shape}"
        )
    if channels is None:
        raise ValueError(f"expected a known number of channels; Received: input_shape={shape}")


def open_input(spec: NetworkSpec, input_tensor, input_shape, include_preprocessing):
    """The input tensor, the one given or a new one of the given or the default shape, and the pixel layer upon it.

    Returns:
        The input, what the pixel layer makes of it, and the spec at the size of this input.

    Raises:
        ValueError: the tensor or the shape is not what it should be.
    """
    pixels = _input(spec, input_tensor, input_shape)
    _check_size(pixels.shape[1:], spec)
    if None not in spatial_shape(pixels):
        height, width = spatial_shape(pixels)
        spec = dataclasses.replace(spec, input_size=height if height == width else (height, width))
    return pixels, _pixel_layer(spec, pixels.shape[channel_axis()], include_preprocessing)(pixels), spec


def _input(spec: NetworkSpec, input_tensor, input_shape):
    if input_tensor is not None:
        if not keras.backend.is_keras_tensor(input_tensor) or len(input_tensor.shape) != 4:
            raise ValueError(
                f"expected input_tensor to be the output of keras.Input or of a layer; Received: {type(input_tensor)}"
            )
        if input_shape is not None and tuple(input_shape) != tuple(input_tensor.shape[1:]):
            own = tuple(input_tensor.shape[1:])
            raise ValueError(f"expected input_shape to be that of input_tensor, {own}; Received: {input_shape}")
        return input_tensor
    if input_shape is None:
        channels = len(spec.channels)
        input_shape = (*spec.height_width, channels) if channel_axis() == -1 else (channels, *spec.height_width)
    return keras.Input(tuple(input_shape), name="pixels_input")


def _pixel_layer(spec: NetworkSpec, channels: int, include_preprocessing: bool):
    if not include_preprocessing:
        return Pixels(spec=spec.to_dict(), name="pixels")
    # Another number of channels cannot have been trained with these means: their average is the best that is known.
    same = channels == len(spec.channels)
    mean = spec.mean if same else [sum(spec.mean) / len(spec.mean)] * channels
    scale = spec.scale if same else [sum(spec.scale) / len(spec.scale)] * channels
    return Pixels(mean, scale, spec=spec.to_dict(), name="pixels")


def classifier_activation_layer(x, activation, name):
    """The activation of a classifier as a layer of its own, in float32 under mixed precision."""
    return keras.layers.Activation(activation or "linear", dtype=at_least_float32(x.dtype), name=name)(x)


def model_inputs(pixels, input_tensor):
    """The inputs of the model: of a given tensor, those that it was made from."""
    return pixels if input_tensor is None else keras.utils.get_source_inputs(input_tensor)
