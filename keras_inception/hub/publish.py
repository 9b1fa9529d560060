"""Publishing a folder on the Hugging Face Hub: one commit upon the parent that was looked at, or nothing."""

import logging
import pathlib

from keras_inception.hub import card as cards
from keras_inception.hub import folder as folders
from keras_inception.hub.download import TIMEOUT, ChecksumError
from keras_inception.hub.stores import library

logger = logging.getLogger(__name__)


class PublishError(OSError):
    """Nothing was published, or the Hub does not say whether it was; the message tells which."""


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
) -> str:
    """Publishes a folder as one commit, and tags it.

    The repository is made if there is none. An existing card keeps everything but its measured part and its
    model-index.

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

    Returns:
        The commit's full hash.

    Raises:
        ValueError: the repository is private or public where it should not be, the tag exists, or the token may not
            write there; nothing was sent.
        PublishError: another publisher came first, or the Hub cannot be reached.
        ChecksumError: the Hub has other files than were sent.
    """
    hub = _Destination(repository, token, endpoint)
    return hub.publish(pathlib.Path(folder), message, version, revision or "main", private, create_pr)


class _Destination:
    def __init__(self, repository, token, endpoint):
        from huggingface_hub import HfApi

        self.repository = repository
        self.api = HfApi(endpoint=endpoint, token=token, **library())

    def publish(self, folder, message, version, branch, private, create_pr) -> str:
        from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

        try:
            parent, present = self._prepare(branch, version, private)
            self._keep_card(folder, parent, present)
            commit = self._commit(folder, message, branch, parent, create_pr)
            if version is not None:
                self._tag(version, commit)
        except HfHubHTTPError as error:
            status = error.response.status_code
            said = f"{self.repository}: the Hub answered with HTTP status {status}: {error.server_message or error}"
            if status in (401, 403, 404):
                raise ValueError(f"expected a token that may write to {said}") from error
            raise PublishError(said) from error
        except OfflineModeIsEnabled as error:
            raise PublishError(f"{self.repository}: HF_HUB_OFFLINE is set; nothing was published") from error
        except HTTPError as error:
            said = f"{self.repository}: the Hub did not answer ({type(error).__name__}: {error})"
            raise PublishError(f"{said}; nothing was published") from error
        return commit

    def _info(self, revision):
        return self.api.model_info(self.repository, revision=revision, files_metadata=True, timeout=TIMEOUT)

    def _prepare(self, branch, version, private):
        """The commit that the new one is put upon, and the files that it has; everything that can be wrong before."""
        from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

        try:
            info = self._info(None)
        except (RepositoryNotFoundError, HfHubHTTPError) as error:
            if isinstance(error, RevisionNotFoundError) or error.response.status_code not in (401, 404):
                raise
            self.api.create_repo(self.repository, private=private, exist_ok=True)
            info = self._info(None)
        if private is not None and bool(info.private) != private:
            kinds = {True: "private", False: "public"}
            raise ValueError(
                f"expected {self.repository} to be {kinds[private]}, as private={private} says; Received: a repository "
                f"that is {kinds[not private]}; nothing was sent"
            )
        if version is not None and version in self._tags():
            raise ValueError(
                f"expected a version that {self.repository} does not have yet; Received: version={version!r}, which is "
                f"commit {self._tags()[version]}"
            )
        if branch != "main":
            self.api.create_branch(self.repository, branch=branch, exist_ok=True)
            info = self._info(branch)
        return info.sha, {file.rfilename for file in info.siblings}

    def _tags(self) -> dict[str, str]:
        return {tag.name: tag.target_commit for tag in self.api.list_repo_refs(self.repository).tags}

    def _keep_card(self, folder, parent, present):
        """Puts the measured part of the folder's card into the one that the repository has."""
        if folders.CARD not in present:
            return
        path = self.api.hf_hub_download(self.repository, folders.CARD, revision=parent)
        card = folder / folders.CARD
        card.write_text(cards.update(pathlib.Path(path).read_text("utf-8"), card.read_text("utf-8")), "utf-8")

    def _commit(self, folder, message, branch, parent, create_pr) -> str:
        from huggingface_hub.errors import HfHubHTTPError, HTTPError

        names = sorted(path.name for path in folder.iterdir())
        options = {"commit_message": message, "revision": branch, "parent_commit": parent, "create_pr": create_pr}
        lost = None
        for _ in range(2):
            try:
                commit = self._create_commit(folder, names, options)
                self._check(folder, names, commit)
                return commit
            except HfHubHTTPError as error:
                if error.response.status_code == 412:
                    raise PublishError(self._overtaken(branch, parent)) from error
                if error.response.status_code < 500:
                    raise
                lost = error
            except HTTPError as error:
                lost = error
            # It may have been committed all the same, so that is looked up before anything is sent again.
            if create_pr:
                raise PublishError(
                    f"{self.repository}: the Hub did not answer ({lost}); whether there is a pull request now is to be "
                    "seen among its discussions"
                ) from lost
            try:
                head = self._info(branch).sha
                ours = head != parent and self._is_ours(folder, names, head, parent, message)
            except (HTTPError, OSError) as error:
                raise PublishError(
                    f"{self.repository}: the Hub did not answer ({lost}), and then could not be asked whether it has "
                    f"the commit ({error}); publish again, which changes nothing where it has"
                ) from error
            if ours:
                return head
            if head != parent:
                raise PublishError(self._overtaken(branch, parent)) from lost
            logger.warning("%s: the Hub did not answer (%s), and has no new commit; once more", self.repository, lost)
        raise PublishError(
            f"{self.repository}: the Hub did not answer, twice ({lost}); nothing was published"
        ) from lost

    def _create_commit(self, folder, names, options) -> str:
        from huggingface_hub import CommitOperationAdd

        try:
            files = [CommitOperationAdd(name, str(folder / name)) for name in names]
            return self.api.create_commit(self.repository, files, **options).oid
        except ConnectionError as error:
            # A hub without Xet, which the client takes for granted; files that it cannot reopen go the old way.
            logger.info("%s: not by Xet (%s)", self.repository, error)
        opened = [(folder / name).open("rb") for name in names]
        try:
            files = [CommitOperationAdd(name, file) for name, file in zip(names, opened, strict=True)]
            return self.api.create_commit(self.repository, files, **options).oid
        finally:
            for file in opened:
                file.close()

    def _overtaken(self, branch, parent):
        return (
            f"{self.repository}: another commit came to {branch} since {parent} was looked at; nothing was published. "
            "Publish again to put this one upon it"
        )

    def _blobs(self, revision):
        return {f.rfilename: f.lfs.sha256 if f.lfs else f.blob_id for f in self._info(revision).siblings}

    def _differing(self, folder, names, revision) -> list[str]:
        """Files that a revision does not have as they are in the folder."""
        blobs = self._blobs(revision)
        wrong = []
        for name in names:
            found = blobs.get(name, "")
            own = folders.sha256(folder / name) if len(found) == 64 else folders.git_blob_id(folder / name)
            if own != found:
                wrong.append(name)
        return wrong

    def _check(self, folder, names, commit):
        if wrong := self._differing(folder, names, commit):
            raise ChecksumError(
                f"{self.repository}: expected commit {commit} to hold what was sent; Received: others in "
                f"{', '.join(wrong)}"
            )

    def _is_ours(self, folder, names, head, parent, message) -> bool:
        """Whether a branch's head is the commit whose answer was lost."""
        commits = self.api.list_repo_commits(self.repository, revision=head)
        upon = len(commits) > 1 and commits[1].commit_id == parent
        return upon and commits[0].title == message and not self._differing(folder, names, head)

    def _tag(self, version, commit):
        from huggingface_hub.errors import HfHubHTTPError, HTTPError

        try:
            self.api.create_tag(self.repository, tag=version, revision=commit)
        except (HfHubHTTPError, HTTPError) as error:
            tagged = self._tags().get(version)
            if tagged == commit:  # only the answer was lost
                return
            other = "has no such tag" if tagged is None else f"has that tag on {tagged}, by another publisher"
            raise PublishError(
                f"{self.repository}: commit {commit} was published, but could not be tagged {version!r}: it {other}"
            ) from error
