"""What a stranger's Keras JSON may ask for: layers on a list, and nothing that runs anything."""

import copy
import json

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_inception.layers as our_layers
from keras_inception.convert.checkpoint import CheckpointError
from keras_inception.hub import architecture


def valid():
    inputs = keras.Input((8, 8, 3), name="in")
    x = keras.layers.Conv2D(2, 3, kernel_regularizer="l2", kernel_constraint="max_norm", name="conv")(inputs)
    x = our_layers.LocalResponseNormalization(name="lrn")(x)
    x = our_layers.FusedBatchNormalization(name="bn")(x)
    inner = keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Flatten(name="f")], name="inner")
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax", name="out")(inner(x)), name="whole")
    return json.loads(json.dumps(architecture.bare(keras.saving.serialize_keras_object(model))))


def parse(config):
    return architecture.parse(json.dumps(config), "config.json")


def test_keras_layers_and_ours_are_built():
    config = parse(valid())
    model = keras.saving.deserialize_keras_object(config)
    assert model.output_shape == (None, 2)


def test_every_name_on_the_list_is_a_layer():
    assert all(issubclass(getattr(keras.layers, name), keras.layers.Layer) for name in architecture.LAYERS)
    assert not {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"} & architecture.LAYERS
    for module, names in architecture._PARTS.items():
        assert all(isinstance(getattr(getattr(keras, module.split(".")[1]), name), type) for name in names)
    for name, module in architecture.OURS.items():
        found = keras.saving.get_registered_object(f"keras_inception>{name}")
        assert found.__module__ == module


def layer(config, name):
    return next(part for part in config["config"]["layers"] if part["config"]["name"] == name)


def replaced(**changes):
    def change(config):
        layer(config, "conv").update(changes)

    return change


LAMBDA = {"class_name": "__lambda__", "config": {"value": ["4wEAAAA=", None, None]}}
FUNCTION = {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"}
HOSTILE = [
    replaced(class_name="Lambda"),
    replaced(class_name="TFSMLayer"),
    replaced(module="os", class_name="system"),
    replaced(module="keras.src.layers.core.lambda_layer"),
    replaced(registered_name="other>Conv2D"),
    replaced(module="keras_inception.layers.pixels", class_name="Pixels", registered_name="keras_inception>Other"),
    replaced(class_name=["Conv2D"]),
    replaced(module={"class_name": "Conv2D"}),
    replaced(module=None),
    lambda config: layer(config, "conv")["config"].update(activation=LAMBDA),
    lambda config: layer(config, "conv")["config"].update(activation=FUNCTION),
    lambda config: layer(config, "out")["config"].update(
        kernel_initializer={**FUNCTION, "module": "keras.initializers"}
    ),
    lambda config: layer(config, "out")["config"]["kernel_initializer"].update(class_name="get"),
    lambda config: layer(config, "out")["config"]["dtype"]["config"].update(name="int8_from_float32"),
    lambda config: layer(config, "inner")["config"]["layers"][1].update(class_name="Lambda"),
    lambda config: config.update(compile_config={"optimizer": {"module": "x", "class_name": "Y", "config": {}}}),
    lambda config: config["config"].update(extra={"deep": [{"registered_name": "evil>X", "config": {}}]}),
    lambda config: config.update(class_name="Model"),
    lambda config: config.update(build_config={"input_shape": [None, 8, 8, 3]}),
    lambda config: layer(config, "conv")["config"].update(kernel_initializer="mine>fun"),
    lambda config: layer(config, "conv")["config"].update(kernel_initializer="glorot_uniform"),
    lambda config: layer(config, "conv")["config"].update(kernel_constraint="mine>fun"),
    lambda config: layer(config, "out")["config"].update(activation="mine>fun"),
    lambda config: layer(config, "out")["config"].update(dtype="int8_from_float32"),
    lambda config: layer(config, "in")["config"].update(batch_shape=[None, 150_000_000]),
    lambda config: layer(config, "out")["config"].update(units=float("inf")),
    lambda config: layer(config, "out")["config"].update(activation={"value": ["4wEAAAA=", None, None]}),
    lambda config: config["config"]["layers"].reverse(),
]


@pytest.mark.parametrize("change", HOSTILE)
def test_anything_else_is_refused(change):
    config = valid()
    change(config)
    with pytest.raises(CheckpointError, match="^config.json: expected .*; Received: "):
        parse(config)


def serialized(*layers, shape=(8, 8, 16)):
    inputs = x = keras.Input(shape)
    for each in layers:
        x = each(x)
    model = keras.Model(inputs, x)
    return json.loads(json.dumps(architecture.bare(keras.saving.serialize_keras_object(model))))


L = keras.layers


@pytest.mark.parametrize(
    "layers, message",
    [
        ([L.Normalization(axis=(1, 2, 3), mean=0.0, variance=1.0)], "Normalization over one axis, and directly behind"),
        ([L.Normalization(axis=(2, 3))], "Normalization over one axis, and directly behind"),
        ([L.Flatten(), L.Normalization(mean=0.0, variance=1.0)], "Normalization over one axis, and directly behind"),
        ([L.UpSampling2D(2), L.AdaptiveAveragePooling2D(4)], "no layer that enlarges maps.*; Received: UpSampling2D"),
        ([L.ZeroPadding2D(65), L.AdaptiveMaxPooling2D(4)], "no layer that enlarges maps.*; Received: ZeroPadding2D"),
        ([L.Permute((3, 1, 2)), our_layers.CeilAveragePooling2D()], "no layer that enlarges maps.*; Received: Permute"),
        ([lambda x: L.Concatenate(axis=1)([x, x]), L.AdaptiveAveragePooling2D(4)], "; Received: Concatenate"),
    ],
)
def test_what_would_be_dear_to_build(layers, message):
    with pytest.raises(CheckpointError, match=message):
        parse(serialized(*layers))


def test_calls_without_end():
    config = serialized(L.ReLU())
    config["config"]["layers"][1]["inbound_nodes"] *= 2000
    with pytest.raises(CheckpointError, match="at most 2000 calls of layers; Received: 2001"):
        parse(config)


def test_the_same_layers_in_other_places_are_built():
    for layers in (
        [L.Normalization(mean=[0.0] * 16, variance=[1.0] * 16), L.UpSampling2D(2)],
        [L.ZeroPadding2D(1), lambda x: L.Concatenate()([x, x]), L.AdaptiveAveragePooling2D(4)],
        [our_layers.CeilAveragePooling2D(), L.Flatten(), L.Dense(2)],
    ):
        assert keras.saving.deserialize_keras_object(parse(serialized(*layers)))
    # One layer that is called on the outputs of two, one of which takes its own.
    shared = L.Dense(16)
    assert keras.saving.deserialize_keras_object(parse(serialized(shared, L.ReLU(), shared)))


def test_an_output_may_have_any_name():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, {"x_activation": L.Dense(2, name="d")(inputs), "dtype": L.Dense(3, name="e")(inputs)})
    parse(json.loads(json.dumps(architecture.bare(keras.saving.serialize_keras_object(model)))))


@pytest.mark.parametrize(
    "text", ["", "[]", "1", '"x"', "{}", "[" * 200_000, '{"module": "keras"}', '{"class_name": []}']
)
def test_what_is_no_model(text):
    with pytest.raises(CheckpointError, match="config.json: expected"):
        architecture.parse(text, "config.json")


VALID = valid()
NAMES = st.sampled_from(["class_name", "module", "registered_name", "config", "layers", "name", "inbound_nodes"])
VALUES = (
    st.none() | st.integers() | st.text(max_size=6) | st.sampled_from(["Lambda", "os", "builtins", LAMBDA, FUNCTION])
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), NAMES, VALUES | st.lists(VALUES, max_size=2)), min_size=1, max_size=3))
def test_any_change_names_only_what_is_on_the_list(changes):
    config = copy.deepcopy(VALID)
    parts = [part for part in _dicts(config)]
    for place, name, value in changes:
        parts[place % len(parts)][name] = copy.deepcopy(value)
    try:
        parsed = parse(config)
    except CheckpointError as error:
        assert str(error).startswith("config.json: expected")
        return
    known = (
        architecture.LAYERS | set(architecture.OURS) | {"Functional", "Sequential", "DTypePolicy", "__keras_tensor__"}
    )
    known |= {name for names in architecture._PARTS.values() for name in names}
    assert all(part["class_name"] in known for part in _dicts(parsed) if "class_name" in part)


def _dicts(value):
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _dicts(item)
