"""Images in one folder for each class."""

import logging
import os
import pathlib

import numpy as np

from keras_inception.datasets.photos import GRAPH_SUFFIXES
from keras_inception.datasets.source import IndexedSource
from keras_inception.preprocessing import IMAGE_SUFFIXES

logger = logging.getLogger(__name__)

VALIDATION_FOLDERS = ("validation", "val", "test")
HELD_OUT = 5  # without a validation folder, every fifth image of a class is kept for it


class FolderSource(IndexedSource):
    """Images in one folder for each class, in any format that PIL reads.

    Args:
        data_dir: holds a folder for each class, whose name is the class's. Or it holds `train`, and maybe one of
            `validation`, `val`, `test` beside it, and these hold the classes. Images may lie deeper; what is hidden
            does not count.
        split: `"train"`, `"validation"` or `"all"`. Where no folders say so, every fifth image of a class, in the order
            of the names, is for validation; the log names the classes that are too small for it.

    Raises:
        ValueError: the folder is not like that.
    """

    def __init__(self, data_dir, split: str):
        if data_dir is None:
            raise ValueError("expected data_dir, the folder with a folder of images for each class; Received: None")
        if split not in ("train", "validation", "all"):
            raise ValueError(f"expected the split train, validation or all of a folder; Received: split={split!r}")
        root = pathlib.Path(data_dir)
        if not root.is_dir():
            raise ValueError(f"expected a folder with a folder of images for each class; Received: {root}")
        train, held_out = _splits(root)
        if train is None and held_out is not None:
            raise ValueError(f"expected train beside {held_out}; Received: {root}, without it")
        if held_out is None:
            files = self._held_out(_files_by_class(train or root), split)
        else:
            both = {"train": _files_by_class(train), "validation": _files_by_class(held_out)}
            if different := set(both["train"]) ^ set(both["validation"]):
                raise ValueError(
                    f"expected the same classes in {train} and {held_out}; "
                    f"Received: {', '.join(sorted(different))} in one of them alone"
                )
            both["all"] = {name: both["train"][name] + both["validation"][name] for name in both["train"]}
            files = both[split]
        self.name, self.classes = f"{root} {split}", tuple(files)
        self.paths = [os.fsencode(path) for paths in files.values() for path in paths]
        self.ids = [os.fsencode(path.relative_to(root).as_posix()) for paths in files.values() for path in paths]
        self.labels = np.repeat(np.arange(len(files), dtype="int64"), [len(paths) for paths in files.values()])
        self.num_files, self._tensors = len(self.paths), {}
        if not self.paths:
            raise ValueError(
                f"expected a class of at least {HELD_OUT} images, or folders train and validation; Received: {root}"
            )

    @staticmethod
    def _held_out(files, split):
        """Of each class every fifth image, or all others; or all of them."""
        if split == "all":
            return files
        small = [name for name, paths in files.items() if len(paths) < HELD_OUT]
        if small and split == "validation":
            logger.warning("No image is left to validate with of %s: fewer than %d.", ", ".join(small), HELD_OUT)
        return {
            name: [
                path for number, path in enumerate(paths) if (number % HELD_OUT == HELD_OUT - 1) == (split != "train")
            ]
            for name, paths in files.items()
        }

    @property
    def needs_python(self):
        odd = (path for path in map(os.fsdecode, self.paths) if pathlib.Path(path).suffix.lower() not in GRAPH_SUFFIXES)
        return next(odd, None)

    def __len__(self):
        return len(self.paths)

    def _references(self, numbers):
        import tensorflow as tf

        return {name: tf.gather(self._tensor(f"{name}s"), numbers) for name in ("id", "path", "label")}

    def load(self, reference):
        import tensorflow as tf

        return {"id": reference["id"], "image": tf.io.read_file(reference["path"]), "label": reference["label"]}


def evaluation_split(data_dir) -> str:
    """What of a folder is there to evaluate with: what was held out, or else all of it."""
    return "all" if None in _splits(pathlib.Path(data_dir)) else "validation"


def _splits(root):
    """The folders of the training and of the held-out classes, each None where there is none."""
    # A class may be called "train"; but such a class holds images, and no folders.
    return tuple(
        next((root / name for name in names if _has_folders(root / name)), None)
        for names in (("train",), VALIDATION_FOLDERS)
    )


def _has_folders(folder) -> bool:
    return folder.is_dir() and any(path.is_dir() and not path.name.startswith(".") for path in folder.iterdir())


def _files_by_class(root) -> dict[str, list[pathlib.Path]]:
    """The images below each subfolder, in the order of their names."""
    names = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) < 2:
        raise ValueError(
            f"expected at least two classes, a folder each, in {root}; Received: {', '.join(names) or 'no folder'}"
        )
    files = {}
    for name in names:
        found = []
        for parent, folders, inside in os.walk(root / name):
            folders[:] = [folder for folder in folders if not folder.startswith(".")]
            found += [pathlib.Path(parent, file) for file in inside if not file.startswith(".")]
        files[name] = sorted(path for path in found if path.suffix.lower() in IMAGE_SUFFIXES)
        if not files[name]:
            raise ValueError(f"expected images in every class; Received: {root / name}, with none")
    return files
