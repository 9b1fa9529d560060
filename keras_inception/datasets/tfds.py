"""TFDS data sets, read undecoded from the files that TFDS has prepared; ImageNet 2012, prepared from its tars."""

import logging
import os
import pathlib
import re

from keras_inception.datasets.source import Source, order

logger = logging.getLogger(__name__)

IMAGENET_TARS = ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar")
READ_BUFFER = 8 * 2**20  # bytes; small reads are slow on network disks


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
        tfds, info = _import_tfds(), _info(name, data_dir)
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

        files = tf.data.Dataset.from_tensor_slices(order(len(self._files), seed, shard))
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


def evaluation_split(name: str, data_dir=None) -> str:
    """What of a data set is there to evaluate with: its validation split, or else its test split.

    Args:
        name, data_dir: as for `TFDSSource`.

    Raises:
        ValueError, ImportError: as from `TFDSSource`.
    """
    return "validation" if "validation" in _info(name, data_dir).splits else "test"


def _info(name, data_dir):
    data_dir = pathlib.Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    return _import_tfds().builder_from_directory(os.fspath(_prepared_folder(name, data_dir))).info


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
        names = "name, name:1.2.3, name/config"
        raise ValueError(f"expected folder, arrays, synthetic, or a TFDS name ({names}); Received: {full_name!r}")
    name, config, version = match.groups()
    folder = data_dir / name / (config or "")
    if name == "imagenet2012" and not _versions(folder):
        _prepare_imagenet(full_name, data_dir, folder)
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


def _prepare_imagenet(full_name, data_dir, prepared) -> None:
    """Has TFDS prepare ImageNet 2012, if both of its tar files are there."""
    from huggingface_hub.utils import WeakFileLock

    for tars in (data_dir, data_dir / "downloads" / "manual"):
        if all((tars / tar).is_file() for tar in IMAGENET_TARS):
            # Several workers come here at once, and TFDS lets them write over one another.
            with WeakFileLock(data_dir / ".imagenet2012.lock"):
                if not _versions(prepared):
                    logger.info("TFDS prepares ImageNet 2012 in %s from the tar files in %s, once.", data_dir, tars)
                    _prepare(full_name, data_dir, tars)
            return


def _prepare(full_name, data_dir, manual_dir) -> None:
    import tensorflow_datasets as tfds

    config = tfds.download.DownloadConfig(manual_dir=os.fspath(manual_dir), try_download_gcs=False)
    try:
        tfds.builder(full_name, data_dir=os.fspath(data_dir)).download_and_prepare(download_config=config)
    except ModuleNotFoundError as error:  # TFDS 4.9.10 needs importlib_resources, and does not say so
        raise ImportError(f"TFDS needs {error.name} to prepare a data set: pip install {error.name}") from error
