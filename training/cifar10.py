"""Trains the GoogLeNet that the package carries: CIFAR-10, batch norm, the small-image stem, the paper's widths.

    python -m training.cifar10 --data-dir DATASETS --work-dir RUN

`DATASETS` is the folder that holds TFDS's prepared `cifar10`. The run goes on where it was when it is started again
with the same work directory. It ends by writing the folder `RUN/cifar10` with weights, log and card, and the test
accuracy on the card is measured on exactly these files.

Two cores are enough: the first epochs see the images at 16 and 24 pixels, which costs a third and a half of 32, and
only the last ones see them whole; convolutions run in bfloat16. The schedule is one cycle: linear warm-up, cosine to
zero.
"""

import argparse
import dataclasses
import json
import pathlib
import shutil
import time

import keras
import numpy as np
import tensorflow as tf

from keras_inception import GoogLeNet, GoogLeNetSpec, checkpoints
from keras_inception.hub import serialization
from keras_inception.models.googlenet import build_googlenet
from keras_inception.preprocessing import Preprocessing


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides the result but the random order of threads."""

    sizes: tuple[int, ...] = (16,) * 5 + (24,) * 4 + (32,) * 2  # of the images, one per epoch
    batch_size: int = 128
    learning_rate: float = 0.1  # at the end of the warm-up
    warmup: float = 0.2  # share of all steps
    momentum: float = 0.9
    weight_decay: float = 5e-4  # of kernels
    label_smoothing: float = 0.1
    shift: int = 4  # pixels that an image is shifted by at most, each way
    seed: int = 0
    policy: str = "mixed_bfloat16"

    @property
    def steps_per_epoch(self) -> int:
        return 50_000 // self.batch_size


def load(data_dir):
    """CIFAR-10 as two pairs of uint8 images (n, 32, 32, 3) and labels (n,)."""
    import tensorflow_datasets as tfds

    def arrays(split):
        images, labels = [], []
        for image, label in tfds.as_numpy(
            tfds.load("cifar10", split=split, data_dir=data_dir, download=False, as_supervised=True)
        ):
            images.append(image)
            labels.append(label)
        return np.stack(images), np.array(labels, "int32")

    return arrays("train"), arrays("test")


def augment(images, rng, shift):
    """Mirrors half of the images and shifts each by up to `shift` pixels over reflected borders."""
    n, size = len(images), images.shape[1]
    padded = np.pad(images, ((0, 0), (shift, shift), (shift, shift), (0, 0)), mode="reflect")
    rows, columns = (rng.integers(0, 2 * shift + 1, n)[:, None] + np.arange(size) for _ in range(2))
    shifted = padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    mirrored = rng.random(n) < 0.5
    shifted[mirrored] = shifted[mirrored, :, ::-1]
    return shifted


class Epoch(keras.utils.PyDataset):
    """The batches of one epoch; every random choice is a function of seed, epoch and batch."""

    def __init__(self, images, labels, recipe: Recipe, epoch: int):
        super().__init__()
        self.images, self.labels, self.recipe, self.epoch = images, labels, recipe, epoch
        self.order = np.random.default_rng((recipe.seed, epoch)).permutation(len(images))

    def __len__(self):
        return self.recipe.steps_per_epoch

    def __getitem__(self, step):
        chosen = self.order[step * self.recipe.batch_size : (step + 1) * self.recipe.batch_size]
        rng = np.random.default_rng((self.recipe.seed, self.epoch, step))
        images = augment(self.images[chosen], rng, self.recipe.shift)
        size = self.recipe.sizes[self.epoch]
        if size != 32:
            images = tf.image.resize(images, (size, size), method="area").numpy()
        return images.astype("float32"), np.eye(10, dtype="float32")[self.labels[chosen]]


def build(recipe: Recipe) -> keras.Model:
    """The compiled model; it takes images of any size, for they grow during the training."""
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(recipe.policy)
    spec = GoogLeNetSpec(
        variant="batch_norm",
        stem="small",
        classes=10,
        labels="cifar10",
        preprocessing=Preprocessing(size=32, resize="short_side", resize_to=32).to_dict(),
        source="training/cifar10.py",
    )
    model = build_googlenet(spec, input_shape=(None, None, 3), classifier_activation=None)
    steps = len(recipe.sizes) * recipe.steps_per_epoch
    warmup = int(recipe.warmup * steps)
    optimizer = keras.optimizers.SGD(
        keras.optimizers.schedules.CosineDecay(
            recipe.learning_rate / 10, steps - warmup, warmup_target=recipe.learning_rate, warmup_steps=warmup
        ),
        momentum=recipe.momentum,
        nesterov=True,
        weight_decay=recipe.weight_decay,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def train(data_dir, work_dir, recipe: Recipe) -> keras.Model:
    """Trains, or goes on training, and leaves `log.csv` in the work directory."""
    work_dir.mkdir(parents=True, exist_ok=True)
    (images, labels), (test_images, test_labels) = load(data_dir)
    model = build(recipe)
    backup = work_dir / "backup"
    metadata = backup / "training_metadata.json"
    done = json.loads(metadata.read_text())["epoch"] if metadata.exists() else 0
    validation = (test_images.astype("float32"), np.eye(10, dtype="float32")[test_labels])
    for epoch in range(done, len(recipe.sizes)):  # a data set of Keras' has one image size from its first batch on
        model.fit(
            Epoch(images, labels, recipe, epoch),
            initial_epoch=epoch,
            epochs=epoch + 1,
            # The test images cost a tenth of an epoch, and nothing is chosen by them.
            validation_data=validation if epoch % 4 == 3 else None,
            validation_batch_size=250,
            shuffle=False,
            verbose=2,
            callbacks=[
                # It restores weights and optimizer when a fit begins, which changes them only after a restart.
                keras.callbacks.BackupAndRestore(str(backup), delete_checkpoint=False),
                keras.callbacks.CSVLogger(str(work_dir / "log.csv"), append=True),
                Clock(work_dir / "time.json", recipe),
            ],
        )
    return model


def finish(model, data_dir, folder) -> None:
    """Writes the published folder, and measures the test accuracy of what a user will load from it."""
    backup = folder.parent / "backup" / "latest.weights.h5"
    model.optimizer.build(model.trainable_variables)
    model.load_weights(backup)  # after a restart, nothing was trained that could have restored it
    checkpoint = checkpoints.to_checkpoint(model)
    serialization.write_folder(folder, checkpoint, half=True)
    keras.config.set_dtype_policy("float32")
    published = GoogLeNet(weights=folder)
    images, labels = load(data_dir)[1]
    order = np.argsort(-published.predict(images, batch_size=250, verbose=0), axis=1)
    hits = order == labels[:, None]
    metrics = {
        "top1": round(100 * float(hits[:, :1].any(axis=1).mean()), 2),
        "top5": round(100 * float(hits[:, :5].any(axis=1).mean()), 2),
        "protocol": "CIFAR-10 test split, 10,000 images of 32 x 32, no augmentation, these files as they are",
    }
    serialization.write_folder(folder, checkpoint, metrics=metrics, half=True)
    shutil.copy(folder.parent / "log.csv", folder)
    seconds = json.loads((folder.parent / "time.json").read_text())["seconds"]
    (folder / "README.md").write_text(card(Recipe(), metrics, seconds))
    print(json.dumps(metrics))


def card(recipe: Recipe, metrics: dict, seconds: float) -> str:
    """The model's card: what it is, how it was made, and what was measured."""
    epochs = ", ".join(f"{recipe.sizes.count(size)} at {size} x {size}" for size in sorted(set(recipe.sizes)))
    return f"""---
library_name: keras
license: apache-2.0
pipeline_tag: image-classification
datasets: [cifar10]
tags: [keras, googlenet, inception]
---

# GoogLeNet on CIFAR-10

The network of "Going deeper with convolutions": all nine Inception modules at the paper's widths, 5x5 convolutions,
batch normalization in place of local response normalization (variant `batch_norm`), and the stem for small images,
which gives 16 x 16 to module 3a. Kernels are stored in float16; biases and batch-norm statistics in float32.

```python
model = keras_inception.GoogLeNet(weights="cifar10")  # RGB pixels 0..255, (n, 32, 32, 3)
keras_inception.decode_predictions(model.predict(images), labels=model)
```

| measured | |
|---|---|
| test accuracy | {metrics["top1"]} % (top 5: {metrics["top5"]} %) |
| protocol | {metrics["protocol"]} |

The test images were also classified every fourth epoch, for the log; nothing was chosen by them.

## How it was made

`python -m training.cifar10 --data-dir DATASETS --work-dir RUN`, in {seconds / 60:.0f} minutes on two cores of a shared
x86-64 server without a GPU; `log.csv` is its log.

* {len(recipe.sizes)} epochs: {epochs}
* TFDS's `cifar10` 3.0.2, its images re-encoded as JPEG of quality 75
* SGD with Nesterov momentum {recipe.momentum}, batch {recipe.batch_size}
* one cycle: the learning rate goes up to {recipe.learning_rate} and back to zero
* weight decay {recipe.weight_decay} of the kernels, label smoothing {recipe.label_smoothing}
* mirrored, and shifted by up to {recipe.shift} pixels
* {recipe.policy}, seed {recipe.seed}; auxiliary classifiers were not used

## Limits

Ten classes, and photos reduced to 32 x 32: it is here so that the package does something without a network, and as a
start for small images. It answers with one of its ten classes to any photo.
"""


class Clock(keras.callbacks.Callback):
    """Adds up the seconds of training over interruptions, for the model's card."""

    def __init__(self, path, recipe):
        super().__init__()
        self.path, self.recipe = path, recipe

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        before = json.loads(self.path.read_text())["seconds"] if self.path.exists() else 0.0
        record = {"seconds": before + time.monotonic() - self.start, "recipe": dataclasses.asdict(self.recipe)}
        self.path.write_text(json.dumps(record))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", type=pathlib.Path, required=True, help="the folder with TFDS's prepared cifar10")
    parser.add_argument("--work-dir", type=pathlib.Path, required=True, help="checkpoints, log and result")
    arguments = parser.parse_args()
    model = train(arguments.data_dir, arguments.work_dir, Recipe())
    finish(model, arguments.data_dir, arguments.work_dir / "cifar10")


if __name__ == "__main__":
    main()
