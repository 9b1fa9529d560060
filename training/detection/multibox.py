"""Trains a MultiBox network on annotated photos."""

import json
import logging
import pathlib

import keras
import numpy as np

from keras_inception.detection.annotations import AnnotatedPhotos
from keras_inception.detection.boxes import Mapping
from keras_inception.detection.multibox import MultiBox, MultiBoxLoss, cluster_priors, resized

logger = logging.getLogger(__name__)


class Photos(keras.utils.PyDataset):
    """Photos at one size with the boxes of their objects in shares of their sides, mirrored at random.

    Args:
        photos: the photos, which are kept in memory at that size.
        height_width: their size for the network, in pixels.
        batch_size: photos of a batch.
        seed: of orders and mirrors, which are functions of it and of the epoch.
        mirrored: whether also upside down, for what has no upside, and not only left to right.

    Raises:
        ValueError: a photo cannot be decoded, or none has an object.
    """

    def __init__(
        self, photos: AnnotatedPhotos, height_width, *, batch_size: int, seed: int = 0, mirrored: bool = False
    ):
        super().__init__()
        self.batch_size, self.seed, self.mirrored, self.epoch = batch_size, seed, mirrored, 0
        images, boxes = [], []
        for photo in photos:
            image, objects = photo.open()
            images.append(np.clip(np.round(resized(image, height_width)), 0, 255).astype(np.uint8))
            boxes.append(Mapping.resized(image.shape[:2], (1, 1))(objects.boxes[~objects.crowd]))
        most = max(map(len, boxes), default=0)
        if not most:
            raise ValueError(f"expected photos with objects; Received: {photos.name}, without any")
        self.images = np.stack(images)
        # What has no extent is no object.
        self.boxes = np.stack([np.pad(each, [(0, most - len(each)), (0, 0)]) for each in boxes])

    @property
    def objects(self) -> np.ndarray:
        """The boxes of all objects, (n, 4)."""
        boxes = self.boxes.reshape(-1, 4)
        return boxes[boxes[:, 2] > boxes[:, 0]]

    def __len__(self):
        return max(1, len(self.images) // self.batch_size)

    def __getitem__(self, number):
        order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.images))
        rows = order[number * self.batch_size : (number + 1) * self.batch_size]
        images, boxes = self.images[rows].astype(np.float32), self.boxes[rows].copy()
        turns = np.random.default_rng((self.seed, self.epoch, number)).random((2, len(rows))) < 0.5
        for axis, turned in enumerate(turns[: 1 + self.mirrored]):
            mirror(images, boxes, turned, axis)
        return images, boxes.astype(np.float32)


def mirror(images, boxes, turned, axis: int) -> None:
    """Mirrors some images of a batch and their boxes, in place: left to right (0), or upside down (1)."""
    images[turned] = np.flip(images[turned], 2 - axis)
    there = boxes[turned]
    there[..., [axis, axis + 2]] = 1 - there[..., [axis + 2, axis]]  # what has no extent gets none
    boxes[turned] = there


class _Epochs(keras.callbacks.Callback):
    """Says to the data which epoch it is, and keeps the losses, also of a training that was resumed."""

    def __init__(self, data, path):
        super().__init__()
        self.data, self.path = data, path

    def on_epoch_begin(self, epoch, logs=None):
        self.data.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        with open(self.path, "a") as file:
            file.write(json.dumps({"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}) + "\n")
        logger.info("MultiBox, epoch %d: loss %.3f", epoch + 1, logs["loss"])


def train(
    trunk,
    photos: AnnotatedPhotos,
    folder,
    *,
    priors: int,
    epochs: int,
    batch_size: int = 8,
    learning_rate: float = 1e-3,
    alpha: float = 250.0,
    mirrored: bool = False,
    seed: int = 0,
    progress=None,
):
    """Trains a network, from where an earlier call was interrupted, or reads it where that had finished.

    Args:
        trunk: makes that of `MultiBox`; called where there is something to be trained.
        photos: to train on.
        folder: gets `multibox.keras`, `losses.jsonl`, and while it trains `backup`.
        priors: how many boxes the network predicts.
        epochs, batch_size: of the training.
        learning_rate: of Adam, at the beginning; it falls to zero along a cosine.
        alpha: as of `MultiBoxLoss`.
        mirrored: as of `Photos`.
        seed: of everything.
        progress: is called with 1 after each epoch.

    Returns:
        The trained model.

    Raises:
        ValueError: the photos are not like that.
        OSError: a file cannot be read or written.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "multibox.keras"
    if path.exists():
        return keras.models.load_model(path, compile=False)
    keras.utils.set_random_seed(seed)
    trunk = trunk()
    data = Photos(photos, trunk.input_shape[1:3], batch_size=batch_size, seed=seed, mirrored=mirrored)
    model = MultiBox(trunk, cluster_priors(data.objects, priors, seed=seed))
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * len(data))
    model.compile(keras.optimizers.Adam(rate), MultiBoxLoss(alpha))
    callbacks = [_Epochs(data, folder / "losses.jsonl"), keras.callbacks.BackupAndRestore(folder / "backup")]
    if progress is not None:
        callbacks.append(keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: progress(1)))
    model.fit(data, epochs=epochs, callbacks=callbacks, verbose=0)
    model.compile()
    temporary = folder / "part.keras"
    model.save(temporary)
    temporary.replace(path)
    return model
