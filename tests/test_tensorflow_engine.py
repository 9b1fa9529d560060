"""Half precision in the engine: the scaled loss, and the step whose gradient has no number."""

import keras
import numpy as np
import pytest

from training.recipe import Recipe
from training.tensorflow_engine import TensorFlowEngine

FIELDS = {"stem": "small", "sizes": (32,), "batch_size": 4, "dropout": 0.0, "head_dropout": 0.0, "average": 0.9}
# Where nothing of the network counts, a small one on small images.
SMALL = {**FIELDS, "architecture": "NetworkInNetwork", "variant": "cifar10", "aux_heads": False, "sizes": (16,)}
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), "uint8")
LABELS = np.array([0, 1, 2, 3])


def engine(precision, fields=FIELDS):
    keras.config.set_dtype_policy(precision)
    return TensorFlowEngine(Recipe(**fields, precision=precision), list("abcd"))


def take_steps(engine, count=3, weight=1.0):
    size = engine.recipe.evaluated_size
    batch = (PIXELS[:, :size, :size], LABELS, np.full(4, weight, "float32"))
    batch = tuple(map(keras.ops.convert_to_tensor, batch))
    return [engine.fetch(engine.train_step(batch, 0.001))["loss"] for _ in range(count)]


@pytest.fixture(scope="module")
def exact():
    trained = engine("float32")
    return take_steps(trained), trained.state()


@pytest.mark.parametrize("precision, tolerance", [("mixed_float16", 0.01), ("mixed_bfloat16", 0.05)])
def test_half_precision_trains_as_single_does(exact, precision, tolerance):
    losses, state = exact
    trained = engine(precision)
    if precision == "mixed_float16":
        trained.optimizer.dynamic_scale.assign(64)  # the first, 2**15, would leave out steps, as below
    np.testing.assert_allclose(take_steps(trained), losses, rtol=tolerance)
    assert losses[-1] < losses[0]
    for variable in trained.model.trainable_variables:
        assert variable.dtype == "float32"
    # What moved, and not only where it began, is that of single precision.
    began = engine("float32").state()
    names = [name for name, value in began.items() if name.startswith("model/") and value.dtype == np.float32]
    moved, expected = (
        np.concatenate([(end[name] - began[name]).ravel() for name in names]) for end in (trained.state(), state)
    )
    assert np.linalg.norm(expected) > 0
    assert np.linalg.norm(moved - expected) < 6 * tolerance * np.linalg.norm(expected)


def test_an_overflowing_gradient_changes_no_weight_and_lowers_the_scale():
    trained = engine("mixed_float16", SMALL)
    scale = trained.optimizer.dynamic_scale
    scale.assign(3e38)
    before = [variable.numpy() for variable in trained.model.trainable_variables]
    (loss,) = take_steps(trained, 1)
    assert np.isfinite(loss) and float(scale) < 3e38
    for variable, value in zip(trained.model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_the_state_of_half_precision_goes_on_where_it_was():
    first = engine("mixed_float16", SMALL)
    take_steps(first, 2)
    state = first.state()
    expected = take_steps(first, 2)
    second = engine("mixed_float16", SMALL)
    second.load_state(state)
    np.testing.assert_allclose(take_steps(second, 2), expected, rtol=1e-6)
