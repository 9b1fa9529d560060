"""What it costs to build an architecture, found in its Keras JSON before anything of it is built.

The variables of a model are made only when their shapes are known to be those of the arrays beside it; see
`model_folder.loading`. What is left are the few layers that make tables of their own while they are built, and the time
that Keras takes to put layers together.
"""

import copy
import math

# Calls of layers, those within a model counted again for each call of it, as Keras makes them.
MAX_CALLS = 4000
# Numbers in the tables of all layers together.
MAX_TABLES = 1 << 22
_FUNCTIONAL = ("Functional", "GoogLeNetWithHeads")
MODELS = ("Sequential", *_FUNCTIONAL)
_TABLES = ("AdaptiveAveragePooling2D", "AdaptiveMaxPooling2D", "Normalization")


def objects(config, *names: str):
    """The objects of some classes in a model's Keras JSON, wherever they stand, in their order."""
    if isinstance(config, dict) and config.get("class_name") in names:
        yield config
    for item in config if isinstance(config, list) else config.values() if isinstance(config, dict) else ():
        yield from objects(item, *names)


def check(config) -> None:
    """Raises ValueError unless the model of a Keras JSON is built without making anything large, and in no time.

    Args:
        config: JSON of which all classes are known to be on the list.
    """
    try:
        calls = _count_calls(config)
        if calls > MAX_CALLS:
            raise ValueError(f"expected at most {MAX_CALLS} calls of layers; Received: {calls}")
        if any(objects(config, *_TABLES)):
            output_shapes(config)
    except (KeyError, TypeError, AttributeError, IndexError, ArithmeticError) as error:
        raise ValueError(f"expected Keras' own form; Received: {type(error).__name__}: {error}") from error


def _count_calls(model) -> int:
    """How many calls of layers it takes to build a model.

    Keras writes layers behind those whose outputs they take. Were they written otherwise, it would look at all of them
    once for each of them.
    """
    known, calls = set(), 0
    for layer in model["config"]["layers"]:
        name = layer.get("name", layer["config"].get("name"))
        nodes = layer.get("inbound_nodes") or [None]
        sources = [
            {tensor["config"]["keras_history"][0] for tensor in objects(node, "__keras_tensor__")} for node in nodes
        ]
        # One of its calls: a layer that is called again may stand before what it is then called on.
        if not any(source <= known for source in sources):
            raise ValueError(
                f"expected layers in the order in which they are called; Received: {name!r:.100} too early"
            )
        inner = _count_calls(layer) if layer["class_name"] in MODELS else 0
        calls += inner + len(nodes) * max(1, inner)
        known.add(name)
    return calls


def output_shapes(config):
    """The shapes of a model's outputs, as `keras.KerasTensor`s in the model's own structure, without building it.

    Raises:
        ValueError: a layer does not take what it is given, or tables would be larger than `MAX_TABLES`.
    """
    return _Shapes().of_model(config, None)


class _Shapes:
    """Follows shapes through layers that are made, but neither built nor called."""

    def __init__(self):
        self.tables = 0

    def of_model(self, model, inputs):
        """What a model gives.

        Args:
            model: its JSON.
            inputs: what it is called on; None for its own inputs.
        """
        if model["class_name"] == "Sequential":
            for layer in model["config"]["layers"]:
                inputs = self.of_call(layer, inputs)
            return inputs
        config = model["config"]
        found = self._own_inputs(config, inputs)

        def tensors(value):
            """The arguments of a call, each tensor as the shape of the output that it is."""
            if isinstance(value, list):
                return [tensors(item) for item in value]
            name, call, output = value["config"]["keras_history"]
            return found[name, call][output]

        waiting = [(layer, call) for layer in config["layers"] for call in range(len(layer["inbound_nodes"]))]
        while waiting:
            left = []
            for layer, call in waiting:
                try:
                    arguments = tensors(layer["inbound_nodes"][call]["args"][:1])
                except KeyError:
                    left.append((layer, call))
                    continue
                found[layer["name"], call] = _flat(self.of_call(layer, arguments[0]))
            if len(left) == len(waiting):
                raise ValueError(f"expected layers that can be called; Received: {left[0][0]['name']!r:.100}")
            waiting = left
        functional = {layer["name"] for layer in config["layers"] if layer["class_name"] in _FUNCTIONAL}

        def outputs(value):
            if isinstance(value, dict):
                return {key: outputs(item) for key, item in value.items()}
            if not isinstance(value[0], str):
                return [outputs(item) for item in value]
            name, call, output = value
            # Here, and here alone, Keras counts the call by which a functional model was made.
            return found[name, call - (name in functional)][output]

        return outputs(config["output_layers"])

    @staticmethod
    def _own_inputs(config, inputs):
        import keras

        declared = {
            (layer["name"], 0): [keras.KerasTensor(layer["config"]["batch_shape"])]
            for layer in config["layers"]
            if layer["class_name"] == "InputLayer"
        }
        if inputs is not None:
            names = [value for value in _flat(config["input_layers"]) if isinstance(value, str)]
            declared |= {(name, 0): [each] for name, each in zip(names, _flat(inputs), strict=True)}
        return declared

    def of_call(self, layer, inputs):
        """What a layer, or a model in a model, gives when it is called on `inputs`."""
        import keras

        if layer["class_name"] in MODELS:
            return self.of_model(layer, inputs)
        if layer["class_name"] == "InputLayer":
            return keras.KerasTensor(layer["config"]["batch_shape"]) if inputs is None else inputs
        made = keras.saving.deserialize_keras_object(copy.deepcopy(layer))
        shapes = keras.tree.map_structure(lambda tensor: tensor.shape, inputs)
        if layer["class_name"] in _TABLES:
            self.tables += _table(layer, shapes)
            if self.tables > MAX_TABLES:
                raise ValueError(
                    f"expected tables of at most {MAX_TABLES} numbers in {', '.join(_TABLES)}; Received: "
                    f"{layer['config']['name']!r:.100} on {shapes}"
                )
        return keras.KerasTensor(made.compute_output_shape(shapes))


def _flat(structure) -> list:
    import keras

    return keras.tree.flatten(structure)


def _table(layer, shape) -> int:
    """Numbers that a layer makes of its own while it is built on a shape."""
    config = layer["config"]
    if layer["class_name"] == "Normalization":
        axis = config.get("axis", -1)
        axes = [axis] if isinstance(axis, int) else axis or []
        return 4 * math.prod(shape[a] or 1 for a in axes)
    sides = shape[1:3] if config["data_format"] == "channels_last" else shape[2:4]
    outputs = config["output_size"] if isinstance(config["output_size"], list) else [config["output_size"]] * 2
    return sum((side or 0) + 2 * (output or side or 0) for side, output in zip(sides, outputs, strict=True))
