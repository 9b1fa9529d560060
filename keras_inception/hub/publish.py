"""Publishing a folder on the Hugging Face Hub: one commit upon the parent that was looked at, or nothing."""

import concurrent.futures
import contextlib
import json
import logging
import pathlib
import threading

from keras_inception.convert.checkpoint import CheckpointError
from keras_inception.hub import card as cards
from keras_inception.hub import folder as folders
from keras_inception.hub.cache import fetch_right
from keras_inception.hub.download import TIMEOUT, ChecksumError
from keras_inception.hub.stores import blobs_of, check_revision, library

logger = logging.getLogger(__name__)

# What the client raises where an answer is not a hub's: a page instead of JSON, or JSON of something else. ValueError
# itself is what it raises for arguments.
_NO_HUB = (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError)


class PublishError(OSError):
    """Publishing did not go through; the message says whether there is a commit all the same, or that nobody knows."""


def upload(
    folder,
    repository: str,
    *,
    message: str,
    version=None,
    revision=None,
    private=None,
    token=None,
    create_pr=False,
    endpoint=None,
    given=(),
) -> str:
    """Publishes a folder as one commit, and tags it.

    The repository is made if there is none. An existing card keeps everything but its measured part, its model-index
    and what was `given`.

    Args:
        folder: a published folder with its card.
        repository: `owner/name`.
        message: of the commit.
        version: a tag for the commit.
        revision: the branch, `main` if None; made if there is none.
        private: whether the repository is to be private; None: as it is, public when new.
        token: of the Hub; None for `HF_TOKEN` or the client's login.
        create_pr: make a pull request instead of a commit upon the branch.
        endpoint: address of the Hub; None for `HF_ENDPOINT` or the public one.
        given: keys of the card's front matter that win over an existing card's.

    Returns:
        The commit's full hash.

    Raises:
        ValueError: the repository is private or public where it should not be, the tag exists, or the token may not
            write there; nothing was published.
        PublishError: another publisher came first, or the Hub cannot be reached.
        ChecksumError: the Hub has other files than were sent.
    """
    check_revision(version=version, revision=revision)
    hub = _Destination(repository, token, endpoint, pathlib.Path(folder))
    with hub.before_the_commit():
        parent, blobs = hub.prepare(revision or "main", version, private)
        hub.keep_card(parent, blobs, given)
        hub.leave_out(parent, blobs)
    commit = hub.commit(message, revision or "main", parent, create_pr)
    hub.check(commit)
    if version is not None:
        hub.tag(version, commit)
    return commit


class _Destination:
    """A repository that a folder is published in."""

    def __init__(self, repository, token, endpoint, folder):
        from huggingface_hub import HfApi

        self.repository, self.folder = repository, folder
        self.names = sorted(path.name for path in folder.iterdir())
        self.old = []  # files that go with the commit
        self.api = HfApi(endpoint=endpoint, token=token, **library())

    @contextlib.contextmanager
    def before_the_commit(self):
        """One error for what goes wrong as long as nothing was published."""
        from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

        try:
            yield
        except HfHubHTTPError as error:
            raise self._refused(error) from error
        except OfflineModeIsEnabled as error:
            raise PublishError(f"{self.repository}: HF_HUB_OFFLINE is set; nothing was published") from error
        except (HTTPError, TimeoutError, *_NO_HUB) as error:
            said = (
                f"{self.repository}: the Hub did not answer, or not as a hub ({type(error).__name__}: {_said(error)})"
            )
            raise PublishError(f"{said}; nothing was published") from error

    def _refused(self, error):
        """The error of an answer that says no."""
        status = error.response.status_code
        said = f"the Hub answered with HTTP status {status}: {error.server_message or _said(error)}"
        if status in (401, 403, 404):
            return ValueError(f"expected a token that may write to {self.repository}; Received: {said}")
        return PublishError(f"{self.repository}: {said}; nothing was published")

    def _info(self, revision):
        return self.api.model_info(self.repository, revision=revision, files_metadata=True, timeout=TIMEOUT)

    def prepare(self, branch, version, private):
        """The commit that the new one is put upon, and its files; everything that can be wrong before."""
        from huggingface_hub.errors import HfHubHTTPError

        try:
            info = self._info(None)
        except HfHubHTTPError as error:
            # Anonymous, one that does not exist looks like one that may not be read.
            if error.response.status_code not in (401, 404):
                raise
            _within(lambda: self.api.create_repo(self.repository, private=private, exist_ok=True))
            info = self._info(None)
        if private is not None and bool(info.private) != private:
            kinds = {True: "private", False: "public"}
            raise ValueError(
                f"expected {self.repository} to be {kinds[private]}, as private={private} says; Received: a repository "
                f"that is {kinds[not private]}; nothing was sent"
            )
        if version is not None and version in (tags := self._tags()):
            raise ValueError(
                f"expected a version that {self.repository} does not have yet; Received: version={version!r}, which is "
                f"commit {tags[version]}"
            )
        if branch != "main":
            _within(lambda: self.api.create_branch(self.repository, branch=branch, exist_ok=True))
            info = self._info(branch)
        return info.sha, blobs_of(info)

    def _tags(self) -> dict[str, str]:
        refs = _within(lambda: self.api.list_repo_refs(self.repository))
        return {tag.name: tag.target_commit for tag in refs.tags}

    def keep_card(self, parent, blobs, given) -> None:
        """Puts the measured part of the folder's card into the one that the repository has."""
        if folders.CARD not in blobs:
            return

        def fetch(force):
            return self.api.hf_hub_download(self.repository, folders.CARD, revision=parent, force_download=force)

        path = fetch_right(fetch, blobs[folders.CARD].is_of)
        if path is None:
            raise ChecksumError(f"{self.repository}: expected the card of commit {parent}; Received: another, twice")
        theirs = folders.read_text(path.parent, path.name, links=True)
        card = self.folder / folders.CARD
        card.write_bytes(cards.update(theirs, card.read_text("utf-8"), given).encode())

    def leave_out(self, parent, blobs) -> None:
        """Finds the files of the model that was there before, which another one does not have."""
        if folders.CONFIG not in blobs:
            return
        path = fetch_right(
            lambda force: self.api.hf_hub_download(
                self.repository, folders.CONFIG, revision=parent, force_download=force
            ),
            blobs[folders.CONFIG].is_of,
        )
        try:
            before = set() if path is None else {*folders.read_published(path.parent, links=True).files}
        except CheckpointError as error:
            logger.warning("%s: what was published there before cannot be read, and stays: %s", self.repository, error)
            return
        if before:
            before |= {*folders.KERAS_FILES}
        self.old = sorted((before & {*blobs}) - {*self.names})

    def commit(self, message, branch, parent, create_pr) -> str:
        """Makes the commit, or finds it where it was made and only the answer was lost."""
        from huggingface_hub.errors import HfHubHTTPError, HTTPError

        options = {"commit_message": message, "revision": branch, "parent_commit": parent, "create_pr": create_pr}
        lost = None
        for _ in range(2):
            try:
                commit = self._send(options)
            except HfHubHTTPError as error:
                # Of a commit upon this one, which is ours where the one before was only slow to be answered.
                overtaken = error.response.status_code == 412
                if overtaken and lost is None:
                    raise PublishError(self._overtaken(branch, parent)) from error
                if error.response.status_code < 500 and not overtaken:
                    raise self._refused(error) from error
                lost = error
            # RuntimeError: of the upload of a large file
            except (HTTPError, ConnectionError, TimeoutError, RuntimeError, *_NO_HUB) as error:
                lost = error if isinstance(error, TimeoutError) else error.__cause__ or error
            else:
                if create_pr and commit == parent:
                    raise ValueError(f"expected changes for a pull request; Received: the files of {parent}")
                return commit
            if create_pr:
                raise PublishError(
                    f"{self.repository}: the Hub did not answer ({_said(lost)}); whether there is a pull request now "
                    "is to be seen among its discussions"
                ) from lost
            if (commit := self._find(message, branch, parent, lost)) is not None:
                return commit
            logger.warning(
                "%s: the Hub did not answer (%s), and has no new commit; once more", self.repository, _said(lost)
            )
        if isinstance(lost, TimeoutError):
            raise PublishError(
                f"{self.repository}: the Hub did not answer ({_said(lost)}), and had no new commit; whether it makes "
                "one yet, nobody knows: publish again, which changes nothing where it has"
            ) from lost
        raise PublishError(f"{self.repository}: it failed twice ({_said(lost)}); nothing was published") from lost

    def _send(self, options) -> str:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        old = [CommitOperationDelete(name) for name in self.old]

        def send(files):
            # The large ones first, which may take long; then the commit itself, which may not.
            upload = {"revision": options["revision"], "create_pr": options["create_pr"]}
            self.api.preupload_lfs_files(self.repository, files, **upload)
            return _within(lambda: self.api.create_commit(self.repository, [*files, *old], **options)).oid

        try:
            return send([CommitOperationAdd(name, str(self.folder / name)) for name in self.names])
        except ConnectionError as error:
            # A hub without Xet, which the client takes for granted; files that it cannot reopen go the old way.
            logger.info("%s: not by Xet (%s)", self.repository, error)
        with contextlib.ExitStack() as stack:
            opened = {name: stack.enter_context((self.folder / name).open("rb")) for name in self.names}
            return send([CommitOperationAdd(name, file) for name, file in opened.items()])

    def _overtaken(self, branch, parent):
        return (
            f"{self.repository}: another commit came to {branch} since {parent} was looked at; nothing was published. "
            "Publish again to put this one upon it"
        )

    def _find(self, message, branch, parent, lost) -> str | None:
        """The commit whose answer was lost; None where nothing has come upon the parent."""
        from huggingface_hub.errors import HTTPError

        try:
            commits = _within(lambda: self.api.list_repo_commits(self.repository, revision=branch))
            ids = [commit.commit_id for commit in commits]  # the newest first
            first = ids.index(parent) - 1 if parent in ids else -1
            ours = (
                first >= 0
                and commits[first].title.partition("\n")[0] == message.partition("\n")[0]
                and not self._differing(ids[first])
            )
        except (HTTPError, OSError, *_NO_HUB) as error:
            raise PublishError(
                f"{self.repository}: the Hub did not answer ({_said(lost)}), and then could not be asked whether it "
                f"has the commit ({_said(error)}); publish again, which changes nothing where it has"
            ) from error
        if ids and ids[0] == parent:
            return None
        if not ours:
            raise PublishError(self._overtaken(branch, parent)) from lost
        if first > 0:
            logger.warning("%s: there are later commits upon %s already", self.repository, ids[first])
        return ids[first]

    def _differing(self, revision) -> list[str]:
        """Files that a revision does not have as they are in the folder, or still has."""
        blobs = blobs_of(self._info(revision))
        wrong = [name for name in self.names if name not in blobs or not blobs[name].is_of(self.folder / name)]
        return wrong + [name for name in self.old if name in blobs]

    def check(self, commit) -> None:
        """Sees to it that a commit has what was sent."""
        from huggingface_hub.errors import HTTPError

        try:
            wrong = self._differing(commit)
        except (HTTPError, OSError, *_NO_HUB) as error:
            raise PublishError(
                f"{self.repository}: commit {commit} was published, but could not be checked ({_said(error)}); it has "
                "no tag"
            ) from error
        if wrong:
            raise ChecksumError(
                f"{self.repository}: expected commit {commit} to hold what was sent; Received: others in "
                f"{', '.join(wrong)}"
            )

    def tag(self, version, commit) -> None:
        """Tags a commit, and looks whether the tag is there."""
        from huggingface_hub.errors import HTTPError

        said, refused = f"{self.repository}: commit {commit} was published, but", None
        try:
            _within(lambda: self.api.create_tag(self.repository, tag=version, revision=commit))
        except (HTTPError, OSError, *_NO_HUB) as error:
            refused = error  # or only the answer was lost
        because = "" if refused is None else f" ({_said(refused)})"
        try:
            tagged = self._tags().get(version)
        except (HTTPError, OSError, *_NO_HUB) as error:
            raise PublishError(f"{said} whether it is tagged {version!r} is not known{because}: {_said(error)}") from (
                refused or error
            )
        if tagged != commit:
            other = "has no such tag" if tagged is None else f"has that tag on {tagged}, by another publisher"
            raise PublishError(f"{said} could not be tagged {version!r}: the repository {other}{because}") from refused


def _said(error) -> str:
    """An error's message in one line."""
    return " ".join(str(error).split())


def _within(call, seconds=3 * TIMEOUT):
    """What a call of the client gives, which has no time limit of its own.

    Raises:
        TimeoutError: it gives nothing; the thread that waits for it is left behind.
    """
    answer = concurrent.futures.Future()

    def wait():
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=wait, daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError as error:
        raise TimeoutError(f"no answer within {seconds:g} seconds") from error
