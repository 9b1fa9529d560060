import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_inception import GoogLeNet
from keras_inception.layers import FusedBatchNormalization

TOLERANCE = {"float32": 2e-6, "mixed_bfloat16": 1e-2, "mixed_float16": 1e-3}


def images(shape=(3, 5, 7, 4), seed=0):
    return np.random.default_rng(seed).normal(2, 3, shape).astype("float32")


def pair(dtype="float32", **options):
    """Our layer and Keras', with equal weights."""
    options = {"momentum": 0.9, "epsilon": 1e-3, "dtype": dtype, **options}
    layers = FusedBatchNormalization(**options), keras.layers.BatchNormalization(**options)
    rng = np.random.default_rng(1)
    for layer in layers:
        layer.build((None, None, None, 4))
    weights = [rng.uniform(0.5, 2, variable.shape) for variable in layers[0].variables]
    for layer in layers:
        for variable, value in zip(layer.variables, weights, strict=True):
            variable.assign(value)
    return layers


def step(layer, x, training=True):
    """Output, the gradients by the input and the weights, and the moving statistics after a call in a graph."""

    @tf.function
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
            loss = ops.sum(ops.cast(y, "float32") ** 3)
        return y, tape.gradient(loss, [x, *[v.value for v in layer.trainable_variables]])

    y, gradients = run(tf.convert_to_tensor(x))
    return [np.asarray(ops.cast(value, "float32")) for value in (y, *gradients, *layer.non_trainable_variables)]


def operations(layer, x, training=True):
    graph = tf.function(lambda x: layer(x, training=training)).get_concrete_function(tf.convert_to_tensor(x)).graph
    return {operation.type for operation in graph.get_operations()}


def assert_equal(a, b, tolerance):
    for ours, keras_ in zip(a, b, strict=True):
        np.testing.assert_allclose(ours, keras_, atol=tolerance * np.abs(keras_).max(), rtol=tolerance)


@pytest.mark.parametrize("training", (True, False))
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_it_is_keras_batch_normalization(dtype, training):
    ours, theirs = pair(dtype)
    assert "FusedBatchNormV3" in operations(ours, images(), training)
    assert_equal(step(ours, images(), training), step(theirs, images(), training), TOLERANCE[dtype])
    assert ours(images(), training=training).dtype == theirs(images(), training=training).dtype


@pytest.mark.parametrize("options", ({"scale": False}, {"center": False}, {"trainable": False}))
def test_options(options):
    ours, theirs = pair(**options)
    assert_equal(step(ours, images()), step(theirs, images()), TOLERANCE["float32"])


def test_many_steps_move_the_statistics_alike():
    ours, theirs = pair()
    for seed in range(20):
        x = images(seed=seed)
        ours(x, training=True), theirs(x, training=True)
    for a, b in zip(ours.variables, theirs.variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_a_single_value_per_channel_has_no_variance():
    ours, theirs = pair()
    x = images((1, 1, 1, 4))
    assert_equal(step(ours, x), step(theirs, x), TOLERANCE["float32"])


@pytest.mark.parametrize(
    ("dtype", "options", "shape"),
    (
        ("float64", {}, (3, 5, 7, 4)),
        ("bfloat16", {}, (3, 5, 7, 4)),
        ("float32", {}, (3, 4)),
        ("float32", {"axis": 1}, (3, 4, 5, 5)),
        ("float32", {"synchronized": True}, (3, 5, 7, 4)),
        ("float32", {"renorm": True}, (3, 5, 7, 4)),
    ),
)
def test_what_the_operation_cannot_do_is_left_to_keras(dtype, options, shape):
    layer = FusedBatchNormalization(dtype=dtype, **options)
    x = ops.cast(images(shape), layer.compute_dtype)
    assert "FusedBatchNormV3" not in operations(layer, x)
    assert layer(x, training=True).shape == shape


def test_a_mask_is_left_to_keras():
    ours, theirs = pair()
    mask = np.random.default_rng(2).uniform(size=(3, 5, 7)) < 0.5
    np.testing.assert_allclose(ours(images(), training=True, mask=mask), theirs(images(), training=True, mask=mask))
    with pytest.raises(ValueError, match="one dimension less"):
        ours(images(), training=True, mask=mask[0])


def test_it_is_saved_and_loaded(tmp_path):
    model = GoogLeNet(weights=None, variant="batch_norm", stem="small", classes=3, input_shape=(32, 32, 3))
    assert any(isinstance(layer, FusedBatchNormalization) for layer in model.layers)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = images((2, 32, 32, 3))
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
