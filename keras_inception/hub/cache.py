"""The cache of the Hub's client, of which nothing is believed that can be checked, and our notes beside it."""

import dataclasses
import logging
import os
import pathlib
import re
import time
import urllib.parse

from keras_inception.convert.checkpoint import CheckpointError
from keras_inception.hub import folder as folders
from keras_inception.hub.download import cache_folder

logger = logging.getLogger(__name__)

_COMMIT = re.compile("[0-9a-f]{40}")


@dataclasses.dataclass(frozen=True)
class Fetched:
    """A published folder that is here, all of it from one commit, every file checked.

    Args:
        folder: where the Hub's client keeps that commit.
        commit: its full hash.
        content: what a load needs of it; without files where none were asked for.
    """

    folder: pathlib.Path
    commit: str
    content: folders.Content


@dataclasses.dataclass(frozen=True)
class Blob:
    """What a commit says of a file: its size and its id, git's hash of the content, or for large files its sha256."""

    id: str
    size: int | None = None

    @property
    def is_large(self) -> bool:
        return len(self.id) == 64

    def is_of(self, path) -> bool:
        return self.id == (folders.sha256(path) if self.is_large else folders.git_blob_id(path))


def fetch_right(fetch, is_right) -> pathlib.Path | None:
    """A file that the client fetches, once more where it is not what it should be; None where it is wrong both times.

    Args:
        fetch: gives the path; takes whether it is to be fetched anew.
        is_right: whether what is there is what it should be.
    """
    path = pathlib.Path(fetch(False))
    if is_right(path):
        return path
    logger.warning("%s is not what it should be: once more", path)
    if not path.is_symlink():
        path.unlink(missing_ok=True)  # the client would leave what it has put there
    path = pathlib.Path(fetch(True))
    return path if is_right(path) else None


def is_commit(revision) -> bool:
    """Whether a revision is the full hash of a commit."""
    return isinstance(revision, str) and _COMMIT.fullmatch(revision) is not None


class Cache:
    """What is on this machine of a repository.

    Args:
        reference: as the user wrote it, for messages.
        repository: `owner/name`.
        endpoint: address of the hub.
        files: see `stores.fetch`.
    """

    def __init__(self, reference, repository, endpoint, files):
        from huggingface_hub import constants

        self.reference, self.repository, self.endpoint, self.files = reference, repository, endpoint, files
        self.folder = pathlib.Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"

    def wanted(self, published) -> tuple[str, ...]:
        """The files that were asked for, beside the JSON."""
        return {"needed": published.needed, "all": tuple(published.files), "none": ()}[self.files]

    def content(self, folder) -> folders.Content:
        """What was asked for of a folder, each file checked against the JSON."""
        if self.files == "none":
            return folders.Content(str(folder), folders.read_published(folder, links=True), {})
        return folders.read(folder, links=True)

    def _note(self, revision) -> pathlib.Path:
        """Where we keep what a revision was when this hub was last asked; its date is that of the question."""
        hub = urllib.parse.quote(self.endpoint, safe="")
        return cache_folder() / "hub" / hub / self.repository / urllib.parse.quote(revision or "main", safe="")

    def remember(self, revision, text) -> None:
        """Writes down what a branch or tag is now; or of a commit the id of its JSON."""
        path = self._note(revision)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{os.getpid()}")
            partial.write_text(text)
            os.replace(partial, path)
        except OSError as error:
            logger.info("%s could not be written: %s", path, error)

    def last_known(self, revision) -> tuple[Fetched | None, str]:
        """What a revision was when somebody last asked, and who and when: we, or else others with the Hub's client."""
        theirs = self.folder / "refs" / (revision or "main")
        for note, said in (
            (self._note(revision), f"when {self.endpoint} was last asked"),
            (theirs, "when another program asked its hub"),
        ):
            commit = note.read_text(errors="replace").strip() if note.is_file() else None
            found = self.find(commit, alone=True) if is_commit(commit) else None
            if found is not None:
                return found, f", which it was {said}, {_age(time.time() - note.stat().st_mtime)} ago"
        return None, ""

    def find(self, commit, *, alone=False) -> Fetched | None:
        """The commit, where all of its files are in the cache and right; without any request.

        Args:
            commit: its full hash.
            alone: whether there is no hub to ask, where nothing here says what the JSON should be.
        """
        folder = self.folder / "snapshots" / commit
        config = folder / folders.CONFIG
        if not config.is_file():
            return None
        expected = self._blob_in_cache(config)
        if expected is None and not alone:
            return None
        try:
            if expected is None:
                logger.warning("%s: nothing on this machine says whether %s is as it was", self.reference, config)
            elif not (config.stat().st_size <= folders.MAX_TEXT and expected.is_of(config)):
                raise CheckpointError(f"{config}: expected the file {expected.id}; Received: another")
            content = self.content(folder)
            for file in set(self.wanted(content.published)) - set(content.files):
                folders.checked(folder, file, content.published.files[file], links=True)
        except CheckpointError as error:
            if all((folder / file).is_file() for file in _needed(folder)):
                logger.warning("%s: the cache is not whole, or damaged: %s", self.reference, error)
            return None
        if self.files == "all" and not self._is_right(folder / folders.CARD):
            return None
        return Fetched(folder, commit, content)

    def _is_right(self, card) -> bool:
        """Whether a card is there, and as it was wherever that can be told."""
        expected = self._blob_in_cache(card) if card.is_file() else None
        return card.is_file() and (expected is None or expected.is_of(card))

    def _blob_in_cache(self, path) -> Blob | None:
        """What a file in the cache should be, after which the client names what its link leads to.

        Where there are no links, as on many a Windows, it is in a note of ours, if it is the JSON; else None.
        """
        if path.is_symlink():
            return Blob(pathlib.Path(os.readlink(path)).name)
        note = self._note(path.parent.name)
        noted = path.name == folders.CONFIG and note.is_file()
        return Blob(note.read_text(errors="replace").strip()) if noted else None


def _age(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _needed(folder) -> tuple[str, ...]:
    """The files of a model in the cache, as far as its JSON can be read."""
    try:
        return (folders.CONFIG, *folders.read_published(folder, links=True).needed)
    except CheckpointError:
        return (folders.CONFIG, folders.WEIGHTS)
