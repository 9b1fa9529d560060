"""What every layer and every model must pass."""

import keras
import numpy as np


def check_layer(layer, input_shape, output_shape) -> None:
    """Output shape, config round trip, and half precision in and out."""
    x = np.random.default_rng(0).normal(size=input_shape).astype("float32")
    y = keras.ops.convert_to_numpy(layer(x))
    assert y.shape == output_shape
    assert tuple(layer.compute_output_shape(input_shape)) == output_shape
    again = type(layer).from_config(layer.get_config())
    np.testing.assert_allclose(keras.ops.convert_to_numpy(again(x)), y, rtol=1e-6)
    for policy in ("mixed_float16", "mixed_bfloat16"):
        half = type(layer).from_config({**layer.get_config(), "dtype": policy})
        result = half(x)
        assert keras.backend.standardize_dtype(result.dtype) == policy.removeprefix("mixed_")
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(keras.ops.cast(result, "float32")), y, rtol=0.02, atol=0.05
        )


def check_model(model, *, size, outputs, parameters=None, trainable=None) -> None:
    """Output shapes, parameter counts, finite outputs, and a gradient for every trainable variable."""
    if parameters is not None:
        assert model.count_params() == parameters
    if trainable is not None:
        assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == trainable
    x = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype("float32")
    y = model(x)
    y = y if isinstance(y, dict) else {"predictions": y}
    assert {name: tuple(value.shape) for name, value in y.items()} == outputs
    assert all(np.isfinite(keras.ops.convert_to_numpy(value)).all() for value in y.values())
    check_gradients(model, x)


def check_gradients(model, x) -> None:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        y = model(x, training=True)
        values = list(y.values()) if isinstance(y, dict) else [y]
        loss = sum(tf.reduce_mean(value * tf.random.normal(tf.shape(value))) for value in values)
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    without = [v.path for v, g in zip(model.trainable_variables, gradients, strict=True) if g is None]
    assert not without, f"no gradient: {without}"
