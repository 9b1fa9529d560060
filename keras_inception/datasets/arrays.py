"""Images in memory, and images that need no file at all."""

import os
import pathlib

import numpy as np

from keras_inception.datasets.source import IndexedSource


class ArraySource(IndexedSource):
    """Images in memory. TensorFlow is imported by `references` and `examples` alone.

    Args:
        images: uint8 (n, h, w, 3), RGB.
        labels: integers (n,), from 0.
        classes: names in label order; None: the labels themselves.
        name: for messages.

    Raises:
        ValueError: the arrays are not like that, or a label has no class.
    """

    def __init__(self, images, labels, classes=None, name: str = "arrays"):
        images, labels = np.asarray(images), np.asarray(labels)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape:
            raise ValueError(f"expected uint8 images (n, h, w, 3); Received: {images.dtype} of shape {images.shape}")
        if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
            raise ValueError(
                f"expected {len(images)} integer labels, one for each image; "
                f"Received: {labels.dtype} of shape {labels.shape}"
            )
        if classes is None:
            classes = [str(label) for label in range(max(0, int(labels.max())) + 1)]
        wrong = (labels < 0) | (labels >= len(classes))
        if wrong.any():
            index = int(wrong.argmax())
            raise ValueError(f"expected labels in [0, {len(classes)}); Received: {labels[index]} at index {index}")
        self.images, self.labels = images, labels.astype("int64")
        self.classes, self.name, self._tensors = tuple(classes), name, {}

    def __len__(self):
        return len(self.images)

    def _references(self, numbers):
        import tensorflow as tf

        labels = tf.gather(self._tensor("labels"), numbers)
        return {"id": tf.strings.as_string(numbers), "index": numbers, "label": labels}

    def load(self, reference):
        import tensorflow as tf

        image = tf.gather(self._tensor("images"), reference["index"])
        return {"id": reference["id"], "image": image, "label": reference["label"]}


def save_arrays(path, images, labels, classes) -> None:
    """Writes images as a file that `open_source("arrays", ...)` reads, whole or not at all.

    Args:
        path: the file; `train.npz` for the split `"train"`.
        images, labels, classes: as of `ArraySource`.

    Raises:
        ValueError: they are not like that.
    """
    source, path = ArraySource(images, labels, classes), pathlib.Path(path)
    temporary = path.with_name(f"{path.name}.part")
    with open(temporary, "wb") as file:
        np.savez(file, images=source.images, labels=source.labels, classes=np.array(source.classes, "U"))
    os.replace(temporary, path)


def read_arrays(data_dir, split: str) -> ArraySource:
    """Reads what `save_arrays` wrote.

    Args:
        data_dir: the folder.
        split: the name of the file, without `.npz`.

    Raises:
        ValueError: there is no such file, or it is not what it should be.
    """
    path = pathlib.Path(data_dir or ".") / f"{split}.npz"
    if not path.is_file():
        raise ValueError(f"expected a file of arrays; Received: {path}, which is not there")
    try:
        with np.load(path, allow_pickle=False) as file:
            images, labels, classes = (file[name] for name in ("images", "labels", "classes"))
        if classes.ndim != 1 or classes.dtype.kind != "U":
            raise ValueError(f"classes {classes.dtype} {classes.shape}")
        return ArraySource(images, labels, classes.tolist(), f"{path.parent} {split}")
    except Exception as error:  # zipfile alone has half a dozen kinds
        raise ValueError(f"expected a file of arrays; Received: {path} ({error})") from error


def synthetic(split: str = "train", *, examples: int | None = None, size: int = 32, seed: int = 0) -> ArraySource:
    """Images that need no file: coloured stripes in a blurred spot, on noise, in ten classes.

    A class is one of five pairs of colours and a direction of the stripes, which a mirror does not change. Position,
    size, phase, period, strength and background are random.

    Args:
        split: `"train"` or `"validation"`, which have no image in common.
        examples: how many; None: 512 to train on, 160 to validate with.
        size: height and width in pixels.
        seed: decides all images.

    Raises:
        ValueError: an unknown split.
    """
    sizes = {"train": 512, "validation": 160}
    if split not in sizes:
        raise ValueError(f"expected the split train or validation of synthetic; Received: split={split!r}")
    # Axes of colour, whose two ends the stripes have in equal parts: the mean colour alone does not tell the class.
    axes = {
        "red-cyan": (1, -1, -1),
        "green-magenta": (-1, 1, -1),
        "blue-yellow": (-1, -1, 1),
        "orange-azure": (1, 0, -1),
        "white-black": (1, 1, 1),
    }
    count = examples or sizes[split]
    rng = np.random.default_rng((seed, list(sizes).index(split)))
    labels = rng.permutation(np.arange(count) % (2 * len(axes)))

    def draw(low, high):
        return rng.uniform(low, high, (count, 1, 1)).astype("float32")

    grid = (np.arange(size, dtype="float32") + 0.5) / size
    rows, columns = grid[np.newaxis, :, np.newaxis], grid[np.newaxis, np.newaxis, :]
    spot = np.exp(-((rows - draw(0.3, 0.7)) ** 2 + (columns - draw(0.3, 0.7)) ** 2) / (2 * draw(0.15, 0.3) ** 2))
    along = np.where((labels % 2 == 0)[:, np.newaxis, np.newaxis], rows, columns)
    waves = np.sin(2 * np.pi * (along * draw(3, 5) + draw(0, 1))) * spot * draw(0.4, 0.9)
    colours = np.array(list(axes.values()), "float32")[labels // 2] / 2
    noise = rng.normal(0, 0.12, (count, size, size, 3)).astype("float32")
    images = draw(0.35, 0.65)[..., np.newaxis] + waves[..., np.newaxis] * colours[:, np.newaxis, np.newaxis] + noise
    classes = [f"{axis} {direction}" for axis in axes for direction in ("horizontal", "vertical")]
    return ArraySource(np.round(images.clip(0, 1) * 255).astype("uint8"), labels, classes, f"synthetic {split}")
