"""Published folders on the Hugging Face Hub, behind `hf://owner/name[@revision]`: one commit, checked file by file."""

import dataclasses
import logging
import os
import pathlib
import re
import time

from keras_inception.convert.checkpoint import CheckpointError
from keras_inception.hub import folder as folders
from keras_inception.hub.download import TIMEOUT, ChecksumError, DownloadError

logger = logging.getLogger(__name__)

_REFERENCE = re.compile(r"hf://(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_COMMIT = re.compile("[0-9a-f]{40}")


@dataclasses.dataclass(frozen=True)
class Fetched:
    """A published folder that is here, all of it from one commit, every file checked.

    Args:
        folder: where the Hub's client keeps that commit.
        commit: its full hash.
        published: what the JSON says.
    """

    folder: pathlib.Path
    commit: str
    published: folders.Published


@dataclasses.dataclass(frozen=True)
class _Blob:
    """What a commit says of a file: its size and its id, git's hash of the content, or for large files its sha256."""

    id: str
    size: int | None

    def is_of(self, path) -> bool:
        return self.id == (folders.sha256(path) if len(self.id) == 64 else folders.git_blob_id(path))


def parse(reference: str) -> tuple[str, str | None]:
    """The repository and revision of `hf://owner/name[@revision]`.

    Raises:
        ValueError: the reference is of another form.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ValueError(f"expected hf://owner/name or hf://owner/name@revision; Received: {reference!r}")
    return match["repository"], match["revision"]


def fetch(reference: str, *, token=None, endpoint=None, whole=False) -> Fetched:
    """Downloads a published folder, unless it is here.

    The reference is resolved to a commit once, and every file is taken from that commit. The JSON must be the one that
    the commit names, and all other files those that the JSON names; one that is not is fetched anew, and refused if
    it is still wrong. A full commit hash that is cached takes no request. Where the Hub does not answer, or refuses the
    token, or `HF_HUB_OFFLINE` is set, what is cached is used, and the log says which commit that is, and since when.

    Args:
        reference: `hf://owner/name[@revision]`.
        token: of the Hub; None for `HF_TOKEN` or the client's login.
        endpoint: address of the Hub; None for `HF_ENDPOINT` or the public one.
        whole: every file that the JSON names, and the card, not only those that a load reads.

    Raises:
        ValueError: the reference is malformed, or the repository, revision or a file does not exist or may not be read.
        ChecksumError: a file is not what its commit says, also when fetched again.
        CheckpointError: the folder is not one of ours, or of a newer version.
        DownloadError: the Hub cannot be reached, and nothing of that name is cached.
    """
    repository, revision = parse(reference)
    source = _Source(reference, repository, token, endpoint, whole)
    if revision is not None and _COMMIT.fullmatch(revision) and (found := source.cached(revision)) is not None:
        return found
    try:
        commit, blobs = source.look_up(revision)
    except _Unanswered as reason:
        return source.from_cache(revision, reason)
    return source.download(commit, blobs)


class _Unanswered(Exception):
    """The Hub was not asked, did not answer, or did not accept the token."""


class _Source:
    """A repository, and the client's cache of it."""

    def __init__(self, reference, repository, token, endpoint, whole):
        from huggingface_hub import constants

        self.whole = whole

        self.reference, self.repository, self.token = reference, repository, token
        self.endpoint = endpoint or constants.ENDPOINT
        self.cache = pathlib.Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"

    def look_up(self, revision) -> tuple[str, dict[str, _Blob]]:
        """The commit of a revision, and its files by name."""
        from huggingface_hub import HfApi
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            HTTPError,
            OfflineModeIsEnabled,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        api = HfApi(endpoint=self.endpoint, token=self.token, **library())
        try:
            info = api.model_info(self.repository, revision=revision, files_metadata=True, timeout=TIMEOUT)
        except RevisionNotFoundError as error:
            raise ValueError(f"expected a revision of {self.repository}; Received: {self.reference!r}") from error
        except GatedRepoError as error:
            raise ValueError(f"{self.reference}: access is restricted: {error.server_message or error}") from error
        except (RepositoryNotFoundError, HfHubHTTPError) as error:
            status = error.response.status_code
            if status == 401 and self.token is not False and _token(self.token):
                raise _Unanswered("the Hub did not accept the token") from error
            if status in (401, 403, 404):
                raise ValueError(
                    f"expected a repository that exists and may be read with this token; Received: {self.reference!r} "
                    f"(HTTP status {status})"
                ) from error
            raise _Unanswered(f"the Hub answered with HTTP status {status}") from error
        except OfflineModeIsEnabled as error:
            raise _Unanswered("HF_HUB_OFFLINE is set, so that the Hub was not asked") from error
        except (HTTPError, OSError) as error:
            raise _Unanswered(f"the Hub did not answer ({type(error).__name__}: {error})") from error
        if revision is None or not _COMMIT.fullmatch(revision):
            self._remember(revision or "main", info.sha)
        blobs = {
            file.rfilename: _Blob(
                file.lfs.sha256 if file.lfs else file.blob_id, file.lfs.size if file.lfs else file.size
            )
            for file in info.siblings
        }
        return info.sha, blobs

    def _remember(self, revision, commit):
        """Writes down what the revision is now, where the client looks for it; the file's date is that of the look."""
        path = self.cache / "refs" / revision
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f"{path.name}.{os.getpid()}.part")
            partial.write_text(commit)
            os.replace(partial, path)
        except OSError as error:
            logger.info("%s could not be written: %s", path, error)

    def from_cache(self, revision, reason) -> Fetched:
        """What is cached of a revision, and a word about it."""
        commit, since = revision, None
        if revision is None or not _COMMIT.fullmatch(revision):
            ref = self.cache / "refs" / (revision or "main")
            commit = ref.read_text().strip() if ref.is_file() else ""
            since = time.time() - ref.stat().st_mtime if commit else None
        found = self.cached(commit) if _COMMIT.fullmatch(commit) else None
        if found is None:
            raise DownloadError(f"{self.reference}: {reason}, and it is not in the cache") from reason
        told = "" if since is None else f", which it was when the Hub was last asked, {_age(since)} ago"
        logger.warning("%s: %s; this is commit %s of the cache%s.", self.reference, reason, commit, told)
        return found

    def cached(self, commit) -> Fetched | None:
        """The commit, where all of its files are in the cache; without any request.

        Raises:
            ChecksumError: a file there is not the one that was published, and `from_hub` cannot repair it offline.
        """
        folder = self.cache / "snapshots" / commit
        config = folder / folders.CONFIG
        if not config.is_file():
            return None
        # The client names a blob by its id; where it cannot make links, nobody says what the JSON should be.
        name = pathlib.Path(os.readlink(config)).name if config.is_symlink() else None
        if name is not None and not _Blob(name, None).is_of(config):
            return None
        try:
            published = folders.read_published(folder)
            for file in self.needed(published):
                if not (folder / file).is_file():
                    return None
                folders.check_file(folder, file, published.files[file])
        except CheckpointError as error:
            logger.warning("%s: a damaged file in the cache is fetched anew: %s", self.reference, error)
            return None
        return Fetched(folder, commit, published)

    def download(self, commit, blobs) -> Fetched:
        """The files of a commit, from the cache where it has the right ones."""
        config = self._file(commit, blobs, folders.CONFIG, limit=folders.MAX_JSON)
        published = folders.parse(folders.read_text(config), f"{self.reference}: {folders.CONFIG}")
        for name in self.needed(published):
            record = published.files[name]
            blob = blobs.get(name)
            if blob is not None and blob.size not in (None, record.bytes):
                raise ChecksumError(
                    f"{self.reference}: expected {name} of {record.bytes} bytes; Received: an offer of {blob.size}"
                )
            self._file(commit, blobs, name, sha256=record.sha256)
        if self.whole and folders.CARD in blobs:
            self._file(commit, blobs, folders.CARD)
        return Fetched(config.parent, commit, published)

    def needed(self, published: folders.Published) -> list[str]:
        """The files that are asked for, beside the JSON."""
        if self.whole:
            return list(published.files)
        return [folders.WEIGHTS] + ([folders.ARCHITECTURE] if published.kind == "functional" else [])

    def _file(self, commit, blobs, name, *, sha256=None, limit=None) -> pathlib.Path:
        """A file of a commit that is what it should be."""
        if name not in blobs:
            raise ValueError(
                f"expected {self.reference!r} to hold {folders.CONFIG} and {folders.WEIGHTS}; Received: no {name}"
            )
        blob = blobs[name]
        if limit is not None and blob.size is not None and blob.size > limit:
            raise CheckpointError(f"{self.reference}: expected {name} of at most {limit} bytes; Received: {blob.size}")
        for force in (False, True):
            path = self._fetched(commit, name, force)
            if blob.is_of(path) and (sha256 in (None, blob.id) or sha256 == folders.sha256(path)):
                return path
            logger.warning("%s: %s is not what it should be%s", self.reference, name, "" if force else ": once more")
        raise ChecksumError(
            f"{self.reference}: expected {name} to be {sha256 or blob.id} as commit {commit} has it; Received: another "
            "file, twice"
        )

    def _fetched(self, commit, name, force) -> pathlib.Path:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HTTPError

        try:
            # Its path is never resolved: what the link leads to has no name of its own.
            path = hf_hub_download(
                self.repository,
                name,
                revision=commit,
                force_download=force,
                token=self.token,
                endpoint=self.endpoint,
                **library(),
            )
        except (HTTPError, OSError, RuntimeError) as error:  # RuntimeError is Xet's
            raise DownloadError(f"{self.reference}: {name} could not be downloaded: {error}") from error
        return pathlib.Path(path)


def library() -> dict:
    """What the client says to the Hub that it is used by."""
    import importlib.metadata

    return {"library_name": "keras_inception", "library_version": importlib.metadata.version("keras_inception")}


def _token(token):
    from huggingface_hub import get_token

    return token if isinstance(token, str) else get_token()


def _age(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
