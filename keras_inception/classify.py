"""Photos on disk: found by path, folder or pattern, and classified in batches, however many there are."""

import concurrent.futures
import dataclasses
import glob
import os

import numpy as np
from PIL import Image, ImageOps

from keras_inception.labels import decode_predictions
from keras_inception.preprocessing import IMAGE_SUFFIXES, open_image, preprocess_input


@dataclasses.dataclass(frozen=True)
class Result:
    """What a model says of one file.

    Args:
        path: the file.
        predictions: tuples `(id, name, score)`, best first; None where the file could not be read.
        error: why it could not be read, or None.
        thumbnail: the photo as a small PIL image, if one was asked for.
    """

    path: str
    predictions: list[tuple[str, str, float]] | None = None
    error: Exception | None = None
    thumbnail: Image.Image | None = None


def find_images(patterns) -> tuple[list[str], list[str]]:
    """The image files that paths, folders and glob patterns name.

    A file that is named outright counts, whatever its suffix. Folders, with all below them, and patterns, in which `**`
    stands for any folders, give the files with an image's suffix, hidden ones left out.

    Args:
        patterns: strings.

    Returns:
        The files, each once, whatever the spellings of its path or the links to it, under the first of them and in
        order; and a line for each pattern that names none, and for each folder that cannot be read.
    """
    found, problems = {}, []
    for pattern in patterns:
        if os.path.isdir(pattern):
            paths = _images_below(pattern, problems)
        elif os.path.exists(pattern):
            paths = [pattern]
        elif glob.has_magic(pattern):
            paths = [path for path in sorted(glob.glob(pattern, recursive=True)) if _is_image(path)]
        else:
            problems.append(f"expected a file, a folder or a pattern; Received: {pattern}, which does not exist")
            continue
        if not paths:
            problems.append(f"expected image files; Received: {pattern}, with none")
        for path in paths:
            found.setdefault(os.path.realpath(path), path)
    return list(found.values()), problems


def _images_below(folder, problems):
    def unreadable(error):
        reason = error.strerror or error
        problems.append(f"expected a readable folder; Received: {error.filename or folder} ({reason})")

    paths = []
    for parent, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths += [os.path.join(parent, name) for name in sorted(files) if not name.startswith(".")]
    return [path for path in paths if _is_image(path)]


def _is_image(path):
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES and os.path.isfile(path)


def classify_files(model, paths, *, top=5, batch_size=32, labels=None, thumbnails=None):
    """Classifies image files. At no time more than two batches of them are in memory.

    Args:
        model: a classifier of this library.
        paths: image files.
        top: classes per photo.
        batch_size: photos that the model sees at a time.
        labels: see `decode_predictions`; None: the model's.
        thumbnails: width and height of a small copy of each photo, to be drawn; None for no copies.

    Yields:
        A `Result` per path, in order. A file that cannot be read is a result too, with its error.
    """
    paths = list(paths)
    # A few threads decode the next batch while the model has this one: PIL works outside Python's lock.
    pool = concurrent.futures.ThreadPoolExecutor(min(4, os.cpu_count() or 1))
    try:
        ahead = []
        for start in range(0, len(paths) + batch_size, batch_size):
            now = ahead
            ahead = [pool.submit(_prepare, model, path, thumbnails) for path in paths[start : start + batch_size]]
            yield from _classified(model, [future.result() for future in now], top, labels or model)
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare(model, path, thumbnails):
    """A file's pixels for the model, or None, and the result as far as it is known."""
    try:
        image = open_image(path)
        pixels = preprocess_input(image, model=model)[0]
    except (ValueError, OSError) as error:
        return None, Result(path, error=error)
    if thumbnails is None:
        return pixels, Result(path)
    # Slightly above the middle, where the subject of an upright photo is.
    small = ImageOps.fit(image, thumbnails, Image.Resampling.LANCZOS, centering=(0.5, 0.4))
    return pixels, Result(path, thumbnail=small)


def _classified(model, prepared, top, labels):
    batch = [pixels for pixels, _ in prepared if pixels is not None]
    # Not `predict`, whose threads and callbacks cost more than a batch does, and not the model itself, which is not
    # compiled.
    decoded = iter(decode_predictions(model.predict_on_batch(np.stack(batch)), top, labels) if batch else ())
    for pixels, result in prepared:
        yield result if pixels is None else dataclasses.replace(result, predictions=next(decoded))
