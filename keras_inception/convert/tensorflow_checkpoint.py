"""TF-slim's Inception v1: reads its checkpoint, without TensorFlow.

Reference: TF-slim's `nets/inception_v1.py`, published as inception_v1_2016_08_28.tar.gz.
"""

import pathlib

import numpy as np

from keras_inception.convert import names, tensorflow_variables
from keras_inception.convert.archives import GZIP, tar_gz_members
from keras_inception.convert.checkpoint import Checkpoint, CheckpointError
from keras_inception.convert.protobuf import opened
from keras_inception.convert.sources import check_shapes, complete

_SCOPE = "InceptionV1/"
_BATCH_NORM = ("beta", "moving_mean", "moving_variance")  # no gamma: TF-slim leaves it out where a ReLU follows


def read(path) -> Checkpoint:
    """Reads a checkpoint of TF-slim's inception_v1.

    All columns of the classifier are kept: of the published 1001, the first stands for "background".

    Names outside the scope `InceptionV1/` (global_step, the optimizer's) and what hangs below a variable's name (its
    slots and moving average, `.../weights/RMSProp`) are ignored; any other name in the scope is an error.

    Args:
        path: a file of the first checkpoint format (inception_v1.ckpt), the prefix or either file of one of the second
            format, or a tar.gz as published, with one of the two in it.

    Returns:
        The checkpoint, of variant "slim".

    Raises:
        CheckpointError: the file is damaged, or is not that network.
    """
    path = pathlib.Path(path)
    prefix = path.with_name(tensorflow_variables.DATA_FILE.sub("", path.name.removesuffix(".index")))
    index = prefix.with_name(f"{prefix.name}.index")
    second = path != prefix or not path.is_file() and index.is_file()
    with opened(index if second else path, "a TensorFlow checkpoint") as data:
        if data[:2] == GZIP:
            variables = _packed(data)
        elif second:
            variables = tensorflow_variables.second_format(
                data, lambda name: _file(prefix.with_name(name)), prefix.name
            )
        else:
            variables = tensorflow_variables.first_format(data)
        sources = _slim_sources(variables)
        tensors = {}
        for name, target in sources.items():
            array = variables[name].array(name)
            if target == "loss3_classifier/kernel" and array.ndim == 4 and array.shape[:2] == (1, 1):
                array = array[0, 0]  # a 1x1 convolution on a 1x1 map
            tensors[target] = np.array(array, np.float32, order="C")  # TensorFlow's layouts are those of Keras
        check_shapes(tensors)
        classes = tensors["loss3_classifier/kernel"].shape[-1]
        spec = {
            "architecture": "GoogLeNet",
            "variant": "slim",
            "classes": classes,
            "aux_heads": False,
            "mean": [127.5] * 3,
            "scale": [1 / 127.5] * 3,
            "labels": "imagenet_background" if classes == 1001 else None,
            "lrn": None,
        }
        return Checkpoint(spec, tensors)


def _packed(data: memoryview) -> dict:
    """The variables of the one checkpoint in a tar.gz."""
    data_file = tensorflow_variables.DATA_FILE
    members = tar_gz_members(data, lambda name: name.endswith((".ckpt", ".index")) or data_file.search(name))
    tables = [name for name in members if name.endswith((".ckpt", ".index"))]
    if len(tables) != 1:
        raise CheckpointError(f"expected one .ckpt or .index in the archive; Received: {len(tables)}")
    if tables[0].endswith(".ckpt"):
        return tensorflow_variables.first_format(members[tables[0]])
    return tensorflow_variables.second_format(members[tables[0]], members.get, tables[0].removesuffix(".index"))


def _file(path: pathlib.Path) -> memoryview | None:
    return memoryview(path.read_bytes()) if path.is_file() else None


def _slim_sources(present) -> dict[str, str]:
    """Our name of each variable that the file has; the set is complete."""
    table = {}
    for row in names.TABLE:
        if row.slim is None:
            continue
        table[f"{row.slim}/weights"] = f"{row.layer}/kernel"
        if row.layer.endswith("_classifier"):
            table[f"{row.slim}/biases"] = f"{row.layer}/bias"
        else:
            table.update({f"{row.slim}/BatchNorm/{part}": f"{row.layer}_bn/{part}" for part in _BATCH_NORM})
    return complete(table, present, [name for name in present if name.startswith(_SCOPE) and not _is_slot(name, table)])


def _is_slot(name: str, table) -> bool:
    """If the name of a known variable is a folder of this name."""
    parts = name.split("/")
    return any("/".join(parts[:count]) in table for count in range(1, len(parts)))
