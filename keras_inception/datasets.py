"""Labelled images to train on and to evaluate with: TFDS data sets, folders of images by class, arrays.

A data set is a `Source`. It gives its images undecoded, in an order that is a function of a seed, each with a name.
"""

import logging
import os
import pathlib
import re

import numpy as np

logger = logging.getLogger(__name__)

# Those of `keras_inception.classify`. What TensorFlow cannot decode of them is named and counted as broken: an image
# that is left out without a word is worse.
IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .gif .bmp .tif .tiff .avif .jp2 .ppm .pgm .pbm .pnm".split()
)
IMAGENET_TARS = ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar")
VALIDATION_FOLDERS = ("validation", "val", "test")
READ_BUFFER = 8 * 2**20  # bytes; small reads are slow on network disks
HELD_OUT = 5  # without a validation folder, every fifth image of a class is kept for it


class Source:
    """A split of a data set.

    Attributes:
        name: for messages, such as `"cifar10 train"`.
        classes: the names of the classes, in label order.
        num_files: files that can be read independently of each other; 0 where there are none.
        fully_shuffled: whether a seed puts all examples into a random order, or the files alone.
    """

    name: str
    classes: tuple[str, ...]
    num_files = 0
    fully_shuffled = True

    def __len__(self) -> int:
        """The number of examples."""
        raise NotImplementedError

    def references(self, *, seed=None, shard: tuple[int, int] = (0, 1)):
        """The examples in order, as something small to shuffle and skip, from which `load` makes the example.

        Args:
            seed: int, or an integer tensor: decides the order; None: always the same order.
            shard: index and count; this part of the examples, whole files where there are files. The parts of all
                indices are disjoint, complete, and the same for all seeds.

        Returns:
            A `tf.data.Dataset` of dicts with at least `"id"`, a string, and `"label"`, int64.
        """
        raise NotImplementedError

    def load(self, reference: dict) -> dict:
        """The example of a reference: `"id"`, `"image"` and `"label"`, as `examples` gives it."""
        raise NotImplementedError

    def examples(self, *, seed=None, shard: tuple[int, int] = (0, 1)):
        """The examples in order.

        Args:
            seed, shard: as for `references`.

        Returns:
            A `tf.data.Dataset` of dicts: `"id"`, a string that no other example of the split has; `"image"`, a string
            with the encoded image, or uint8 (h, w, 3); `"label"`, int64.
        """
        return self.references(seed=seed, shard=shard).map(self.load)


class TFDSSource(Source):
    """A split of a TFDS data set with the features `image` and `label`, prepared on disk.

    Args:
        name: `"cifar10"`, `"name:1.2.3"`, `"name/config"` or `"name/config:1.2.3"`.
        split: `"train"`, or a part or sum of splits: `"train[:90%]"`, `"train+test"`.
        data_dir: TFDS's folder; None: `TFDS_DATA_DIR` of the environment, or `~/tensorflow_datasets`. A data set is
            never downloaded. ImageNet 2012 is prepared from its two tar files if these lie there or in
            `downloads/manual`.

    Raises:
        ValueError: there is no such data set or split, or it has no labelled images.
        ImportError: tensorflow-datasets, or what it needs itself, is not installed.
    """

    fully_shuffled = False

    def __init__(self, name: str, split: str, data_dir=None):
        tfds = _import_tfds()
        data_dir = pathlib.Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
        info = tfds.builder_from_directory(os.fspath(_prepared_folder(name, data_dir))).info
        features, splits = info.features, info.splits
        found = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
        kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
        if not all(isinstance(found.get(key), kind) for key, kind in kinds.items()):
            raise ValueError(
                "expected a data set with the features image and label; "
                f"Received: {name}, with {', '.join(sorted(found)) or type(features).__name__}"
            )
        if info.file_format != tfds.core.FileFormat.TFRECORD:
            raise ValueError(f"expected files of the format tfrecord; Received: {name} as {info.file_format.value}")
        try:
            self._files = splits[split].file_instructions
        except (KeyError, ValueError):
            expected = f"expected a split of {name}, one of {', '.join(splits)}"
            raise ValueError(f"{expected}; Received: split={split!r}") from None
        self._features, self.num_files = {key: found[key] for key in kinds}, len(self._files)
        self.name = f"{name} {split}"
        self.classes = tuple(features["label"].names)

    def __len__(self):
        return sum(file.take for file in self._files)

    def references(self, *, seed=None, shard=(0, 1)):
        # Not the builder's own `as_dataset`: the order that it makes depends on TensorFlow's global seed too, and its
        # seed cannot be a tensor.
        import tensorflow as tf
        import tensorflow_datasets as tfds

        parse = tfds.features.FeaturesDict(self._features).deserialize_example
        decoders = {"image": tfds.decode.SkipDecoding()}
        paths, skips, takes = ([getattr(file, name) for file in self._files] for name in ("filename", "skip", "take"))
        paths, skips, takes = (
            tf.constant(list(map(os.fspath, paths))),
            tf.constant(skips, "int64"),
            tf.constant(takes, "int64"),
        )

        def records(file):
            prefix = tf.strings.split(paths[file], "/")[-1] + "__"  # the ids are those of TFDS
            numbered = tf.data.TFRecordDataset(paths[file], buffer_size=READ_BUFFER).enumerate()
            return (
                numbered.skip(skips[file])
                .take(takes[file])
                .map(lambda number, record: (prefix + tf.strings.as_string(number), record))
            )

        def parsed(name, record):
            return {"id": name, **parse(record, decoders=decoders)}

        files = tf.data.Dataset.from_tensor_slices(_order(len(self._files), seed, shard))
        # Sixteen records from each of sixteen files in turn, as TFDS reads them.
        examples = files.interleave(
            records, cycle_length=16, block_length=16, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        # A file that lost its end would go unnoticed.
        expected = sum(file.take for file in self._files[shard[0] :: shard[1]])
        examples = examples.apply(tf.data.experimental.assert_cardinality(expected))
        return examples.map(parsed, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def load(self, reference):
        return reference


class _IndexedSource(Source):
    """Examples that are found by their number."""

    def references(self, *, seed=None, shard=(0, 1)):
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices(_order(len(self), seed, shard)).map(self._reference)

    def _reference(self, index):
        raise NotImplementedError

    def _tensor(self, name: str):
        """An attribute as a tensor, made once, and on the CPU, where the pipeline runs."""
        import tensorflow as tf

        if name not in self._tensors:
            with tf.init_scope(), tf.device("CPU:0"):
                self._tensors[name] = tf.constant(getattr(self, name))
        return self._tensors[name]


class FolderSource(_IndexedSource):
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

    def _reference(self, index):
        import tensorflow as tf

        return {name: tf.gather(self._tensor(f"{name}s"), index) for name in ("id", "path", "label")}

    def load(self, reference):
        import tensorflow as tf

        return {"id": reference["id"], "image": tf.io.read_file(reference["path"]), "label": reference["label"]}


class ArraySource(_IndexedSource):
    """Images in memory. TensorFlow is imported by `references` and `examples` alone.

    Args:
        images: uint8 (n, h, w, 3), RGB.
        labels: integers (n,), from 0.
        classes: names in label order; None: the labels themselves.
        name: for messages.

    Raises:
        ValueError: the arrays are not like that, or a label has no class.
    """

    def __init__(self, images, labels, classes=None, name: str = "arrays"):
        images, labels = np.asarray(images), np.asarray(labels)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape:
            raise ValueError(f"expected uint8 images (n, h, w, 3); Received: {images.dtype} of shape {images.shape}")
        if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
            raise ValueError(
                f"expected {len(images)} integer labels, one for each image; "
                f"Received: {labels.dtype} of shape {labels.shape}"
            )
        if classes is None:
            classes = [str(label) for label in range(max(0, int(labels.max())) + 1)]
        wrong = (labels < 0) | (labels >= len(classes))
        if wrong.any():
            index = int(wrong.argmax())
            raise ValueError(f"expected labels in [0, {len(classes)}); Received: {labels[index]} at index {index}")
        self.images, self.labels = images, labels.astype("int64")
        self.classes, self.name, self._tensors = tuple(classes), name, {}

    def __len__(self):
        return len(self.images)

    def _reference(self, index):
        import tensorflow as tf

        return {"id": tf.strings.as_string(index), "index": index, "label": tf.gather(self._tensor("labels"), index)}

    def load(self, reference):
        import tensorflow as tf

        image = tf.gather(self._tensor("images"), reference["index"])
        return {"id": reference["id"], "image": image, "label": reference["label"]}


def open_source(dataset: str, split: str, data_dir=None) -> Source:
    """Opens a split of a data set.

    Args:
        dataset: a TFDS name (see `TFDSSource`), `"folder"` (see `FolderSource`) or `"synthetic"` (see `synthetic`).
        split: `"train"`, `"validation"`, or what else the data set has.
        data_dir: TFDS's folder, or the folder of images.

    Raises:
        ValueError: it is not there, or is not what it should be.
        ImportError: tensorflow-datasets, or what it needs itself, is not installed.
    """
    if dataset == "folder":
        return FolderSource(data_dir, split)
    if dataset == "synthetic":
        return synthetic(split)
    return TFDSSource(dataset, split, data_dir)


def synthetic(split: str = "train", *, examples: int | None = None, size: int = 32, seed: int = 0) -> ArraySource:
    """Images that need no file: coloured stripes in a blurred spot, on noise, in ten classes.

    A class is one of five pairs of colours and a direction of the stripes, which a mirror does not change. Position,
    size, phase, period, strength and background are random.

    Args:
        split: `"train"` or `"validation"`, which have no image in common.
        examples: how many; None: 512 to train on, 160 to validate with.
        size: height and width in pixels.
        seed: decides all images.

    Raises:
        ValueError: an unknown split.
    """
    sizes = {"train": 512, "validation": 160}
    if split not in sizes:
        raise ValueError(f"expected the split train or validation of synthetic; Received: split={split!r}")
    # Axes of colour, whose two ends the stripes have in equal parts: the mean colour alone does not tell the class.
    axes = {
        "red-cyan": (1, -1, -1),
        "green-magenta": (-1, 1, -1),
        "blue-yellow": (-1, -1, 1),
        "orange-azure": (1, 0, -1),
        "white-black": (1, 1, 1),
    }
    count = examples or sizes[split]
    rng = np.random.default_rng((seed, list(sizes).index(split)))
    labels = rng.permutation(np.arange(count) % (2 * len(axes)))

    def draw(low, high):
        return rng.uniform(low, high, (count, 1, 1)).astype("float32")

    grid = (np.arange(size, dtype="float32") + 0.5) / size
    rows, columns = grid[np.newaxis, :, np.newaxis], grid[np.newaxis, np.newaxis, :]
    spot = np.exp(-((rows - draw(0.3, 0.7)) ** 2 + (columns - draw(0.3, 0.7)) ** 2) / (2 * draw(0.15, 0.3) ** 2))
    along = np.where((labels % 2 == 0)[:, np.newaxis, np.newaxis], rows, columns)
    waves = np.sin(2 * np.pi * (along * draw(3, 5) + draw(0, 1))) * spot * draw(0.4, 0.9)
    colours = np.array(list(axes.values()), "float32")[labels // 2] / 2
    noise = rng.normal(0, 0.12, (count, size, size, 3)).astype("float32")
    images = draw(0.35, 0.65)[..., np.newaxis] + waves[..., np.newaxis] * colours[:, np.newaxis, np.newaxis] + noise
    classes = [f"{axis} {direction}" for axis in axes for direction in ("horizontal", "vertical")]
    return ArraySource(np.round(images.clip(0, 1) * 255).astype("uint8"), labels, classes, f"synthetic {split}")


def _order(count, seed, shard):
    """The numbers from 0 to `count` of this part, in the order of the seed: int64."""
    import tensorflow as tf

    with tf.device("CPU:0"):
        numbers = tf.range(shard[0], count, shard[1], dtype=tf.int64)
        return numbers if seed is None else tf.random.experimental.stateless_shuffle(numbers, tf.stack([seed, 0]))


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


def _import_tfds():
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ImportError("TFDS data sets need tensorflow-datasets: pip install keras-inception[datasets]") from error
    return tensorflow_datasets


def _prepared_folder(full_name: str, data_dir) -> pathlib.Path:
    """The folder of the newest prepared version that fits the name."""
    match = re.fullmatch(r"(\w+)(?:/([^/:]+))?(?::(\d+\.\d+\.\d+))?", full_name)
    if match is None:
        raise ValueError(
            f"expected folder, synthetic, or a TFDS name (name, name:1.2.3, name/config); Received: {full_name!r}"
        )
    name, config, version = match.groups()
    folder = data_dir / name / (config or "")
    if name == "imagenet2012" and not _versions(folder):
        _prepare_imagenet(full_name, data_dir)
    if config is None and not _versions(folder) and folder.is_dir():
        configs = sorted(path for path in folder.iterdir() if path.is_dir() and _versions(path))
        if len(configs) > 1:
            raise ValueError(
                f"expected one of {', '.join(f'{name}/{path.name}' for path in configs)}; Received: {full_name}"
            )
        folder = configs[0] if configs else folder
    found = [path for path in _versions(folder) if version in (None, path.name)]
    if found:
        return found[-1]
    by_hand = f", or put {' and '.join(IMAGENET_TARS)} into {data_dir}" if name == "imagenet2012" else ""
    raise ValueError(
        f"expected {full_name} as TFDS prepares it, below {folder}; Received: nothing there; prepare it with "
        f"`tfds build {full_name} --data_dir {data_dir}`{by_hand}"
    )


def _versions(folder) -> list[pathlib.Path]:
    """The prepared versions in a folder, the newest last."""
    found = [path.parent for path in folder.glob("*.*.*/features.json") if re.fullmatch(r"[\d.]+", path.parent.name)]
    return sorted(found, key=lambda path: [int(part) for part in path.name.split(".")])


def _prepare_imagenet(full_name, data_dir) -> None:
    """Has TFDS prepare ImageNet 2012, if both of its tar files are there."""
    import tensorflow_datasets as tfds

    for folder in (data_dir, data_dir / "downloads" / "manual"):
        if all((folder / tar).is_file() for tar in IMAGENET_TARS):
            logger.info("TFDS prepares ImageNet 2012 in %s from the tar files in %s, once.", data_dir, folder)
            config = tfds.download.DownloadConfig(manual_dir=os.fspath(folder), try_download_gcs=False)
            try:
                tfds.builder(full_name, data_dir=os.fspath(data_dir)).download_and_prepare(download_config=config)
            except ModuleNotFoundError as error:  # TFDS 4.9.10 needs importlib_resources, and does not say so
                raise ImportError(f"TFDS needs {error.name} to prepare a data set: pip install {error.name}") from error
            return
