"""Box regression, fit on proposals that are near to objects."""

import numpy as np

from keras_inception.detection.annotations import AnnotatedPhotos
from keras_inception.detection.box_regression import BoxRegression, BoxRegressionFit
from keras_inception.detection.sampling import match

# Of the overlap with an object, from which on its place is to be learned from a proposal (R-CNN, appendix C).
NEAR = 0.6


def fit_regression(
    scorer, photos: AnnotatedPhotos, proposals, *, penalty: float, per_photo: int, seed: int = 0, progress=None
) -> BoxRegression:
    """Fits the regression of each class.

    Args:
        scorer: what sees the proposals.
        photos: the photos.
        proposals: boxes (n, 4) of each.
        penalty: as of `BoxRegressionFit`.
        per_photo: proposals of each photo, at most.
        seed: decides which.
        progress: is called with 1 after each photo.

    Raises:
        ValueError: a photo cannot be decoded, the classifier has no linear layer, or no proposal is near to an object.
        OSError: a file cannot be read.
    """
    rng, fit, seen = np.random.default_rng(seed), None, 0
    for photo, boxes in zip(photos, proposals, strict=True):
        image, objects = photo.open()
        found = match(boxes, objects, len(photos.classes), threshold=NEAR)
        near = np.flatnonzero((found.labels >= 0) & (found.labels < len(photos.classes)))
        near = rng.permutation(near)[:per_photo]
        if len(near):
            features = scorer.features(image, boxes[near])
            fit = fit or BoxRegressionFit(len(photos.classes), features.shape[1], penalty=penalty)
            fit.add(features, boxes[near], objects.boxes[found.objects[near]], found.labels[near])
            seen += len(near)
        if progress is not None:
            progress(1)
    if fit is None:
        raise ValueError(
            f"expected proposals that overlap an object by {NEAR}; Received: none in {photos.name}, so that there is "
            "nothing to fit box regression on"
        )
    return fit.solve()
