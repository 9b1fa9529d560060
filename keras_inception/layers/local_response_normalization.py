"""Local response normalization across channels, as GoogLeNet's stem has it."""

import functools

import keras
import numpy as np
from keras import ops

from keras_inception.layers.precision import at_least_float32

# Channels that are summed together. A convolution over blocks of 16 and their neighbours takes 8 % of the network's
# forward pass on a CPU (`python -m training.benchmark lrn`, training/results/lrn.json). Tried beside it and slower: one
# matrix over all channels, zero but for a band, and TensorFlow's own operation.
_BLOCK = 16
# Of channels that do not come in blocks: their matrix is square.
_MAX_CHANNELS = 1024


@functools.lru_cache(maxsize=8)
def _window_kernel(block: int, radius: int, *, neighbours: bool) -> np.ndarray:
    """The kernel of a convolution over blocks of channels, (1, 3 or 1, block, block): 1 for those within `radius`."""
    offsets = (-1, 0, 1) if neighbours else (0,)
    channels = np.arange(block)
    distances = [np.abs(np.subtract.outer(channels + offset * block, channels)) for offset in offsets]
    return (np.stack(distances)[None] <= radius).astype("float32")


def _power(x, exponent: float):
    """`x ** -exponent` for positive x; square roots, where they suffice, are many times cheaper than a power."""
    if exponent == 0.75:
        return ops.rsqrt(x * ops.sqrt(x))
    if exponent == 0.5:
        return ops.rsqrt(x)
    return ops.power(x, -exponent)


@keras.saving.register_keras_serializable(package="keras_inception")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides every activation by a power of the energy of its neighbouring channels.

    ```
    y[c] = x[c] / (bias + alpha * sum(x[j] ** 2 for j in c - depth_radius ... c + depth_radius)) ** beta
    ```

    This is TensorFlow's convention (`tf.nn.local_response_normalization`). Caffe writes the same layer with
    `local_size = 2 * depth_radius + 1` and an alpha that it divides by `local_size`: use `from_caffe` for numbers that
    come from a prototxt. The defaults are those of `bvlc_googlenet` (local_size 5, alpha 1e-4, beta 0.75, k 1); the
    paper gives none.

    The arithmetic is float32 under every policy of half precision: squares of such activations overflow, and
    TensorFlow's own operation has no bfloat16 kernel.

    Args:
        depth_radius: channels on either side that belong to the window, 0 or more.
        bias: the constant added to the weighted energy, above 0.
        alpha: the weight of the *sum* of squares (Caffe's alpha weighs their mean).
        beta: the exponent.
        data_format: `"channels_last"` or `"channels_first"`; None for the one of the Keras configuration.

    Call arguments:
        inputs: a tensor of rank 4.

    Returns:
        A tensor of the same shape, in the layer's compute dtype.

    Raises:
        ValueError: `depth_radius` is negative, `bias` not positive, or there are thousands of channels, in no multiple
            of 16.

    Reference: figure 3 (the layer's two places); section 3.3 of Krizhevsky et al., 2012 (the formula).
    """

    def __init__(self, depth_radius=2, bias=1.0, alpha=2e-5, beta=0.75, data_format=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        if depth_radius < 0 or int(depth_radius) != depth_radius:
            raise ValueError(
                f"expected depth_radius to be an integer of 0 or more; Received: depth_radius={depth_radius}"
            )
        if bias <= 0:
            raise ValueError(f"expected bias to be above 0, or the result could be infinite; Received: bias={bias}")
        self.depth_radius = int(depth_radius)
        self.bias = float(bias)
        self.alpha = float(alpha)
        self.beta = float(beta)
        self.data_format = keras.config.image_data_format() if data_format is None else data_format

    @classmethod
    def from_caffe(cls, local_size=5, alpha=1e-4, beta=0.75, k=1.0, **kwargs):
        """The layer for the numbers of a Caffe prototxt (`norm_region: ACROSS_CHANNELS`)."""
        if local_size % 2 == 0:
            raise ValueError(f"expected local_size to be odd, as in Caffe; Received: local_size={local_size}")
        return cls(depth_radius=local_size // 2, bias=k, alpha=alpha / local_size, beta=beta, **kwargs)

    def build(self, input_shape):
        channels = input_shape[-1 if self.data_format == "channels_last" else 1]
        if channels is None:
            raise ValueError(f"expected a known number of channels; Received: input_shape={input_shape}")
        fits = channels > _BLOCK and channels % _BLOCK == 0 and self.depth_radius <= _BLOCK
        blocked = fits and self.data_format == "channels_last"
        if not blocked and channels > _MAX_CHANNELS:
            raise ValueError(
                f"expected at most {_MAX_CHANNELS} channels, or a multiple of {_BLOCK} in channels_last; Received: "
                f"input_shape={input_shape}"
            )
        self._block = _BLOCK if blocked else channels
        super().build(input_shape)

    def _energy(self, x):
        """The weighted sum of squares over each channel's window."""
        blocked = self._block != x.shape[-1 if self.data_format == "channels_last" else 1]
        window = self.alpha * _window_kernel(self._block, self.depth_radius, neighbours=blocked)
        squares, window = ops.square(x), ops.convert_to_tensor(window, dtype=x.dtype)
        if not blocked:
            return ops.conv(squares, window, padding="valid", data_format=self.data_format)
        # A row of channels is a row of blocks: seen so, at no cost, each block needs itself and its two neighbours.
        height, width, channels = x.shape[1:]
        positions = height * width if height and width else 1
        blocks = ops.reshape(squares, (-1, positions, channels // self._block, self._block))
        return ops.reshape(ops.conv(blocks, window, padding="same", data_format="channels_last"), ops.shape(x))

    def call(self, inputs):
        x = ops.cast(inputs, at_least_float32(self.compute_dtype))
        return ops.cast(x * _power(self._energy(x) + self.bias, self.beta), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "depth_radius": self.depth_radius,
            "bias": self.bias,
            "alpha": self.alpha,
            "beta": self.beta,
            "data_format": self.data_format,
        }
