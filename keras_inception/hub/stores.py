"""Published folders on the Hugging Face Hub, behind `hf://owner/name[@revision]`: one commit, checked file by file."""

import logging
import pathlib
import re

from keras_inception.convert.checkpoint import CheckpointError
from keras_inception.hub import folder as folders
from keras_inception.hub.cache import Blob, Cache, Fetched, fetch_right, is_commit
from keras_inception.hub.download import TIMEOUT, ChecksumError, DownloadError

logger = logging.getLogger(__name__)

_REFERENCE = re.compile(r"hf://(?P<repository>[^/@]+/[^/@]+)(?:@(?P<revision>.+))?")
# Names that git takes for branches and tags, but for the rarest.
_REVISION = re.compile(r"(?!.*(\.\.|//|/\.|\.lock$|\.$|/$))[A-Za-z0-9_][\w.+/-]*", re.ASCII)


def parse(reference: str) -> tuple[str, str | None]:
    """The repository and revision of `hf://owner/name[@revision]`.

    Raises:
        ValueError: the reference is of another form.
    """
    match = _REFERENCE.fullmatch(reference)
    revision = match and match["revision"]
    if not (match and is_repository(match["repository"]) and (revision is None or _REVISION.fullmatch(revision))):
        raise ValueError(f"expected hf://owner/name or hf://owner/name@revision; Received: {reference!r}")
    return match["repository"], revision


def is_repository(name: str) -> bool:
    """Whether a text is `owner/name` as the Hub allows it."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return name.count("/") == 1


def check_revision(**names) -> None:
    """Raises ValueError unless these names of branches and tags, or None, can be read in a reference."""
    for argument, name in names.items():
        if name is not None and not (isinstance(name, str) and _REVISION.fullmatch(name)):
            raise ValueError(f"expected {argument} to be a name for git, such as v1; Received: {argument}={name!r}")


def fetch(reference: str, *, token=None, endpoint=None, files="needed") -> Fetched:
    """Downloads a published folder, unless it is here.

    The reference is resolved to a commit once, and every file is taken from that commit. The JSON must be the one that
    the commit names, and all other files those that the JSON names; one that is not is fetched anew, and refused if
    it is still wrong. A full commit hash that is cached takes no request. Where the Hub does not answer, or refuses the
    token, or `HF_HUB_OFFLINE` is set, what is cached is used, and the log says which commit that is, and since when.

    Args:
        reference: `hf://owner/name[@revision]`.
        token: of the Hub; None for `HF_TOKEN` or the client's login.
        endpoint: address of the Hub; None for `HF_ENDPOINT` or the public one.
        files: beside the JSON, `"needed"`: those that a load reads; `"all"`: all that it names, and the card; or
            `"none"`, to read what it says.

    Raises:
        ValueError: the reference is malformed, or the repository, revision or a file does not exist or may not be read.
        ChecksumError: a file is not what its commit says, also when fetched again.
        CheckpointError: the folder is not one of ours, or of a newer version.
        DownloadError: the Hub cannot be reached, and nothing of that name is cached.
    """
    repository, revision = parse(reference)
    source = _Source(reference, repository, token, endpoint, files)
    pinned = is_commit(revision)
    if pinned and (found := source.cache.find(revision)) is not None:
        return found
    try:
        commit, blobs = source.look_up(revision)
    except _Unanswered as reason:
        return source.from_cache(revision, reason)
    fetched = source.download(commit, blobs)
    # Not before it is here: until then the commit before is the one that can be had offline.
    if not pinned and files != "none":
        source.cache.remember(revision, commit)
    return fetched


class _Unanswered(Exception):
    """The Hub was not asked, did not answer, or did not accept the token."""


class _Source:
    """A repository of a hub, and what is cached of it."""

    def __init__(self, reference, repository, token, endpoint, files):
        from huggingface_hub import constants

        self.reference, self.repository, self.token = reference, repository, token
        self.endpoint = endpoint or constants.ENDPOINT
        self.cache = Cache(reference, repository, self.endpoint, files)

    def look_up(self, revision) -> tuple[str, dict[str, Blob]]:
        """The commit of a revision, and its files by name."""
        from huggingface_hub import HfApi
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            HTTPError,
            OfflineModeIsEnabled,
            RevisionNotFoundError,
        )

        api = HfApi(endpoint=self.endpoint, token=self.token, **library())
        try:
            info = api.model_info(self.repository, revision=revision, files_metadata=True, timeout=TIMEOUT)
            commit, blobs = info.sha, blobs_of(info)
        except RevisionNotFoundError as error:
            raise ValueError(f"expected a revision of {self.repository}; Received: {self.reference!r}") from error
        except GatedRepoError as error:
            raise ValueError(f"{self.reference}: access is restricted: {error.server_message or error}") from error
        except HfHubHTTPError as error:
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
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            # The login page of a hotel's network, for one.
            raise _Unanswered(f"{self.endpoint} answered, but not as a hub ({type(error).__name__})") from error
        if not is_commit(commit):
            raise _Unanswered(f"{self.endpoint} answered, but not as a hub (commit {commit!r:.100})")
        if is_commit(revision) and commit != revision:
            raise ChecksumError(f"{self.reference}: expected that commit; Received: {commit}, by {self.endpoint}")
        return commit, blobs

    def from_cache(self, revision, reason) -> Fetched:
        """What is cached of a revision, and a word about it."""
        if is_commit(revision):
            found, told = self.cache.find(revision, alone=True), ""
        else:
            found, told = self.cache.last_known(revision)
        if found is None:
            raise DownloadError(f"{self.reference}: {reason}, and it is not in the cache") from reason
        logger.warning("%s: %s; this is commit %s of the cache%s.", self.reference, reason, found.commit, told)
        return found

    def download(self, commit, blobs) -> Fetched:
        """The files of a commit, from the cache where it has the right ones."""
        config = self._file(commit, blobs, folders.CONFIG, limit=folders.MAX_TEXT)
        if not config.is_symlink():
            self.cache.remember(commit, blobs[folders.CONFIG].id)
        folder = config.parent
        published = folders.parse(
            folders.read_text(folder, folders.CONFIG, links=True), f"{self.reference}: {folders.CONFIG}"
        )
        for name in self.cache.wanted(published):
            self._file(commit, blobs, name, record=published.files[name])
        if self.cache.files == "all" and folders.CARD in blobs:
            self._file(commit, blobs, folders.CARD, limit=folders.MAX_TEXT)
        return Fetched(folder, commit, self.cache.content(folder))

    def _file(self, commit, blobs, name, *, record=None, limit=None) -> pathlib.Path:
        """A file of a commit that is what it should be."""
        if name not in blobs:
            raise ValueError(
                f"expected {self.reference!r} to hold a published model, {folders.CONFIG} and what it names; "
                f"Received: no {name}"
            )
        blob = blobs[name]
        if limit is not None and blob.size is not None and blob.size > limit:
            raise CheckpointError(f"{self.reference}: expected {name} of at most {limit} bytes; Received: {blob.size}")
        if record is not None and (
            blob.size not in (None, record.bytes) or (blob.is_large and blob.id != record.sha256)
        ):
            raise ChecksumError(
                f"{self.reference}: expected {name} to be the file that {folders.CONFIG} describes, {record.bytes} "
                f"bytes, sha256 {record.sha256}; Received: commit {commit} with {blob.size} bytes, {blob.id}"
            )

        def is_right(path):
            return blob.is_of(path) and (record is None or blob.is_large or folders.sha256(path) == record.sha256)

        path = fetch_right(lambda force: self._fetched(commit, name, force), is_right)
        if path is None:
            raise ChecksumError(
                f"{self.reference}: expected {name} to be {blob.id}, as commit {commit} has it, and as "
                f"{folders.CONFIG} describes it; Received: another file, twice"
            )
        return path

    def _fetched(self, commit, name, force) -> str:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HTTPError

        try:
            # Its path is never resolved: what the link leads to has no name of its own.
            return hf_hub_download(
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


def blobs_of(info) -> dict[str, Blob]:
    """The files of a commit by name, from what the Hub says of it."""
    return {
        file.rfilename: Blob(file.lfs.sha256, file.lfs.size) if file.lfs else Blob(file.blob_id, file.size)
        for file in info.siblings
    }


def library() -> dict:
    """What the client says to the Hub that it is used by."""
    import importlib.metadata

    return {"library_name": "keras_inception", "library_version": importlib.metadata.version("keras_inception")}


def _token(token):
    from huggingface_hub import get_token

    return token if isinstance(token, str) else get_token()
