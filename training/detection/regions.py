"""Regions to train a classifier on: drawn from the proposals of each photo, once for all, as a data set of arrays."""

import numpy as np

from keras_inception.datasets import save_arrays
from keras_inception.detection.annotations import AnnotatedPhotos
from keras_inception.detection.rcnn import BACKGROUND
from keras_inception.detection.regions import CONTEXT, cut_regions
from keras_inception.detection.sampling import match, sample


def draw_regions(photos: AnnotatedPhotos, proposals, per_photo: int, *, seed: int = 0, progress=None):
    """Draws regions as R-CNN does: a quarter of them show objects. The annotated boxes are among the proposals.

    Args:
        photos: the photos.
        proposals: boxes (n, 4) of each.
        per_photo: regions of each photo.
        seed: decides what is drawn.
        progress: is called with 1 after each photo.

    Yields:
        Of each photo that there is something to learn from, the image, boxes (per_photo, 4), and their labels, the
        background last.

    Raises:
        ValueError: a photo cannot be decoded, or there is nothing to learn from in any.
        OSError: a file cannot be read.
    """
    background, rng, some = len(photos.classes), np.random.default_rng(seed), False
    for photo, boxes in zip(photos, proposals, strict=True):
        image, objects = photo.open()
        boxes = np.concatenate([objects.boxes, boxes])
        shown = match(boxes, objects, background).labels
        drawn = sample(shown, per_photo, background, rng)
        if len(drawn):
            some = True
            yield image, boxes[drawn], shown[drawn]
        if progress is not None:
            progress(1)
    if not some:
        raise ValueError(f"expected photos with something to learn from; Received: {photos.name}, with nothing")


def cut_for_training(
    photos: AnnotatedPhotos,
    proposals,
    path,
    *,
    per_photo: int,
    size: int,
    context: float = CONTEXT,
    seed: int = 0,
    fill,
    progress=None,
) -> dict[str, int]:
    """Cuts out regions, and writes them as a file.

    Args:
        photos, proposals, per_photo, seed, progress: as of `draw_regions`.
        path: the file, as `save_arrays` writes it.
        size: height and width of a region, in pixels.
        context, fill: as of `cut_regions`.

    Returns:
        How many there are of each class, the background last.

    Raises:
        ValueError: a photo cannot be decoded, or there is nothing to learn from.
        OSError: a file cannot be read or written.
    """
    images, labels = [], []
    for image, boxes, shown in draw_regions(photos, proposals, per_photo, seed=seed, progress=progress):
        regions = cut_regions(image, boxes, size, context=context, fill=fill).numpy()
        images.append(np.clip(np.round(regions), 0, 255).astype(np.uint8))
        labels.append(shown)
    images, labels, classes = np.concatenate(images), np.concatenate(labels), (*photos.classes, BACKGROUND)
    save_arrays(path, images, labels, classes)
    return dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))
