"""`keras-inception evaluate`: what models get right of a data set."""

import contextlib
import pathlib

import keras

from keras_inception.cli.loading import load
from keras_inception.datasets import evaluation_split, open_source
from keras_inception.evaluation.evaluate import evaluate as evaluate_models
from keras_inception.evaluation.table import table_3


def evaluate(args) -> int:
    source = find_source(args.data, args.split, args.data_dir)
    with _all_gpus():
        return evaluate_source(args, source)


def evaluate_source(args, source, show=True) -> int:
    """Evaluates the models that the arguments name, and shows and writes what was found if `show`."""
    for path in filter(None, (args.json, args.picture, args.resume)):
        parent = pathlib.Path(path).absolute().parent
        if not parent.is_dir():
            raise ValueError(f"expected an existing folder for {path}; Received: {parent}")
        if pathlib.Path(path).is_dir():
            raise ValueError(f"expected the name of a file; Received: {path}, a folder")
    if len(set(args.weights)) < len(args.weights):
        raise ValueError(f"expected different weights; Received: {', '.join(args.weights)}")
    if args.precision is not None:
        keras.config.set_dtype_policy(args.precision)
    models = {weights: load(weights, args.allow_unverified) for weights in args.weights}
    options = {"limit": args.limit, "batch_size": args.batch_size, "resume": args.resume}
    if args.table:
        found = table_3(models, source, **options)
    else:
        found = evaluate_models(models, source, args.protocol, **options)
    if show:
        if args.json:
            found.save(args.json)
        if args.picture:
            (found.rows[-1] if args.table else found).save(png=args.picture)
        print(found)
    return 0


def find_source(data: str, split: str | None, data_dir):
    """The images of a folder, or of a TFDS data set; without a word about the split, those that are to evaluate with.

    Raises:
        ValueError: there is neither.
    """
    if pathlib.Path(data).is_dir():
        data, data_dir = "folder", data
    return open_source(data, split or evaluation_split(data, data_dir), data_dir)


def _all_gpus():
    """All GPUs take part, where TensorFlow sees several."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if len(tf.config.list_logical_devices("GPU")) > 1:
            return tf.distribute.MirroredStrategy().scope()
    return contextlib.nullcontext()
