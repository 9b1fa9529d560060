"""Where weights are found and how they are read: by tag, path or reference to a `Checkpoint`; and a model as one."""

import dataclasses
import logging
import math
import pathlib

import keras

from keras_inception import convert as readers
from keras_inception.convert.checkpoint import Checkpoint, CheckpointError
from keras_inception.hub import download, folder, manifest, serialization
from keras_inception.labels import label_set
from keras_inception.layers.pixels import find_pixels
from keras_inception.models.auxiliary import HEADS
from keras_inception.models.families import family, parse_spec
from keras_inception.models.googlenet_spec import STEMS, GoogLeNetSpec
from keras_inception.models.spec import NetworkSpec
from keras_inception.preprocessing import Preprocessing

logger = logging.getLogger(__name__)

# Pixels of the input from one window of the auxiliary heads' pooling to the next, by the stem's usual input size.
_HEAD_STRIDE = {224: 3 * 16, 32: 3 * 4}


def model_spec(model) -> NetworkSpec:
    """What a model is: its variant, classes, preprocessing, labels, and where its weights came from.

    Args:
        model: a network of ours, also one that was saved and loaded, or cloned; or a model built upon one, whose spec
            is that of the network in it (a classifier of one's own is not in the spec).

    Returns:
        A `GoogLeNetSpec`, whose `aux_heads` says whether the model has them now; or a `NetworkInNetworkSpec`.

    Raises:
        ValueError: there is no pixel layer of ours in the model.
    """
    pixels = find_pixels(model)
    if pixels is None or not pixels.spec:
        raise ValueError(
            f"expected a model that was built by keras_inception; Received: {model.name}, without its pixel layer"
        )
    spec = parse_spec(pixels.spec)
    if not isinstance(spec, GoogLeNetSpec):
        return spec
    output = getattr(model, "output", None)  # a Sequential of models has none of its own
    heads = isinstance(output, dict) and set(HEADS) <= set(output)
    return dataclasses.replace(spec, aux_heads=heads)


def network_variables(model) -> dict:
    """The variables of the network in a model, without those of layers in front of it (`input_tensor`) or behind."""
    spec = model_spec(model)
    layers = set(family(spec).weighted_layers(spec))
    return {
        name: variable
        for name, variable in serialization.model_variables(model).items()
        if name.partition("/")[0].removesuffix("_bn") in layers
    }


def to_checkpoint(model) -> Checkpoint:
    """The spec and all tensors of a network, as our file format stores them.

    Raises:
        ValueError: the model is no whole network, for its classifier was replaced or left out.
    """
    spec = model_spec(model)
    if find_pixels(model).mean is None:  # include_preprocessing=False: the file must give the same function
        count = len(spec.channels)
        spec = dataclasses.replace(spec, mean=(0.0,) * count, scale=(1.0,) * count)
    tensors = {name: keras.ops.convert_to_numpy(variable.value) for name, variable in network_variables(model).items()}
    checkpoint = Checkpoint(spec.to_dict(), tensors)
    check_claims(checkpoint, model.name)
    return checkpoint


def embedded() -> dict[str, pathlib.Path]:
    """The weights that come with the package, by tag: in it where it is installed, beside it in a clone."""
    package = pathlib.Path(__file__).parent
    for place in (package / "weights", package.parent / "weights"):
        found = {path.parent.name: path.parent for path in sorted(place.glob(f"*/{folder.CONFIG}"))}
        if found:
            return found
    return {}


def load_checkpoint(weights, *, variant=None, architecture=None, aux_heads=False, allow_unverified=False) -> Checkpoint:
    """Finds and reads weights: `"imagenet"`, a tag, a path, or `hf://owner/name[@revision]`.

    Args:
        weights: which.
        variant: for `"imagenet"`, which network's.
        architecture: of public weights: the one that they must be of; None: any, and for `"imagenet"`, GoogLeNet.
        aux_heads: whether public weights are of use only with the auxiliary heads.
        allow_unverified: also public weights of which no checksum was ever published.

    Raises:
        ValueError: nothing is known by that name; the message lists the accepted forms.
    """
    text = str(weights)
    ours = embedded()
    if text.startswith("hf://"):
        from keras_inception.hub import stores

        checkpoint = _of_network(stores.fetch(text).content, text)
    elif text in ours:
        checkpoint = _of_network(folder.read(ours[text]), text)
    elif text == "imagenet" or text in manifest.entries():
        options = {"variant": variant, "architecture": architecture, "aux_heads": aux_heads}
        checkpoint = _read_public(text, {**options, "allow_unverified": allow_unverified})
    else:
        checkpoint = _read_path(pathlib.Path(weights).expanduser())
    return Checkpoint(check_claims(checkpoint, text).to_dict(), checkpoint.tensors)


def _of_network(content, name) -> Checkpoint:
    """The arrays of a published folder, which must be those of a network of ours and no more."""
    kind = content.published.kind
    if kind in ("functional", "detector"):
        what = "a detector" if kind == "detector" else f"a {kind} model that is built upon one"
        raise ValueError(
            f"expected the weights of a network of ours; Received: {name!r}, {what}: keras_inception.from_hub loads it "
            "whole"
        )
    return content.checkpoint()


def _read_public(tag, options) -> Checkpoint:
    path = fetch(tag, **options)
    try:
        return serialization.read(path)
    except CheckpointError as error:
        logger.warning("The converted weights in the cache are damaged, and are made anew: %s", error)
        path.unlink(missing_ok=True)
        return serialization.read(fetch(tag, **options))


def _read_path(path: pathlib.Path) -> Checkpoint:
    if path.is_dir():
        return _of_network(folder.read(path), str(path))
    reader = readers.reader(path)
    if path.exists() and path.name.endswith(".safetensors"):
        return serialization.read(path)
    if path.exists() and path.name.endswith(".keras"):
        return to_checkpoint(keras.saving.load_model(path, compile=False))
    if reader is None or not (path.exists() or path.with_name(f"{path.name}.index").exists()):
        tags = ", ".join(repr(tag) for tag in ("imagenet", *embedded(), *manifest.entries()))
        raise ValueError(
            f"expected weights to be None, one of {tags}, 'hf://owner/name[@revision]', a published folder, or a file "
            f"that ends in .safetensors, .keras, {', '.join(readers.FORMATS)}; Received: weights={str(path)!r}, "
            f"{'of another kind' if path.exists() else 'which does not exist'}"
        )
    checkpoint = reader.read(path)
    return Checkpoint({**checkpoint.spec, **_published(checkpoint.spec), "source": path.name}, checkpoint.tensors)


def checked_spec(data: dict) -> NetworkSpec:
    """The spec in a file's data, whose preprocessing is one, and whose labels are known, as many as there are classes.

    Raises:
        ValueError: it is none, or they are not.
    """
    spec = parse_spec(data)
    if spec.preprocessing is not None:
        Preprocessing.from_dict(spec.preprocessing)
    if isinstance(spec.labels, str) and len(label_set(spec.labels)) != spec.classes:
        count = len(label_set(spec.labels))
        raise ValueError(f"expected {spec.classes} labels, one per class; Received: {spec.labels!r}, which are {count}")
    return spec


def check_claims(checkpoint: Checkpoint, name: str) -> NetworkSpec:
    """The spec, unless its own weights contradict it: a network of the size that a file claims is built only then."""
    try:
        spec = checked_spec(checkpoint.spec)
    except ValueError as error:
        raise CheckpointError(f"{name}: {error}") from error
    if min(spec.height_width) < spec.min_size:
        raise CheckpointError(f"{name}: expected an input size of {spec.min_size} or more; Received: {spec.input_size}")
    for layer, expected in family(spec).classifiers(spec).items():
        kernel = checkpoint.tensors.get(f"{layer}/kernel")
        if kernel is None or kernel.shape != expected:
            received = "none" if kernel is None else kernel.shape
            raise CheckpointError(f"{name}: expected {layer}/kernel of shape {expected}; Received: {received}")
    claimed, held = family(spec).own_weights(spec), sum(tensor.size for tensor in checkpoint.tensors.values())
    if claimed > held:
        raise CheckpointError(f"{name}: expected {claimed} weights in modules of these widths; Received: {held} in all")
    for _, loss in HEADS.values() if spec.aux_heads else ():
        kernel = checkpoint.tensors.get(f"{loss}_fc/kernel")
        stride = _HEAD_STRIDE[STEMS[spec.stem]]
        inputs = 128 * math.prod(-(-side // stride) for side in spec.height_width)  # or somewhat fewer
        if kernel is None or inputs > 2 * kernel.shape[0] + 4096:
            raise CheckpointError(
                f"{name}: expected {loss}_fc/kernel for an input size of {spec.input_size}; Received: less"
            )
    return spec


def _published(spec: dict) -> dict:
    """What the manifest knows of the public weights that a file looks like, and the file cannot say."""
    network = (spec["architecture"], spec["variant"])
    alike = [entry for entry in manifest.entries().values() if (entry.architecture, entry.variant) == network]
    for entry in alike:
        if entry.classes == spec["classes"]:
            known = {"mean": entry.mean, "scale": entry.scale, "labels": entry.labels}
            return {**known, "preprocessing": entry.preprocessing}
    return {"preprocessing": alike[0].preprocessing} if alike else {}  # a retraining


def fetch(tag: str, *, variant=None, architecture=None, aux_heads=False, allow_unverified=False) -> pathlib.Path:
    """Downloads public weights once, verifies them, and keeps them converted in the cache folder.

    Args:
        tag: `"imagenet"`, or a tag of the manifest.
        variant, architecture: which ImageNet weights; see `load_checkpoint`.
        aux_heads: whether the weights are of use only with the auxiliary heads; a second source may lack them.
        allow_unverified: also where no checksum was ever published.

    Returns:
        The converted file.

    Raises:
        ChecksumError: no checksum was published, and `allow_unverified` is not given.
        DownloadError: no mirror has the file.
    """

    def converter(entry):
        def to_safetensors(original, converted):
            checkpoint = readers.read(original)
            spec = {**checkpoint.spec, **_published(checkpoint.spec), "source": entry.tag}
            serialization.write(converted, Checkpoint(spec, checkpoint.tensors))

        return to_safetensors

    entry = manifest.resolve(tag, variant, architecture)
    return download.fetch_or_fall_back(entry, converter, aux_heads=aux_heads, allow_unverified=allow_unverified)[0]
