"""HMAX with a linear classifier: prototypes cut out of training images, all features once, and a layer upon them.

python -m training.hmax --data cifar10 --data-dir DATASETS --out hmax.json
"""

import argparse
import json
import logging
import os
import pathlib
import sys
import time

BATCH = 100


def train(data, data_dir, *, train_split, eval_split, size, prototypes, bands, epochs, limit=None, seed=0) -> dict:
    """Trains and evaluates.

    Args:
        data, data_dir, train_split, eval_split: as of `keras_inception.datasets.open_source`.
        size: height and width of the images in pixels; they are resized by the short side and cropped.
        prototypes, bands: of `HMAX`.
        epochs: of the linear classifier, upon features that are computed once.
        limit: images of each split; None for all.
        seed: of prototypes, initial weights and order.

    Returns:
        Accuracy of both splits, parameters, multiply-adds, how it was trained, and on what processor.

    Raises:
        ValueError: an argument is not what it can be.
    """
    import keras
    import numpy as np

    from keras_inception.datasets import open_source
    from keras_inception.models.hmax import HMAX, imprint
    from keras_inception.models.operations import multiply_adds, parameters
    from training.input_pipeline import evaluation_batches
    from training.machine import processor

    if train_split == eval_split or (limit is not None and limit < 1):
        raise ValueError(
            "expected two splits, and an image of each at least; Received: "
            f"train_split={train_split!r}, eval_split={eval_split!r}, limit={limit}"
        )
    keras.utils.set_random_seed(seed)
    started = time.monotonic()
    splits = {}
    for split in (train_split, eval_split):
        source = open_source(data, split, data_dir)
        count = len(source) if limit is None else min(limit, len(source))
        # In the order of a seed, for prototypes come from the first, and a folder has its classes one after another.
        batches = evaluation_batches(source, size=size, resize_to=size, batch_size=BATCH, seed=seed)
        splits[split] = batches.take(-(-count // BATCH)), count
    images = np.concatenate([x.numpy()[w.numpy() > 0] for x, _, w in splits[train_split][0].take(10)])
    model = HMAX(prototypes, patch_sizes=(4, 8), bands=bands, input_shape=(size, size, 3))
    imprint(model, images, seed=seed)
    features = {name: _features(model, *split) for name, split in splits.items()}
    head = keras.Sequential([keras.layers.BatchNormalization(), keras.layers.Dense(len(source.classes))])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    head.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    head.fit(*features[train_split], batch_size=BATCH, epochs=epochs, verbose=0)
    accuracies = {name: head.evaluate(*known, batch_size=BATCH, verbose=0)[1] for name, known in features.items()}
    whole = keras.Sequential([model, *head.layers])
    whole.build((None, size, size, 3))
    return {
        "accuracy": {name: round(value, 4) for name, value in accuracies.items()},
        "images": {name: len(labels) for name, (_, labels) in features.items()},
        "parameters": parameters(whole),
        "multiply-adds": multiply_adds(whole),
        "prototypes": prototypes,
        "bands": list(bands),
        "epochs of the classifier": epochs,
        "minutes": round((time.monotonic() - started) / 60, 1),
        "processor": processor(),
    }


def _features(model, batches, count):
    """C2 of the first images, and their labels; without those that are broken."""
    import numpy as np

    parts = [(model.predict_on_batch(x), y.numpy(), w.numpy()) for x, y, w in batches]
    values, labels, weights = (np.concatenate(part)[:count] for part in zip(*parts, strict=True))
    return values[weights > 0], labels[weights > 0]


def main(argv=None) -> int:
    """Runs the program; the exit code is 1 after an error, said in one sentence."""
    parser = argparse.ArgumentParser(prog="python -m training.hmax", description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="cifar10", help="a TFDS data set, or a folder of images (default: cifar10)")
    parser.add_argument("--data-dir", type=pathlib.Path, help="TFDS's folder, or the folder of images")
    parser.add_argument("--train-split", default="train")
    parser.add_argument("--eval-split", default="test")
    parser.add_argument("--size", type=int, default=32, help="height and width of the images (default: 32)")
    parser.add_argument("--prototypes", type=int, default=2000, help="of 4 x 4 and 8 x 8 together (default: 2000)")
    parser.add_argument("--bands", type=int, nargs="+", default=[1, 2, 3], help="of HMAX's eight (default: 1 2 3)")
    parser.add_argument("--epochs", type=int, default=20, help="of the linear classifier (default: 20)")
    parser.add_argument("--limit", type=int, help="images of each split")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="a JSON file for the result")
    arguments = vars(parser.parse_args(argv))
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    from training.program import finish

    out = arguments.pop("out")

    def program() -> str:
        out.parent.mkdir(parents=True, exist_ok=True)  # rather now than when all is trained
        text = json.dumps(train(arguments.pop("data"), arguments.pop("data_dir"), **arguments), indent=1)
        out.write_text(text + "\n")
        return text

    return finish("hmax", program)


if __name__ == "__main__":
    sys.exit(main())
