"""Caffe's arrays of Network in Network as a checkpoint: the ImageNet and the CIFAR-10 model of its zoo, and others."""

import numpy as np

from keras_inception.convert import names
from keras_inception.convert.checkpoint import Checkpoint, CheckpointError

# The mean of Caffe's ImageNet mean image, which its zoo's model was trained with, in RGB.
IMAGENET_MEAN = [122.7, 116.7, 104.0]


def assemble(layers: dict[str, tuple[np.ndarray, np.ndarray]]) -> Checkpoint:
    """Turns Caffe's arrays into a checkpoint of ours, whose layers have Caffe's names.

    Which network it is, its layers and shapes say. What they cannot say is taken as it was in the published files: the
    second pooling of the CIFAR-10 model takes the average; the small networks were trained on whitened images, RGB, and
    get no mean; that of ImageNet on BGR, with Caffe's mean image.

    Args:
        layers: weights and biases by Caffe's layer name, (out, in, height, width) and (out).

    Raises:
        CheckpointError: layers are missing or do not agree with each other.
    """
    small, large = names.NIN_LAYERS[:9], names.NIN_LAYERS
    deep = any(name in layers for name in large[9:])
    wanted = large if deep else small
    if missing := [name for name in wanted if name not in layers]:
        raise CheckpointError(f"expected a whole Network in Network; Received: no weights of {', '.join(missing)}")
    tensors, inputs = {}, None
    with np.errstate(over="ignore", invalid="ignore"):  # a double too large becomes an infinity, which is reported
        for name in wanted:
            kernel, bias = layers[name]
            fits = kernel.ndim == 4 and bias.size == kernel.shape[0] == max(bias.shape)
            if not fits or inputs not in (None, kernel.shape[1]):
                shapes = " and ".join(str(array.shape) for array in layers[name])
                raise CheckpointError(f"expected weights and biases of {name} that fit; Received: {shapes}")
            inputs = kernel.shape[0]
            if name == "conv1" and deep:
                kernel = kernel[:, ::-1]  # BGR to RGB
            tensors[f"{name}/kernel"] = np.array(kernel.transpose(2, 3, 1, 0), dtype=np.float32, order="C")
            tensors[f"{name}/bias"] = np.array(bias.reshape(-1), dtype=np.float32)
    channels, classes = tensors["conv1/kernel"].shape[2], inputs
    if deep:
        variant, mean, labels = "imagenet", IMAGENET_MEAN, {1000: "imagenet"}.get(classes)
    else:
        variant = "mnist" if channels == 1 else "cifar100" if classes == 100 else "cifar10"
        mean, labels = [0.0] * channels, "cifar10" if (variant, classes) == ("cifar10", 10) else None
    spec = {
        "architecture": "NetworkInNetwork",
        "variant": variant,
        "classes": classes,
        "mean": list(mean),
        "scale": [1.0] * channels,
        "second_pool": "average" if variant == "cifar10" else "max",
        "labels": labels,
    }
    return Checkpoint(spec, tensors)
