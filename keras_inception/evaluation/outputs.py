"""What a classifier takes and gives: its input, its classes, and whether a softmax is still to be taken of them."""

import keras

from keras_inception.layers.pixels import find_pixels, takes_pixels


def image_input(model):
    """The symbolic input of a model of RGB pixels.

    Raises:
        ValueError: it has several, or none that is known, or takes something else.
    """
    if len(getattr(model, "inputs", None) or ()) != 1:
        raise ValueError(f"expected Keras models with one input of a known shape; Received: {model!r}")
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4 or 3 not in (shape[1], shape[3]):
        raise ValueError(f"expected models of RGB images; Received: an input of shape {shape}")
    if find_pixels(model) is not None and not takes_pixels(model):
        raise ValueError(
            f"expected models of pixels 0..255; Received: {model.name!r}, made with include_preprocessing=False"
        )
    return model.inputs[0]


def classifier_output(model):
    """The symbolic output of a model's main classifier, (n, classes).

    Raises:
        ValueError: it has none, or nobody knows which of several it is.
    """
    # A Sequential model that was not called has a list alone.
    output = main_output(model.outputs[0] if isinstance(model, keras.Sequential) else model.output)
    if len(output.shape) != 2 or output.shape[-1] is None:
        raise ValueError(f"expected models with an output (n, classes); Received: one of shape {output.shape}")
    return output


def main_output(outputs):
    """The main classifier's of the outputs of a model that has one, or several by name.

    Raises:
        ValueError: none has its name.
    """
    if isinstance(outputs, dict):
        if "predictions" not in outputs:
            raise ValueError(f"expected an output 'predictions'; Received: {', '.join(sorted(outputs))}")
        return outputs["predictions"]
    if isinstance(outputs, (list, tuple)):
        if len(outputs) != 1:
            raise ValueError(f"expected one output, or several by name; Received: {len(outputs)} without names")
        return outputs[0]
    return outputs


def precision(model) -> str | None:
    """In what the layers that have weights compute: the first of them, for the last is often float32 on its own."""
    for layer in model.layers:
        found = precision(layer) if hasattr(layer, "layers") else layer.compute_dtype if layer.weights else None
        if found is not None:
            return found
    return None


def is_logits(model) -> bool:
    """Whether a softmax is still to be taken of a classifier's outputs.

    Raises:
        ValueError: the operation that gives them does not say it.
    """
    return _is_logits(classifier_output(model))


def _is_logits(tensor) -> bool:
    # Keras has no public way from a tensor to what made it; a layer's own `output` is not that of a model around it.
    operation, node, place = getattr(tensor, "_keras_history", (None, 0, 0))
    if hasattr(operation, "layers"):
        return _is_logits(operation.outputs[place])
    activation = getattr(operation, "activation", None)
    if type(operation).__name__ == "Softmax" or activation is keras.activations.softmax:
        return False  # a layer, or an operation of `keras.ops`
    if isinstance(operation, keras.layers.Dense) and activation is keras.activations.linear:
        return True
    unchanged = isinstance(operation, (keras.layers.Identity, keras.layers.Dropout))
    if unchanged or (isinstance(operation, keras.layers.Activation) and activation is keras.activations.linear):
        return _is_logits(operation._inbound_nodes[node].input_tensors[0])
    raise ValueError(
        "expected from_logits=True or False, for the last layer does not say it; Received: "
        f"{type(operation).__name__} {getattr(operation, 'name', None)!r}"
    )
