"""`keras-inception classify`: what photos show, as a table, as JSON lines, and as a picture."""

import contextlib
import json
import math
import os
import sys

import keras

from keras_inception import checkpoints
from keras_inception.classify import classify_files
from keras_inception.cli.loading import load
from keras_inception.cli.photos import MAX_CARDS, find_photos, progress_bar, quiet_pil
from keras_inception.contact_sheet import PHOTO, contact_sheet
from keras_inception.evaluation.ensemble import classifier_output, is_logits
from keras_inception_cli import complain, in_one_line, printable


def classify(args) -> int:
    paths, problems = find_photos(args)
    if not paths:
        return 1
    model = _with_softmax(load(args.weights, args.allow_unverified))
    options = {"top": args.top, "batch_size": args.batch_size, "labels": _labels(model)}
    shown, done, failed = [], 0, problems
    with (
        quiet_pil(args.debug),
        progress_bar(len(paths)) as progress,
        contextlib.closing(
            classify_files(model, paths, thumbnails=PHOTO if args.picture else None, **options)
        ) as results,
    ):
        for result in results:
            if result.error is not None:
                failed += 1
                complain(in_one_line(result.error), progress)
            else:
                done += 1
                progress.write(_json_line(result) if args.json else _table(result))
                if args.picture and len(shown) < MAX_CARDS:
                    shown.append(result)
            sys.stdout.flush()
            progress.update()
    if shown:
        _draw(args, shown, done)
    return 1 if failed else 0


def _with_softmax(model):
    """The model, with a softmax where it is published without one, for a score is shown as a share."""
    try:
        logits = is_logits(model)
    except ValueError:
        return model  # shares of another kind, such as sigmoids
    if not logits:
        return model
    probabilities = keras.layers.Softmax(dtype="float32")(classifier_output(model))
    return keras.Model(model.inputs, probabilities, name=model.name)


def _labels(model):
    """Names for the outputs; numbers for a model that has none, for ten classes need not be CIFAR-10's."""
    spec = checkpoints.model_spec(model)
    return model if spec.labels else [f"class {index}" for index in range(spec.classes)]


def _json_line(result):
    found = [
        # JSON knows no NaN, which is all that broken weights give.
        {"id": key, "label": name, "score": round(score, 6) if math.isfinite(score) else None}
        for key, name, score in result.predictions
    ]
    return json.dumps({"path": result.path, "predictions": found}, allow_nan=False)


def _table(result):
    width = max(len(name) for _, name, _ in result.predictions)
    rows = [result.path]
    for key, name, score in result.predictions:
        # A WordNet id says something that the name does not.
        row = f"  {score:6.1%}  {name:{width}}  {key if key.replace('_', ' ') != name else ''}"
        rows.append(printable(row).rstrip())
    return "\n".join(rows)


def _draw(args, results, count):
    cards = [
        (result.thumbnail, os.path.basename(result.path), [(name, score) for _, name, score in result.predictions])
        for result in results
    ]
    photos = f"{len(cards)} of {count} photos" if count > len(cards) else f"{count} photo{'' if count == 1 else 's'}"
    weights = os.path.basename(os.path.normpath(args.weights)) if os.path.exists(args.weights) else args.weights
    contact_sheet(cards, "GoogLeNet", f"{weights} weights, {photos}").save(args.picture)
