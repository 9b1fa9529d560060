"""The annotated photos of a training: three splits that have nothing in common."""

import dataclasses
import hashlib
import logging
import os

from keras_inception.detection.annotations import AnnotatedPhotos, read_annotated
from keras_inception.detection.rcnn import BACKGROUND
from training.detection.recipe import DetectionRecipe

logger = logging.getLogger(__name__)


def read_splits(data_dir, recipe: DetectionRecipe) -> dict[str, AnnotatedPhotos]:
    """The photos to train on, to choose by, and to be measured on; what is annotated outside of them is left out.

    Raises:
        ValueError: the folder is not like that, a split has no objects, a photo is in two, or twice in one.
        OSError: a file cannot be read.
    """
    names = {"train": recipe.train_split, "val": recipe.val_split, "test": recipe.test_split}
    found, seen = {}, {}
    for name, split in names.items():
        photos = read_annotated(data_dir, split, found["train"].classes if found else None)
        inside, outside = [], 0
        for photo in photos:
            if photo.path in seen:
                raise ValueError(
                    f"expected each photo in one split, once; Received: {photo.path.name} twice, in {split}"
                )
            seen[photo.path] = split
            objects = photo.open()[1]
            outside += len(photo.objects) - len(objects)
            inside.append(dataclasses.replace(photo, objects=objects, height_width=None))  # which was compared
        if outside:
            logger.warning("%s: %d objects outside of their photos were left out.", photos.name, outside)
        if not any(len(photo.objects) for photo in inside):
            raise ValueError(f"expected photos with objects; Received: {photos.name}, without any")
        found[name] = AnnotatedPhotos(photos.name, photos.classes, tuple(inside), photos.skipped)
    shown = {label for photo in found["train"] for label in photo.objects.labels}
    if never := [name for label, name in enumerate(found["train"].classes) if label not in shown]:
        logger.warning("%s: no photo shows %s, so it cannot be learned.", found["train"].name, ", ".join(never))
    if BACKGROUND in found["train"].classes:
        raise ValueError(f"expected classes of other names than {BACKGROUND!r}; Received: {found['train'].classes}")
    return found


def digest_of(photos: AnnotatedPhotos) -> str:
    """What tells annotated photos from others: their names, classes and objects."""
    digest = hashlib.sha256(repr(photos.classes).encode())
    for photo in photos:
        digest.update(os.fsencode(photo.path.name))
        for column in ("boxes", "labels", "difficult", "crowd"):
            digest.update(getattr(photo.objects, column).tobytes())
    return digest.hexdigest()
