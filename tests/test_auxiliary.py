"""The auxiliary heads in training: one label for three outputs, their share of the loss, removal, freezing."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_inception import GoogLeNet, auxiliary_losses, freeze, model_spec, remove_aux_heads


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.uniform(0, 255, (8, 32, 32, 3)).astype("float32"), rng.integers(0, 3, 8)


def small(**options):
    return GoogLeNet(weights=None, input_shape=(32, 32, 3), classes=3, aux_heads=True, **options)


def compiled(model, **options):
    options = {"run_eagerly": True, **options}  # eight images are through before a graph is traced
    model.compile("sgd", **auxiliary_losses("sparse_categorical_crossentropy", metrics=["accuracy"]), **options)
    return model


def test_fit_takes_plain_labels(data):
    x, y = data
    model = compiled(small(), run_eagerly=False)
    history = model.fit(x, y, batch_size=4, validation_data=(x, y), verbose=0).history
    for name in ("predictions", "aux_4a", "aux_4d"):
        assert np.isfinite(history[f"{name}_loss"]).all()
    assert "predictions_accuracy" in history and "val_predictions_accuracy" in history
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(3)
    assert np.isfinite(model.fit(batches, verbose=0).history["loss"]).all()
    assert set(model.predict(x, verbose=0)) == {"predictions", "aux_4a", "aux_4d"}


def test_the_loss_is_the_papers_sum(data):
    x, y = data
    model = compiled(small())
    results = model.evaluate(x, y, verbose=0, return_dict=True)
    losses = {
        name: float(np.mean(keras.losses.sparse_categorical_crossentropy(y, p)))
        for name, p in model.predict(x, verbose=0).items()
    }
    expected = losses["predictions"] + 0.3 * losses["aux_4a"] + 0.3 * losses["aux_4d"]
    assert results["loss"] == pytest.approx(expected, rel=1e-4)


def test_sample_weights_reach_every_output(data):
    x, y = data
    model = compiled(small())
    weights = np.array([1, 0, 0, 0, 0, 0, 0, 0], "float32")
    weighted = model.evaluate(x, y, sample_weight=weights, batch_size=8, verbose=0, return_dict=True)["loss"]
    # Keras divides the weighted sum by the number of examples.
    first = model.evaluate(x[:1], y[:1], verbose=0, return_dict=True)["loss"]
    assert weighted == pytest.approx(first / 8, rel=1e-4)


def test_a_dict_of_labels_works_too(data):
    x, y = data
    model = compiled(small())
    plain = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    named = model.evaluate(x, {"predictions": y, "aux_4a": y, "aux_4d": y}, verbose=0, return_dict=True)["loss"]
    assert named == pytest.approx(plain)


def test_every_variable_moves(data):
    x, y = data
    model = compiled(small())
    before = [v.numpy() for v in model.trainable_variables]
    model.fit(x, y, verbose=0)
    still = [v.path for v, old in zip(model.trainable_variables, before, strict=True) if np.array_equal(v.numpy(), old)]
    assert not still


def test_remove_aux_heads(data):
    x, _ = data
    model = small()
    plain = remove_aux_heads(model)
    assert type(plain).__name__ == "Functional"
    assert plain.output_shape == (None, 3)
    np.testing.assert_allclose(plain(x), model(x)["predictions"], rtol=1e-5)
    assert plain.get_layer("conv1_7x7_s2") is model.get_layer("conv1_7x7_s2")
    assert not any(layer.name.startswith(("loss1", "loss2")) for layer in plain.layers)
    assert model_spec(plain).aux_heads is False and model_spec(model).aux_heads is True
    with pytest.raises(ValueError, match="predictions, aux_4a and aux_4d"):
        remove_aux_heads(plain)


def test_survives_saving_in_mid_training(data, tmp_path):
    x, y = data
    model = compiled(small())
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    kept = again.evaluate(x, y, verbose=0, return_dict=True)
    assert kept["loss"] == pytest.approx(model.evaluate(x, y, verbose=0, return_dict=True)["loss"], rel=1e-5)
    again.fit(x, y, verbose=0)


def test_a_frozen_trunk_keeps_its_batch_norm_statistics(data):
    x, y = data
    model = compiled(freeze(small(variant="batch_norm")))
    trunk = {v.path: v.numpy() for v in model.weights if not v.path.startswith("loss")}
    assert any("moving_mean" in path for path in trunk) and len(trunk) < len(model.weights)
    model.fit(x, y, epochs=2, verbose=0)
    for v in model.weights:
        if v.path in trunk:
            np.testing.assert_array_equal(v.numpy(), trunk[v.path])
    assert all(v.path.startswith("loss") for v in model.trainable_variables)


def test_freeze_up_to_a_module():
    model = freeze(small(), upto="inception_4a_output")
    trainable = {layer.name for layer in model.layers if layer.trainable and layer.weights}
    assert "inception_4b_1x1" in trainable and "loss1_conv" in trainable and "loss3_classifier" in trainable
    assert not any(name.startswith(("conv", "inception_3", "inception_4a")) for name in trainable)
    with pytest.raises(ValueError, match="upto='inception_9z'"):
        freeze(model, upto="inception_9z")


def test_freezing_leaves_ones_own_head_and_follows_a_frozen_model():
    base = GoogLeNet(weights=None, include_top=False, pooling="avg", input_shape=(32, 32, 3))
    base.trainable = False
    model = keras.Model(base.input, keras.layers.Dense(2, name="mine")(base.output))
    assert [v.path for v in freeze(model).trainable_variables] == ["mine/kernel", "mine/bias"]
    base.trainable = False
    assert "inception_4b_1x1/kernel" in {v.path for v in freeze(base, upto="inception_4a_output").trainable_variables}


def test_metrics_of_one_name_or_by_output():
    assert auxiliary_losses("mse", metrics="accuracy")["metrics"] == {"predictions": ["accuracy"]}
    by_output = {"aux_4a": ["accuracy"]}
    assert auxiliary_losses("mse", metrics=by_output)["metrics"] == by_output
    assert auxiliary_losses("mse")["metrics"] == {"predictions": []}


def test_labels_in_a_list_are_refused(data):
    x, y = data
    with pytest.raises(ValueError, match="or a dict by predictions, aux_4a, aux_4d; Received: 3 arrays"):
        compiled(small()).train_on_batch(x, [y, y, y])


def test_mixed_precision_training(data):
    x, y = data
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert np.isfinite(compiled(small()).fit(x, y, verbose=0).history["loss"]).all()
