"""Labelled images to train on and to evaluate with: TFDS data sets, folders of images by class, arrays."""

from keras_inception.datasets import folder, tfds
from keras_inception.datasets.arrays import ArraySource as ArraySource
from keras_inception.datasets.arrays import read_arrays as read_arrays
from keras_inception.datasets.arrays import save_arrays as save_arrays
from keras_inception.datasets.arrays import synthetic as synthetic
from keras_inception.datasets.folder import FolderSource as FolderSource
from keras_inception.datasets.source import Source as Source
from keras_inception.datasets.tfds import TFDSSource as TFDSSource


def evaluation_split(dataset: str, data_dir=None) -> str:
    """The split to evaluate with, where nobody names one: what was held out, or all of a folder where nothing was.

    Args:
        dataset, data_dir: as for `open_source`.

    Raises:
        ValueError, ImportError: as from `open_source`.
    """
    if dataset == "folder":
        return folder.evaluation_split(data_dir)
    return "validation" if dataset in ("arrays", "synthetic") else tfds.evaluation_split(dataset, data_dir)


def open_source(dataset: str, split: str, data_dir=None) -> Source:
    """Opens a split of a data set.

    Args:
        dataset: a TFDS name (see `TFDSSource`), `"folder"` (see `FolderSource`), `"arrays"` (see `save_arrays`) or
            `"synthetic"` (see `synthetic`).
        split: `"train"`, `"validation"`, or what else the data set has.
        data_dir: TFDS's folder, or the folder of images or of files of arrays.

    Raises:
        ValueError: it is not there, or is not what it should be.
        ImportError: tensorflow-datasets, or what it needs itself, is not installed.
    """
    if dataset == "folder":
        return FolderSource(data_dir, split)
    if dataset == "arrays":
        return read_arrays(data_dir, split)
    if dataset == "synthetic":
        return synthetic(split)
    return TFDSSource(dataset, split, data_dir)
