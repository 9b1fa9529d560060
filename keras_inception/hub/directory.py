"""Publishing in a folder: every file or none, and upon the state that was looked at, as on the Hub."""

import contextlib
import hashlib
import os
import pathlib
import shutil

from keras_inception.convert.checkpoint import CheckpointError
from keras_inception.hub import card as cards
from keras_inception.hub import folder as folders
from keras_inception.hub.publish import PublishError

# A file on its way: beside its place, so that a rename brings it there at once.
_PARTIAL = ".keras_inception.part."
_BEFORE = ".keras_inception.before."
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
    # The models of a detector have a name of their own in front.
    return bool({name, name.partition(".")[2]} & _OURS) or name.startswith((_PARTIAL, _BEFORE))


def _files_before(place) -> set[str]:
    """The files of what was published there before, beside the JSON and the card."""
    try:
        return {*folders.KERAS_FILES, *folders.read_published(place).files}
    except CheckpointError:  # there was nothing, or it is damaged
        return {*folders.KERAS_FILES}


def put(written, place, expected: str | None, given=()) -> str:
    """Puts a finished folder in its place.

    The files are copied first, and renamed only when all are there, the JSON last: a load in that moment finds files
    that do not fit, and refuses them. What was there before comes back where a rename fails; where the process is
    killed in that moment, it lies beside, under names that begin with `.keras_inception.before.`.

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
            _rename(place, names)
        finally:
            for partial in place.glob(f"{_PARTIAL}*"):
                partial.unlink()
        return revision(place)


def _rename(place, names) -> None:
    """Renames the partial files to their names, all of them or none; what belonged to the model before goes too."""
    moved, theirs = [], sorted(_files_before(place) - {*names})
    try:
        for name in [*theirs, *names]:
            if (place / name).exists():
                os.replace(place / name, place / f"{_BEFORE}{name}")
                moved.append(name)
            if name in names:
                os.replace(place / f"{_PARTIAL}{name}", place / name)
    except OSError:
        for name in names:
            if not (place / f"{_PARTIAL}{name}").exists():
                (place / name).unlink(missing_ok=True)
        for name in moved:
            os.replace(place / f"{_BEFORE}{name}", place / name)
        raise
    for before in place.glob(f"{_BEFORE}*"):  # and of a process that was killed
        before.unlink()


@contextlib.contextmanager
def _lock(place):
    """Keeps other processes of this machine out; the operating system releases it when its holder dies."""
    try:
        import fcntl
    except ImportError:  # Windows cannot lock a folder: what is left is that the revision is compared
        yield
        return
    handle = os.open(place, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
