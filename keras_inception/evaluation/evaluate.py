"""An evaluation as in section 7 of the paper: crops, models, and what they get right."""

import builtins
import collections
import collections.abc
import dataclasses
import re
import sys

import numpy as np

from keras_inception.datasets import Source
from keras_inception.datasets.photos import decode_photo
from keras_inception.evaluation.classes import check_same_classes, class_names, match_classes
from keras_inception.evaluation.crops import Protocol, find_protocol
from keras_inception.evaluation.ensemble import Ensemble
from keras_inception.evaluation.metrics import Tally
from keras_inception.evaluation.progress import Progress, fingerprint
from keras_inception.evaluation.report import Evaluation
from keras_inception.evaluation.stream import crop_batches, examples
from keras_inception.layers.pixels import stored_spec
from keras_inception.preprocessing import find_preprocessing


@dataclasses.dataclass(frozen=True)
class Options:
    """What `evaluate` can be told besides models, data and crops; see there."""

    classes: tuple | None = None
    preprocessing: object = None
    from_logits: bool | None = None
    batch_size: int = 64
    limit: int | None = None
    resume: object = None
    progress: bool = True


def evaluate(
    models,
    dataset,
    protocol="1",
    *,
    classes=None,
    preprocessing=None,
    from_logits=None,
    batch_size=64,
    limit=None,
    resume=None,
    progress=True,
) -> Evaluation:
    """Evaluates a classifier, or several as an ensemble: their softmax, averaged over crops and models.

    ```python
    evaluation = keras_inception.evaluate([first, second], tfds.load("cifar10", split="test"), protocol="144")
    print(evaluation.top1_accuracy, evaluation)
    evaluation.save("result.json", "result.png")
    ```

    Photos stream: memory depends neither on their number nor on that of the crops. Every photo counts exactly once.
    Models that were made under a `tf.distribute` strategy run under it, on all workers, which share the photos.

    Args:
        models: one Keras model or a list of them, from RGB pixels 0..255 to classes; or a dict of them, by names that
            the result shall have for them.
        dataset: labelled images, any of what `keras_inception.evaluation.stream.examples` takes: a `tf.data.Dataset`
            of (image, label), arrays, an iterable, or a source of `keras_inception.datasets`.
        protocol: the crops: `"1"`, as the model was trained (one central crop); `"10"`, four corners and the centre of
            the central square, and their mirror images; `"144"`, four scales, three squares, six crops, and their
            mirror images; `"short_side"`, `"warp"` (Caffe's) or `"central_fraction"` (TF-slim's), one crop after that
            resize; or a `Protocol`.
        classes: the names of the data set's labels, in their order; None: a source's own; or, where the data set has
            none, labels are numbers of the model's outputs. Classes are found among the model's by their names.
        preprocessing: a `Preprocessing`; None: the first model's.
        from_logits: whether a softmax is still to be taken; None: where the last layer has none.
        batch_size: crops that the models see at once, over all replicas, or a few more.
        limit: photos at most; None for all. Of arrays and folders they are drawn, always the same ones; of other data
            they are the first.
        resume: a file that keeps what is done: an evaluation that was killed goes on from there. None for none.
        progress: whether a progress bar is shown, on a terminal.

    Returns:
        The `Evaluation`.

    Raises:
        ValueError: models, data or options are not like that, an image cannot be decoded, or `resume` is the file of
            another evaluation (which is told by weights, settings, the number of photos and the first of them; of
            arrays and folders by all labels and names).
        OSError: a file cannot be read or written.
    """
    options = Options(classes, preprocessing, from_logits, batch_size, limit, resume, progress)
    (evaluation,) = evaluate_groups(models, dataset, protocol, None, options)
    return evaluation


def evaluate_groups(models, dataset, protocol, groups, options: Options) -> list[Evaluation]:
    """Evaluates several ensembles of the same models in one pass over the crops.

    Args:
        models, dataset, protocol: as for `evaluate`.
        groups: a list of lists of numbers of models; None: all models, as one ensemble.
        options: as the arguments of `evaluate`.

    Returns:
        An `Evaluation` for each group.

    Raises:
        ValueError: as from `evaluate`.
    """
    protocol = find_protocol(protocol)
    called = None
    if isinstance(models, collections.abc.Mapping):
        called, models = list(map(str, models)), list(models.values())
    if options.limit is not None and options.limit < 1:
        raise ValueError(f"expected limit=None, or 1 or more; Received: limit={options.limit}")
    ensemble = Ensemble(models, from_logits=options.from_logits, mirrored=protocol.mirrored)
    groups = [list(range(len(ensemble.models)))] if groups is None else groups
    first, classes = ensemble.models[0], ensemble.classes
    check_same_classes(ensemble.models, classes)
    preprocessing = _preprocessing(options.preprocessing, ensemble, protocol)
    if options.resume is not None and isinstance(dataset, collections.abc.Iterator):
        raise ValueError(f"expected data that can be read again, to resume; Received: {type(dataset).__name__}")
    names = options.classes or (dataset.classes if isinstance(dataset, Source) else None)
    columns = None if names is None else match_classes(names, first, classes)
    photos = examples(dataset, drawn=options.limit is not None)
    if options.limit is not None:
        photos = photos.take(options.limit)
    if int(photos.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
        raise ValueError("expected a data set with an end, or limit=; Received: one that repeats for ever")
    worker = ensemble.worker
    settings = (protocol, preprocessing, None if columns is None else columns.tolist(), options.limit, groups)
    settings += (ensemble.logits, ensemble.precisions, dataset.contents() if isinstance(dataset, Source) else None)
    progress = Progress(
        options.resume,
        [Tally(classes) for _ in groups],
        lambda: fingerprint(ensemble.models, photos, *settings),
        worker=worker,
    )
    left = photos.shard(worker[1], worker[0]).skip(progress.done)
    try:
        with _bar(photos, worker, progress.done, options.progress) as bar:
            for found, labels in averaged_photos(ensemble, left, protocol, preprocessing, options.batch_size):
                labels = _outputs(labels, columns)
                progress.add([found[:, members].mean(1) for members in groups], labels)
                bar.update(len(labels))
    except KeyboardInterrupt:
        progress.save()
        raise
    except Exception as error:
        _explain(left, error)
        raise
    progress.save()
    counts = ensemble.sum_over_workers(np.concatenate([tally.to_vector() for tally in progress.tallies]))
    if not counts.any():
        raise ValueError("expected at least one image; Received: none")
    called = called or [stored_spec(model).get("source") or model.name for model in ensemble.models]
    return [
        Evaluation(
            protocol,
            tuple(called[member] for member in members),
            tuple(ensemble.precisions[member] for member in members),
            class_names(first, classes, columns, names or ()),
            Tally.from_vector(part, classes),
        )
        for members, part in zip(groups, np.split(counts, len(groups)), strict=True)
    ]


def _preprocessing(preprocessing, ensemble, protocol):
    """How the photos come to all models, which see the same crops."""
    found = [find_preprocessing(preprocessing, model) for model in ensemble.models]
    if len({protocol.scales(each) for each in found}) > 1:
        raise ValueError(
            "expected models that see photos in the same way, or preprocessing= for all, or a protocol with a resize "
            f"of its own; Received: {', '.join(map(str, dict.fromkeys(found)))}"
        )
    sides = zip(ensemble.height_width, found[0].height_width, strict=True)
    if any(side not in (None, wanted) for side, wanted in sides):
        raise ValueError(
            f"expected a preprocessing of the models' input size, {ensemble.height_width}; Received: {found[0]}"
        )
    return found[0]


def _bar(photos, worker, done, shown):
    """The progress bar of the first worker, over its share of the photos."""
    from huggingface_hub.utils import tqdm

    count = int(photos.cardinality())  # negative where nobody knows
    total = -(-(count - worker[0]) // worker[1]) if count >= 0 else None
    # disable=None: only on a terminal.
    disable = None if shown and worker[0] == 0 else True
    return tqdm(total=total, initial=done, unit=" photos", file=sys.stderr, disable=disable)


def averaged_photos(ensemble, photos, protocol: Protocol, preprocessing, batch_size):
    """The probabilities of all photos, averaged over their crops, in order and as they are ready.

    Args:
        ensemble: the models.
        photos: as `examples` gives them.
        protocol, preprocessing: the crops.
        batch_size: crops that the models see at once, over all replicas, or a few more.

    Yields:
        Of some photos at a time: float64 (n, models, classes), and their labels (n,).

    Raises:
        ValueError: `batch_size` is not positive.
    """
    if batch_size < 1:
        raise ValueError(f"expected a positive batch_size; Received: batch_size={batch_size!r}")
    # As many for each replica; what is missing in the last batch is filled up.
    shares = (1 + protocol.mirrored) * ensemble.replicas
    rows = -(-batch_size // shares) * ensemble.replicas
    crops_each = protocol.crops // (1 + protocol.mirrored)
    waiting, kept = collections.deque(), []
    for batch in _and_then(crop_batches(photos, protocol, preprocessing, rows), None):
        if batch is not None:
            crops, labels = batch
            # The last batch is filled up, for every shape is compiled anew.
            missing = rows - len(labels)
            crops = np.pad(crops, [(0, missing), (0, 0), (0, 0), (0, 0)]) if missing else crops
            waiting.append((ensemble(crops), labels.numpy()))
        # While the models have one batch, the results of that before are counted.
        while len(waiting) > (batch is not None):
            wait, labels = waiting.popleft()
            kept.append((wait()[: len(labels)], labels))
            count = sum(len(labels) for _, labels in kept)
            if count < crops_each:
                continue
            found, labels = (np.concatenate(parts) for parts in zip(*kept, strict=True))
            whole = count // crops_each * crops_each
            kept = [(found[whole:], labels[whole:])]
            found = found[:whole].reshape(-1, crops_each, *found.shape[1:])
            yield found.mean(1, dtype=np.float64), labels[:whole:crops_each]


def _and_then(items, last):
    yield from items
    yield last


def _outputs(labels, columns):
    """The models' outputs for the labels of a data set."""
    if columns is None:
        return labels
    wrong = (labels < 0) | (labels >= len(columns))
    if wrong.any():
        raise ValueError(f"expected labels in [0, {len(columns)}); Received: {labels[wrong.argmax()]}")
    return columns[labels]


def _explain(photos, error) -> None:
    """Raises what a TensorFlow error means, if that is known: a sentence of ours that it holds, or a broken photo."""
    import tensorflow as tf

    if not isinstance(error, tf.errors.OpError):
        return
    if isinstance(error, tf.errors.InvalidArgumentError) and photos.element_spec[0].dtype == tf.string:
        _name_the_broken(photos, error)
    # Of an assertion in the graph the sentence stands in brackets.
    sentence = re.search(
        r"\[(expected [^\n]*; Received: [^\n]*)\]$|(expected [^\n]*?; Received: [^\n]*)", str(error), re.M
    )
    if sentence:
        raise ValueError(sentence[1] or sentence[2]) from error
    # What a Python function has raised that gives the data: the class, and what it says.
    if raised := re.search(r"^(?:\{\{.*?\}\} ?)?(\w*Error): ([^\n]*)", str(error)):
        what = getattr(builtins, raised[1], ValueError)
        if issubclass(what, OSError):
            raise OSError(raised[2]) from error
        raise ValueError(f"expected data that can be read; Received: {raised[1]}: {raised[2]}") from error
    if isinstance(error, (tf.errors.NotFoundError, tf.errors.PermissionDeniedError, tf.errors.DataLossError)):
        raise OSError(str(error).splitlines()[0]) from error


def _name_the_broken(photos, error) -> None:
    """Raises ValueError with the name of the first photo that cannot be decoded."""
    import tensorflow as tf

    for image, _, name in photos:
        try:
            decode_photo(image)
        except tf.errors.InvalidArgumentError:
            text = name.numpy().decode(errors="surrogateescape")
            raise ValueError(f"expected images that can be decoded; Received: {text}") from error
