"""Publishing in a folder: every file or none, and upon the state that was looked at, as on the Hub."""

import contextlib
import hashlib
import os
import pathlib
import shutil

from keras_inception.hub import card as cards
from keras_inception.hub import folder as folders
from keras_inception.hub.download import cache_folder
from keras_inception.hub.publish import PublishError

# A file on its way: beside its place, so that a rename brings it there at once.
_PARTIAL = ".keras_inception.part."
_OURS = {folders.CONFIG, folders.WEIGHTS, folders.CARD, *folders.KERAS_FILES}


def revision(place) -> str | None:
    """`"sha256:..."` of the JSON of a published folder, which names the hashes of all files; None where there is none.

    Raises:
        ValueError: the folder holds something else.
    """
    place = pathlib.Path(place)
    if place.exists() and not place.is_dir():
        raise ValueError(f"expected a folder; Received: {place}, which is none")
    config = place / folders.CONFIG
    if config.is_file():
        return f"sha256:{hashlib.sha256(config.read_bytes()).hexdigest()}"
    # What an interrupted publication leaves, or a card that its author wrote before, may be there.
    foreign = [path.name for path in place.iterdir() if not _is_ours(path.name)] if place.is_dir() else []
    if foreign:
        raise ValueError(
            f"expected an empty folder, or one that was published before; Received: {place} with {foreign[0]}"
        )
    return None


def _is_ours(name: str) -> bool:
    return name in _OURS or name.startswith(_PARTIAL)


def put(written, place, expected: str | None, given=()) -> str:
    """Puts a finished folder in its place.

    The files are copied first, and renamed only when all are there, the JSON last: a load in that moment finds files
    that do not fit, and refuses them.

    Args:
        written: the finished folder.
        place: where it is to be.
        expected: what `revision` said of it before.
        given: keys of the card's front matter that win over an existing card's.

    Returns:
        The new `revision`.

    Raises:
        PublishError: it is another one now, for somebody else has published there.
        ValueError: the card that is there cannot be read.
    """
    written, place = pathlib.Path(written), pathlib.Path(place)
    place.mkdir(parents=True, exist_ok=True)
    with _lock(place):
        if (now := revision(place)) != expected:
            raise PublishError(
                f"{place}: another publisher came first; nothing was published. Publish again to replace it "
                f"(expected {expected}; Received: {now})"
            )
        if (place / folders.CARD).exists():
            theirs, fresh = folders.read_text(place, folders.CARD), (written / folders.CARD).read_text("utf-8")
            (written / folders.CARD).write_bytes(cards.update(theirs, fresh, given).encode())
        names = sorted((path.name for path in written.iterdir()), key=lambda name: name == folders.CONFIG)
        try:
            for name in names:
                shutil.copyfile(written / name, place / f"{_PARTIAL}{name}")
            for name in names:
                os.replace(place / f"{_PARTIAL}{name}", place / name)
        finally:
            for partial in place.glob(f"{_PARTIAL}*"):
                partial.unlink()
        _remove_others(place, names)
        return revision(place)


def _remove_others(place, names) -> None:
    """Removes the architecture that a model had which was here before."""
    for name in folders.KERAS_FILES:
        if name not in names:
            (place / name).unlink(missing_ok=True)


@contextlib.contextmanager
def _lock(place):
    """A lock that the operating system releases when its holder dies, on a file that is not left in the folder."""
    from huggingface_hub.utils import WeakFileLock

    name = hashlib.sha256(os.fsencode(place.resolve())).hexdigest()[:32]
    path = cache_folder() / "locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(path):
        yield
