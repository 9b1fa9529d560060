"""What a whole network costs: multiply-adds for one image, counted from its layers."""

import math

import keras

from keras_inception.layers.gabor import GaborFilterBank
from keras_inception.models.hmax import Prototypes


def multiply_adds(model) -> int:
    """The multiply-adds of one image, of convolutions, linear layers, Gabor filters and HMAX's prototypes.

    What has no kernel, such as poolings and normalizations, is left out, as the paper's "ops" leave it out.

    Args:
        model: a Keras model of layers, of known height and width. A layer that is called several times counts as often.

    Raises:
        ValueError: the size of a map is not known, or a layer has a kernel of another kind.
    """
    graph = getattr(model, "_functional", model)  # of a `Sequential`
    if not hasattr(graph, "_nodes_by_depth"):
        raise ValueError(f"expected a model made of inputs and outputs; Received: {type(model).__name__}")
    return sum(_of(node) for nodes in graph._nodes_by_depth.values() for node in nodes)


def _of(node) -> int:
    layer = node.operation
    if isinstance(layer, keras.Model):
        return multiply_adds(layer)
    if isinstance(layer, GaborFilterBank):
        channels_last = layer.data_format == "channels_last"
        colours = 1 if layer.colours == "grey" else node.input_tensors[0].shape[-1 if channels_last else 1]
        filters = sum(size**2 for size in layer.sizes) * len(layer.orientations) * colours
        return filters * _places(layer, node.output_tensors[0].shape, layer.data_format)
    if isinstance(layer, Prototypes):
        sides = _known(layer, node.input_tensors[0].shape)[1:3]
        return math.prod(layer.kernel.shape) * math.prod(max(1, n - layer.size + 1) for n in sides)
    if type(layer) is keras.layers.Conv2D:
        return math.prod(layer.kernel.shape) * _places(layer, node.output_tensors[0].shape, layer.data_format)
    if type(layer) is keras.layers.Dense:
        return math.prod(layer.kernel.shape) * math.prod(_known(layer, node.output_tensors[0].shape)[1:-1])
    if any(len(weight.shape) > 1 for weight in getattr(layer, "weights", ())):
        raise ValueError(
            f"expected kernels of Conv2D, Dense, GaborFilterBank and Prototypes alone; Received: {layer.name}, a "
            f"{type(layer).__name__}"
        )
    return 0


def _places(layer, shape, data_format) -> int:
    return math.prod(_known(layer, shape)[1:3] if data_format == "channels_last" else _known(layer, shape)[2:4])


def _known(layer, shape) -> tuple:
    if None in shape[1:]:
        raise ValueError(f"expected maps of known size; Received: {layer.name}, of shape {tuple(shape)}")
    return tuple(shape)


def parameters(model) -> int:
    """How many numbers a model has, learned or fixed: all weights but the moving statistics of batch normalization."""
    return sum(math.prod(weight.shape) for weight in model.weights if not weight.name.startswith("moving_"))
