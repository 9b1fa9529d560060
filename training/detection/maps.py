"""Trains what sees pooled regions: the layers of a classifier above those that look at an image once."""

import keras
import numpy as np

from keras_inception.detection.annotations import AnnotatedPhotos
from keras_inception.detection.scoring import MapScorer
from training.detection.regions import draw_regions


def pooled_regions(scorer: MapScorer, photos: AnnotatedPhotos, proposals, per_photo: int, *, seed=0, progress=None):
    """Regions of maps to train on.

    Args:
        scorer: what looks at the photos.
        photos, proposals, per_photo, seed, progress: as of `draw_regions`.

    Returns:
        Maps, float16 (n, side, side, c), and labels (n,).

    Raises:
        ValueError: a photo cannot be decoded, or there is nothing to learn from.
        OSError: a file cannot be read.
    """
    maps, labels, count = None, [], 0
    for image, boxes, shown in draw_regions(photos, proposals, per_photo, seed=seed, progress=progress):
        found = scorer.regions(image, boxes)
        if maps is None:  # they are large: memory has them once
            maps = np.empty((len(photos) * per_photo, *found.shape[1:]), np.float16)
        maps[count : count + len(found)] = found
        labels.append(shown)
        count += len(found)
    return maps[:count], np.concatenate(labels)


def train_head(
    scorer: MapScorer, maps, labels, *, epochs: int, batch_size: int, learning_rate: float, seed: int = 0, progress=None
) -> None:
    """Trains the layers above the maps, in place; what looks at the image stays as it is.

    Args:
        scorer: whose `head` is trained.
        maps, labels: as `pooled_regions` gives them.
        epochs, batch_size: of the training.
        learning_rate: of SGD with momentum 0.9, at the beginning; it falls to zero along a cosine.
        seed: of the order.
        progress: is called with 1 after each epoch.
    """
    keras.utils.set_random_seed(seed)
    steps = epochs * max(1, len(labels) // batch_size)
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    callbacks = []
    if progress is not None:
        callbacks.append(keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: progress(1)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=scorer.logits)
    scorer.head.compile(keras.optimizers.SGD(rate, momentum=0.9), loss)
    scorer.head.fit(_Shuffled(maps, labels, batch_size, seed), epochs=epochs, callbacks=callbacks, verbose=0)


class _Shuffled(keras.utils.PyDataset):
    """Whole batches in a new order for each epoch, half of the maps mirrored, as float32."""

    def __init__(self, maps, labels, batch_size, seed):
        super().__init__()
        self.maps, self.labels, self.batch_size = maps, labels, min(batch_size, len(labels))
        self._rng = np.random.default_rng(seed)
        self.on_epoch_end()

    def on_epoch_end(self):
        self._order = self._rng.permutation(len(self.labels))

    def __len__(self):
        return len(self.labels) // self.batch_size

    def __getitem__(self, number):
        rows = self._order[number * self.batch_size : (number + 1) * self.batch_size]
        maps = self.maps[rows].astype(np.float32)
        # A mirrored map is nearly that of the mirrored region: convolutions that are not symmetric make the difference.
        turned = self._rng.random(len(rows)) < 0.5
        maps[turned] = maps[turned, :, ::-1]
        return maps, self.labels[rows]
