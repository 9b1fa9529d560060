"""A published folder brought to life: its network built and filled, and nothing of it run."""

import concurrent.futures
import contextlib
import dataclasses
import pathlib

import keras

from keras_inception import checkpoints
from keras_inception.convert.checkpoint import Checkpoint, CheckpointError
from keras_inception.hub import architecture, building, folder, serialization
from keras_inception.hub import card as cards
from keras_inception.layers.pixels import Pixels
from keras_inception.models import families
from keras_inception.models.spec import NetworkSpec

ACTIVATIONS = ("softmax", "linear", "sigmoid")


def load(content: folder.Content):
    """The model of a published folder, a `keras.Model`, or a `keras_inception.detection.RCNN`.

    Raises:
        CheckpointError: the folder's files do not fit together, or ask for what is not built; the message names the
            file.
    """
    if content.published.kind == "functional":
        return _load_functional(content)
    if content.published.kind == "detector":
        from keras_inception.model_folder import detector

        with _one_error(content.name(folder.CONFIG)):
            return detector.load(content, load)
    checkpoint, config = content.checkpoint(), content.name(folder.CONFIG)
    with _one_error(config):
        options = _options(content.published.options)
        with dtype_policy(options.pop("dtype", None)):
            spec = _at_size(checkpoint, options)
            checkpoints.check_claims(Checkpoint(spec.to_dict(), checkpoint.tensors), config)
            model = families.build(spec, **options)
    with _one_error(content.name(folder.WEIGHTS)):
        serialization.assign(checkpoints.network_variables(model), checkpoint.tensors)
    return model


@contextlib.contextmanager
def _one_error(name):
    """Turns whatever Keras raises over a stranger's file into one error that names the file."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        said = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise CheckpointError(f"{name}: {said:.600}") from error


@contextlib.contextmanager
def dtype_policy(name: str | None):
    """Makes Keras' dtype policy another one for a while; None: not."""
    before = keras.config.dtype_policy()
    try:
        if name is not None:
            keras.config.set_dtype_policy(name)
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _options(given: dict) -> dict:
    """The arguments of `families.build` that a folder keeps beside the spec, and its dtype policy."""
    known = {"classifier_activation": (str,), "dropout": (int, float), "input_shape": (list,), "name": (str,)}
    known |= {"dtype": (str,), "include_preprocessing": (bool,)}
    if any(not isinstance(value, known.get(name, ())) for name, value in given.items()):
        raise ValueError(f"expected the options {', '.join(known)}; Received: {given!r:.200}")
    options = dict(given)
    activation = options.get("classifier_activation", "softmax")
    if activation not in ACTIVATIONS:
        raise ValueError(f"expected {', '.join(ACTIVATIONS)}; Received: classifier_activation={activation!r:.100}")
    if options.get("dtype", "float32") not in architecture.POLICIES:
        raise ValueError(f"expected {', '.join(architecture.POLICIES)}; Received: dtype={options['dtype']!r:.100}")
    shape = options.get("input_shape")
    if shape is not None:
        if len(shape) != 3 or not all(n is None or (type(n) is int and 0 < n <= architecture.MAX_SIZE) for n in shape):
            raise ValueError(f"expected height, width and channels; Received: input_shape={shape!r:.100}")
        channels_last = keras.config.image_data_format() == "channels_last"
        options["input_shape"] = tuple(shape) if channels_last else (shape[2], *shape[:2])
    return options


def _at_size(checkpoint, options) -> NetworkSpec:
    """The spec, at the size that the options name."""
    spec = families.parse_spec(checkpoint.spec)
    shape = options.get("input_shape")
    if shape is None:
        return spec
    height, width, channels = shape if keras.config.image_data_format() == "channels_last" else (*shape[1:], shape[0])
    given = len(spec.channels) if channels is None else channels
    first, inputs = families.family(spec).first_kernel(spec, given)
    kernel = checkpoint.tensors.get(f"{first}/kernel")
    # Without a kernel, what is built of usual images is small, and then compared with the arrays.
    fits = given == len(spec.channels) if kernel is None else kernel.ndim == 4 and kernel.shape[2] == inputs
    if not fits:
        own = None if kernel is None else kernel.shape
        raise ValueError(f"expected the channels of the first kernel, {own}; Received: input_shape={shape}")
    if None in (height, width):
        return spec
    return dataclasses.replace(spec, input_size=height if height == width else (height, width))


def _load_functional(content) -> keras.Model:
    name = content.name(folder.ARCHITECTURE)
    config = architecture.parse(content.files[folder.ARCHITECTURE].decode("utf-8", "replace"), name)
    checkpoint, described = content.checkpoint(), content.name(folder.CONFIG)
    with _one_error(described):
        spec = checkpoints.checked_spec(checkpoint.spec).to_dict()
    with _one_error(name):
        pixels = first_pixels(config)
        own = pixels and pixels["config"].get("spec")
        # An earlier version wrote fewer fields: both are read before they are compared.
        if not isinstance(own, dict) or checkpoints.checked_spec(own).to_dict() != spec:
            raise ValueError(f"expected the spec that {folder.CONFIG} has in the pixel layer; Received: another")
        expected = {key: tuple(tensor.shape) for key, tensor in checkpoint.tensors.items()}
        # In a thread of its own, for what Keras remembers of variables that are not made belongs to the thread.
        scopes = _distribution_scopes()
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            model = thread.submit(_built, config, expected, scopes).result()
    with _one_error(described):
        classes = output_classes(model)
        if classes not in (None, spec["classes"]):
            raise ValueError(f"expected classes={classes}, the model's outputs; Received: classes={spec['classes']}")
    with _one_error(content.name(folder.WEIGHTS)):
        serialization.assign(serialization.model_variables(model), checkpoint.tensors)
        _finish(model)
    return model


def _distribution_scopes() -> list:
    """What says, of this thread, over which devices variables are distributed."""
    scopes = []
    if (distribution := keras.distribution.distribution()) is not None:
        scopes.append(distribution.scope())
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.distribute.has_strategy():
            scopes.append(tf.distribute.get_strategy().scope())
    return scopes


def _built(config, expected, scopes=()) -> keras.Model:
    """The model of a Keras JSON, whose variables are made only if their shapes are the expected ones."""
    with contextlib.ExitStack() as stack:
        for scope in scopes:
            stack.enter_context(scope)
        return _built_here(config, expected)


def _built_here(config, expected) -> keras.Model:
    with keras.StatelessScope() as scope:
        try:
            model = keras.saving.deserialize_keras_object(config)
            shapes = {key: tuple(variable.shape) for key, variable in serialization.model_variables(model).items()}
            if shapes != expected:
                wrong = sorted(key for key in {*shapes, *expected} if shapes.get(key) != expected.get(key))
                raise ValueError(
                    f"expected the architecture of {folder.WEIGHTS}; Received: one that differs in "
                    f"{', '.join(f'{key} {shapes.get(key)}, not {expected.get(key)}' for key in wrong[:6])}"
                )
        except BaseException:
            scope.initialize_variables = False
            raise
    return model


def _finish(model) -> None:
    """What Keras does after it has loaded weights itself: a `Normalization` computes with its statistics."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
        elif hasattr(layer, "layers"):
            _finish(layer)


def first_pixels(config) -> dict | None:
    """The pixel layer in a model's Keras JSON that `find_pixels` finds in the model: the one whose spec is the model's.

    A model with several GoogLeNets in it has several.
    """
    return next(building.objects(config, Pixels.__name__), None)


def output_classes(model) -> int | None:
    """How many classes a model's output has; None where that is no one output of shape (n, classes)."""
    outputs = model.output_shape
    shape = outputs.get("predictions") if isinstance(outputs, dict) else outputs
    return shape[1] if isinstance(shape, tuple) and len(shape) == 2 and isinstance(shape[1], int) else None


def verify(path, *, links=False) -> list[str]:
    """What is wrong with a published folder: one sentence each; none where it is whole, loads, and its card is true.

    Args:
        path: the folder.
        links: whether its files may be links, as in the cache of the Hub's client.
    """
    path, found = pathlib.Path(path), []
    try:
        published = folder.read_published(path, links=links)
        for name, record in published.files.items():
            folder.checked(path, name, record, links=links)
        load(folder.read(path, links=links))
        text = folder.read_text(path, folder.CARD, links=links)
    except CheckpointError as error:
        return [str(error)]
    try:
        found += cards.problems(text, published)
    except ValueError as error:
        found.append(str(error))
    return [f"{path / folder.CARD}: {problem}" for problem in found]
