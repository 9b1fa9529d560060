"""The reader of TF-slim's checkpoint on toy files: TensorFlow's own, and what TensorFlow never would write."""

import gzip
import random
import struct
import tarfile
import tracemalloc

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_inception.convert import crc32c as crc32c_module
from keras_inception.convert import names, sstable, tensorflow_checkpoint
from keras_inception.convert.checkpoint import CheckpointError
from keras_inception.convert.crc32c import crc32c, masked_crc32c
from tests import hostile, tensorflow_files
from tests.caffe_files import boundaries, field, varint
from tests.tensorflow_files import (
    block,
    bundle_entry,
    first_entries,
    handle,
    sealed,
    second_entries,
    table,
    tar,
    tar_gz,
)

v1 = tf.compat.v1
TABLE = names.TABLE
DATA = "toy.ckpt.data-00000-of-00001"


@pytest.fixture(autouse=True)
def few_layers(monkeypatch):
    """A network of three layers, so that a file has a KB. The first test has them all."""
    few = ("conv1_7x7_s2", "inception_5a_5x5", "loss3_classifier")
    monkeypatch.setattr(names, "TABLE", tuple(row for row in TABLE if row.layer in few))


def save(folder, variables: dict, version: int) -> None:
    """Saves with TensorFlow's own Saver."""
    with tf.Graph().as_default(), v1.Session() as session:
        made = {name: v1.Variable(array, name=name.split("/")[-1]) for name, array in variables.items()}
        session.run([variable.initializer for variable in made.values()])
        saver = v1.train.Saver(made, write_version=version)
        saver.save(session, str(folder / "toy.ckpt"), write_meta_graph=False, write_state=False)


def write(folder, *files: tuple[str, bytes]):
    for name, data in files:
        (folder / name).write_bytes(data)
    return folder / files[0][0]


def refuse(path, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as error:
        tensorflow_checkpoint.read(path)
    assert path.name.split(".")[0] in str(error.value)
    assert len(str(error.value)) < 2000


def refuse_first(folder, entries, message: str, **options) -> None:
    refuse(write(folder, ("toy.ckpt", table([block(entries)], **options))), message)


def refuse_second(folder, entries, data: bytes, message: str) -> None:
    refuse(write(folder, ("toy.ckpt.index", table([block(entries)])), (DATA, data)), message)


def equal(found: dict, wanted: dict) -> None:
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
        assert found[name].dtype == np.float32 and found[name].flags.c_contiguous and found[name].flags.writeable


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "version, name",
    [(1, "toy.ckpt"), (2, "toy.ckpt"), (2, "toy.ckpt.index"), (2, DATA), (1, "toy.tar.gz"), (2, "toy.tar.gz")],
)
def test_what_tensorflow_saves(tmp_path, monkeypatch, version, name):
    monkeypatch.setattr(names, "TABLE", TABLE)
    theirs, ours = tensorflow_files.toy_variables()
    save(tmp_path, theirs, version)
    if name == "toy.tar.gz":
        with tarfile.open(tmp_path / name, "w:gz") as archive:
            for path in sorted(tmp_path.glob("toy.ckpt*")):
                archive.add(path, f"./{path.name}")
    result = tensorflow_checkpoint.read(tmp_path / name)
    equal(result.tensors, ours)
    assert result.spec == {
        "architecture": "GoogLeNet",
        "variant": "slim",
        "classes": 3,
        "aux_heads": False,
        "mean": [127.5, 127.5, 127.5],
        "scale": [1 / 127.5, 1 / 127.5, 1 / 127.5],
        "labels": None,
        "lrn": None,
    }


def test_a_first_format_file_with_data_in_its_name(tmp_path):
    theirs, ours = tensorflow_files.toy_variables()
    data = tensorflow_files.first_format(theirs)
    equal(tensorflow_checkpoint.read(write(tmp_path, ("slim.data-2016.ckpt", data))).tensors, ours)
    packed = tar_gz([("slim.data-2016.ckpt", data), ("training.data-2016", b"")], type=tarfile.SYMTYPE)
    equal(tensorflow_checkpoint.read(write(tmp_path, ("slim.data-2016.tar.gz", packed))).tensors, ours)


def test_a_second_format_prefix_with_data_in_it(tmp_path):
    theirs, ours = tensorflow_files.toy_variables()
    entries, data = second_entries(theirs)
    name = "slim.data-2016"
    files = (f"{name}.index", table([block(entries)])), (f"{name}.data-00000-of-00001", data)
    write(tmp_path, *files)
    for path in (name, *(name for name, _ in files)):
        equal(tensorflow_checkpoint.read(tmp_path / path).tensors, ours)


@pytest.mark.parametrize("form", ["first", "second"])
def test_our_writer_writes_what_tensorflow_reads(tmp_path, form):
    theirs, ours = tensorflow_files.toy_variables()
    if form == "first":
        path = write(tmp_path, ("toy.ckpt", tensorflow_files.first_format(theirs)))
    else:
        entries, data = second_entries(theirs)
        path = write(tmp_path, ("toy.ckpt.index", table([block(entries)])), (DATA, data)).with_name("toy.ckpt")
        reader = tf.train.load_checkpoint(str(path))
        for name, array in theirs.items():
            np.testing.assert_array_equal(reader.get_tensor(name), array)
    equal(tensorflow_checkpoint.read(path).tensors, ours)


def test_all_1001_columns_are_kept(tmp_path):
    theirs, _ = tensorflow_files.toy_variables(classes=1001)
    spec = tensorflow_checkpoint.read(write(tmp_path, ("toy.ckpt", tensorflow_files.first_format(theirs)))).spec
    assert (spec["classes"], spec["labels"]) == (1001, "imagenet_background")


def test_what_training_adds_is_ignored(tmp_path):
    theirs, ours = tensorflow_files.toy_variables()
    weights = theirs["InceptionV1/Conv2d_1a_7x7/weights"]
    theirs.update(
        {
            "InceptionV1/Conv2d_1a_7x7/weights/RMSProp": weights,
            "InceptionV1/Conv2d_1a_7x7/weights/RMSProp_1": weights,
            "InceptionV1/Conv2d_1a_7x7/BatchNorm/moving_mean/ExponentialMovingAverage": weights,
            "beta1_power": np.array([1], np.float32),
            "InceptionV3/Conv2d_1a_3x3/weights": weights,
        }
    )
    equal(
        tensorflow_checkpoint.read(write(tmp_path, ("toy.ckpt", tensorflow_files.first_format(theirs)))).tensors, ours
    )


@pytest.mark.parametrize("form", ["first", "second"])
@pytest.mark.parametrize(
    "edits, message",
    [
        ({"InceptionV1/Conv2d_1a_7x7/BatchNorm/gamma": np.ones(2, np.float32)}, "Received: 'InceptionV1/.*gamma'"),
        ({"InceptionV1/Conv2d_1a_7x7/biases": np.ones(2, np.float32)}, "Received: 'InceptionV1/.*biases'"),
        ({"InceptionV1/Mixed_6a/weights": np.ones(2, np.float32)}, "Received: 'InceptionV1/Mixed_6a/weights'"),
        ({"InceptionV1/Conv2d_1a_7x7/weights": None}, "missing: InceptionV1/Conv2d_1a_7x7/weights"),
        ({"InceptionV1/Logits/Conv2d_0c_1x1/biases": None}, "missing: InceptionV1/Logits/Conv2d_0c_1x1/biases"),
        ({"InceptionV1/Conv2d_1a_7x7/weights": np.ones(2, np.float32)}, "expected 4 dimensions"),
        ({"InceptionV1/Conv2d_1a_7x7/weights": np.ones((1, 1, 1, 5), np.float32)}, r"expected shape \(5,\)"),
        ({"InceptionV1/Conv2d_1a_7x7/BatchNorm/beta": np.ones(3, np.float32)}, r"expected shape \(2,\)"),
        ({"InceptionV1/Logits/Conv2d_0c_1x1/weights": np.ones((2, 1, 2, 3), np.float32)}, "expected 2 dimensions"),
        ({"InceptionV1/Conv2d_1a_7x7/BatchNorm/beta": np.ones(2, np.int64)}, "expected float32 numbers"),
        ({"InceptionV1/Conv2d_1a_7x7/BatchNorm/beta": np.array([1, np.nan], np.float32)}, "NaN or infinity"),
        ({"InceptionV1/Conv2d_1a_7x7/BatchNorm/beta": np.array([1, -np.inf], np.float32)}, "NaN or infinity"),
        ({"InceptionV1/Conv2d_1a_7x7/weights": np.ones((7, 7, 0, 2), np.float32)}, "Received: 0 of them"),
    ],
)
def test_variables_that_do_not_fit(tmp_path, form, edits, message):
    theirs = {**tensorflow_files.toy_variables()[0], **edits}
    theirs = {name: array for name, array in theirs.items() if array is not None}
    if form == "first":
        refuse_first(tmp_path, first_entries(theirs), message)
    else:
        refuse_second(tmp_path, *second_entries(theirs), message)


def test_missing_layers_are_listed(tmp_path):
    theirs = {name: array for name, array in tensorflow_files.toy_variables()[0].items() if "Mixed" not in name}
    refuse_first(tmp_path, first_entries(theirs), "missing: inception_5a_5x5")
    refuse_first(tmp_path, [(b"", field(1, b""))], "missing: conv1_7x7_s2, inception_5a_5x5, loss3_classifier")


# The table.


def test_crc32c_by_the_published_examples():
    assert crc32c(b"123456789") == 0xE3069283
    # RFC 3720, appendix B.4.
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(bytes(range(31, -1, -1))) == 0x113FDB5C
    assert crc32c(b"") == 0


@pytest.mark.parametrize("size", [63, 64, 65, 1000, 2047, 2048, 2049, 2051, 4095, 4096, 4097, 70001])
def test_crc32c_of_longer_messages(size):
    data = random.Random(size).randbytes(size)
    state = 0xFFFFFFFF
    for byte in data:  # the definition, bit by bit
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    assert crc32c(data) == state ^ 0xFFFFFFFF


def test_crc32c_in_chunks(monkeypatch):
    """A message of many chunks, whatever is left for the last one, has the sum that it has in one piece."""
    data = random.Random(0).randbytes(40000)
    message = np.frombuffer(data, np.uint8)
    for size in (16384, 16385, 16388, 16384 + 2049, 40000):
        monkeypatch.setattr(crc32c_module, "_CHUNK", 8192)
        found = crc32c(data[:size])
        assert found == crc32c_module._by_bytes(0xFFFFFFFF, message[:size]) ^ 0xFFFFFFFF
        monkeypatch.setattr(crc32c_module, "_CHUNK", 1 << 20)
        assert found == crc32c(data[:size])


def test_crc32c_copies_chunks_and_not_the_message():
    data = bytes(16 * hostile.MIB)
    tracemalloc.start()
    crc32c(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * hostile.MIB


def test_keys_over_many_blocks():
    entries = [(f"key{number:03d}".encode(), bytes(number)) for number in range(50)]
    data = table([block(entries[:1]), block(entries[1:30]), block(entries[30:])])
    assert [(key, bytes(value)) for key, value in sstable.entries(memoryview(data))] == entries


def refuse_table(data: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        list(sstable.entries(memoryview(data)))


ENTRIES = [(b"a", b"1"), (b"b", b"2")]


def test_hostile_tables():
    good = table([block(ENTRIES)])
    refuse_table(b"", "last 8 bytes")
    refuse_table(good[:-1], "last 8 bytes")
    refuse_table(good[-47:], "last 8 bytes")
    refuse_table(table([block(ENTRIES)], magic=bytes(8)), "last 8 bytes")
    refuse_table(b"\x07" + good[1:], "CRC-32C")
    refuse_table(table([block(ENTRIES)], compression=1), "refused: compression 1")  # Snappy
    for where in ((0, 1 << 60), (1 << 60, 8), (len(good), 8), (0, (1 << 64) - 1)):
        refuse_table(table([block(ENTRIES)], handles=[where]), "inside the file")
        refuse_table(good[:-48] + (handle(0, 8) + handle(*where)).ljust(40, b"\0") + good[-8:], "inside the file")
    refuse_table(good[:-48] + b"\xff" * 40 + good[-8:], "64 bits")
    size = len(block(ENTRIES))
    refuse_table(table([block(ENTRIES)], handles=[(0, size), (0, size)]), "expected a block after byte")
    refuse_table(table([block(ENTRIES), block(ENTRIES)]), "every key once")
    refuse_table(table([block(ENTRIES[::-1])]), "every key once")
    refuse_table(table([block([(b"k" * 2000, b"")])]), "longer one")
    refuse_table(table([block([(b"%05d" % n, b"") for n in range(sstable.MAX_ENTRIES + 1)])]), "entries in the table")


def test_many_empty_blocks(monkeypatch):
    """A block may have no entry, so a limit on the entries alone would let any number of blocks through."""
    data = table([block([])] * 10)
    monkeypatch.setattr(sstable, "MAX_ENTRIES", 10)
    assert list(sstable.entries(memoryview(data))) == []
    sums = []
    monkeypatch.setattr(sstable, "masked_crc32c", lambda data: sums.append(len(data)) or masked_crc32c(data))
    refuse_table(table([block([])] * 1000), "at most 10 blocks in the table")
    assert len(sums) == 1 + 10  # the index, and as many blocks as there may be


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "places of 0 keys"),
        (b"\0\0\0\0\xff\xff\xff\xff", "places of 4294967295 keys"),
        (b"\x01\x01\x01ab" + struct.pack("<2I", 0, 1), "longer one"),  # shares with no key before it
        (b"\x00\x01\x7fab" + struct.pack("<2I", 0, 1), "longer one"),  # a value beyond the block
        (b"\x00\x7f\x01ab" + struct.pack("<2I", 0, 1), "longer one"),
        (b"\x00" + b"\xff" * 9 + b"\x01\x01ab" + struct.pack("<2I", 0, 1), "longer one"),
        (b"\x00\x01" + struct.pack("<2I", 0, 1), "longer one"),
        (b"\x00" + b"\xff" * 12 + struct.pack("<2I", 0, 1), "64 bits"),
    ],
)
def test_hostile_blocks(content, message):
    refuse_table(table([content]), message)


# The first format.


def edited_first(name: str, described=None, saved=None) -> list[tuple[bytes, bytes]]:
    """The toy file, with what it says about one variable replaced: as bytes, or by a function of the old bytes."""
    theirs, _ = tensorflow_files.toy_variables()
    meta, entries = b"", []
    for key, value in first_entries(theirs):
        if key == b"":
            for variable, array in sorted(theirs.items()):
                part = first_entries({variable: array})[0][1]
                inner = strip(strip(part))
                meta += field(1, described if variable == name and described is not None else inner)
        else:
            inner = strip(value)
            entries.append((key, field(2, saved if key[1:].decode() == name and saved is not None else inner)))
    return [(b"", field(1, meta)), *entries]


def strip(message: bytes) -> bytes:
    """The value of the one field of a message."""
    at = 1
    while message[at] & 0x80:
        at += 1
    return message[at + 1 :]


BETA = "InceptionV1/Conv2d_1a_7x7/BatchNorm/beta"
WHOLE = field(1, b"")
TWO = field(5, np.ones(2, np.float32).tobytes())


def shape(*sizes) -> bytes:
    return field(2, tensorflow_files.shape_proto(sizes))


@pytest.mark.parametrize(
    "described, message",
    [
        (shape(2) + field(3, 1) + field(4, WHOLE), "one without the other"),  # no name
        (field(1, BETA) + shape(3) + field(3, 1) + field(4, WHOLE), r"expected \(3,\) numbers"),
        (field(1, BETA) + shape(1 << 39) + field(3, 1) + field(4, WHOLE), "numbers in InceptionV1"),
        (field(1, BETA) + shape(1 << 39, 1 << 39) + field(3, 1) + field(4, WHOLE * 2), "numbers in|in parts"),
        (field(1, BETA) + shape(-2) + field(3, 1) + field(4, WHOLE), "none negative"),
        (field(1, BETA) + shape(*[1] * 9) + field(3, 1) + field(4, WHOLE), "at most"),
        (field(1, BETA) + field(2, field(3, 1)) + field(3, 1) + field(4, WHOLE), "unknown rank"),
        (field(1, BETA) + shape(2) + field(3, 2) + field(4, WHOLE), "expected float32 numbers"),
        (field(1, BETA) + shape(2) + field(3, 1), "in parts"),
        (field(1, BETA) + shape(2) + field(3, 1) + field(4, field(1, field(2, 1))), "in parts"),
        (field(1, BETA) + shape(2) + field(3, 1) + field(4, field(1, field(1, 1))), "in parts"),
        (field(1, BETA) + shape(2) + field(3, 1) + field(4, WHOLE) * 2, "in parts"),
        (field(1, BETA) + shape(2) + field(3, 1) + field(4, WHOLE) * 20, "at most 8 fields"),
        (field(1, "global_step") + shape() + field(3, 9) + field(4, b""), "every variable once"),
        (field(1, b"\xff\xfe"), "UTF-8"),
        (field(1, 7), "expected a string"),
    ],
)
def test_hostile_descriptions(tmp_path, described, message):
    refuse_first(tmp_path, edited_first(BETA, described=described), message)


@pytest.mark.parametrize(
    "saved, message",
    [
        (b"", "one without the other"),
        (field(1, BETA) + field(2, WHOLE), "Received: 0 of them"),
        (field(1, BETA) + field(2, WHOLE) + field(3, field(5, bytes(4))), "Received: 1 of them"),
        (field(1, BETA) + field(2, WHOLE) + field(3, field(5, bytes(7))), "packed numbers"),
        (field(1, BETA) + field(2, WHOLE) + field(3, field(5, bytes(4096))), "Received: 1024 of them"),
        (field(1, BETA) + field(2, field(1, field(2, 1))) + field(3, TWO), "in parts"),
        (field(1, "global_step") + field(2, b"") + field(3, TWO), "in parts"),
        (field(1, "other") + field(2, WHOLE) + field(3, TWO), "one without the other"),
    ],
)
def test_hostile_numbers(tmp_path, saved, message):
    refuse_first(tmp_path, edited_first(BETA, saved=saved), message)


def test_the_edits_alone_are_harmless(tmp_path):
    described = field(1, BETA) + shape(2) + field(3, 1) + field(4, field(1, field(1, 0) + field(2, 2)))
    saved = field(1, BETA) + field(2, WHOLE) + field(3, TWO)
    data = table([block(edited_first(BETA, described=described, saved=saved))])
    tensors = tensorflow_checkpoint.read(write(tmp_path, ("toy.ckpt", data))).tensors
    np.testing.assert_array_equal(tensors["conv1_7x7_s2_bn/beta"], [1, 1])


def test_entries_of_another_kind(tmp_path):
    theirs, _ = tensorflow_files.toy_variables()
    refuse_first(tmp_path, first_entries(theirs)[1:], "one without the other")
    refuse_first(tmp_path, [(b"", b"")], "expected a description")
    refuse_first(tmp_path, [(b"", field(1, b"")), (b"a", b"")], "expected the numbers of a variable in each entry")
    refuse_first(tmp_path, second_entries(theirs)[0], "expected a message|in each entry")  # an index without its suffix


# The second format.


def edited_second(entry: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    entries, data = second_entries(tensorflow_files.toy_variables()[0])
    return [(key, entry if key == BETA.encode() else value) for key, value in entries], data


ONES = np.ones(2, np.float32).tobytes()
CRC = masked_crc32c(ONES)


@pytest.mark.parametrize(
    "entry, message",
    [
        (bundle_entry(1, (2,), 0, 8, CRC), "agree with their CRC-32C"),  # the numbers of another variable
        (bundle_entry(1, (2,), 1 << 40, 8, CRC), "Received: its end"),
        (bundle_entry(1, (2,), 0, 1 << 40, CRC), "Received: its end"),
        (bundle_entry(1, (2,), -8, 8, CRC), "Received: its end"),
        (bundle_entry(1, (2,), 8, -8, CRC), "Received: its end"),
        (bundle_entry(1, (-2,), 0, 8, CRC), "none negative"),
        (bundle_entry(1, (1,) * 9, 0, 8, CRC), "at most"),
        (bundle_entry(1, (2,), 0, 8, CRC, shard=1), "otherwise"),
        (bundle_entry(1, (2,), 0, 8, CRC, shard=-1), "otherwise"),
        (bundle_entry(1, (2,), 0, 8, CRC, extra=field(7, b"")), "otherwise"),  # in slices
        (bundle_entry(1, (2,), 0, 7, masked_crc32c(bytes(7))), "CRC-32C|of them"),
        (bundle_entry(14, (2,), 0, 8, CRC), "expected float32 numbers"),  # bfloat16
        (b"", "otherwise"),
        (field(1, 1) + field(6, 5), "otherwise"),
        (field(1, b"text"), "expected an integer"),
        (field(2, 5), "expected a message|otherwise"),
        (b"".join(field(n, 0) for n in range(20, 50)), "at most 16 fields"),
    ],
)
def test_hostile_entries(tmp_path, entry, message):
    refuse_second(tmp_path, *edited_second(entry), message)


@pytest.mark.parametrize(
    "header, message",
    [
        (field(1, 0), "in 1 to 64 files"),
        (field(1, -1), "in 1 to 64 files"),
        (field(1, 1 << 30), "in 1 to 64 files"),
        (field(1, 1) + field(2, 1), "little-endian"),
        (field(1, 2), "00000-of-00002 beside it"),
        (b"", None),  # one file, little-endian: the defaults of the format
    ],
)
def test_headers(tmp_path, header, message):
    entries, data = second_entries(tensorflow_files.toy_variables()[0])
    entries[0] = (b"", header)
    if message:
        refuse_second(tmp_path, entries, data, message)
    else:
        tensorflow_checkpoint.read(write(tmp_path, ("toy.ckpt.index", table([block(entries)])), (DATA, data)))


def test_index_without_header_or_data(tmp_path):
    entries, data = second_entries(tensorflow_files.toy_variables()[0])
    refuse_second(tmp_path, entries[1:], data, "otherwise")
    (tmp_path / DATA).unlink()
    refuse(write(tmp_path, ("toy.ckpt.index", table([block(entries)]))), f"{DATA} beside it")
    with pytest.raises(FileNotFoundError):
        tensorflow_checkpoint.read(tmp_path / "none.ckpt")


def test_two_data_files(tmp_path):
    theirs, ours = tensorflow_files.toy_variables()
    entries, data = second_entries(theirs)
    last, content = entries[-1][0], theirs[entries[-1][0].decode()].tobytes()
    moved = bundle_entry(9, (), 0, len(content), masked_crc32c(content), shard=1)
    entries = [(b"", field(1, 2)), *entries[1:-1], (last, moved)]
    files = [(f"toy.ckpt.data-0000{n}-of-00002", part) for n, part in enumerate((data, content))]
    write(tmp_path, ("toy.ckpt.index", table([block(entries)])), *files)
    equal(tensorflow_checkpoint.read(tmp_path / "toy.ckpt").tensors, ours)


def test_variables_that_share_their_numbers(tmp_path):
    """Each lies in the data file, and together they would be many times as large."""
    theirs, _ = tensorflow_files.toy_variables()
    content = bytes(1 << 12)
    entry = bundle_entry(1, (1 << 10,), 0, len(content), masked_crc32c(content))
    entries = [(b"", field(1, 1)), *((name.encode(), entry) for name in sorted(theirs))]
    refuse_second(tmp_path, entries, content, "variables that share them")


# The archive.

TOY = tensorflow_files.first_format


def test_other_members_do_not_matter(tmp_path):
    theirs, ours = tensorflow_files.toy_variables()
    members = [("./readme.txt", b"hello"), ("./model/inception_v1.ckpt", TOY(theirs)), ("empty", b"")]
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        data = tar_gz(members, format=form, mtime=1.5, uname="ü" * 40)
        equal(tensorflow_checkpoint.read(write(tmp_path, ("toy.tar.gz", data))).tensors, ours)


@pytest.mark.parametrize(
    "members, attributes, message",
    [
        ([("readme.txt", b"hello")], {}, "expected one .ckpt or .index"),
        ([("a.ckpt", b"x"), ("b.ckpt", b"x")], {}, "expected one .ckpt or .index in the archive; Received: 2"),
        ([("a.ckpt", b"x"), ("a.ckpt", b"x")], {}, "'a.ckpt' twice"),
        ([("a.ckpt", b"x"), ("./a.ckpt", b"x")], {}, "'a.ckpt' twice"),
        ([("../a.ckpt", b"x")], {}, "refused: '../a.ckpt'"),
        ([("x/../../a.ckpt", b"x")], {}, "refused"),
        ([("/etc/a.ckpt", b"x")], {}, "refused: '/etc/a.ckpt'"),
        ([("/etc/passwd", b"x")], {}, "refused: '/etc/passwd'"),
        ([("a.ckpt", b"")], {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "refused: 'a.ckpt' is a link"),
        ([("a.ckpt", b"")], {"type": tarfile.LNKTYPE, "linkname": "b"}, "refused: 'a.ckpt' is a link"),
        ([("a.ckpt", b"")], {"type": tarfile.CHRTYPE}, "refused: 'a.ckpt' is a link or a device"),
        ([("a.ckpt", b"")], {"type": tarfile.FIFOTYPE}, "refused: 'a.ckpt' is a link or a device"),
        ([("a.ckpt", b"x" * 100)], {}, "last 8 bytes"),
        ([("a.index", b"x" * 100)], {}, "last 8 bytes"),
    ],
)
def test_hostile_members(tmp_path, members, attributes, message):
    refuse(write(tmp_path, ("toy.tar.gz", tar_gz(members, **attributes))), message)


def test_hostile_headers(tmp_path):
    good = tar([("a.ckpt", TOY(tensorflow_files.toy_variables()[0]))])

    def header(start: int, text: bytes) -> bytes:
        """The archive with some bytes of the first header replaced, and its checksum mended."""
        data = good[:start] + text + good[start + len(text) :]
        checksum = sum(data[:148]) + sum(data[156:512]) + 8 * ord(" ")
        return data[:148] + b"%06o\0 " % checksum + data[156:]

    for data, message in [
        (header(124, b"77777777777\0"), "in the archive"),  # 8 GiB
        (header(124, b"00000000\xff\xff\xff\0"), "without a size"),
        (header(124, b"-0000000010\0"), "another checksum"),
        (header(124, b"\x80" + b"\xff" * 11), "without a size"),  # GNU's binary numbers begin at 8 GiB
        (good[:100] + b"X" + good[101:], "another checksum"),
        (good[:512], "in the archive"),
        (good[:300], "cut off"),
        (good.rstrip(b"\0"), "in the archive|cut off"),
        (b"", "cut off"),
        (b"x" * 512, "without a size"),
    ]:
        refuse(write(tmp_path, ("toy.tar.gz", gzip.compress(data))), message)


def test_bombs(tmp_path):
    for data in (tar([("a.ckpt", bytes(100 << 20))]), tar([("readme", bytes(100 << 20)), ("a.ckpt", b"")])):
        path = write(tmp_path, ("toy.tar.gz", gzip.compress(data)))
        hostile.check(tensorflow_checkpoint.read, path.read_bytes(), None, path)
        refuse(path, "refused: it unpacks to more")


def test_compressed_streams(tmp_path):
    good = tar_gz([("a.ckpt", TOY(tensorflow_files.toy_variables()[0]))])
    for data, message in [
        (good[:2], "cut off"),
        (good[:-9], "cut off"),
        (good[:-1], "cut off"),
        (good + good, "something after its end"),
        (good + b"\0", "something after its end"),
        (good[:-8] + bytes(8), "incorrect data check"),
    ]:
        refuse(write(tmp_path, ("toy.tar.gz", data)), message)


# Fuzz. In a table the sums stop most changes; some of the tests below make the sums vouch for what was changed.


def fuzz(strategy, build, folder, reference):
    """Reads 500 files, each made by `build` of an example: (content, path)."""

    @settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def run(example):
        data, path = build(example)
        hostile.check(tensorflow_checkpoint.read, data, reference, path)

    run()


@pytest.fixture
def toy(tmp_path):
    """Variables, and what a sound file of them reads as."""
    theirs, _ = tensorflow_files.toy_variables()
    return theirs, tensorflow_checkpoint.read(write(tmp_path, ("sound.ckpt", TOY(theirs))))


def test_fuzz_the_first_format(tmp_path, toy):
    theirs, reference = toy
    data = TOY(theirs)
    places = [len(data) - n for n in (8, 40, 48, 53)]
    fuzz(hostile.mutations(data, places), lambda data: (data, tmp_path / "hostile.ckpt"), tmp_path, reference)


def test_fuzz_the_blocks_of_the_first_format(tmp_path, toy):
    theirs, reference = toy
    entries = first_entries(theirs)
    content = block(entries)
    # Where each entry begins, and the fields of its messages.
    places = [place for key, value in entries for place in (content.index(value), content.index(value) - len(key) - 3)]
    places += [
        content.index(value) + at
        for _, value in entries
        for at in boundaries(value, {1: {1: {2: {2: {}}, 4: {}}}, 2: {3: {}}})
    ]
    places = [max(place, 0) for place in places if place < len(content)]
    fuzz(hostile.mutations(content, places), lambda c: (table([c]), tmp_path / "hostile.ckpt"), tmp_path, reference)


def test_fuzz_the_index(tmp_path, toy):
    theirs, reference = toy
    entries, data = second_entries(theirs)
    write(tmp_path, (DATA, data))
    index = table([block(entries)])
    fuzz(hostile.mutations(index), lambda data: (data, tmp_path / "toy.ckpt.index"), tmp_path, reference)


def test_fuzz_the_blocks_of_the_index(tmp_path, toy):
    theirs, reference = toy
    entries, data = second_entries(theirs)
    write(tmp_path, (DATA, data))
    content = block(entries)
    places = [content.index(value) + at for _, value in entries for at in boundaries(value, {2: {2: {}}})]
    fuzz(hostile.mutations(content, places), lambda c: (table([c]), tmp_path / "toy.ckpt.index"), tmp_path, reference)


def test_fuzz_the_data(tmp_path, toy):
    theirs, reference = toy
    entries, data = second_entries(theirs)
    write(tmp_path, ("toy.ckpt.index", table([block(entries)])))
    fuzz(hostile.mutations(data), lambda data: (data, tmp_path / DATA), tmp_path, reference)


def test_fuzz_the_index_of_blocks(tmp_path, toy):
    """Handles and the footer, with sums that agree."""
    theirs, reference = toy
    content = block(first_entries(theirs))
    number = st.integers(0, (1 << 64) - 1) | st.integers(0, 2 * len(content))

    def build(example):
        handles, footer = example
        data = table([content], handles=handles)
        return data[:-48] + (b"".join(map(varint, footer)) if footer else data[-48:-8])[:40].ljust(40, b"\0") + data[
            -8:
        ], (tmp_path / "hostile.ckpt")

    handles = st.lists(st.tuples(number, number), min_size=1, max_size=3)
    fuzz(st.tuples(handles, st.none() | st.lists(number, min_size=4, max_size=4)), build, tmp_path, reference)


def test_fuzz_the_archive(tmp_path, toy):
    theirs, reference = toy
    data = tar_gz([("a.ckpt", TOY(theirs))])
    fuzz(hostile.mutations(data), lambda data: (data, tmp_path / "hostile.tar.gz"), tmp_path, reference)


def test_fuzz_the_archive_within(tmp_path, toy):
    theirs, reference = toy
    entries, data = second_entries(theirs)
    inner = tar([("a.ckpt.index", table([block(entries)])), ("a.ckpt.data-00000-of-00001", data)])[:10240]
    places = [start + at for start in range(0, len(inner), 512) for at in (0, 100, 124, 136, 148, 156, 257, 345)]
    places = [place for place in places if place < len(inner)]
    fuzz(
        hostile.mutations(inner, places),
        lambda data: (gzip.compress(data, 1), tmp_path / "hostile.tar.gz"),
        tmp_path,
        reference,
    )


def test_sealed_blocks_are_what_tensorflow_writes():
    assert sealed(block([]))[:9] == b"\0\0\0\0\1\0\0\0\0"
