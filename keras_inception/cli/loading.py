"""The models that the command line is told to use."""

from keras_inception import checkpoints
from keras_inception.hub.download import DownloadError
from keras_inception.pretrained import GoogLeNet


def load(weights: str, allow_unverified: bool):
    """A model with the weights of a tag, a path or a hub.

    Raises:
        ValueError, OSError: there are none; where a download has failed, the message names weights that need none.
    """
    try:
        return GoogLeNet(weights=weights, allow_unverified=allow_unverified)
    except DownloadError as error:
        tags = ", ".join(f"--weights {tag}" for tag in checkpoints.embedded())
        hint = f"; what needs no download is {tags}" if tags else ""
        raise DownloadError(f"{str(error).splitlines()[0]}{hint}") from error
