"""What the commands that look at photos share: finding them, a progress bar, and room for a picture."""

import contextlib
import pathlib
import sys
import warnings

from huggingface_hub.utils import tqdm

from keras_inception.classify import find_images
from keras_inception_cli import complain

# A page with more photos than this is no picture any more.
MAX_CARDS = 60
# Up to this many photos are done before anyone looks for a progress bar.
FEW = 8


def find_photos(args) -> tuple[list, int]:
    """The photos that a command is given, and how many of its arguments are none, of which it is told.

    Raises:
        ValueError: there is no folder for the picture.
    """
    folder = pathlib.Path(args.picture or ".").absolute().parent
    if not folder.is_dir():
        raise ValueError(f"expected an existing folder for the picture; Received: {folder}")
    paths, problems = find_images(args.paths)
    for problem in problems:
        complain(problem)
    return paths, len(problems)


def progress_bar(count: int):
    """Of so many photos, on a terminal, where it takes long enough to look for one."""
    # disable=None: only on a terminal.
    return tqdm(total=count, unit=" photos", file=sys.stderr, disable=True if count <= FEW else None)


@contextlib.contextmanager
def quiet_pil(debug: bool = False):
    """Hides PIL's warnings, of damaged EXIF data for one: what it warns of, it can read; not to debug.

    The filters belong to the whole process: this is for the main thread, around all threads that read photos.
    """
    with warnings.catch_warnings():
        if not debug:
            warnings.filterwarnings("ignore", module=r"PIL\.")
        yield
