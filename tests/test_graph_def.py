"""The reader of inception5h on toy graphs: TensorFlow's own, every rule, hostile graphs and archives."""

import io
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings

import keras_inception
from keras_inception.convert import graph_def, names
from keras_inception.convert.archives import MAX_MEMBERS, zip_members
from keras_inception.convert.checkpoint import CheckpointError
from tests import hostile
from tests.caffe_files import boundaries, field, toy_tensors, varint

TABLE = names.TABLE
LRN = [
    {"depth_radius": 5, "bias": 2.0, "alpha": 1e-4, "beta": 0.5},
    {"depth_radius": 3, "bias": 1.0, "alpha": 2e-5, "beta": 0.75},
]


@pytest.fixture(autouse=True)
def few_layers(monkeypatch):
    """A network of nine layers, so that a graph has a few KB. The first tests have them all."""
    few = ("conv1_7x7_s2", "inception_4a_3x3", "loss3_classifier")
    few += tuple(f"loss{head}_{part}" for head in (1, 2) for part in ("conv", "fc", "classifier"))
    monkeypatch.setattr(names, "TABLE", tuple(row for row in TABLE if row.layer in few))


def constants(tensors: dict) -> dict[str, np.ndarray]:
    """The arrays by the names of their nodes."""
    return {
        f"{row.inception5h}_{end}": tensors[f"{row.layer}/{variable}"]
        for row in names.TABLE
        for end, variable in (("w", "kernel"), ("b", "bias"))
        if f"{row.layer}/{variable}" in tensors
    }


def tensor(array, values=None, shape=None, dtype=1) -> bytes:
    """A TensorProto; `values` and `shape` replace what the array has."""
    array = np.asarray(array, np.float32)
    sizes = b"".join(field(2, field(1, size)) for size in (array.shape if shape is None else shape))
    return field(1, dtype) + field(2, sizes) + (field(4, array.tobytes()) if values is None else values)


def attribute(name: str, value: bytes) -> bytes:
    return field(5, field(1, name) + field(2, value))


def number(value) -> bytes:
    return field(3, value) if isinstance(value, int) else varint(4 << 3 | 5) + struct.pack("<f", value)


def node(name: str, op: str, *attributes: bytes) -> bytes:
    return field(1, field(1, name) + field(2, op) + field(3, "input") + b"".join(attributes))


def constant(name: str, value: bytes) -> bytes:
    return node(name, "Const", attribute("dtype", field(6, 1)), attribute("value", field(8, value)))


def lrn(place: int, constants: dict) -> bytes:
    return node(
        f"localresponsenorm{place}", "LRN", *(attribute(key, number(value)) for key, value in constants.items())
    )


def graph(tensors=None, normalization=None, **edits) -> bytes:
    """A toy graph; `edits` replaces nodes by name, None removes them, others are added."""
    parts = {"input": node("input", "Placeholder")}
    parts.update({name: constant(name, tensor(array)) for name, array in constants(tensors or toy_tensors()).items()})
    parts.update({f"localresponsenorm{n}": lrn(n, found) for n, found in enumerate(normalization or LRN)})
    parts.update(edits)
    return b"".join(part for part in parts.values() if part is not None)


def write(tmp_path, data: bytes, name: str = "toy.pb"):
    (tmp_path / name).write_bytes(data)
    return tmp_path / name


def refuse(tmp_path, data: bytes, message: str, name: str = "toy.pb") -> None:
    with pytest.raises(CheckpointError, match=message) as error:
        graph_def.read(write(tmp_path, data, name))
    assert name in str(error.value)
    assert len(str(error.value)) < 2000


def equal(found: dict, wanted: dict) -> None:
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
        assert found[name].dtype == np.float32 and found[name].flags.c_contiguous and found[name].flags.writeable


def zipped(*members: tuple[str, bytes], method=zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


@pytest.mark.parametrize("heads", [True, False])
@pytest.mark.parametrize("form", ["pb", "zip"])
def test_what_tensorflow_writes(tmp_path, monkeypatch, heads, form):
    monkeypatch.setattr(names, "TABLE", TABLE)
    tensors = toy_tensors(heads)
    with tf.Graph().as_default() as made:
        x = tf.compat.v1.placeholder(tf.float32, (None, 8, 8, 4), name="input")
        for place, found in enumerate(LRN):
            x = tf.nn.local_response_normalization(x, **found, name=f"localresponsenorm{place}")
        for name, array in constants(tensors).items():
            tf.constant(array, name=name)
        tf.reshape(x, tf.constant([-1, 256], name="avgpool0/reshape/shape"), name="avgpool0/reshape")
    data = made.as_graph_def().SerializeToString()
    if form == "zip":  # as published: with labels and a licence
        data = zipped(
            ("imagenet_comp_graph_label_strings.txt", b"dummy\n"),
            ("tensorflow_inception_graph.pb", data),
            ("LICENSE", b""),
        )
    result = graph_def.read(write(tmp_path, data, f"toy.{form}"))
    equal(result.tensors, tensors)
    assert result.spec == {
        "architecture": "GoogLeNet",
        "variant": "inception5h",
        "classes": 3,
        "aux_heads": heads,
        "mean": [117.0, 117.0, 117.0],
        "scale": [1.0, 1.0, 1.0],
        "labels": None,
        "lrn": LRN,
    }


def test_labels_of_1008_classes(tmp_path):
    assert graph_def.read(write(tmp_path, graph(toy_tensors(classes=1008)))).spec["labels"] == "inception5h"


def test_our_writer_writes_what_tensorflow_reads():
    found = tf.compat.v1.GraphDef.FromString(graph())
    arrays = {n.name: tf.make_ndarray(n.attr["value"].tensor) for n in found.node if n.op == "Const"}
    for name, array in constants(toy_tensors()).items():
        np.testing.assert_array_equal(arrays[name], array)
    assert next(n for n in found.node if n.name == "localresponsenorm1").attr["depth_radius"].i == 3


@pytest.mark.parametrize("packed", [True, False])
def test_numbers_one_by_one(tmp_path, packed):
    values = np.array([1.5, -2.5], np.float32)
    packed_values = field(5, values.tobytes())
    single = b"".join(varint(5 << 3 | 5) + value.tobytes() for value in values)
    data = graph(conv2d0_b=constant("conv2d0_b", tensor(values, packed_values if packed else single)))
    np.testing.assert_array_equal(graph_def.read(write(tmp_path, data)).tensors["conv1_7x7_s2/bias"], values)


def test_one_number_for_all(tmp_path):
    """TensorFlow writes an array of equal numbers as one of them."""
    data = graph(conv2d0_b=constant("conv2d0_b", tensor(np.zeros(2), field(5, struct.pack("<f", 0.25)))))
    equal({"b": graph_def.read(write(tmp_path, data)).tensors["conv1_7x7_s2/bias"]}, {"b": np.full(2, 0.25, "f")})


@pytest.mark.parametrize("absent", ["depth_radius", "bias", "alpha", "beta"])
def test_normalization_takes_tensorflows_defaults(tmp_path, absent):
    given_ = {key: value for key, value in LRN[0].items() if key != absent}
    default = {"depth_radius": 5, "bias": 1.0, "alpha": 1.0, "beta": 0.5}[absent]
    found = graph_def.read(write(tmp_path, graph(normalization=[given_, LRN[1]]))).spec["lrn"]
    assert found == [{**given_, absent: default}, LRN[1]]
    # The defaults are those of the operation itself.
    with tf.Graph().as_default() as made:
        tf.raw_ops.LRN(input=tf.zeros((1, 1, 1, 1)), name="n")
        assert made.get_operation_by_name("n").get_attr(absent) == default


@pytest.mark.parametrize(
    "edits, message",
    [
        ({"localresponsenorm0": None}, "an operation LRN named localresponsenorm0"),
        ({"localresponsenorm1": node("localresponsenorm1", "Identity")}, "named localresponsenorm1"),
        ({"localresponsenorm0": lrn(0, {**LRN[0], "alpha": float("nan")})}, "finite constants"),
        ({"localresponsenorm0": lrn(0, {**LRN[0], "beta": float("inf")})}, "finite constants"),
        ({"localresponsenorm0": lrn(0, {**LRN[0], "depth_radius": -1})}, "finite constants"),
        ({"localresponsenorm0": lrn(0, {**LRN[0], "depth_radius": 1 << 40})}, "finite constants"),
        ({"again": lrn(0, LRN[0])}, "'localresponsenorm0' twice"),
        ({"conv2d0_w": None}, "missing: conv2d0_w"),
        ({"conv2d0_b": None}, "missing: conv2d0_b"),
        ({"conv2d0_w": None, "conv2d0_b": None}, "missing: conv1_7x7_s2"),
        ({"nn0_w": None}, "missing: nn0_w"),
        ({"nn0_w": None, "nn0_b": None}, "missing: loss1_fc"),
        (
            {f"{n}_{e}": None for n in ("head1_bottleneck", "nn1", "softmax1") for e in "wb"},
            "missing: head1_bottleneck_w",
        ),
        ({"extra": constant("mixed6a_1x1_w", tensor(np.ones(1)))}, "Received: 'mixed6a_1x1_w'"),
        ({"extra": constant("conv2d0_w", tensor(np.ones(1)))}, "'conv2d0_w' twice"),
        ({"conv2d0_w": node("conv2d0_w", "VariableV2")}, "missing: conv2d0_w"),  # a graph that is not frozen
        ({"conv2d0_b": node("conv2d0_b", "Const")}, "expected a value in the constant 'conv2d0_b'"),
        ({"conv2d0_b": node("conv2d0_b", "Const", attribute("value", field(3, 7)))}, "expected a value"),
        ({"conv2d0_b": constant("conv2d0_b", tensor(np.ones(2), dtype=2))}, "expected float32 numbers in conv2d0_b"),
        ({"conv2d0_b": constant("conv2d0_b", tensor(np.ones(3)))}, r"expected shape \(2,\)"),
        ({"conv2d0_b": constant("conv2d0_b", tensor(np.ones((2, 1))))}, r"expected shape \(2,\)"),
        ({"conv2d0_w": constant("conv2d0_w", tensor(np.ones((3, 2))))}, "expected 4 dimensions"),
        ({"softmax2_w": constant("softmax2_w", tensor(np.ones((1, 1, 2, 3))))}, "expected 2 dimensions"),
        ({"conv2d0_b": constant("conv2d0_b", tensor([1, np.nan]))}, "NaN or infinity in conv1_7x7_s2/bias"),
        ({"conv2d0_b": constant("conv2d0_b", tensor([1, -np.inf]))}, "NaN or infinity in conv1_7x7_s2/bias"),
        ({"conv2d0_b": constant("conv2d0_b", tensor(np.ones(2), shape=(3,)))}, "Received: 2 of them"),
        ({"conv2d0_b": constant("conv2d0_b", tensor(np.ones(2), shape=(-2,)))}, "none negative"),
        ({"conv2d0_b": constant("conv2d0_b", tensor(np.ones(2), shape=(1 << 39, 1 << 39)))}, "Received: 2 of them"),
        ({"conv2d0_b": constant("conv2d0_b", tensor(np.ones(1), shape=(1 << 39, 1 << 39)))}, "Received: 1 of them"),
        ({"conv2d0_b": constant("conv2d0_b", tensor(np.ones(2), shape=(1,) * 9))}, "at most"),
        ({"conv2d0_b": constant("conv2d0_b", tensor(np.ones(2), field(4, bytes(7))))}, "Received: 7 bytes"),
        ({"conv2d0_b": constant("conv2d0_b", tensor(np.ones(2), b""))}, "Received: 0 of them"),
        ({"conv2d0_b": constant("conv2d0_b", field(1, 1) + field(2, field(3, 1)))}, "unknown rank"),
        ({"conv2d0_b": field(1, field(1, "conv2d0_b") + attribute("value", b"") * 2)}, "'value' twice"),
        ({"extra": field(1, field(1, b"\xff"))}, "UTF-8"),
        ({"extra": field(1, field(1, "n" * 2000))}, "at most 1024 bytes"),
        ({"extra": field(1, 5)}, "expected a message"),
        ({"extra": b"\x0b"}, "wire type"),
        ({"extra": b"".join(node(f"n{n}", "NoOp") for n in range(graph_def.MAX_NODES))}, "fields in a message"),
    ],
)
def test_what_is_refused(tmp_path, edits, message):
    refuse(tmp_path, graph(**edits), message)


def test_a_file_of_attributes(tmp_path):
    """Fifty thousand attributes that nobody asks for, in a graph that is otherwise sound."""
    many = field(1, field(1, "many") + attribute("a", b"") + b"".join(attribute(f"{n}", b"") for n in range(900)))
    data = graph() + b"".join(many.replace(b"many", b"m%03d" % n) for n in range(60))
    path = write(tmp_path, data)
    hostile.check(graph_def.read, data, graph_def.read(path), path)


def test_empty_file(tmp_path):
    refuse(tmp_path, b"", "missing: conv1_7x7_s2")


@pytest.mark.parametrize(
    "members, message",
    [
        ([("readme.txt", b"hello")], "expected one graph"),
        ([("a.pb", b""), ("b.pb", b"")], "expected one graph"),
        ([("a.pb", b""), ("a.pb", b"")], "'a.pb' twice"),
        ([("a.pb", b""), ("./a.pb", b"")], "'a.pb' twice"),
        ([("../a.pb", b"")], "refused: '../a.pb'"),
        ([("/a.pb", b"")], "refused: '/a.pb'"),
        ([("a/../../b.pb", b"")], "refused"),
        ([("..\\a.pb", b"")], "refused"),
        ([("C:/a.pb", b"")], "refused"),
        ([("a.pb", bytes(100 << 20))], "refused: it unpacks to more"),
        ([("a.pb", b""), ("../../etc/cron.d/x", b"")], "refused"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_archives(tmp_path, members, message):
    data = zipped(*members)
    refuse(tmp_path, data, message, "toy.zip")
    hostile.check(graph_def.read, data, None, tmp_path / "toy.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions(tmp_path, method):
    refuse(tmp_path, zipped(("a.pb", bytes(100)), method=method), "compressed by method", "toy.zip")


GOOD = zipped(("a.txt", b"hello"), ("b.pb", bytes(range(256)) * 8))
END = GOOD.index(b"PK\5\6")
DIRECTORY = GOOD.index(b"PK\1\2")
SECOND = GOOD.index(b"PK\1\2", DIRECTORY + 1)


def patched(place: int, form: str, value: int) -> bytes:
    data = bytearray(GOOD)
    struct.pack_into(form, data, place, value)
    return bytes(data)


@pytest.mark.parametrize(
    "data, message",
    [
        (GOOD[:END], "no end of its directory"),
        (GOOD[: END + 21], "no end of its directory"),
        (GOOD + b"\0", "contradicts the file"),
        (patched(END + 4, "<H", 1), "contradicts the file"),  # another disk
        (patched(END + 8, "<H", 1), "contradicts the file"),
        (patched(END + 12, "<L", 1 << 31), "contradicts the file"),
        (patched(END + 16, "<L", 0xFFFFFFFF), "contradicts the file"),
        (patched(END + 16, "<L", 0), "entry of the zip directory"),
        (patched(END + 12, "<L", 60), "fewer|other bytes"),
        (patched(SECOND + 8, "<H", 1), "'b.pb' is encrypted"),
        (patched(SECOND + 10, "<H", 99), "compressed by method 99"),
        (patched(SECOND + 10, "<H", 0), "that the CRC-32 vouches for"),  # deflated, called stored
        (patched(SECOND + 16, "<L", 7), "that the CRC-32 vouches for"),
        (patched(SECOND + 20, "<L", 1 << 31), "in the file"),
        (patched(SECOND + 20, "<L", 3), "cut off"),
        (patched(SECOND + 24, "<L", 3), "refused: it unpacks to more"),
        (patched(SECOND + 24, "<L", 1 << 31), "that the CRC-32 vouches for"),
        (patched(SECOND + 28, "<H", 1000), "other bytes"),
        (patched(SECOND + 28, "<H", 0xFFFF), "names of at most"),
        (patched(SECOND + 42, "<L", 1), "expected the header of 'b.pb'"),
        (patched(SECOND + 42, "<L", 0xFFFFFFFF), "expected the header of 'b.pb'"),
        (
            patched(SECOND + 42, "<L", 0),
            "CRC-32|share bytes|deflated stream|something after",
        ),  # the other member's bytes
        (GOOD.replace(b"PK\1\2", b"PK\1\3"), "entry of the zip directory"),
    ],
)
def test_damaged_archives(data, message):
    with pytest.raises(CheckpointError, match=message):
        zip_members(memoryview(data))


def test_members_that_share_bytes():
    """Many names for one stored content: a bomb that needs no compression."""
    data = bytearray(zipped(("a", b"same"), ("b", b"same"), method=zipfile.ZIP_STORED))
    struct.pack_into("<L", data, data.index(b"PK\1\2", data.index(b"PK\1\2") + 1) + 42, 0)
    with pytest.raises(CheckpointError, match="share bytes"):
        zip_members(memoryview(data))


def test_many_members():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(MAX_MEMBERS + 1):
            archive.writestr(f"{number}", b"")
    with pytest.raises(CheckpointError, match="members in the archive"):
        zip_members(memoryview(out.getvalue()))


def fuzz(strategy, path, reference):
    @settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def run(data):
        hostile.check(graph_def.read, data, reference, path)

    run()


# Which fields are messages: GraphDef.node, .attr and its value, .tensor and its shape.
MESSAGES = {1: {5: {2: {8: {2: {2: {}}}}}}}


def test_fuzz_the_graph(tmp_path):
    data = graph()
    fuzz(
        hostile.mutations(data, boundaries(data, MESSAGES)),
        tmp_path / "hostile.pb",
        graph_def.read(write(tmp_path, data)),
    )


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_fuzz_the_archive(tmp_path, method):
    data = zipped(("labels.txt", b"dummy\n"), ("tensorflow_inception_graph.pb", graph()), method=method)
    places = [data.index(sign) + at for sign in (b"PK\1\2", b"PK\5\6", b"PK\3\4") for at in range(0, 22, 2)]
    reference = graph_def.read(write(tmp_path, data, "toy.zip"))
    fuzz(hostile.mutations(data, places), tmp_path / "hostile.zip", reference)


def test_tensorflow_is_not_needed():
    """Neither reader imports it: the weights are for every backend."""
    program = "import sys; sys.modules['tensorflow'] = None; sys.modules['keras'] = None\n"
    program += "import types; package = types.ModuleType('keras_inception'); package.__path__ = [sys.argv[1]]\n"
    program += "sys.modules['keras_inception'] = package\n"
    program += "from keras_inception.convert import graph_def, tensorflow_checkpoint, torchvision\n"
    program += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program, *keras_inception.__path__], check=False).returncode == 0
