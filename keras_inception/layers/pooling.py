"""Caffe's pooling, which rounds the output size up, in terms of Keras' pooling, which rounds it down."""

import keras
import numpy as np
from keras import ops

from keras_inception.layers.data_format import spatial_shape


def ceil_max_pooling(x, *, name):
    """Max pooling 3x3/2 without padding, the output size rounded up: Caffe's default, and PyTorch's `ceil_mode=True`.

    Expects activations after a ReLU: where the size is unknown, the map is padded with zeros, which are then as good
    as minus infinity.

    Args:
        x: a symbolic tensor of rank 4.
        name: the pooling layer's name.

    Returns:
        A symbolic tensor; n rows become `ceil((n - 3) / 2) + 1`, which is n // 2 for every n from 3 up.
    """
    sizes = spatial_shape(x)
    if all(n is not None and n % 2 == 0 for n in sizes):
        return keras.layers.MaxPooling2D(3, 2, padding="same", name=name)(x)  # pads one row and column, at the end
    if not all(n is not None and n % 2 == 1 for n in sizes):
        # An even n needs the extra row, an odd one does not notice it.
        x = keras.layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(x)
    return keras.layers.MaxPooling2D(3, 2, padding="valid", name=name)(x)


@keras.saving.register_keras_serializable(package="keras_inception")
class CeilAveragePooling2D(keras.layers.Layer):
    """Average pooling as in Caffe: the output size rounded up, a window cut by the border divided by what is left.

    A map smaller than the window is pooled whole. On 14 x 14 with a 5 x 5 window and stride 3, the auxiliary heads'
    case at the paper's input size, no window is cut and this is ordinary pooling.

    Args:
        pool_size: rows and columns of the window.
        strides: rows and columns between windows.
        data_format: `"channels_last"` or `"channels_first"`; None for the one of the Keras configuration.

    Call arguments:
        inputs: a tensor of rank 4 whose height and width are known.

    Returns:
        A tensor with `ceil((n - pool_size) / strides) + 1` rows for n.

    Raises:
        ValueError: height or width is unknown.
    """

    def __init__(self, pool_size=5, strides=3, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = pool_size
        self.strides = strides
        self.data_format = keras.config.image_data_format() if data_format is None else data_format

    def _count(self, n: int) -> int:
        """How many windows there are along an axis of n."""
        if n is None:
            raise ValueError("expected a known height and width; Received: None")
        return max(0, -(-(n - self.pool_size) // self.strides)) + 1

    def _padding(self, n: int) -> int:
        """What the last window lacks."""
        return max(0, (self._count(n) - 1) * self.strides + self.pool_size - n)

    def _sizes(self, shape):
        return shape[1:3] if self.data_format == "channels_last" else shape[2:4]

    def _correction(self, n: int, axis: int) -> np.ndarray:
        """The factor of each window along an axis, where the padding's zeros were counted as pixels; of rank 4."""
        starts = np.arange(self._count(n)) * self.strides
        inside = np.minimum(starts + self.pool_size, n) - starts
        return np.expand_dims(self.pool_size / inside, [a for a in range(4) if a != axis])

    def call(self, inputs):
        sizes = self._sizes(inputs.shape)
        first = 1 if self.data_format == "channels_last" else 2
        pads = [self._padding(n) for n in sizes]
        x = inputs
        if any(pads):
            widths = [(0, 0)] * 4
            widths[first : first + 2] = [(0, pad) for pad in pads]
            x = ops.pad(x, widths)
        x = ops.average_pool(x, self.pool_size, self.strides, padding="valid", data_format=self.data_format)
        for axis, (n, pad) in enumerate(zip(sizes, pads, strict=True), first):
            if pad:
                x = x * ops.convert_to_tensor(self._correction(n, axis).astype("float32"), dtype=x.dtype)
        return x

    def compute_output_shape(self, input_shape):
        rows, columns = (self._count(n) for n in self._sizes(input_shape))
        if self.data_format == "channels_last":
            return (input_shape[0], rows, columns, input_shape[3])
        return (input_shape[0], input_shape[1], rows, columns)

    def get_config(self):
        config = {"pool_size": self.pool_size, "strides": self.strides, "data_format": self.data_format}
        return {**super().get_config(), **config}
