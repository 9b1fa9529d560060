"""Readers of the public checkpoints: from the original file to our names and layouts, executing nothing in it."""

import importlib
import pathlib

from keras_inception.convert.archives import tar_gz_members
from keras_inception.convert.checkpoint import Checkpoint as Checkpoint
from keras_inception.convert.checkpoint import CheckpointError as CheckpointError
from keras_inception.convert.protobuf import opened
from keras_inception.convert.tensorflow_variables import DATA_FILE

# How a file's name ends, and the module that reads it.
FORMATS = {
    ".caffemodel": "caffe",
    ".pth": "torchvision",
    ".pt": "torchvision",
    ".onnx": "onnx",
    ".pb": "graph_def",
    ".zip": "graph_def",
    ".ckpt": "tensorflow_checkpoint",
    ".index": "tensorflow_checkpoint",
    ".tar.gz": "tensorflow_checkpoint",  # or Caffe's, as its content says
    ".tgz": "tensorflow_checkpoint",
}


def reader(path):
    """The module that reads a weight file, or None; a TensorFlow V2 checkpoint has three names: see `read`."""
    path = pathlib.Path(path)
    name = next((module for suffix, module in FORMATS.items() if path.name.lower().endswith(suffix)), None)
    if name is None and (DATA_FILE.search(path.name) or path.with_name(f"{path.name}.index").is_file()):
        name = "tensorflow_checkpoint"
    if path.name.lower().endswith((".tar.gz", ".tgz")) and path.is_file() and _holds_caffemodel(path):
        name = "caffe"
    return name and importlib.import_module(f"{__name__}.{name}")


def _holds_caffemodel(path) -> bool:
    with opened(path, "a tar.gz") as data:
        return any(name.endswith(".caffemodel") for name in tar_gz_members(data))


def read(path) -> Checkpoint:
    """Reads a public checkpoint in its original format.

    Args:
        path: a `.caffemodel`, `.pth`, `.onnx`, a TensorFlow checkpoint (V1, V2 by its prefix, its `.index` or its
            `.data-00000-of-00001`, or the published `.tar.gz`), or a frozen graph (`.pb`, or the published `.zip`).

    Returns:
        A `Checkpoint`.

    Raises:
        CheckpointError: the file is not of a known kind, damaged, or hostile.
    """
    module = reader(path)
    if module is None:
        raise CheckpointError(f"expected a file that ends in {', '.join(FORMATS)}; Received: {path}")
    return module.read(path)
