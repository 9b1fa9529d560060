"""Regions to train a classifier on: drawn from the proposals of each photo, once for all, as a data set of arrays."""

import numpy as np

from keras_inception.datasets import save_arrays
from keras_inception.detection.annotations import AnnotatedPhotos
from keras_inception.detection.rcnn import BACKGROUND
from keras_inception.detection.regions import CONTEXT, cut_regions
from keras_inception.detection.sampling import match, sample


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
    """Draws regions as R-CNN does (a quarter of them show objects), cuts them out, and writes them as a file.

    The annotated boxes themselves are among the proposals.

    Args:
        photos: the photos.
        proposals: boxes (n, 4) of each.
        path: the file, as `save_arrays` writes it.
        per_photo: regions of each photo.
        size: height and width of a region, in pixels.
        context, fill: as of `cut_regions`.
        seed: decides what is drawn.
        progress: is called with 1 after each photo.

    Returns:
        How many there are of each class, the background last.

    Raises:
        ValueError: a photo cannot be decoded, or there is nothing to learn from.
        OSError: a file cannot be read or written.
    """
    background, rng = len(photos.classes), np.random.default_rng(seed)
    images, labels = [], []
    for photo, boxes in zip(photos, proposals, strict=True):
        image, objects = photo.open()
        boxes = np.concatenate([objects.boxes, boxes])
        shown = match(boxes, objects, background).labels
        drawn = sample(shown, per_photo, background, rng)
        if len(drawn):
            regions = cut_regions(image, boxes[drawn], size, context=context, fill=fill).numpy()
            images.append(np.clip(np.round(regions), 0, 255).astype(np.uint8))
            labels.append(shown[drawn])
        if progress is not None:
            progress(1)
    if not images:
        raise ValueError(f"expected photos with something to learn from; Received: {photos.name}, with nothing")
    images, labels = np.concatenate(images), np.concatenate(labels)
    classes = (*photos.classes, BACKGROUND)
    save_arrays(path, images, labels, classes)
    return dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))
