"""Data sets as sources: TFDS, folders, arrays, and the images that need no file."""

import functools
import importlib.resources
import importlib.util
import io
import logging
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_inception import datasets
from keras_inception.datasets import ArraySource, FolderSource, TFDSSource, open_source, synthetic

CIFAR10 = pathlib.Path(__file__).parent.parent.parent / "shared" / "tensorflow_datasets"


def encoded(number: int, kind: str = "PNG", size: int = 8) -> bytes:
    """An image of one colour, whose red tells its number."""
    file = io.BytesIO()
    Image.new("RGB", (size, size), (number, 255 - number, 100)).save(file, kind)
    return file.getvalue()


@functools.cache
def tiles_builder():
    """The class of the TFDS data set `tiles`, which can be registered once."""
    import tensorflow_datasets as tfds

    class Tiles(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.2.0")
        examples = ()

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                "label": tfds.features.ClassLabel(num_classes=3),
                "size": np.int64,
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for number, (image, label) in enumerate(self.examples):
                yield number, {"image": io.BytesIO(image), "label": label, "size": len(image)}

    return Tiles


def prepare_tiles(data_dir, examples, *, shards=4) -> None:
    """Prepares a TFDS data set `tiles` with one split, `train`, of tuples of encoded image and label, in 3 classes."""
    import tensorflow_datasets as tfds

    builder = tiles_builder()(data_dir=os.fspath(data_dir))
    builder.examples = examples
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=shards, try_download_gcs=False)
    )


def write(path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def ids(source, **arguments) -> list[str]:
    return [example["id"].decode() for example in source.references(**arguments).as_numpy_iterator()]


def numbers(source, **arguments) -> list[int]:
    """What the images of `encoded` say, in order."""
    examples = source.examples(**arguments).as_numpy_iterator()
    return [Image.open(io.BytesIO(example["image"])).getpixel((0, 0))[0] for example in examples]


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("tfds")
    prepare_tiles(data_dir, [(encoded(number), number % 3) for number in range(40)])
    return data_dir


def test_a_tfds_data_set_is_read_undecoded(tiles):
    source = open_source("tiles", "train", tiles)
    assert (len(source), source.classes, source.num_files, source.name) == (40, ("0", "1", "2"), 4, "tiles train")
    found = list(source.examples().as_numpy_iterator())
    assert all(set(example) == {"id", "image", "label"} for example in found)
    assert {example["image"] for example in found} == {encoded(number) for number in range(40)}
    assert all(example["label"] == number % 3 for example, number in zip(found, numbers(source), strict=True))
    assert len({example["id"] for example in found}) == 40


def test_tfds_examples_are_those_of_tfds_itself(tiles):
    import tensorflow_datasets as tfds

    config = tfds.ReadConfig(add_tfds_id=True, try_autocache=False)
    theirs = tfds.builder_from_directory(str(tiles / "tiles" / "1.2.0")).as_dataset(
        split="train[20%:]", read_config=config
    )
    ours = TFDSSource("tiles", "train[20%:]", tiles).examples()
    for example, same in zip(theirs.as_numpy_iterator(), ours.as_numpy_iterator(), strict=True):
        assert (example["tfds_id"], example["label"]) == (same["id"], same["label"])
        np.testing.assert_array_equal(example["image"], np.asarray(Image.open(io.BytesIO(same["image"]))))


def test_the_order_does_not_depend_on_the_global_seed(tiles):
    source, orders = open_source("tiles", "train", tiles), []
    for seed in (0, 7):
        keras.utils.set_random_seed(seed)
        orders.append(ids(source, seed=1))
    assert orders[0] == orders[1]


def test_the_order_of_tfds_files_is_a_function_of_the_seed(tiles):
    source = open_source("tiles", "train", tiles)
    first = ids(source, seed=1)
    assert ids(source, seed=1) == first
    assert {tuple(ids(source, seed=seed)) for seed in range(2, 8)} - {tuple(first)}
    assert sorted(first) == sorted(ids(source))
    assert ids(source) == ids(source)


def test_tfds_files_are_shared_among_workers(tiles):
    source = open_source("tiles", "train", tiles)
    parts = [set(ids(source, seed=3, shard=(index, 3))) for index in range(3)]
    assert [set(ids(source, seed=4, shard=(index, 3))) for index in range(3)] == parts
    assert sum(map(len, parts)) == 40 and len(set.union(*parts)) == 40
    files = [{name.partition("__")[0] for name in part} for part in parts]
    assert sorted(map(len, files)) == [1, 1, 2] and len(set.union(*files)) == 4


def test_tfds_splits(tiles):
    whole, most = open_source("tiles", "train", tiles), open_source("tiles:1.2.0", "train[:75%]", tiles)
    rest = TFDSSource("tiles", "train[75%:]", tiles)
    assert (len(most), len(rest)) == (30, 10)
    assert sorted(numbers(most) + numbers(rest)) == sorted(numbers(whole)) == list(range(40))


@pytest.mark.parametrize(
    "name, split, message",
    [
        ("tiles", "test", "expected a split of tiles, one of train; Received: split='test'"),
        ("absent", "train", "expected absent as TFDS prepares it, below .*absent; .*`tfds build absent --data_dir"),
        ("tiles:9.9.9", "train", "expected tiles:9.9.9 as TFDS prepares it"),
        ("../tiles", "train", "expected folder, arrays, synthetic, or a TFDS name .*; Received: '../tiles'"),
        ("imagenet2012", "train", "or put ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar into"),
    ],
)
def test_what_is_not_there_is_said(tiles, name, split, message):
    with pytest.raises(ValueError, match=message):
        open_source(name, split, tiles)


def test_the_newest_version_and_the_only_config_are_found(tiles, tmp_path):
    for version in ("1.2.0", "1.10.0"):
        shutil.copytree(tiles / "tiles" / "1.2.0", tmp_path / "tiles" / "small" / version)
    assert datasets.tfds._prepared_folder("tiles", tmp_path) == tmp_path / "tiles" / "small" / "1.10.0"
    assert datasets.tfds._prepared_folder("tiles/small:1.2.0", tmp_path) == tmp_path / "tiles" / "small" / "1.2.0"
    shutil.copytree(tmp_path / "tiles" / "small", tmp_path / "tiles" / "large")
    with pytest.raises(ValueError, match="expected one of tiles/large, tiles/small; Received: tiles"):
        open_source("tiles", "train", tmp_path)


def test_a_tfds_data_set_without_labels_is_refused(tiles, tmp_path):
    shutil.copytree(tiles, tmp_path / "copy")
    features = tmp_path / "copy" / "tiles" / "1.2.0" / "features.json"
    features.write_text(features.read_text().replace('"label"', '"kind"'))
    with pytest.raises(ValueError, match="expected a data set with the features image and label; .* image, kind, size"):
        open_source("tiles", "train", tmp_path / "copy")


def test_a_file_that_lost_its_end_is_an_error(tiles, tmp_path):
    import tensorflow as tf

    shutil.copytree(tiles, tmp_path / "copy")
    file = tmp_path / "copy" / "tiles" / "1.2.0" / "tiles-train.tfrecord-00001-of-00004"
    records = list(tf.data.TFRecordDataset(str(file)).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in records[:-1]:
            writer.write(record)
    with pytest.raises(tf.errors.OpError, match="expected to contain 40 elements but contained only 39"):
        ids(open_source("tiles", "train", tmp_path / "copy"))


def test_other_file_formats_are_refused(tiles, tmp_path):
    shutil.copytree(tiles, tmp_path / "copy")
    info = tmp_path / "copy" / "tiles" / "1.2.0" / "dataset_info.json"
    info.write_text(info.read_text().replace('"tfrecord"', '"array_record"'))
    with pytest.raises(ValueError, match="expected files of the format tfrecord; Received: tiles as array_record"):
        open_source("tiles", "train", tmp_path / "copy")


def test_tfds_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match=r"pip install keras-inception\[datasets\]"):
        open_source("cifar10", "train")


@pytest.mark.skipif(not (CIFAR10 / "cifar10").is_dir(), reason=f"cifar10 is not prepared in {CIFAR10}")
def test_cifar10():
    source = open_source("cifar10", "test", CIFAR10)
    assert len(source) == 10_000 and source.classes[:2] == ("airplane", "automobile")
    example = next(source.examples().as_numpy_iterator())
    assert Image.open(io.BytesIO(example["image"])).size == (32, 32) and 0 <= example["label"] < 10


def tar(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


@pytest.fixture
def imagenet_tars(tmp_path):
    """A folder of TFDS with ImageNet's two tars in miniature: three images of two classes, and two."""
    synsets = {"n01440764": (10, 20), "n15075141": (30,)}
    train = {
        f"{synset}.tar": tar({f"{synset}_{red}.JPEG": encoded(red, "JPEG") for red in reds})
        for synset, reds in synsets.items()
    }
    validation = {f"ILSVRC2012_val_{number:08}.JPEG": encoded(number, "JPEG") for number in (1, 2)}
    manual = tmp_path / "downloads" / "manual"
    write(manual / "ILSVRC2012_img_train.tar", tar(train))
    write(manual / "ILSVRC2012_img_val.tar", tar(validation))
    return tmp_path


def test_imagenet_is_prepared_from_its_tars(imagenet_tars, caplog, monkeypatch):
    if importlib.util.find_spec("importlib_resources") is None:
        # The standard library's own, of which it is the backport: TFDS 4.9.10 imports it without depending on it.
        monkeypatch.setitem(sys.modules, "importlib_resources", importlib.resources)
    with caplog.at_level(logging.INFO, "keras_inception"):
        source = open_source("imagenet2012", "train", imagenet_tars)
    assert "TFDS prepares ImageNet 2012" in caplog.text
    assert len(source) == 3 and len(source.classes) == 1000
    labels = {example["image"]: int(example["label"]) for example in source.examples().as_numpy_iterator()}
    assert labels == {encoded(10, "JPEG"): 0, encoded(20, "JPEG"): 0, encoded(30, "JPEG"): 999}
    caplog.clear()
    held_out = open_source("imagenet2012", "validation", imagenet_tars)
    assert len(held_out) == 2 and "prepares" not in caplog.text
    # The first two lines of the validation labels that come with TFDS: n01751748, n09193705.
    images = {example["image"]: int(example["label"]) for example in held_out.examples().as_numpy_iterator()}
    assert images == {encoded(1, "JPEG"): 65, encoded(2, "JPEG"): 970}


def test_workers_that_come_at_once_prepare_imagenet_once(imagenet_tars):
    code = (
        "import logging, sys; logging.basicConfig(level=logging.INFO, format='%(message)s')\n"
        "from keras_inception.datasets import open_source\n"
        "source = open_source('imagenet2012', 'train', sys.argv[1])\n"
        "print(len(source), len({example['id'].numpy() for example in source.examples()}))"
    )
    command = [sys.executable, "-c", code, str(imagenet_tars)]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [worker.communicate(timeout=200) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0], outputs
    assert [out.splitlines()[-1] for out, _ in outputs] == ["3 3"] * 3
    assert sum("TFDS prepares ImageNet 2012" in log for _, log in outputs) == 1


def test_one_of_imagenets_tars_is_not_enough(imagenet_tars):
    (imagenet_tars / "downloads" / "manual" / "ILSVRC2012_img_val.tar").unlink()
    with pytest.raises(ValueError, match="expected imagenet2012 as TFDS prepares it"):
        open_source("imagenet2012", "train", imagenet_tars)


def test_what_tfds_lacks_is_named(imagenet_tars, monkeypatch):
    import tensorflow_datasets as tfds

    def builder(*_, **__):
        raise ModuleNotFoundError("No module named 'importlib_resources'", name="importlib_resources")

    monkeypatch.setattr(tfds, "builder", builder)
    with pytest.raises(
        ImportError, match="TFDS needs importlib_resources to prepare .*: pip install importlib_resources"
    ):
        open_source("imagenet2012", "train", imagenet_tars)


def test_a_folder_keeps_every_fifth_image_for_validation(tmp_path):
    for number in reversed(range(11)):
        write(tmp_path / "cat" / f"{number:02}.{'PNG' if number % 2 else 'jpg'}", encoded(number))
    for number in range(20, 24):
        write(tmp_path / "dog" / "deeper" / f"{number}.png", encoded(number))
    write(tmp_path / "dog" / ".hidden.png", encoded(0))
    write(tmp_path / "dog" / "notes.txt", b"")
    write(tmp_path / ".git" / "0.png", encoded(0))
    train, validation = open_source("folder", "train", tmp_path), open_source("folder", "validation", tmp_path)
    assert train.classes == validation.classes == ("cat", "dog")
    assert sorted(ids(validation)) == ["cat/04.jpg", "cat/09.PNG"]
    assert numbers(train) == [0, 1, 2, 3, 5, 6, 7, 8, 10, 20, 21, 22, 23]
    assert "dog/deeper/20.png" in ids(train)
    assert [int(example["label"]) for example in train.examples().as_numpy_iterator()] == [0] * 9 + [1] * 4


@pytest.mark.parametrize("name", datasets.folder.VALIDATION_FOLDERS)
def test_a_folder_with_a_validation_folder(tmp_path, name):
    for number, path in enumerate(["train/a/1.png", "train/b/1.png", f"{name}/a/1.png", f"{name}/b/1.png"]):
        write(tmp_path / path, encoded(number))
    train, validation = FolderSource(tmp_path, "train"), FolderSource(str(tmp_path), "validation")
    assert (numbers(train), numbers(validation)) == ([0, 1], [2, 3])
    assert ids(validation) == [f"{name}/a/1.png", f"{name}/b/1.png"]
    write(tmp_path / "train" / "c" / "1.png", encoded(9))
    with pytest.raises(ValueError, match="expected the same classes in .*train and .*; Received: c in one of them"):
        FolderSource(tmp_path, "train")


def test_train_alone_is_no_class(tmp_path):
    for name in "ab":
        for number in range(5):
            write(tmp_path / "train" / name / f"{number}.png", encoded(number))
    (tmp_path / "notes").mkdir()
    source = open_source("folder", "validation", tmp_path)
    assert source.classes == ("a", "b") and source.ids == [b"train/a/4.png", b"train/b/4.png"]
    assert len(open_source("folder", "train", tmp_path)) == 8
    (tmp_path / "train").rename(tmp_path / "val")
    with pytest.raises(ValueError, match="expected train beside .*val; Received"):
        open_source("folder", "train", tmp_path)


def test_a_class_that_is_called_train(tmp_path):
    for name in ("train", "car", "test"):
        write(tmp_path / name / "0.png", encoded(1))
    assert open_source("folder", "train", tmp_path).classes == ("car", "test", "train")


def test_classes_that_are_too_small_to_validate_are_named(tmp_path, caplog):
    for name, count in (("a", 5), ("b", 4), ("c", 1)):
        for number in range(count):
            write(tmp_path / name / f"{number}.png", encoded(number))
    with caplog.at_level("WARNING"):
        assert len(open_source("folder", "train", tmp_path)) == 9
        assert not caplog.records
        assert open_source("folder", "validation", tmp_path).ids == [b"a/4.png"]
    assert "to validate with of b, c: fewer than 5" in caplog.text


def test_files_that_need_python(tmp_path):
    for name in ("a/1.jpg", "a/2.JPEG", "b/1.png"):
        write(tmp_path / name, encoded(1))
    assert open_source("folder", "train", tmp_path).needs_python is None
    write(tmp_path / "b" / "2.webp", encoded(1))
    assert open_source("folder", "train", tmp_path).needs_python == str(tmp_path / "b" / "2.webp")


def test_the_order_of_a_folder(tmp_path):
    for number in range(30):
        write(tmp_path / "ab"[number % 2] / f"{number}.png", encoded(number))
    source = FolderSource(tmp_path, "train")
    assert ids(source, seed=1) == ids(source, seed=1) != ids(source, seed=2)
    assert sorted(ids(source, seed=1)) == sorted(ids(source))
    parts = [ids(source, seed=1, shard=(index, 3)) for index in range(3)]
    assert [sorted(part) for part in parts] == [sorted(ids(source, shard=(index, 3))) for index in range(3)]
    assert sorted(sum(parts, [])) == sorted(ids(source))


def test_file_names_that_are_not_unicode(tmp_path):
    name = os.fsdecode(b"\xff\xfe.png")
    try:
        for folder in ("a", "b"):
            write(tmp_path / folder / name, encoded(7))
    except OSError:
        pytest.skip("this file system has Unicode names only")
    source = FolderSource(tmp_path, "train")
    assert numbers(source) == [7, 7]
    assert next(source.references().as_numpy_iterator())["id"] == b"a/\xff\xfe.png"


@pytest.mark.parametrize(
    "files, split, message",
    [
        (None, "train", "expected a folder with a folder of images for each class; Received: .*photos"),
        ([], "train", "expected at least two classes, a folder each, in .*; Received: no folder"),
        (["a/1.png"], "train", "expected at least two classes, .*; Received: a$"),
        (["a/1.png", "b/1.txt"], "train", "expected images in every class; Received: .*b, with none"),
        (
            ["a/1.png", "b/1.png"],
            "validation",
            "expected a class of at least 5 images, or folders train and validation",
        ),
        (
            ["a/1.png", "b/1.png"],
            "test",
            "expected the split train, validation or all of a folder; Received: split='test'",
        ),
    ],
)
def test_errors_of_folders(tmp_path, files, split, message):
    folder = tmp_path / "photos"
    if files is not None:
        folder.mkdir()
    for file in files or ():
        write(folder / file, b"")
    with pytest.raises(ValueError, match=message):
        open_source("folder", split, folder)


def test_a_folder_is_asked_for():
    with pytest.raises(ValueError, match="expected data_dir"):
        open_source("folder", "train")


def test_arrays():
    images = np.arange(4 * 2 * 2 * 3, dtype="uint8").reshape(4, 2, 2, 3)
    source = ArraySource(images, [2, 0, 1, 1], name="four")
    assert (len(source), source.classes, source.name) == (4, ("0", "1", "2"), "four")
    found = list(source.examples().as_numpy_iterator())
    assert [example["id"] for example in found] == [b"0", b"1", b"2", b"3"]
    assert [int(example["label"]) for example in found] == [2, 0, 1, 1]
    np.testing.assert_array_equal([example["image"] for example in found], images)
    assert ids(source, seed=1) == ids(source, seed=1)
    assert len({tuple(ids(source, seed=seed)) for seed in range(9)}) > 1
    assert ids(source, shard=(1, 2)) == ["1", "3"]


@pytest.mark.parametrize(
    "images, labels, classes, message",
    [
        (np.zeros((2, 4, 4, 3), "float32"), [0, 1], None, r"expected uint8 images \(n, h, w, 3\); Received: float32"),
        (np.zeros((2, 4, 4), "uint8"), [0, 1], None, r"Received: uint8 of shape \(2, 4, 4\)"),
        (np.zeros((0, 4, 4, 3), "uint8"), [], None, r"Received: uint8 of shape \(0, 4, 4, 3\)"),
        (np.zeros((2, 4, 4, 3), "uint8"), [[0], [1]], None, r"expected 2 integer labels, .* shape \(2, 1\)"),
        (np.zeros((2, 4, 4, 3), "uint8"), [0.0, 1.0], None, "expected 2 integer labels, .* Received: float64"),
        (np.zeros((3, 4, 4, 3), "uint8"), [0, 2, 5], "ab", r"expected labels in \[0, 2\); Received: 2 at index 1"),
        (np.zeros((2, 4, 4, 3), "uint8"), [0, -1], None, r"expected labels in \[0, 1\); Received: -1 at index 1"),
    ],
)
def test_errors_of_arrays(images, labels, classes, message):
    with pytest.raises(ValueError, match=message):
        ArraySource(images, labels, classes)


def test_arrays_as_a_file(tmp_path):
    source = synthetic("validation", examples=7)
    datasets.save_arrays(tmp_path / "train.npz", source.images, source.labels, source.classes)
    again = open_source("arrays", "train", tmp_path)
    assert again.classes == source.classes and np.array_equal(again.images, source.images)
    assert np.array_equal(again.labels, source.labels) and again.name == f"{tmp_path} train"
    assert [path.name for path in tmp_path.iterdir()] == ["train.npz"]
    with pytest.raises(ValueError, match=r"expected a file of arrays; Received: .*validation\.npz, which is not there"):
        open_source("arrays", "validation", tmp_path)
    with pytest.raises(ValueError, match="expected uint8 images"):
        datasets.save_arrays(tmp_path / "train.npz", source.images / 255, source.labels, source.classes)
    assert len(open_source("arrays", "train", tmp_path)) == 7, "the file is as it was"


def arrays_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "train.npz"
        datasets.save_arrays(path, np.zeros((2, 3, 3, 3), np.uint8), [0, 1], ["a", "b"])
        return path.read_bytes()


ARRAYS_FILE = arrays_file()


@given(
    st.one_of(
        st.binary(max_size=100),
        st.integers(0, len(ARRAYS_FILE)).map(lambda end: ARRAYS_FILE[:end]),
        st.tuples(st.integers(0, len(ARRAYS_FILE) - 1), st.integers(0, 255)).map(
            lambda change: ARRAYS_FILE[: change[0]] + bytes([change[1]]) + ARRAYS_FILE[change[0] + 1 :]
        ),
    )
)
@settings(deadline=None)
def test_any_bytes_are_arrays_or_a_value_error(data):
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "train.npz").write_bytes(data)
        try:
            source = open_source("arrays", "train", folder)
        except ValueError as error:
            assert "Received: " in str(error)
        else:
            assert source.images.dtype == np.uint8 and source.labels.max() < len(source.classes)


def test_synthetic_images():
    train, validation = open_source("synthetic", "train"), open_source("synthetic", "validation")
    assert train.images.shape == (512, 32, 32, 3) and len(validation) == 160 and len(train.classes) == 10
    assert set(np.bincount(validation.labels)) == {16}
    np.testing.assert_array_equal(synthetic("train").images, train.images)
    assert not (synthetic("train", seed=1).images == train.images).all()
    seen = {image.tobytes() for image in train.images}
    assert not seen & {image.tobytes() for image in validation.images}
    assert synthetic("train", examples=20, size=16).images.shape == (20, 16, 16, 3)
    with pytest.raises(ValueError, match="expected the split train or validation of synthetic; .*'test'"):
        open_source("synthetic", "test")


def test_synthetic_classes_can_be_told_apart_but_not_by_their_mean_colours():
    source = synthetic("train")
    pixels = source.images / 255.0
    # A mirror changes neither the axis along which the stripes change nor their colours.
    along = [np.abs(np.diff(pixels, axis=axis)).mean((1, 2, 3)) for axis in (1, 2)]
    assert ((along[0] > along[1]) == (source.labels % 2 == 0)).mean() > 0.95
    axes = np.array([[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 0, -1], [1, 1, 1]])
    axes = axes / np.linalg.norm(axes, axis=1, keepdims=True)
    means = pixels.mean((1, 2))
    energy = (((pixels - means[:, np.newaxis, np.newaxis]) @ axes.T) ** 2).mean((1, 2))
    assert (energy.argmax(1) == source.labels // 2).mean() > 0.95
    centroids = np.stack([means[source.labels == label].mean(0) for label in range(10)])
    nearest = ((means[:, np.newaxis] - centroids) ** 2).sum(-1).argmin(1)
    assert (nearest == source.labels).mean() < 0.3
