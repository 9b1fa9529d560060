"""Batches: order, rows of workers, going on in the middle, broken images; with TensorFlow and without."""

import os
import pathlib
import tempfile

import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pytest
import tensorflow as tf
from test_datasets import CIFAR10, encoded, prepare_tiles, write

from keras_inception.datasets import ArraySource, FolderSource, TFDSSource
from training import array_pipeline, augmentation
from training.array_pipeline import evaluation_batches as array_evaluation_batches
from training.array_pipeline import training_batches as array_batches
from training.input_pipeline import evaluation_batches, training_batches
from training.options import INTERPOLATIONS, Augmentation
from training.program import one_sentence

PLAIN = Augmentation(crop="none", mirror=False, photometric=0.0, lighting=0.0)
SHIFTS = Augmentation(crop="shift", shift=2, photometric=0.0, lighting=0.0)
ROOT = pathlib.Path(__file__).parent.parent


def arrays(count=40, size=8) -> ArraySource:
    """Images whose red tells their number, and whose label is the number modulo 3."""
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), "uint8")
    images[..., 0] = np.arange(count)[:, np.newaxis, np.newaxis]
    return ArraySource(images, np.arange(count) % 3)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("tfds")
    prepare_tiles(data_dir, [(encoded(number), number % 3) for number in range(40)])
    return TFDSSource("tiles", "train", data_dir)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("folder")
    for number in range(50):
        write(data_dir / "ab"[number % 2] / f"{number:02}.png", encoded(number))
    return FolderSource(data_dir, "train")


@pytest.fixture(params=["tfds", "folder", "arrays", "numpy"])
def train(request, tiles, folder):
    """A function from arguments to the batches of 40 examples, as NumPy arrays, for each kind of source."""
    sources = {"tfds": tiles, "folder": folder, "arrays": arrays(), "numpy": arrays()}

    def batches(**arguments):
        function = array_batches if request.param == "numpy" else training_batches
        defaults = {"size": 8, "batch_size": 8, "augmentation": PLAIN, "seed": 0, "epochs": [0]}
        if request.param == "tfds":
            defaults["shuffle_buffer"] = 10
        return collected(function(sources[request.param], **{**defaults, **arguments}))

    return batches


def collected(batches) -> list[tuple[np.ndarray, ...]]:
    return [tuple(map(np.asarray, batch)) for batch in batches]


def numbers(batches) -> list[int]:
    """What the reds of the images say."""
    return [int(red) for images, *_ in batches for red in images[:, 0, 0, 0]]


def numbers_of(folder: FolderSource) -> list[int]:
    return [int(pathlib.Path(os.fsdecode(path)).stem) for path in folder.paths]


def assert_equal(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        for array, same in zip(batch, other, strict=True):
            np.testing.assert_array_equal(array, same)


def test_every_example_once_an_epoch(train):
    batches = train()
    assert len(batches) == 5
    for images, labels, weights in batches:
        assert (images.shape, images.dtype) == ((8, 8, 8, 3), np.uint8)
        assert (labels.shape, labels.dtype) == ((8,), np.int64)
        assert weights.dtype == np.float32 and weights.tolist() == [1] * 8
    assert len(set(numbers(batches))) == 40


def test_images_and_labels_belong_together(tiles):
    for source in (tiles, arrays()):
        batches = collected(training_batches(source, size=8, batch_size=8, augmentation=PLAIN, seed=0, epochs=[0]))
        assert [number % 3 for number in numbers(batches)] == [label for batch in batches for label in batch[1]]


def test_what_does_not_fill_a_batch_is_left_to_other_epochs(train):
    epochs = [numbers(train(batch_size=12, epochs=[epoch])) for epoch in range(4)]
    assert {len(epoch) for epoch in epochs} == {36} and len(set(sum(epochs, []))) > 36


def test_the_order_is_a_function_of_seed_and_epoch(train):
    first = numbers(train(seed=1, epochs=[1]))
    assert first == numbers(train(seed=1, epochs=[1]))
    assert first != sorted(first)
    for other in ({"seed": 1, "epochs": [2]}, {"seed": 2, "epochs": [1]}):
        assert numbers(train(**other)) != first


def test_a_run_goes_on_in_the_middle_of_an_epoch(train):
    whole = train(augmentation=SHIFTS, epochs=[3])
    for step in (2, 5):
        assert_equal(train(augmentation=SHIFTS, epochs=[3], first_step=step), whole[step:])


def test_epochs_follow_one_another(train):
    settings = {"augmentation": SHIFTS, "batch_size": 12}
    alone = [train(epochs=[epoch], **settings) for epoch in (4, 5, 7)]
    assert_equal(train(epochs=[4, 5, 7], first_step=2, **settings), alone[0][2:] + alone[1] + alone[2])


def test_epochs_of_files_follow_one_another(tiles):
    settings = {"size": 8, "batch_size": 8, "augmentation": SHIFTS, "seed": 0, "worker": (1, 2), "shard_by": "files"}
    alone = [collected(training_batches(tiles, epochs=[epoch], **settings)) for epoch in (4, 5)]
    together = collected(training_batches(tiles, epochs=[4, 5], first_step=3, **settings))
    assert_equal(together, alone[0][3:] + alone[1])


def test_an_evaluation_may_be_repeated(broken):
    named = []
    batches = evaluation_batches(broken, size=8, resize_to=8, batch_size=6, on_broken=named.append)
    assert_equal(collected(batches), collected(batches))
    assert len(named) == 2 * len(BROKEN)


class FailsOnce(ArraySource):
    """Its disk has an error at one of its reads, and then no more."""

    def __init__(self, at):
        images = arrays()
        super().__init__(images.images, images.labels)
        self.at, self.reads = at, 0

    def references(self, **arguments):
        def read(number):
            self.reads += 1
            if self.reads == self.at:
                raise OSError("the disk is slow today")
            return number

        def read_each(reference):
            label = tf.ensure_shape(tf.numpy_function(read, [reference["label"]], tf.int64), ())
            return {**reference, "label": label}

        return super().references(**arguments).map(read_each)


def test_an_error_has_no_more_than_an_epoch_read_again():
    source = FailsOnce(at=2000)
    batches = training_batches(source, size=8, batch_size=8, augmentation=PLAIN, seed=0, epochs=range(100))
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected 500 chunks of arrays to be readable"):
        collected(batches)
    # Some that come after it are read before it is noticed.
    assert 2000 < source.reads < 2000 + 40 + 200


@pytest.mark.parametrize("kind", ["tfds", "folder", "arrays"])
def test_references_from_the_middle_are_those_of_the_whole(tiles, folder, kind, monkeypatch):
    """As they are read once more after an error."""
    from training import input_pipeline

    seen = []

    def look(chunks_from, count, *_):
        ids = [[name for chunk in chunks_from(number) for name in chunk["id"].numpy()] for number in range(count)]
        seen.append((count, ids))
        raise InterruptedError

    monkeypatch.setattr(input_pipeline, "decode_chunks", look)
    source = {"tfds": tiles, "folder": folder, "arrays": arrays()}[kind]
    for worker in ((0, 1), (1, 2)):
        with pytest.raises(InterruptedError):
            options = {"size": 8, "batch_size": 8, "augmentation": PLAIN, "seed": 0, "worker": worker}
            training_batches(source, epochs=[3, 1, 4], first_step=2, **options)
        count, ids = seen.pop()
        rows = 8 // worker[1]
        assert count == 13 and len(ids[0]) == 13 * rows
        assert all(left == ids[0][number * rows :] for number, left in enumerate(ids))


def test_workers_share_the_batches_of_one(train):
    whole = train(augmentation=SHIFTS, first_step=1)
    parts = [train(augmentation=SHIFTS, first_step=1, worker=(index, 2)) for index in range(2)]
    joined = [tuple(map(np.concatenate, zip(*batches, strict=True))) for batches in zip(*parts, strict=True)]
    assert_equal(joined, whole)


def test_what_an_example_looks_like_depends_on_its_own_name_alone(train):
    def views(**arguments):
        batches = train(augmentation=SHIFTS, **arguments)
        return dict(zip(numbers(batches), np.concatenate([images for images, *_ in batches]), strict=True))

    views_by_5, views_by_8 = views(batch_size=5), views()
    assert all((views_by_8[number] == view).all() for number, view in views_by_5.items())


def test_the_shuffle_does_not_depend_on_the_global_seed(tiles):
    orders = []
    for seed in (0, 7):
        keras.utils.set_random_seed(seed)
        settings = {"size": 8, "batch_size": 8, "augmentation": SHIFTS, "seed": 0, "epochs": [0]}
        orders.append(collected(training_batches(tiles, **settings)))
    assert_equal(*orders)


def test_an_example_looks_different_in_each_epoch():
    source = ArraySource(np.repeat(arrays().images[:1], 40, 0), np.zeros(40, int))
    for function in (training_batches, array_batches):
        views = set()
        for seed, epoch in ((0, 0), (0, 1), (1, 0), (1, 1)):
            batches = function(source, size=8, batch_size=40, augmentation=SHIFTS, seed=seed, epochs=[epoch])
            ((images, *_),) = collected(batches)
            order = tuple(image.tobytes() for image in images)
            views.add(order)
            assert len(set(order)) > 20  # of 50 possible ones
        assert len(views) == 4


def test_the_whole_augmentation_repeats_itself(folder):
    def batches(**arguments):
        settings = {"size": 16, "batch_size": 10, "augmentation": Augmentation(), "seed": 5, "epochs": [2]}
        return collected(training_batches(folder, **settings, **arguments))

    assert_equal(batches(first_step=2), batches()[2:])


def test_a_data_set_says_how_long_it_is_and_what_is_in_it(tiles):
    dataset = training_batches(tiles, size=16, batch_size=12, augmentation=PLAIN, seed=0, epochs=[0], first_step=1)
    assert int(dataset.cardinality()) == 2
    assert [tuple(spec.shape) for spec in dataset.element_spec] == [(12, 16, 16, 3), (12,), (12,)]
    dataset = evaluation_batches(tiles, size=16, resize_to=20, batch_size=12, worker=(1, 2))
    assert int(dataset.cardinality()) == 4
    assert [tuple(spec.shape) for spec in dataset.element_spec] == [(6, 16, 16, 3), (6,), (6,)]


@pytest.mark.parametrize("batch_size, workers", [(16, 2), (7, 1), (64, 4)])
@pytest.mark.parametrize("kind", ["tfds", "folder", "numpy"])
def test_evaluation_is_exact(tiles, folder, kind, batch_size, workers):
    source = {"tfds": tiles, "folder": folder, "numpy": arrays()}[kind]
    function = array_evaluation_batches if kind == "numpy" else evaluation_batches
    parts = [
        collected(function(source, size=8, resize_to=8, batch_size=batch_size, worker=(index, workers)))
        for index in range(workers)
    ]
    assert {len(part) for part in parts} == {-(-40 // batch_size)}
    seen = []
    for images, labels, weights in sum(parts, []):
        assert images.shape == (batch_size // workers, 8, 8, 3)
        assert not images[weights == 0].any() and not labels[weights == 0].any()
        seen += images[weights == 1][:, 0, 0, 0].tolist()
    assert sorted(seen) == sorted(numbers_of(folder) if kind == "folder" else range(40))


def test_evaluation_crops_the_centre():
    source = arrays(size=10)
    for batches in (
        evaluation_batches(source, size=4, resize_to=10, batch_size=40),
        array_evaluation_batches(source, size=4, resize_to=10, batch_size=40),
    ):
        ((images, labels, weights),) = collected(batches)
        np.testing.assert_array_equal(images, source.images[:, 3:7, 3:7])
        assert labels.tolist() == source.labels.tolist() and weights.all()


BROKEN = ["a/cut.jpg", "a/empty.png", "a/head.jpg", "a/text.jpg"]


@pytest.fixture
def broken(tmp_path):
    """A folder of ten images, of which the four of the first class are none."""
    jpeg = encoded(200, "JPEG", size=64)
    files = {"a/text.jpg": b"no image\n", "a/empty.png": b""}
    files |= {"a/cut.jpg": jpeg[: len(jpeg) // 2], "a/head.jpg": jpeg[:20]}
    files |= {f"b/{number}.png": encoded(number) for number in range(1, 7)}
    for split, names in (("train", files), ("val", ["a/head.jpg", "b/1.png"])):
        for name in names:
            write(tmp_path / split / name, files[name])
    return FolderSource(tmp_path, "train")


def test_a_file_that_is_gone_is_an_error_and_no_broken_image(broken):
    gone = pathlib.Path(os.fsdecode(broken.paths[7]))
    gone.unlink()
    with pytest.raises(tf.errors.NotFoundError) as raised:
        collected(evaluation_batches(broken, size=8, resize_to=8, batch_size=5))
    said = f"expected a file that can be read; Received: {gone} (No such file or directory)"
    assert one_sentence(raised.value) == said


def test_broken_images_are_named_and_counted(broken):
    named = []
    settings = {"size": 8, "seed": 0, "augmentation": PLAIN, "on_broken": named.append}
    batches = collected(training_batches(broken, batch_size=5, epochs=[1], **settings))
    assert sorted(named) == [f"train/{name}" for name in BROKEN]
    assert [len(weights) for *_, weights in batches] == [5, 5]
    assert sorted(number for number in numbers(batches) if number) == [1, 2, 3, 4, 5, 6]
    for images, labels, weights in batches:
        assert not images[weights == 0].any()
        assert (labels == weights).all()  # the first class is broken, the second is not


def test_broken_images_in_an_evaluation(broken):
    named = []
    batches = evaluation_batches(broken, size=8, resize_to=8, batch_size=6, on_broken=named.append)
    (_, labels, weights), (_, _, last) = collected(batches)
    assert named == [f"train/{name}" for name in BROKEN]
    assert weights.tolist() == labels.tolist() == [0, 0, 0, 0, 1, 1] and last.tolist() == [1, 1, 1, 1, 0, 0]


def test_a_chunk_of_broken_images(tmp_path):
    for number in range(8):
        write(tmp_path / "ab"[number % 2] / f"{number}.png", b"nothing")
    named = []
    batches = training_batches(
        FolderSource(tmp_path, "train"),
        size=8,
        batch_size=4,
        augmentation=PLAIN,
        seed=0,
        epochs=[0],
        on_broken=named.append,
    )
    assert [weights.sum() for *_, weights in collected(batches)] == [0, 0] and len(named) == 8


def test_tensorflow_prints_the_names_where_python_cannot(broken, capfd):
    collected(evaluation_batches(broken, size=8, resize_to=8, batch_size=10))
    printed = capfd.readouterr().err
    assert all(f"train/{name}" in printed for name in BROKEN)


def test_broken_images_may_be_fatal(broken):
    message = r"expected an image that can be decoded; Received: train/a/cut\.jpg"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        collected(evaluation_batches(broken, size=8, resize_to=8, batch_size=5, broken="fatal"))
    settings = {"size": 8, "batch_size": 10, "augmentation": PLAIN, "seed": 0, "epochs": [0]}
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Received: train/a/(cut|empty|head|text)\."):
        collected(training_batches(broken, broken="fatal", **settings))


def test_broken_images_of_a_tfds_data_set(tmp_path):
    good, bad = encoded(7), b"no image"
    prepare_tiles(tmp_path, [(bad if number in (3, 5) else good, 1) for number in range(12)], shards=1)
    source, named = TFDSSource("tiles", "train", tmp_path), []
    settings = {"size": 8, "batch_size": 4, "augmentation": PLAIN, "seed": 0, "epochs": [0]}
    batches = collected(training_batches(source, on_broken=named.append, **settings))
    assert sum(weights.sum() for *_, weights in batches) == 10
    assert len(named) == 2 and all(name.startswith("tiles-train") for name in named)


def test_a_label_without_a_class_is_an_error(tmp_path):
    prepare_tiles(tmp_path, [(encoded(number), -1 if number == 5 else 1) for number in range(8)], shards=1)
    source = TFDSSource("tiles", "train", tmp_path)
    message = r"expected labels in \[0, 3\); Received: -1 of tiles-train\.tfrecord-00000-of-00001__\d"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        collected(training_batches(source, size=8, batch_size=4, augmentation=PLAIN, seed=0, epochs=[0]))
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        collected(evaluation_batches(source, size=8, resize_to=8, batch_size=4))


JPEG = encoded(100, "JPEG", size=32)
BYTES = st.one_of(
    st.binary(max_size=64),
    st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF\0\0\0\0WEBP"]).flatmap(
        lambda start: st.binary(max_size=64).map(lambda rest: start + rest)
    ),
    st.integers(0, len(JPEG)).map(lambda end: JPEG[:end]),
    st.tuples(st.integers(0, len(JPEG) - 1), st.integers(0, 255)).map(
        lambda change: JPEG[: change[0]] + bytes([change[1]]) + JPEG[change[0] + 1 :]
    ),
)


@hypothesis.settings(max_examples=6, deadline=None, derandomize=True)
@hypothesis.given(st.lists(BYTES, min_size=40, max_size=40))
def test_no_bytes_end_a_run(files):
    with tempfile.TemporaryDirectory() as root:
        for number, data in enumerate(files):
            write(pathlib.Path(root) / "train" / "ab"[number % 2] / f"{number}.jpg", data)
            write(pathlib.Path(root) / "val" / "ab"[number % 2] / f"{number}.jpg", data)
        source, named = FolderSource(root, "train"), []
        crops = Augmentation(interpolations=("bilinear",), photometric=0.0, lighting=0.0)
        settings = {"size": 8, "augmentation": crops, "seed": 0, "epochs": [0]}
        batches = collected(training_batches(source, batch_size=20, on_broken=named.append, **settings))
        assert sum(weights.sum() for *_, weights in batches) + len(named) == 40
        assert all(np.isfinite(images).all() for images, *_ in batches)
        evaluation = collected(evaluation_batches(source, size=8, resize_to=8, batch_size=20))
        assert sum(weights.sum() for *_, weights in evaluation) <= 40 == sum(len(weights) for *_, weights in evaluation)


def test_workers_may_share_the_files(tiles):
    def part(index, workers, **arguments):
        settings = {"size": 8, "batch_size": 8, "augmentation": SHIFTS, "seed": 0, "epochs": [0]}
        return collected(training_batches(tiles, shard_by="files", worker=(index, workers), **settings, **arguments))

    # Ten examples a file: two workers have twenty each, which is what they need.
    parts = [numbers(part(index, 2)) for index in range(2)]
    assert [len(set(found)) for found in parts] == [20, 20] and not set(parts[0]) & set(parts[1])
    assert_equal(part(1, 2, first_step=3), part(1, 2)[3:])


def test_a_worker_with_too_few_files_reads_them_again(tmp_path):
    prepare_tiles(tmp_path, [(encoded(number), 0) for number in range(24)], shards=3)
    source = TFDSSource("tiles", "train", tmp_path)
    settings = {"size": 8, "batch_size": 8, "augmentation": PLAIN, "seed": 0, "epochs": [0], "shard_by": "files"}
    parts = [numbers(collected(training_batches(source, worker=(index, 2), **settings))) for index in range(2)]
    # Two files and one, of eight examples each, for twelve rows each.
    assert [len(part) for part in parts] == [12, 12]
    assert [len(set(part)) for part in parts] == [12, 8] and not set(parts[0]) & set(parts[1])
    # More workers than files: the examples are shared.
    parts = [numbers(collected(training_batches(source, worker=(index, 4), **settings))) for index in range(4)]
    assert sorted(sum(parts, [])) == list(range(24))


def test_iterators_may_have_an_order_of_their_own(tiles, folder):
    for source in (tiles, folder, arrays()):
        settings = {"size": 8, "batch_size": 8, "augmentation": PLAIN, "seed": 0, "epochs": [0]}
        dataset = training_batches(source, own_order=True, **settings)
        orders = [numbers(collected(dataset)) for _ in range(2)]
        assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1]) and len(set(orders[0])) == 40
        assert int(dataset.cardinality()) == 5
        twice = numbers(collected(training_batches(source, own_order=True, **(settings | {"epochs": [0, 0]}))))
        assert twice[:40] != twice[40:] and len(set(twice[:40])) == len(set(twice[40:])) == 40


def test_iterators_with_an_order_of_their_own_see_views_of_their_own():
    source = ArraySource(np.repeat(arrays().images[:1], 40, 0), np.zeros(40, int))
    settings = {"size": 8, "batch_size": 40, "augmentation": SHIFTS, "seed": 0, "epochs": [0]}
    dataset = training_batches(source, own_order=True, **settings)
    views = [sorted(image.tobytes() for image in next(iter(dataset))[0].numpy()) for _ in range(4)]
    assert len({tuple(found) for found in views}) == 4, "of the same images, in the same epoch"


@pytest.mark.skipif(not (CIFAR10 / "cifar10").is_dir(), reason=f"cifar10 is not prepared in {CIFAR10}")
def test_cifar10():
    source = TFDSSource("cifar10", "test[:1000]", CIFAR10)
    settings = {"size": 32, "batch_size": 100, "augmentation": SHIFTS, "seed": 0, "epochs": [0], "shuffle_buffer": 300}
    whole = collected(training_batches(source, **settings))
    assert len({image.tobytes() for images, *_ in whole for image in images}) == 1000
    assert_equal(collected(training_batches(source, first_step=6, **settings)), whole[6:])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"batch_size": 41}, "expected at least 41 examples in arrays, one batch; Received: 40"),
        ({"first_step": 6}, r"expected first_step in \[0, 5\]; Received: first_step=6"),
        ({"first_step": -1}, "Received: first_step=-1"),
        ({"epochs": []}, "expected at least one epoch; Received: 0"),
        ({"worker": (0, 3)}, r"expected worker=\(index, count\) and a batch_size that count divides"),
        ({"worker": (2, 2)}, r"Received: worker=\(2, 2\), batch_size=8"),
    ],
)
def test_errors_of_arguments(arguments, message):
    for function in (training_batches, array_batches):
        with pytest.raises(ValueError, match=message):
            function(
                arrays(), **{"size": 8, "batch_size": 8, "augmentation": PLAIN, "seed": 0, "epochs": [0]} | arguments
            )


def test_errors_of_choices():
    settings = {"size": 8, "batch_size": 8, "augmentation": PLAIN, "seed": 0, "epochs": [0]}
    with pytest.raises(ValueError, match="expected broken to be skip or fatal; Received: broken='ignore'"):
        training_batches(arrays(), broken="ignore", **settings)
    with pytest.raises(ValueError, match="expected shard_by to be examples or files; Received: shard_by='rows'"):
        training_batches(arrays(), shard_by="rows", **settings)
    with pytest.raises(ValueError, match="expected resize_to of at least the size, 8; Received: resize_to=4"):
        array_evaluation_batches(arrays(), size=8, resize_to=4, batch_size=8)


@pytest.mark.parametrize("change", [{"photometric": 0.5}, {"lighting": 0.1}])
def test_what_needs_tensorflow_is_said(change):
    options = Augmentation(**{"photometric": 0.0, "lighting": 0.0, **change})
    with pytest.raises(ValueError, match="expected photometric=0 and lighting=0, or TensorFlow, which both need"):
        array_batches(arrays(), size=8, batch_size=8, augmentation=options, seed=0, epochs=[0])


@pytest.mark.parametrize("shape, size", [((8, 8), 4), ((9, 7), 4), ((5, 6), 8), ((32, 32), 24), ((4, 4), 4)])
@pytest.mark.parametrize("method", INTERPOLATIONS)
def test_resizing_is_tensorflows(method, shape, size):
    """Of a window of a larger image, of which nothing outside has a share; down to a half, where TensorFlow halves."""
    images = np.random.default_rng(1).integers(0, 256, (2, *shape, 3), "uint8")
    height, width = shape
    rows = array_pipeline.shares(method, [1, 1], [height - 1] * 2, height, size)
    columns = array_pipeline.shares(method, [0, 0], [width - 1] * 2, width, size)
    expected = np.stack([augmentation._resized(window, size, method) for window in images[:, 1:, :-1]])
    assert np.abs(array_pipeline._resampled(images, rows, columns) - expected).max() < 0.7, "of rounding, and a table"


def test_shares_by_hand():
    # Three pixels to two: each new one covers one and a half old ones.
    expected = [[0, 2 / 3, 1 / 3, 0], [0, 0, 1 / 3, 2 / 3]]
    np.testing.assert_allclose(array_pipeline.shares("area", [1], [3], 4, 2)[0], expected, rtol=1e-6)
    # Two pixels to four, a quarter of a pixel from the middles of the old ones; at the borders nothing else is there.
    expected = [[1, 0, 0], [0.75, 0.25, 0], [0.25, 0.75, 0], [0, 1, 0]]
    np.testing.assert_allclose(array_pipeline.shares("bilinear", [0], [2], 3, 4)[0], expected, rtol=1e-6)
    np.testing.assert_array_equal(array_pipeline.shares("nearest", [0], [3], 3, 2)[0], [[1, 0, 0], [0, 0, 1]])


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_no_pixel_is_passed_over_where_a_window_shrinks(method):
    found = array_pipeline.shares(method, [0], [40], 40, 4)[0].sum(0)
    assert (found != 0).all() and found.sum() == pytest.approx(4)


@pytest.mark.parametrize("shape", [(32, 32), (20, 31), (64, 9)])
@pytest.mark.parametrize("options", [{}, {"area": (0.4, 1.0)}, {"crop": "window"}, {"aspect": (0.5, 0.6)}])
def test_patches_are_those_that_tensorflow_chooses_by_equal_draws(shape, options):
    options = Augmentation(**options)
    draws = np.random.default_rng(2).random((150, 4))
    ours = array_pipeline.windows(draws, *shape, options).T
    theirs = [augmentation._window(tf.constant(draw, "float32"), *map(tf.constant, shape), options) for draw in draws]
    difference = np.abs(ours - np.stack(theirs))
    assert difference.max() <= 1 and (difference > 0).mean() < 0.01, "float32 may round a side to another pixel"
    top, left, height, width = ours.T
    assert (ours[:, :2] >= 0).all() and (top + height <= shape[0]).all() and (left + width <= shape[1]).all()


@pytest.mark.parametrize("crop", ["area", "window", "shift", "none"])
def test_views_are_those_that_tensorflow_makes_of_equal_draws(crop, monkeypatch):
    options = Augmentation(crop=crop, area=(0.2, 1.0), photometric=0.0, lighting=0.0, shift=3)
    images = np.random.default_rng(3).integers(0, 256, (60, 20, 20, 3), "uint8")
    draws = np.random.default_rng(4).random((60, 10)).astype("float32")
    ours = array_pipeline.augment(images, draws[:, : array_pipeline.DRAWS].astype("float64"), 12, options)
    left = iter(draws)
    monkeypatch.setattr(tf.random, "stateless_uniform", lambda shape, seed: tf.constant(next(left)))
    theirs = np.stack([augmentation.augment(image, (0, 0), 12, options).numpy() for image in images])
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    assert np.abs(ours.astype(int) - theirs).max() <= 1, "what float32 rounds to the next level"


@pytest.mark.parametrize("shape, resize_to, size", [((20, 20), 12, 12), ((20, 30), 14, 10), ((9, 9), 16, 16)])
def test_both_evaluate_the_same_pixels(shape, resize_to, size):
    source = ArraySource(np.random.default_rng(5).integers(0, 256, (7, *shape, 3), "uint8"), np.arange(7))
    settings = {"size": size, "resize_to": resize_to, "batch_size": 4}
    batches = [collected(f(source, **settings)) for f in (array_evaluation_batches, evaluation_batches)]
    for (ours, *numbers), (theirs, *expected) in zip(*batches, strict=True):
        assert np.abs(ours.astype(int) - theirs).max() <= 1
        assert_equal([tuple(numbers)], [tuple(expected)])


def test_the_views_of_patches_are_functions_of_seed_epoch_and_example():
    options = Augmentation(photometric=0.0, lighting=0.0)
    settings = {"size": 8, "batch_size": 8, "augmentation": options, "seed": 1}
    whole = collected(array_batches(arrays(), epochs=[0, 1], **settings))
    assert len(whole) == 10
    assert_equal(collected(array_batches(arrays(), epochs=[0, 1], first_step=3, **settings)), whole[3:])
    assert_equal(collected(array_batches(arrays(), epochs=[1], **settings)), whole[5:])
    halves = [collected(array_batches(arrays(), epochs=[0, 1], worker=(i, 2), **settings)) for i in range(2)]
    for batch, *parts in zip(whole, *halves, strict=True):
        assert_equal([tuple(map(np.concatenate, zip(*parts, strict=True)))], [batch])
    views = [{image.tobytes() for images, *_ in epoch for image in images} for epoch in (whole[:5], whole[5:])]
    assert not views[0] & views[1]


def test_windows_are_those_of_the_padded_image_and_all_of_them_occur():
    image = np.arange(25 * 3, dtype="uint8").reshape(5, 5, 3)
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), "reflect")
    windows = {padded[top : top + 5, left : left + 5].tobytes() for top in range(5) for left in range(5)}
    mirrored = {padded[top : top + 5, left : left + 5][:, ::-1].tobytes() for top in range(5) for left in range(5)}
    source = ArraySource(np.repeat(image[np.newaxis], 1000, 0), np.zeros(1000, int))
    ((images, *_),) = array_batches(source, size=5, batch_size=1000, augmentation=SHIFTS, seed=0, epochs=[0])
    found = [view.tobytes() for view in images]
    assert set(found) == windows | mirrored
    # At two of the five places the window is its own mirror image.
    assert 250 < sum(view in mirrored - windows for view in found) < 350


def test_numpy_and_tensorflow_see_the_same_where_nothing_is_random():
    source = arrays(size=12)
    settings = {"size": 12, "batch_size": 40, "augmentation": PLAIN, "seed": 0, "epochs": [0]}
    (ours,), (theirs,) = (collected(f(source, **settings)) for f in (array_batches, training_batches))
    by_number = {int(image[0, 0, 0]): (image, label) for image, label in zip(*theirs[:2], strict=True)}
    for image, label in zip(*ours[:2], strict=True):
        same, its = by_number.pop(int(image[0, 0, 0]))
        np.testing.assert_array_equal(image, same)
        assert label == its
