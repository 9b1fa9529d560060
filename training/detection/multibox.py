"""Trains a MultiBox network on annotated photos."""

import json
import logging
import pathlib
import shutil

import keras
import numpy as np

from keras_inception.detection.annotations import AnnotatedPhotos
from keras_inception.detection.boxes import Mapping
from keras_inception.detection.multibox import MultiBox, MultiBoxLoss, cluster_priors, resized
from training.checkpoint import Checkpoints

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
    """Says to the data which epoch it is, and keeps all that it takes to go on after the last whole one."""

    def __init__(self, data, checkpoints, losses, progress):
        super().__init__()
        self.data, self.checkpoints, self.losses, self.progress = data, checkpoints, losses, progress

    def on_epoch_begin(self, epoch, logs=None):
        self.data.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append(float(logs["loss"]))
        logger.info("MultiBox, epoch %d: loss %.3f", epoch + 1, self.losses[-1])
        state = {name: keras.ops.convert_to_numpy(variable) for name, variable in _state(self.model).items()}
        self.checkpoints.save(epoch + 1, state, {"losses": self.losses})
        if self.progress is not None:
            self.progress(1)


def _state(model) -> dict:
    """All variables of a compiled model and its optimizer, by their places: paths may occur twice."""
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    # Those of metrics are counted anew in each epoch; those of the optimizer may be among the model's.
    kept = {id(variable): variable for variable in variables if "metric" not in variable.path}
    return {str(number): variable for number, variable in enumerate(kept.values())}


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
        folder: gets `multibox.keras`, `losses.json`, and while it trains `checkpoints`.
        priors: how many boxes the network predicts; fewer where the photos have fewer different ones.
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
    if (different := len(np.unique(data.objects, axis=0))) < priors:
        logger.warning("MultiBox has %d priors, not %d: there are no more different boxes.", different, priors)
    model = MultiBox(trunk, cluster_priors(data.objects, min(priors, different), seed=seed))
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * len(data))
    model.compile(keras.optimizers.Adam(rate), MultiBoxLoss(alpha))
    checkpoints, begun, losses = Checkpoints(folder / "checkpoints", keep=1), 0, []
    if (last := checkpoints.load_latest()) is not None:
        begun, state, info = last
        losses = info["losses"]
        for name, variable in _state(model).items():
            variable.assign(state[name])
        if progress is not None:
            progress(begun)
    callbacks = [_Epochs(data, checkpoints, losses, progress)]
    if begun < epochs:
        # The data have an order of their own, which does not depend on where the training began.
        model.fit(data, epochs=epochs, initial_epoch=begun, callbacks=callbacks, shuffle=False, verbose=0)
    (folder / "losses.json").write_text(json.dumps(losses) + "\n")
    model.compile()
    temporary = folder / "part.keras"
    model.save(temporary)
    temporary.replace(path)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return model
