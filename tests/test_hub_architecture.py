"""What a stranger's Keras JSON may ask for: layers on a list, and nothing that runs anything."""

import copy
import json

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_inception.layers as our_layers
from keras_inception.convert.checkpoint import CheckpointError
from keras_inception.hub import architecture, building


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
    config = json.loads(json.dumps(architecture.bare(keras.saving.serialize_keras_object(model))))
    for each in layers:
        if isinstance(each, big):
            layer(config, each.layer.name)["config"].update(each.config)
    return config


L = keras.layers
TABLES = "expected tables of at most [0-9]+ numbers in AdaptiveAveragePooling2D, AdaptiveMaxPooling2D, Normalization"


class big:
    """A layer that is small while the model is made, and in the JSON is not."""

    def __init__(self, kind, **config):
        self.config = config
        self.layer = kind(**{name: (2, 2) if isinstance(value, tuple) else 2 for name, value in config.items()})

    def __call__(self, x):
        return self.layer(x)


@pytest.mark.parametrize(
    "layers, message",
    [
        ([big(L.UpSampling2D, size=400), L.Normalization(axis=(1, 2), mean=0.0, variance=1.0)], TABLES),
        ([big(L.UpSampling2D, size=400), L.Normalization(axis=(1, 2))], TABLES),
        ([big(L.UpSampling2D, size=100), L.Flatten(), L.Normalization(mean=0.0, variance=1.0)], TABLES),
        ([big(L.UpSampling2D, size=1 << 20), L.AdaptiveAveragePooling2D(4)], TABLES),
        ([big(L.AdaptiveMaxPooling2D, output_size=(1 << 20, 1 << 20))], TABLES),
        ([big(L.Resizing, height=1 << 20, width=8), L.Permute((2, 1, 3)), L.Normalization(axis=(2, 3))], TABLES),
    ],
)
def test_what_would_be_dear_to_build(layers, message):
    with pytest.raises(CheckpointError, match=message):
        parse(serialized(*layers))


def test_calls_without_end():
    config = serialized(L.ReLU())
    config["config"]["layers"][1]["inbound_nodes"] *= 4000
    with pytest.raises(CheckpointError, match="at most 4000 calls of layers; Received: 4001"):
        parse(config)


def test_models_in_models_count_each_time_they_are_called():
    inner = keras.Sequential([keras.Input((None, None, 3)), L.ReLU()])
    for depth in range(15):
        inputs = keras.Input((None, None, 3))
        inner = keras.Model(inputs, inner(inner(inputs)), name=f"level{depth}")
    config = json.loads(json.dumps(architecture.bare(keras.saving.serialize_keras_object(inner))))
    assert len(json.dumps(config)) < 20_000
    with pytest.raises(CheckpointError, match="at most 4000 calls of layers; Received: [0-9]+"):
        parse(config)


def several():
    first, second = keras.Input((4, 4, 3)), keras.Input((4, 4, 2))
    pair = keras.Model([first, second], L.Concatenate()([first, second]), name="pair")
    inputs = [keras.Input((4, 4, 3)), keras.Input((4, 4, 2))]
    x = pair(inputs)
    shared = L.Dense(5)
    y = shared(L.ReLU()(shared(x)))
    inner = keras.Sequential([keras.Input((4, 4, 5)), L.RandomFlip(), L.Normalization(), L.Flatten()], name="inner")
    return keras.Model(inputs, {"b": inner(y), "a": L.Add()([x, y]), "c": pair([*inputs])})


def googlenets():
    import keras_inception

    options = {"weights": None, "stem": "small", "classes": 3, "aux_heads": True, "input_shape": (64, 64, 3)}
    inputs = keras.Input((16, 16, 3))
    heads = keras_inception.GoogLeNet(variant="torchvision", **options)
    return keras.Model(inputs, heads(L.UpSampling2D(4)(inputs)))


@pytest.mark.parametrize("build", [several, googlenets])
def test_shapes_are_followed_as_keras_does(build):
    model = build()
    config = json.loads(json.dumps(architecture.bare(keras.saving.serialize_keras_object(model))))
    found = building.output_shapes(config)
    shapes = [keras.tree.map_structure(lambda tensor: tensor.shape, outputs) for outputs in (found, model.output)]
    assert shapes[0] == shapes[1]
    assert type(keras.saving.deserialize_keras_object(parse(config))) is type(model)


def test_the_same_layers_in_other_places_are_built():
    for layers in (
        [L.RandomFlip(), L.Normalization(mean=[0.0] * 16, variance=[1.0] * 16), L.UpSampling2D(2)],
        [L.Normalization(axis=(1, 2, 3)), L.Conv2D(4, 3), L.Normalization()],
        [L.UpSampling2D(2), lambda x: L.Concatenate(axis=1)([x, x]), L.AdaptiveAveragePooling2D(4)],
        [our_layers.CeilAveragePooling2D(), L.Flatten(), L.Dense(2), L.Reshape((1, 1, 2))],
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
