"""The models that the command line is told to use."""

import pathlib

import keras

from keras_inception import checkpoints
from keras_inception.detection.rcnn import RCNN
from keras_inception.hub import folder
from keras_inception.hub.download import DownloadError
from keras_inception.layers.pixels import Pixels, find_pixels, takes_pixels
from keras_inception.models.families import parse_spec
from keras_inception.pretrained import network_of
from keras_inception.publishing import from_hub


def load(weights: str, allow_unverified: bool):
    """A model with the weights of a tag, a path or a hub.

    Raises:
        ValueError, OSError: there are none; where a download has failed, the message names weights that need none.
    """
    try:
        if _is_published(weights):
            model = from_hub(weights)
            if isinstance(model, RCNN):
                raise ValueError(
                    f"expected a classifier; Received: {weights}, a detector, which `keras-inception detect` runs"
                )
            return _of_pixels(model)
        return network_of(weights, allow_unverified=allow_unverified)
    except DownloadError as error:
        tags = ", ".join(f"--weights {tag}" for tag in checkpoints.embedded())
        hint = f"; what needs no download is {tags}" if tags else ""
        raise DownloadError(f"{str(error).splitlines()[0]}{hint}") from error


def _is_published(weights: str) -> bool:
    """Whether it is a published model, which says itself how it is built."""
    return weights.startswith("hf://") or (pathlib.Path(weights).expanduser() / folder.CONFIG).is_file()


def _of_pixels(model):
    """The model behind its preprocessing, where it was published without (`include_preprocessing=False`)."""
    if takes_pixels(model):
        return model
    pixels = find_pixels(model)
    spec = parse_spec(pixels.spec)
    inputs = keras.Input(model.input_shape[1:], name="pixels_input")
    x = Pixels(spec.mean, spec.scale, spec=pixels.spec, data_format=pixels.data_format, name="preprocessing")(inputs)
    return keras.Model(inputs, model(x), name=model.name)
