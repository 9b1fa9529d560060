"""Feature extraction at named layers, under the names of the paper, Caffe, TF-slim, torchvision and Lucid."""

import keras

from keras_inception.convert import names as table
from keras_inception.layers.inception import relu_name
from keras_inception.layers.pixels import stored_spec

# (our layer, Caffe, TF-slim, torchvision, Lucid) for what has no weights; pool4's layer has its window's size in its
# name.
_POINTS = [
    ("pool1_3x3_s2", "pool1/3x3_s2", "MaxPool_2a_3x3", "maxpool1", "maxpool0"),
    ("pool1_norm1", "pool1/norm1", None, None, "localresponsenorm0"),
    ("conv2_norm2", "conv2/norm2", None, None, "localresponsenorm1"),
    ("pool2_3x3_s2", "pool2/3x3_s2", "MaxPool_3a_3x3", "maxpool2", "maxpool1"),
    ("pool3_3x3_s2", "pool3/3x3_s2", "MaxPool_4a_3x3", "maxpool3", "maxpool4"),
    ("pool4_3x3_s2", "pool4/3x3_s2", None, None, "maxpool10"),
    ("pool4_2x2_s2", "pool4/3x3_s2", "MaxPool_5a_2x2", "maxpool4", "maxpool10"),
    ("pool5_7x7_s1", "pool5/7x7_s1", "AvgPool_0a_7x7", "avgpool", "avgpool0"),
    ("loss3_classifier", "loss3/classifier", "Logits", "fc", "softmax2_pre_activation"),
    ("predictions", "prob", "Predictions", None, "softmax2"),
    ("loss1_ave_pool", "loss1/ave_pool", None, None, "head0_pool"),
    ("loss2_ave_pool", "loss2/ave_pool", None, None, "head1_pool"),
    ("loss1_classifier", "loss1/classifier", None, "aux1", "softmax0_pre_activation"),
    ("loss2_classifier", "loss2/classifier", None, "aux2", "softmax1_pre_activation"),
    ("aux_4a", None, None, None, "softmax0"),
    ("aux_4d", None, None, None, "softmax1"),
]
_POINTS += [
    (
        f"inception_{m}_output",
        f"inception_{m}/output",
        f"Mixed_{m[0]}{chr(ord(m[1]) + 1)}",
        f"inception{m}",
        f"mixed{m}",
    )
    for m in table.MODULES
]
_POINTS += [(f"inception_{m}_pool", f"inception_{m}/pool", None, None, f"mixed{m}_pool") for m in table.MODULES]

_FORMATS = ("caffe", "slim", "torchvision", "lucid")
_OWN_FORMAT = {
    "paper": "caffe",
    "batch_norm": "caffe",
    "slim": "slim",
    "torchvision": "torchvision",
    "inception5h": "lucid",
}


def _aliases():
    """Yields (format, alias, our layer); a convolution's alias is its output after the ReLU, as Caffe's blob is."""
    for layer, *aliases in _POINTS:
        yield from ((form, alias, layer) for form, alias in zip(_FORMATS, aliases, strict=True) if alias)
    for row in table.TABLE:
        if row.layer.endswith("_classifier"):
            continue
        relu = relu_name(row.layer)
        yield "caffe", row.caffe, relu
        yield "torchvision", row.torchvision, relu
        yield "lucid", row.inception5h, relu
        yield "lucid", f"{row.inception5h}_pre_relu", row.layer
        if row.slim:
            yield "slim", row.slim, relu
            yield "slim", row.slim.removeprefix("InceptionV1/"), relu


_ALIASES: dict[str, list[tuple[str, str]]] = {}
for _form, _alias, _layer in _aliases():
    _ALIASES.setdefault(_alias, []).append((_form, _layer))


def _pre_activation(model, layer: str) -> str:
    """What enters the ReLU: the batch normalization's output where there is one."""
    present = {layer.name for layer in model.layers}
    return f"{layer}_bn" if f"{layer}_bn" in present else layer


def resolve(model, name: str) -> str:
    """The model's layer for a name of any of the formats.

    Args:
        model: a GoogLeNet.
        name: a layer of the model (its output exactly), or an alias.

    Returns:
        A layer's name.

    Raises:
        ValueError: no layer is known by the name, or two formats mean different layers by it and neither is the
            model's own.
    """
    present = {layer.name for layer in model.layers}
    if name in present:
        return name
    if name not in _ALIASES and name.replace("/", "_") in present:
        return name.replace("/", "_")  # one of Caffe's layers that is no blob: conv1/relu_7x7
    found = [(form, layer) for form, layer in _ALIASES.get(name, []) if layer in present]
    if name.endswith("_pre_relu"):
        found = [(form, _pre_activation(model, layer)) for form, layer in found]
    if len({layer for _, layer in found}) > 1:
        # torchvision's maxpool1 stands in front of conv2, Lucid's behind it.
        own = _OWN_FORMAT.get(stored_spec(model).get("variant"))
        chosen = [layer for form, layer in found if form == own]
        if not chosen:
            meanings = ", ".join(f"{layer} in {form}" for form, layer in found)
            raise ValueError(f"expected a name with one meaning; Received: {name!r}, which is {meanings}")
        return chosen[0]
    if not found:
        raise ValueError(
            "expected a layer of the model, or its name in Caffe ('inception_4c/output'), TF-slim ('Mixed_4d'), "
            f"torchvision ('inception4c') or Lucid ('mixed4c'), which are case-sensitive; Received: {name!r}"
        )
    return found[0][1]


def features(model, names) -> keras.Model:
    """A model that gives the activations at the named layers.

    ```python
    names = ["inception_4c/output", "Mixed_4d", "mixed4c"]  # one tensor, as Caffe, TF-slim and Lucid call it
    extractor = keras_inception.features(model, names)
    extractor(images)["mixed4c"]  # (n, 14, 14, 512)
    ```

    Names are a layer of the model, or what Caffe, TF-slim, torchvision or Lucid call it. They are case-sensitive:
    Lucid's `mixed4d` is the paper's 4d, TF-slim's `Mixed_4d` is its 4c. The other formats' name of a convolution is
    its output after the ReLU; our own layer names (`inception_3a_5x5`) are exactly that layer, and the ReLU is
    `inception_3a_relu_5x5`.

    Args:
        model: a GoogLeNet.
        names: one name or several.

    Returns:
        A `keras.Model` whose output is a dict with the names as they were asked for.

    Raises:
        ValueError: a name is unknown or has two meanings.
    """
    names = [names] if isinstance(names, str) else list(names)
    return keras.Model(model.input, {name: model.get_layer(resolve(model, name)).output for name in names})
