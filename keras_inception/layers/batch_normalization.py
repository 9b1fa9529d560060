"""Batch normalization by the one operation that TensorFlow has for it."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_inception")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras' batch normalization, computed by TensorFlow's fused operation where that is possible.

    Keras composes it of many operations, each of which reads and writes the whole map, in float32 even where the map
    is bfloat16. TensorFlow's `FusedBatchNormV3` is a single one, which sums in float32 as well, and can be merged with
    the ReLU behind it. It is taken on the TensorFlow backend, for maps of rank 4 with the channels last and 32 or 16
    bits, without a mask and without `synchronized`; in all other cases everything is Keras'.
    `python -m training.benchmark batch_norm` measures both.

    Arguments, weights and results are those of `keras.layers.BatchNormalization`: the moving variance takes the batch's
    variance over n, not the one over n - 1 that the operation gives.
    """

    def call(self, inputs, training=None, mask=None):
        if mask is not None or not self._can_be_fused(inputs):
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        scale = self.gamma.value if self.scale else ops.ones(channels, "float32")
        offset = self.beta.value if self.center else ops.zeros(channels, "float32")
        if not (training and self.trainable):
            mean, variance = self.moving_mean.value, self.moving_variance.value
            return _fused(inputs, scale, offset, mean, variance, self.epsilon, training=False)[0]
        outputs, mean, variance = _fused(inputs, scale, offset, (), (), self.epsilon, training=True)
        count = ops.cast(ops.size(inputs) // channels, "float32")
        variance = variance * (count - 1) / count
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return outputs

    def _can_be_fused(self, inputs) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and keras.backend.standardize_dtype(inputs.dtype) in ("float32", "bfloat16", "float16")
            and self.compute_dtype == keras.backend.standardize_dtype(inputs.dtype)
            and self.moving_mean.dtype == "float32"
            and not (self.synchronized or self.renorm)
        )


def _fused(inputs, scale, offset, mean, variance, epsilon: float, *, training: bool):
    """The normalized map, and mean and variance of the batch."""
    import tensorflow as tf

    return tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=scale,
        offset=offset,
        mean=tf.convert_to_tensor(mean, "float32"),
        variance=tf.convert_to_tensor(variance, "float32"),
        epsilon=epsilon,
        is_training=training,
    )[:3]
