"""A network and its weights brought together: the public `GoogLeNet` and `NetworkInNetwork`, and conversion."""

import dataclasses
import logging
import pathlib

import keras

from keras_inception.checkpoints import load_checkpoint, model_spec, network_variables
from keras_inception.convert.checkpoint import Checkpoint
from keras_inception.hub import folder, serialization
from keras_inception.labels import label_set
from keras_inception.models import families
from keras_inception.models.auxiliary import HEADS
from keras_inception.models.googlenet_spec import GoogLeNetSpec
from keras_inception.models.inputs import check_options
from keras_inception.models.network_in_network import NetworkInNetworkSpec
from keras_inception.models.spec import NetworkSpec

logger = logging.getLogger(__name__)


def GoogLeNet(  # noqa: N802 (a network's name, as in keras.applications)
    include_top=True,
    weights="imagenet",
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=None,
    classifier_activation="softmax",
    name="googlenet",
    *,
    variant=None,
    aux_heads=False,
    stem=None,
    widths=None,
    dropout=None,
    labels=None,
    include_preprocessing=True,
    allow_unverified=False,
) -> keras.Model:
    """GoogLeNet ("Going deeper with convolutions", Table 1), with its public pretrained weights.

    ```python
    model = keras_inception.GoogLeNet(weights="imagenet")
    print(keras_inception.decode_predictions(model.predict(images), top=5))  # RGB pixels, 0..255
    ```

    What is not said, the weights say: `classes`, `variant`, `stem` and `input_shape` are the file's, and without
    weights the paper's network with 1000 classes at 224 x 224. An argument that contradicts the weights is an error.

    "The paper's network" is a choice, for the paper does not agree with itself: `GoogLeNetSpec` lists where. In short:
    this is Table 1's channel columns, as everybody has built it; the params and ops columns printed beside them belong
    in part to another network (a separable conv1, 204 filters in 4a, 48 in 5a's 5x5 reduction, the last two as in
    `variant="inception5h"`).

    Args:
        include_top: whether the classifier is there. Without it the output is 5b's, 7 x 7 x 1024 at 224 x 224.
        weights: None for fresh ones; `"imagenet"`, the public ones of the variant; a tag of `keras-inception list`;
            the path of a weight file in its original format, of a `.safetensors` of ours, or of a published folder;
            `hf://owner/name[@revision]`.
        input_tensor: a Keras tensor to build upon.
        input_shape: height, width and channels, 32 or more; None in place of a number for any size (not with heads).
        pooling: with `include_top=False`: None, `"avg"` or `"max"` over 5b's map.
        classes: outputs. Another number than the weights' keeps the trunk and begins the last linear layer of each
            classifier anew.
        classifier_activation: of every classifier; None for logits.
        name: the model's name.
        variant: `"paper"`, `"batch_norm"`, `"slim"`, `"torchvision"` or `"inception5h"`; they differ as `VARIANTS`
            says.
        aux_heads: add the auxiliary classifiers on 4a and 4d (section 5): the output is a dict of `predictions`,
            `aux_4a` and `aux_4d`; train with `auxiliary_losses`, finish with `remove_aux_heads`.
        stem: `"imagenet"`, or `"small"` for images of about 32 x 32; `"gabor"` and `"small_gabor"` have fixed Gabor
            filters in place of the first convolution, for comparison (section 2).
        widths: modules that are not the variant's, by name: `{"3a": (64, 96, 128, 16, 32, 32)}`, filters in the order
            of Table 1's columns; three numbers, of 1x1, 3x3 and 5x5, for one without reductions (figure 2a).
        dropout: rate before the main classifier; None for the variant's (section 5: 40 %).
        labels: the classes' names, or the name of a label set, which stay with the model: `decode_predictions(...,
            labels=model)`. Their number is `classes`.
        include_preprocessing: False for the bare network, whose input is then `(pixels - mean) * scale` of its spec.
        allow_unverified: load public weights of which no checksum was ever published.

    Returns:
        A `keras.Model` from RGB pixels in 0..255, (n, height, width, 3), to class probabilities (n, classes).

    Raises:
        ValueError: an argument is wrong, or contradicts the weights; or the weights do not fit.
        CheckpointError: the weight file is damaged.
        DownloadError: the public weights can be had from no mirror.
    """
    options = {
        "include_top": include_top,
        "input_tensor": input_tensor,
        "input_shape": input_shape,
        "pooling": pooling,
        "classifier_activation": classifier_activation,
        "dropout": dropout,
        "include_preprocessing": include_preprocessing,
        "name": name,
    }
    labels, classes = _labels(labels, classes)
    own = {"aux_heads": aux_heads, "labels": labels, "widths": tuple(widths.items()) if widths else None}
    spec = GoogLeNetSpec(variant or "paper", stem or "imagenet", classes, **own)
    if weights is None:
        return families.build(spec, **options)

    asked = {"variant": variant, "stem": stem, "widths": spec.widths}
    checkpoint = _without_background(_load(spec, weights, options, asked, allow_unverified), classes)
    stored = dataclasses.replace(GoogLeNetSpec.from_dict(checkpoint.spec), aux_heads=aux_heads)
    return _with_weights(_asked_for(stored, classes, labels, weights), checkpoint, options)


def NetworkInNetwork(  # noqa: N802 (a network's name, as in keras.applications)
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=None,
    classifier_activation="softmax",
    name="network_in_network",
    *,
    variant=None,
    dropout=None,
    labels=None,
    include_preprocessing=True,
    allow_unverified=False,
) -> keras.Model:
    """Network in Network (Lin, Chen, Yan 2013), of whose 1x1 convolutions the Inception module is made.

    ```python
    model = keras_inception.NetworkInNetwork(variant="cifar10")
    ```

    What is not said, the weights say, as for `GoogLeNet`.

    Args:
        include_top: whether the classifier is there, the last 1x1 convolution and the average over its map. Without it
            the output is that of the 1x1 convolution before: 8 x 8 x 192 at 32 x 32, 6 x 6 x 1024 at 224 x 224.
        weights: None for fresh ones; `"imagenet"`, the public ones of Caffe's model zoo, for which no checksum was
            ever published; a tag of `keras-inception list`; the path of a `.caffemodel`, of a `.safetensors` of ours,
            or of a published folder; `hf://owner/name[@revision]`.
        input_tensor: a Keras tensor to build upon.
        input_shape: height, width and channels; None in place of a number for any size, but for weights whose second
            pooling takes the average, which wants a known one: those of the CIFAR-10 model of Caffe's zoo.
        pooling: with `include_top=False`: None, `"avg"` or `"max"` over the map.
        classes: outputs. Another number than the weights' keeps all but the last convolution.
        classifier_activation: of the classifier; None for logits, which are never negative, for a ReLU stands before
            the average in this network.
        name: the model's name.
        variant: `"cifar10"`, `"cifar100"`, `"mnist"` (grey, 28 x 28) or `"imagenet"`, the default.
        dropout: rate of the dropouts; None for 0.5.
        labels: the classes' names, or the name of a label set. Their number is `classes`.
        include_preprocessing: False for the bare network, whose input is then `(pixels - mean) * scale` of its spec;
            or, of files that were trained on whitened images, such as the CIFAR-10 model of Caffe's zoo, these.
        allow_unverified: load public weights of which no checksum was ever published.

    Returns:
        A `keras.Model` from pixels in 0..255, (n, height, width, 3), or 1 channel, to class probabilities (n, classes).

    Raises:
        ValueError: an argument is wrong, or contradicts the weights; or the weights do not fit.
        CheckpointError: the weight file is damaged.
        DownloadError: the public weights can be had from no mirror.
    """
    options = {
        "include_top": include_top,
        "input_tensor": input_tensor,
        "input_shape": input_shape,
        "pooling": pooling,
        "classifier_activation": classifier_activation,
        "dropout": dropout,
        "include_preprocessing": include_preprocessing,
        "name": name,
    }
    labels, classes = _labels(labels, classes)
    if weights is None:
        return families.build(NetworkInNetworkSpec(variant or "imagenet", classes, labels=labels), **options)

    # Which variant it is may only be known when the weights are: none takes smaller images than those of CIFAR.
    smallest = NetworkInNetworkSpec(variant or "cifar10", classes, labels=labels)
    checkpoint = _load(smallest, weights, options, {"variant": variant}, allow_unverified)
    stored = NetworkInNetworkSpec.from_dict(checkpoint.spec)
    return _with_weights(_asked_for(stored, classes, labels, weights), checkpoint, options)


def network_of(weights, *, allow_unverified=False) -> keras.Model:
    """The network that a set of weights is of, whichever that is, as its weights have it.

    Raises:
        ValueError, CheckpointError, DownloadError: as of `GoogLeNet`.
    """
    checkpoint = _without_background(load_checkpoint(weights, allow_unverified=allow_unverified), None)
    spec = families.parse_spec(checkpoint.spec)
    return _with_weights(dataclasses.replace(spec, aux_heads=False) if spec.aux_heads else spec, checkpoint, {})


def _labels(labels, classes):
    """The labels of the caller, and the classes that they are."""
    if labels is not None:
        labels = labels if isinstance(labels, str) else tuple(labels)
        count = len(label_set(labels).classes) if isinstance(labels, str) else len(labels)
        classes = count if classes is None else classes
        if count != classes:
            raise ValueError(f"expected {classes} labels, one per class; Received: {count}")
    return labels, classes


def _load(spec: NetworkSpec, weights, options: dict, asked: dict, allow_unverified: bool) -> Checkpoint:
    """The weights, which must be of the spec's architecture.

    Args:
        spec: what is known of the network before its weights are; what is wrong with it is said before they are loaded.
        weights: as of `load_checkpoint`.
        options: of the builder.
        asked: fields of the spec that the weights must have as they are here; None: any.
        allow_unverified: as of `load_checkpoint`.
    """
    check_options(spec, **{name: options[name] for name in ("include_top", "input_shape", "pooling")})
    checkpoint = load_checkpoint(
        weights,
        variant=asked["variant"],
        architecture=spec.ARCHITECTURE,
        aux_heads=spec.aux_heads,
        allow_unverified=allow_unverified,
    )
    stored = families.parse_spec(checkpoint.spec)
    if stored.ARCHITECTURE != spec.ARCHITECTURE:
        raise ValueError(
            f"expected the weights of a {spec.ARCHITECTURE}; Received: {str(weights)!r}, those of a "
            f"{stored.ARCHITECTURE}"
        )
    for argument, value in asked.items():
        if value is not None and value != getattr(stored, argument):
            own = getattr(stored, argument)
            raise ValueError(f"expected {argument}={own!r}, as the weights {weights!r} have it; Received: {value!r}")
    if spec.aux_heads and not stored.aux_heads:
        raise ValueError(
            f"expected weights with auxiliary heads for aux_heads=True; Received: weights={weights!r}, without"
        )
    return checkpoint


def _asked_for(spec: NetworkSpec, classes, labels, weights) -> NetworkSpec:
    """The spec of the weights, with the classes and labels that were asked for."""
    if classes is not None and classes != spec.classes:
        spec = dataclasses.replace(spec, classes=classes, labels=None)
    if labels is not None:
        if spec.labels not in (None, labels):
            logger.warning("The classifier is that of the weights %s, under the given labels.", weights)
        spec = dataclasses.replace(spec, labels=labels)
    return spec


def _with_weights(spec: NetworkSpec, checkpoint: Checkpoint, options: dict) -> keras.Model:
    """The network of a spec, with what fits of the arrays."""
    model = families.build(spec, **options)
    stored, include_top = families.parse_spec(checkpoint.spec), options.get("include_top", True)
    serialization.assign(
        network_variables(model),
        checkpoint.tensors,
        fresh=_fresh_layers(model, checkpoint, stored, include_top),
        ignored=_ignored_layers(checkpoint, stored, spec.aux_heads, include_top),
    )
    return model


def _without_background(checkpoint: Checkpoint, classes) -> Checkpoint:
    """Drops the background, the untrained first of TF-slim's 1001 classes, unless all 1001 are asked for."""
    if checkpoint.spec["architecture"] != "GoogLeNet" or checkpoint.spec["labels"] != "imagenet_background":
        return checkpoint
    if classes == checkpoint.spec["classes"]:
        return checkpoint
    tensors = {
        name: array[..., 1:] if name.startswith("loss3_classifier/") else array
        for name, array in checkpoint.tensors.items()
    }
    return Checkpoint({**checkpoint.spec, "classes": checkpoint.spec["classes"] - 1, "labels": "imagenet"}, tensors)


def _fresh_layers(model, checkpoint: Checkpoint, stored: NetworkSpec, include_top: bool) -> list[str]:
    """The layers that keep their initial weights, which the log says."""
    present = {layer.name for layer in model.layers}
    fresh = []
    spec = model_spec(model)
    if include_top and spec.classes != stored.classes:
        fresh = sorted(families.family(spec).classifiers(spec))
        logger.warning(
            "The weights have %d classes and the model %d: the trunk is kept; with fresh weights: %s.",
            stored.classes,
            spec.classes,
            ", ".join(fresh),
        )
    for _, loss in HEADS.values():
        layer = f"{loss}_fc"
        tensor = checkpoint.tensors.get(f"{layer}/kernel")
        if layer in present and tensor is not None and model.get_layer(layer).kernel.shape[0] != tensor.shape[0]:
            fresh.append(layer)
            logger.warning(
                "%s has fresh weights: those in the file fit %d inputs, and at the size %s it has %d.",
                layer,
                tensor.shape[0],
                spec.height_width,
                model.get_layer(layer).kernel.shape[0],
            )
    return fresh


def _ignored_layers(checkpoint: Checkpoint, stored: NetworkSpec, aux_heads: bool, include_top: bool) -> list[str]:
    layers = {name.partition("/")[0] for name in checkpoint.tensors}
    unwanted = () if aux_heads else tuple(f"{loss}_" for _, loss in HEADS.values())
    unwanted += () if include_top else tuple(families.family(stored).classifiers(stored))
    return [layer for layer in layers if unwanted and layer.startswith(unwanted)]


def convert(source, destination, *, variant=None, half=False, allow_unverified=False) -> pathlib.Path:
    """Converts weights of any readable kind.

    Args:
        source: whatever `GoogLeNet(weights=...)` takes.
        destination: a `.safetensors` file, a `.keras` file, or a folder, which becomes a published one.
        variant: for a source of `"imagenet"`.
        half: store kernels in float16.
        allow_unverified: also a source of which no checksum was ever published.

    Returns:
        The destination.

    Raises:
        ValueError: the source is not readable, or the destination of an unknown kind.
    """
    destination = pathlib.Path(destination)
    checkpoint = load_checkpoint(source, variant=variant, allow_unverified=allow_unverified)
    # Loading it proves that it fits the network that it says it fits.
    model = families.build(families.parse_spec(checkpoint.spec))
    serialization.assign(network_variables(model), checkpoint.tensors)
    if destination.suffix == ".keras":
        destination.parent.mkdir(parents=True, exist_ok=True)
        model.save(destination)
    elif destination.suffix == ".safetensors":
        serialization.write(destination, checkpoint, half=half)
    elif destination.suffix == "":
        folder.write(destination, checkpoint, half=half)
    else:
        raise ValueError(
            f"expected a destination that ends in .safetensors or .keras, or a folder; Received: {destination}"
        )
    return destination
