"""The first layer of every model: RGB pixels in, the network's own range out. It also carries the model's spec."""

import keras
import numpy as np
from keras import ops

from keras_inception.layers.precision import at_least_float32


@keras.saving.register_keras_serializable(package="keras_inception")
class Pixels(keras.layers.Layer):
    """Computes `(pixels - mean) * scale` in float32, or float64 where the policy is.

    The mean cannot be folded into the first convolution, for zero padding follows it; the channel order can, and is: a
    converted kernel expects RGB, whatever its origin expected.

    The layer's config holds the model's spec, for a plain attribute of a model is lost by saving, by `clone_model` and
    by surgery, and a layer's config is not.

    Args:
        mean: one number per channel, on the scale of the pixels; None passes the input through.
        scale: one number per channel; None for 1.
        spec: plain JSON data that describes the model (see `GoogLeNetSpec`), or None.
        data_format: `"channels_last"` or `"channels_first"`; None for the one of the Keras configuration.

    Call arguments:
        inputs: pixels in 0..255, RGB, any real dtype, rank 4.

    Returns:
        A tensor of the same shape, in the layer's compute dtype.
    """

    def __init__(self, mean=None, scale=None, spec=None, data_format=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.mean = None if mean is None else [float(v) for v in np.ravel(mean)]
        self.scale = None if scale is None else [float(v) for v in np.ravel(scale)]
        self.spec = spec
        self.data_format = keras.config.image_data_format() if data_format is None else data_format

    def build(self, input_shape):
        axis = -1 if self.data_format == "channels_last" else 1
        # Broadcasting would let one channel pass for three, to fail further on with a riddle.
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={axis: input_shape[axis]})
        super().build(input_shape)

    def _per_channel(self, values, dtype):
        shape = (1, 1, 1, -1) if self.data_format == "channels_last" else (1, -1, 1, 1)
        return ops.convert_to_tensor(np.reshape(values, shape), dtype=dtype)

    def call(self, inputs):
        x = ops.cast(inputs, at_least_float32(self.compute_dtype))
        if self.mean is not None:
            x = x - self._per_channel(self.mean, x.dtype)
        if self.scale is not None:
            x = x * self._per_channel(self.scale, x.dtype)
        return ops.cast(x, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = {"mean": self.mean, "scale": self.scale, "spec": self.spec, "data_format": self.data_format}
        return {**super().get_config(), **config}


def find_pixels(model) -> Pixels | None:
    """The pixel layer of a model, or of a model in it."""
    for layer in getattr(model, "layers", ()):
        found = layer if isinstance(layer, Pixels) else find_pixels(layer)
        if found is not None:
            return found
    return None


def takes_pixels(model) -> bool:
    """Whether a model is called on pixels: not where nothing but its pixel layer, which passes them on, sees its input.

    Args:
        model: a model with a pixel layer in it, or in a model in it; augmentation may be in front.
    """
    for layer in model.layers:
        if isinstance(layer, Pixels):
            return layer.mean is not None or layer.scale is not None
        if not isinstance(layer, keras.layers.InputLayer) and not type(layer).__name__.startswith("Random"):
            return takes_pixels(layer) if hasattr(layer, "layers") else True
    return True


def stored_spec(model) -> dict:
    """The spec that a model's pixel layer carries; empty for a model of another kind."""
    pixels = find_pixels(model)
    return {} if pixels is None else pixels.spec or {}
