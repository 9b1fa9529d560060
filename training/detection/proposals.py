"""Proposals of a data set: made once, on all cores, and kept; how many there are, and what they cover."""

import concurrent.futures
import dataclasses
import hashlib
import logging
import os
import pathlib

import numpy as np

from keras_inception.datasets.source import cores
from keras_inception.detection.annotations import AnnotatedPhotos
from keras_inception.detection.boxes import area, clip, overlap

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Coverage:
    """What proposals find, as section 8 reports it.

    Attributes:
        proposals: of an image, in the mean.
        covered: the share of objects that one of them overlaps by half.
        by_class: the same for each class; NaN for one that does not occur.
    """

    proposals: float
    covered: float
    by_class: dict[str, float]


def propose(photos: AnnotatedPhotos, source, folder, *, progress=None, parallel: bool = True) -> list[np.ndarray]:
    """The proposals of a source for all photos, from the files of an earlier call where they are there.

    Args:
        photos: the photos.
        source: from an image, uint8 (h, w, 3), to boxes (n, 4) in its pixels.
        folder: one file for each photo; made if it is not there. Another source needs another folder.
        progress: is called with 1 after each photo.
        parallel: whether several photos are looked at at once, where the source lets go of Python's lock.

    Returns:
        Boxes (n, 4) of each photo, clipped to it.

    Raises:
        ValueError: a photo cannot be decoded, or a file is none of ours.
        OSError: a file cannot be read or written.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)

    def boxes_of(photo):
        path = file_of(folder, photo)
        if path.exists():
            boxes = _read(path)
        else:
            image, _ = photo.open()
            boxes = clip(np.asarray(source(image), np.float64).reshape(-1, 4), image.shape[:2])
            boxes = boxes[area(boxes) > 0]
            write_array(path, boxes)
        if progress is not None:
            progress(1)
        return boxes

    with concurrent.futures.ThreadPoolExecutor(cores() if parallel else 1) as pool:
        return list(pool.map(boxes_of, photos))


def _read(path):
    try:
        boxes = np.load(path, allow_pickle=False)
        if boxes.ndim == 2 and boxes.shape[1] == 4 and boxes.dtype == np.float64 and np.isfinite(boxes).all():
            return boxes
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"expected boxes (n, 4); Received: {path} ({error})") from error
    raise ValueError(f"expected boxes (n, 4); Received: {path}, with {boxes.dtype} {boxes.shape}")


def file_of(folder: pathlib.Path, photo) -> pathlib.Path:
    """Where something about a photo is kept; two photos of a name may lie in different folders."""
    digest = hashlib.sha256(os.fsencode(photo.path.absolute())).hexdigest()[:8]
    return folder / f"{photo.path.stem}-{digest}.npy"


def write_array(path, array) -> None:
    """Writes an array as a file, whole or not at all."""
    temporary = path.with_suffix(".part")
    with open(temporary, "wb") as file:
        np.save(file, array)
    os.replace(temporary, path)


def coverage(photos: AnnotatedPhotos, proposals, *, threshold: float = 0.5) -> Coverage:
    """What the proposals of all photos cover: objects that are neither difficult nor crowds.

    Args:
        photos: the photos.
        proposals: boxes (n, 4) of each.
        threshold: of the overlap, from which on an object is covered.
    """
    found, labels = [np.zeros(0)], [np.zeros(0, np.int64)]
    for photo, boxes in zip(photos, proposals, strict=True):
        counts = ~(photo.objects.difficult | photo.objects.crowd)
        shared = overlap(photo.objects.boxes[counts], boxes)
        found.append(shared.max(1, initial=0.0) >= threshold)
        labels.append(photo.objects.labels[counts])
    found, labels = np.concatenate(found).astype(bool), np.concatenate(labels)

    def share(of):
        return float(found[of].mean()) if of.any() else float("nan")

    by_class = {name: share(labels == label) for label, name in enumerate(photos.classes)}
    count = float(np.mean([len(boxes) for boxes in proposals])) if len(proposals) else float("nan")
    return Coverage(count, share(np.ones(len(labels), bool)), by_class)
