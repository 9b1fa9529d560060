"""Where published folders live: on the Hugging Face Hub, behind `hf://owner/name[@revision]`."""

import logging
import pathlib
import re

from keras_inception.hub.serialization import CONFIG, WEIGHTS

logger = logging.getLogger(__name__)

_REFERENCE = re.compile(r"hf://(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")


def parse(reference: str) -> tuple[str, str | None]:
    """The repository and revision of `hf://owner/name[@revision]`.

    Raises:
        ValueError: the reference is of another form.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ValueError(f"expected hf://owner/name or hf://owner/name@revision; Received: {reference!r}")
    return match["repository"], match["revision"]


def fetch(reference: str) -> pathlib.Path:
    """Downloads a published folder from the Hub, the weights and the JSON from one and the same commit.

    Args:
        reference: `hf://owner/name[@revision]`; a full commit hash that is cached needs no network.

    Returns:
        The folder in the Hub client's cache.

    Raises:
        ValueError: the reference is malformed, or the repository, revision or one of the two files does not exist.
        OSError: the Hub does not answer, and nothing of that name is cached; what is cached is used, and the log says
            so.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HTTPError, RepositoryNotFoundError, RevisionNotFoundError

    repository, revision = parse(reference)
    try:
        if revision is None or not re.fullmatch("[0-9a-f]{40}", revision):
            # Where the Hub is down, the next call would take what is cached without a word; this one raises.
            HfApi().model_info(repository, revision=revision)
        # It looks the revision's commit up once, and takes every file from that commit.
        folder = snapshot_download(repository, revision=revision, allow_patterns=[CONFIG, WEIGHTS])
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ValueError(
            f"expected a repository that exists and may be read; Received: {reference!r}: {error}"
        ) from error
    except (HTTPError, OSError) as error:
        try:
            folder = snapshot_download(repository, revision=revision, local_files_only=True)
        except OSError:
            raise OSError(f"{reference} could not be had from the Hub, and is not cached: {error}") from error
        logger.warning("The Hub did not answer; %s is commit %s of the cache.", reference, pathlib.Path(folder).name)
    folder = pathlib.Path(folder)
    if absent := [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]:
        raise ValueError(
            f"expected {reference!r} to hold {CONFIG} and {WEIGHTS}; Received: no {' and no '.join(absent)}"
        )
    return folder
