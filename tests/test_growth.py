"""The layer-by-layer construction on images that the test makes: it trains, analyses and adds, and keeps its budget."""

import keras
import numpy as np
import pytest

from keras_inception.layers.cost import reduced_module
from keras_inception.layers.inception import inception_module
from keras_inception.topology.growth import carry_over, grow


def build(widths):
    inputs = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(12, 3, padding="same", activation="relu", name="stem")(inputs)
    for number, module in enumerate(widths):
        x = inception_module(x, module, name=f"inception_{number}a")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(4, activation="softmax", name="classifier")(x))


def last_layer(model):
    return model.layers[-3].name


@pytest.fixture(scope="module")
def data():
    """Four classes: stripes of two directions and two widths."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:12, :12]
    labels = np.arange(64) % 4
    waves = [np.sin((x if label % 2 else y) * (1.0 if label < 2 else 2.2) + rng.uniform(0, 6)) for label in labels]
    return (np.stack(waves)[..., None] + rng.normal(0, 0.3, (64, 12, 12, 3))).astype("float32"), labels


def test_a_network_grows(data):
    images, labels = data
    trained = []

    def train(model):
        model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
        before = model.evaluate(images, labels, verbose=0)[0]
        history = model.fit(images, labels, epochs=3, batch_size=16, verbose=0).history
        trained.append((len(model.layers), before, history["loss"][-1]))

    budgets = [4e5, 6e5]
    stages = grow(build, train, images, budgets, last_layer=last_layer)
    assert [stage.layer for stage in stages] == ["stem", "inception_0a_output"]
    assert len(trained) == 2 and trained[0][0] < trained[1][0]
    inputs = 12
    for stage, budget in zip(stages, budgets, strict=True):
        assert sum(stage.asked.clusters) > 0
        assert reduced_module(inputs, stage.widths, 12, 12).operations <= budget
        inputs = stage.widths.output
    assert [stage.carried for stage in stages] == [0, 2], "the stem's kernel and bias; the classifier has another size"
    model = build([stage.widths for stage in stages])
    assert model.get_layer("inception_1a_output").output.shape[-1] == stages[1].widths.output


def test_weights_are_carried_over_by_name_and_shape():
    one, other = build([(8,) * 6]), build([(8,) * 6, (8,) * 6])
    assert carry_over(one, other) == 2 + 12 + 2
    for layer in ("stem", "inception_0a_3x3", "classifier"):
        np.testing.assert_array_equal(one.get_layer(layer).kernel, other.get_layer(layer).kernel)
    assert not np.array_equal(one.get_layer("inception_0a_3x3").kernel, other.get_layer("inception_1a_3x3").kernel)


def test_a_budget_too_small_is_one_sentence(data):
    with pytest.raises(ValueError, match="a budget of .* multiply-adds or more"):
        grow(build, lambda model: None, data[0], [10], last_layer=last_layer)
