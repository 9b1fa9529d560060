"""What a classifier says of all proposals of a data set: computed once, and kept."""

import logging
import pathlib

import numpy as np

from keras_inception.detection.annotations import AnnotatedPhotos
from training.detection.proposals import file_of, write_array

logger = logging.getLogger(__name__)


def probabilities(scorer, photos: AnnotatedPhotos, proposals, folder, *, progress=None) -> list[np.ndarray]:
    """The probabilities of all proposals of all photos, from the files of an earlier call where they are there.

    Args:
        scorer: a `keras_inception.detection` scorer.
        photos: the photos.
        proposals: boxes (n, 4) of each.
        folder: one file for each photo; other proposals or another scorer need another folder.
        progress: is called with the number of proposals of each photo.

    Returns:
        float32 (n, classes) of each photo.

    Raises:
        ValueError: a photo cannot be decoded, or a file is none of ours.
        OSError: a file cannot be read or written.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for photo, boxes in zip(photos, proposals, strict=True):
        path = file_of(folder, photo)
        if path.exists():
            scores = _read(path, (len(boxes), scorer.classes))
        else:
            image, _ = photo.open()
            scores = scorer(image, boxes).astype(np.float32)
            write_array(path, scores)
        found.append(scores)
        if progress is not None:
            progress(len(boxes))
    return found


def _read(path, shape):
    try:
        scores = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"expected probabilities {shape}; Received: {path} ({error})") from error
    if scores.shape != shape or scores.dtype != np.float32 or not np.isfinite(scores).all():
        raise ValueError(f"expected probabilities {shape}; Received: {path}, with {scores.dtype} {scores.shape}")
    return scores
