"""Which proposals show what, and which of them a region classifier is trained on (R-CNN, section 2.3)."""

import dataclasses

import numpy as np

from keras_inception.detection.boxes import checked_boxes, overlap
from keras_inception.detection.objects import Objects

IGNORED = -1


@dataclasses.dataclass(frozen=True, eq=False)
class Matches:
    """What proposals show.

    Attributes:
        labels: (n,), the class of the object that a proposal overlaps most; the number of the background where it
            overlaps none enough; `IGNORED` where nothing is to be learned from it.
        objects: (n,), the number of that object; of an image without any, 0.
        overlaps: (n,), with it.
    """

    labels: np.ndarray
    objects: np.ndarray
    overlaps: np.ndarray


def match(proposals, objects: Objects, background: int, *, threshold: float = 0.5) -> Matches:
    """Compares proposals with the objects of their image.

    Args:
        proposals: (n, 4).
        objects: of the image.
        background: the number of the class of what is no object.
        threshold: of intersection over union, from which on a proposal shows an object. Difficult objects and crowds
            count too, but nothing is learned from what shows them, nor from what is inside of a crowd.
    """
    proposals = checked_boxes(proposals)
    labels = np.full(len(proposals), background, np.int64)
    if not len(objects) or not len(proposals):
        return Matches(labels, np.zeros(len(labels), np.int64), np.zeros(len(labels)))
    shared = overlap(proposals, objects.boxes)
    best = shared.argmax(1)
    overlaps = shared[np.arange(len(best)), best]
    shows = overlaps >= threshold
    labels[shows] = objects.labels[best[shows]]
    labels[shows & (objects.difficult | objects.crowd)[best]] = IGNORED
    if objects.crowd.any():
        centres = (proposals[:, :2] + proposals[:, 2:]) / 2
        crowds = objects.boxes[objects.crowd]
        inside = ((centres[:, None] >= crowds[None, :, :2]) & (centres[:, None] <= crowds[None, :, 2:])).all(-1).any(1)
        labels[inside & ~shows] = IGNORED
    return Matches(labels, best, overlaps)


def sample(labels, count: int, background: int, rng, *, foreground: float = 0.25) -> np.ndarray:
    """Draws proposals to train on, of objects and of background in fixed shares.

    Args:
        labels: (n,), as `match` gives them; of several images one after another.
        count: how many to draw.
        background: the number of its class.
        rng: a numpy generator.
        foreground: share of objects; R-CNN has 32 of 128. Where there are fewer, they are drawn again, and where there
            are none of one kind, all are of the other.

    Returns:
        Their numbers, (count,), in random order; none where nothing can be learned from any.
    """
    labels = np.asarray(labels)
    shows = np.flatnonzero((labels != background) & (labels != IGNORED))
    others = np.flatnonzero(labels == background)
    if not len(shows) and not len(others):
        return np.zeros(0, np.int64)
    wanted = round(count * foreground) if len(others) else count
    wanted = wanted if len(shows) else 0
    drawn = [_drawn(shows, wanted, rng), _drawn(others, count - wanted, rng)]
    return rng.permutation(np.concatenate(drawn))


def _drawn(numbers, count, rng):
    """So many, none twice where there are enough."""
    if len(numbers) >= count:
        return rng.choice(numbers, count, replace=False) if count else np.zeros(0, np.int64)
    return np.concatenate([numbers, rng.choice(numbers, count - len(numbers))])
