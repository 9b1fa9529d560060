"""Images in one folder for each class."""

import os
import pathlib

import numpy as np

from keras_inception.datasets.source import IndexedSource
from keras_inception.preprocessing import IMAGE_SUFFIXES

VALIDATION_FOLDERS = ("validation", "val", "test")
HELD_OUT = 5  # without a validation folder, every fifth image of a class is kept for it


class FolderSource(IndexedSource):
    """Images in one folder for each class, as JPEG, PNG, GIF, BMP or WebP.

    Args:
        data_dir: holds a folder for each class, whose name is the class's. Or it holds `train` and one of `validation`,
            `val`, `test`, and these hold the classes. Images may lie deeper; what is hidden does not count.
        split: `"train"` or `"validation"`. Where no folders say so, every fifth image of a class, in the order of the
            names, is for validation.

    Raises:
        ValueError: the folder is not like that.
    """

    def __init__(self, data_dir, split: str):
        if data_dir is None:
            raise ValueError("expected data_dir, the folder with a folder of images for each class; Received: None")
        if split not in ("train", "validation"):
            raise ValueError(f"expected the split train or validation of a folder; Received: split={split!r}")
        root = pathlib.Path(data_dir)
        if not root.is_dir():
            raise ValueError(f"expected a folder with a folder of images for each class; Received: {root}")
        held_out = next((root / name for name in VALIDATION_FOLDERS if (root / name).is_dir()), None)
        if held_out is None or not (root / "train").is_dir():
            files = {
                name: [
                    path
                    for number, path in enumerate(paths)
                    if (number % HELD_OUT == HELD_OUT - 1) == (split != "train")
                ]
                for name, paths in _files_by_class(root).items()
            }
        else:
            both = {"train": _files_by_class(root / "train"), "validation": _files_by_class(held_out)}
            if different := set(both["train"]) ^ set(both["validation"]):
                raise ValueError(
                    f"expected the same classes in {root / 'train'} and {held_out}; "
                    f"Received: {', '.join(sorted(different))} in one of them alone"
                )
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

    def __len__(self):
        return len(self.paths)

    def _references(self, numbers):
        import tensorflow as tf

        return {name: tf.gather(self._tensor(f"{name}s"), numbers) for name in ("id", "path", "label")}

    def load(self, reference):
        import tensorflow as tf

        return {"id": reference["id"], "image": tf.io.read_file(reference["path"]), "label": reference["label"]}


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
