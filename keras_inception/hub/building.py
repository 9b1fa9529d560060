"""What it costs to build an architecture, found in its Keras JSON before anything of it is built.

The variables of a model are made only when their shapes are known to be those of the arrays beside it; see
`model_folder.loading`. What is left are the few layers that make arrays of their own while they are built, and the time
that Keras takes to put layers together.
"""

# Of layers, all together. For each layer of a chain Keras needs a stack frame of Python.
MAX_CALLS = 2000
# Layers that make tables as large as the maps that they pool; and those that could have enlarged these maps beyond the
# sizes in the JSON.
_TABLES = ("AdaptiveAveragePooling2D", "AdaptiveMaxPooling2D", "CeilAveragePooling2D")
_ENLARGING = ("Conv2DTranspose", "Dot", "Permute", "RepeatVector", "Reshape", "UpSampling2D")
_MAX_PADDING = 64  # on each side of a map that is then pooled by a table


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
        calls = sum(_check_order(layers) for layers in _lists_of_layers(config))
        _check_tables(config)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"expected Keras' own form; Received: {type(error).__name__}: {error}") from error
    if calls > MAX_CALLS:
        raise ValueError(f"expected at most {MAX_CALLS} calls of layers; Received: {calls}")


def _lists_of_layers(config):
    """The layers of a model, and of those in it."""
    if isinstance(config, dict) and "class_name" in config and isinstance(config.get("config"), dict):
        if isinstance(layers := config["config"].get("layers"), list):
            yield layers
    for item in config if isinstance(config, list) else config.values() if isinstance(config, dict) else ():
        yield from _lists_of_layers(item)


def _check_order(layers) -> int:
    """How many calls of layers there are.

    Keras writes layers behind those whose outputs they take. Were they written otherwise, it would look at all of them
    once for each of them.
    """
    known, inputs, calls, before = set(), set(), 0, None
    for layer in layers:
        kind, config = layer["class_name"], layer["config"]
        name = layer.get("name", config.get("name"))
        sources = _sources(layer, before)
        # One of its calls: a layer that is called again may stand before what it is then called on.
        if not any(source <= known for source in sources):
            raise ValueError(
                f"expected layers in the order in which they are called; Received: {name!r:.100} too early"
            )
        # Its statistics exist as soon as it is built, before they can be compared with the arrays.
        if kind == "Normalization" and not (_axes(config) <= 1 and all(source <= inputs for source in sources)):
            raise ValueError(
                f"expected Normalization over one axis, and directly behind an input; Received: {name!r:.100}"
            )
        if kind == "InputLayer":
            inputs.add(name)
        known.add(name)
        calls, before = calls + len(sources), name
    return calls


def _sources(layer, before) -> list[set]:
    """The layers whose outputs each call of a layer takes."""
    if "inbound_nodes" not in layer:  # in a Sequential
        return [set() if before is None else {before}]
    calls = layer["inbound_nodes"] or [None]  # an input's
    return [{tensor["config"]["keras_history"][0] for tensor in objects(call, "__keras_tensor__")} for call in calls]


def _axes(config) -> int:
    axis = config.get("axis", -1)
    return 1 if isinstance(axis, int) else len(axis or ())


def _check_tables(config) -> None:
    formats = {layer["config"].get("data_format") for layer in objects(config, *_TABLES)}
    if not formats:
        return
    channels = {-1, 3} if formats == {"channels_last"} else {1} if formats == {"channels_first"} else set()
    enlarging = [
        *objects(config, *_ENLARGING),
        *(layer for layer in objects(config, "ZeroPadding2D") if _largest(layer["config"]["padding"]) > _MAX_PADDING),
        *(layer for layer in objects(config, "Concatenate") if layer["config"].get("axis", -1) not in channels),
    ]
    if enlarging:
        raise ValueError(
            f"expected no layer that enlarges maps together with {' or '.join(_TABLES)}, whose tables are as large as "
            f"these; Received: {enlarging[0]['class_name']}"
        )


def _largest(value) -> float:
    return max(map(_largest, value)) if isinstance(value, list) else abs(value)
