"""The Caffe reader on files of a few KB: every form that Caffe wrote, every rule of the conversion, hostile files."""

import itertools

import hostile
import numpy as np
import pytest
from caffe_files import (
    blob,
    boundaries,
    caffe_arrays,
    caffemodel,
    field,
    layer,
    peak,
    toy_tensors,
    varint,
)
from hypothesis import HealthCheck, given, settings

from keras_inception.convert import caffe, names
from keras_inception.convert.checkpoint import CheckpointError

ONE = np.ones(1, np.float32)


def write(tmp_path, data: bytes):
    path = tmp_path / "toy.caffemodel"
    path.write_bytes(data)
    return path


def refuse(tmp_path, data: bytes, message: str) -> str:
    with pytest.raises(CheckpointError, match=message) as error:
        caffe.read(write(tmp_path, data))
    assert "toy.caffemodel" in str(error.value)
    return str(error.value)


def equal(found: dict, wanted: dict):
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
        assert found[name].dtype == np.float32 and found[name].flags.c_contiguous and found[name].flags.writeable


@pytest.mark.parametrize("heads", [True, False])
@pytest.mark.parametrize("form", ["v1", "new"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_every_form_of_file(tmp_path, form, heads, packed, dtype):
    tensors = toy_tensors(heads)
    result = caffe.read(write(tmp_path, caffemodel(tensors, form, packed=packed, dtype=dtype)))
    equal(result.tensors, tensors)
    assert result.spec == {
        "architecture": "GoogLeNet",
        "variant": "paper",
        "classes": 3,
        "aux_heads": heads,
        "mean": [123.0, 117.0, 104.0],
        "scale": [1.0, 1.0, 1.0],
        "labels": None,
        "lrn": None,
    }


@pytest.mark.parametrize(
    "classes, labels, mean",
    [
        (1000, "imagenet", [123.0, 117.0, 104.0]),
        (205, "places205", [123.0, 117.0, 104.0]),
        (365, "places365", [123.0, 117.0, 104.0]),
        (1, None, [123.0, 117.0, 104.0]),
    ],
)
@pytest.mark.parametrize("form", ["v1", "new"])
def test_classes_tell_the_labels(tmp_path, form, classes, labels, mean):
    result = caffe.read(write(tmp_path, caffemodel(toy_tensors(classes=classes), form)))
    assert result.spec["classes"] == classes
    assert result.spec["labels"] == labels
    assert result.spec["mean"] == mean
    assert result.tensors["loss3_classifier/kernel"].shape == (2, classes)


def test_layouts_by_hand(tmp_path):
    """The conversion written out with indices: it does not lean on the encoder's inverse."""
    arrays = caffe_arrays(toy_tensors())
    random = np.random.default_rng(1)
    conv1 = random.normal(size=(2, 3, 7, 7)).astype(np.float32)
    fc = random.normal(size=(5, 2 * 3 * 3)).astype(np.float32)  # 2 channels of 3 x 3
    arrays["conv1/7x7_s2"] = (conv1, arrays["conv1/7x7_s2"][1])
    arrays["loss2/fc"] = (fc, np.arange(5, dtype=np.float32))
    data = b"".join(layer(name, [blob(array) for array in pair]) for name, pair in arrays.items())
    tensors = caffe.read(write(tmp_path, data)).tensors
    for out, channel, y, x in itertools.product((0, 1), range(3), (0, 4), (2, 6)):
        assert tensors["conv1_7x7_s2/kernel"][y, x, 2 - channel, out] == conv1[out, channel, y, x]
    assert tensors["loss2_fc/kernel"].shape == (18, 5)
    for out, channel, y, x in itertools.product(range(5), (0, 1), range(3), range(3)):
        assert tensors["loss2_fc/kernel"][(y * 3 + x) * 2 + channel, out] == fc[out, (channel * 3 + y) * 3 + x]


def test_gradients_and_foreign_fields_are_skipped(tmp_path):
    tensors = toy_tensors()
    arrays = caffe_arrays(tensors)
    extra = field(6, np.zeros(7, np.float32).tobytes()) + field(9, bytes(16)) + field(1000, b"later Caffe")
    data = b"".join(layer(name, [blob(array) + extra for array in pair]) for name, pair in arrays.items())
    data = (
        field(3, "data")
        + data
        + field(100, field(1, "prob") + field(2, "Softmax") + field(101, b"\x08\x01"))
        + field(5, 1)
    )
    equal(caffe.read(write(tmp_path, data)).tensors, tensors)


def test_order_in_the_file_does_not_matter(tmp_path):
    tensors = toy_tensors()
    layers = [layer(name, [blob(array) for array in pair]) for name, pair in caffe_arrays(tensors).items()]
    equal(caffe.read(write(tmp_path, b"".join(reversed(layers)))).tensors, tensors)


# What is refused.


def without(*prefixes) -> bytes:
    tensors = {name: array for name, array in toy_tensors().items() if not name.startswith(prefixes)}
    return caffemodel(tensors)


def replaced(name: str, *blobs: bytes) -> bytes:
    """A whole toy file whose layer `name` has these arrays."""
    arrays = caffe_arrays(toy_tensors())
    return b"".join(
        layer(other, list(blobs) if other == name else [blob(array) for array in pair])
        for other, pair in arrays.items()
    )


def test_missing_layers_are_listed(tmp_path):
    refuse(
        tmp_path, without("inception_4b_5x5/", "inception_5b_1x1"), "no weights of inception_4b_5x5, inception_5b_1x1"
    )
    refuse(tmp_path, without("loss1_fc/"), "no weights of loss1_fc")
    refuse(tmp_path, without("loss3"), "no weights of loss3_classifier")
    refuse(tmp_path, without("inception"), "inception_3a_1x1.* and more")


@pytest.mark.parametrize("absent, present", [("loss1", "loss2"), ("loss2", "loss1")])
def test_one_head_alone(tmp_path, absent, present):
    refuse(tmp_path, without(absent), f"both auxiliary heads or none; Received: {present} only")


def test_unknown_layers_are_listed(tmp_path):
    arrays = [blob(ONE), blob(ONE), blob(ONE)]
    data = caffemodel(toy_tensors()) + layer("conv1/7x7_s2/bn", arrays) + layer("fc8", arrays[:1]) + layer("", arrays)
    refuse(tmp_path, data, r"Received: weights of conv1/7x7_s2/bn, fc8, \(no name\)$")
    data += b"".join(layer("x" * 900 + str(n), arrays) for n in range(30))
    assert len(refuse(tmp_path, data, "and more$")) < 1000


def test_duplicate_layer(tmp_path):
    extra = layer("conv1/7x7_s2", [blob(ONE), blob(ONE)], "v1")
    refuse(tmp_path, caffemodel(toy_tensors()) + extra, "conv1/7x7_s2 twice")


@pytest.mark.parametrize("form", ["v1", "new"])
def test_not_a_number(tmp_path, form):
    for value in (np.nan, np.inf):
        tensors = toy_tensors()
        tensors["inception_3a_1x1/kernel"][0, 0, 0, 1] = value
        refuse(tmp_path, caffemodel(tensors, form), "finite.*inception_3a_1x1/kernel")
    tensors = {name: array.astype(np.float64) for name, array in toy_tensors().items()}
    tensors["loss3_classifier/bias"][1] = 1e300
    refuse(tmp_path, caffemodel(tensors, form, dtype="<f8"), "finite.*loss3_classifier/bias")


def test_number_of_arrays(tmp_path):
    one = blob(np.ones((2, 2, 1, 1), np.float32))
    refuse(tmp_path, replaced("conv2/3x3_reduce", one), "conv2/3x3_reduce; Received: 1 arrays")
    refuse(tmp_path, replaced("conv2/3x3_reduce", one, one, one), "Received: 3 arrays")
    refuse(tmp_path, replaced("conv2/3x3_reduce", *[one] * 1000), "at most 8 arrays")


BIG = 1 << 40
NOUGHT = np.zeros(0, np.float32)


@pytest.mark.parametrize(
    "shape, message",
    [
        (field(7, field(1, varint(-4) + varint(-1) + varint(1))), "-4 x -1 x 1 numbers of conv1/7x7_s2; Received: 4"),
        (field(7, field(1, varint(0))), "expected 0 numbers"),
        (field(7, field(1, varint(BIG) * 4)), f"{BIG} x {BIG} x {BIG} x {BIG} numbers"),  # 2**160, and 0 in 64 bits
        (field(7, field(1, varint((1 << 62) + 1) + varint(4))), "numbers of conv1/7x7_s2; Received: 4"),  # 4 in 64 bits
        (field(7, field(1, varint(5))), "expected 5 numbers of conv1/7x7_s2; Received: 4"),
        (field(7, field(1, varint(1) * 5)), "1 to 4 dimensions .* Received: 5"),
        (field(7, field(1, varint(1) * 33)), "at most 32 dimensions"),
        (field(7, varint(1 << 3) + varint(1)) * 40, "expected 1 numbers"),
        (field(7, field(1, varint(1) * 2000)), "at most 1024 bytes"),
        (field(7, b""), "Received: 0"),
        (b"", "0 x 0 x 0 x 0 numbers"),
        (field(1, 4), "4 x 0 x 0 x 0 numbers"),
        (field(1, -1) + field(2, -4) + field(3, 1) + field(4, 1), "-1 x -4 x 1 x 1"),
        (field(1, 4) + field(7, field(1, varint(4))), "one shape"),
        (field(7, 3), "expected a message"),
        (field(1, b"abcd"), "expected an integer"),
    ],
)
def test_hostile_shapes(tmp_path, shape, message):
    data = shape + field(5, np.ones(4, np.float32).tobytes())
    refuse(tmp_path, replaced("conv1/7x7_s2", data, blob(ONE)), message)


@pytest.mark.parametrize(
    "name, kernel, bias, message",
    [
        ("conv2/3x3", (2, 1, 3), (2,), r"conv2/3x3 that fit; Received: \(2, 1, 3\) and \(2,\)"),
        ("conv2/3x3", (2, 1, 3, 3), (3,), "fit"),
        ("conv2/3x3", (2, 1, 3, 3), (2, 1), "expected 1 dimensions in conv2/3x3"),
        ("loss3/classifier", (2, 1, 3, 2), (3,), "expected 2 dimensions in loss3/classifier"),
        ("loss3/classifier", (6,), (3,), "expected 2 dimensions in loss3/classifier"),
        ("loss3/classifier", (3, 2), (4,), "fit"),
        ("loss1/fc", (2, 10), (2,), "square map of 2 channels; Received: 10 inputs"),
        ("loss1/fc", (2, 1), (2,), "square map of 2 channels; Received: 1 inputs"),
    ],
)
def test_shapes_that_do_not_fit(tmp_path, name, kernel, bias, message):
    blobs = blob(np.ones(kernel, np.float32)), blob(np.ones(bias, np.float32))
    refuse(tmp_path, replaced(name, *blobs), message)


def test_single_and_double_together(tmp_path):
    both = blob(ONE) + field(8, np.ones(1).tobytes())
    refuse(tmp_path, replaced("loss1/conv", both, blob(ONE)), "data and double_data")


def test_ragged_numbers(tmp_path):
    ragged = field(7, field(1, varint(1))) + field(5, bytes(5))
    refuse(tmp_path, replaced("loss1/conv", ragged, blob(ONE)), "4 bytes each")


def test_v0(tmp_path):
    v0 = field(1, field(1, "conv1/7x7_s2") + field(2, "conv") + field(50, blob(ONE, "v1")))
    refuse(tmp_path, field(1, "net") + field(2, v0), "V0, upgrade")


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "no weights at all"),
        (b'name: "GoogleNet"\nlayer {\n  name: "data"\n', "wire type"),  # a prototxt
        (b'layer {\n  name: "data"\n', "wire type"),
        (b"<!DOCTYPE html><html>404</html>", "wire type"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "."),
        (b"PK\x03\x04" + bytes(100), "."),
        (bytes(1000), "field number"),
        (field(1, "GoogleNet") + varint(100 << 3 | 2) + varint(1 << 62) + b"abc", "expected 4611686018427387904 bytes"),
        (field(100, 7), "expected a message"),
        (field(100, field(1, b"\xff") + field(7, blob(ONE))), "UTF-8"),
        (field(100, field(1, 5)), "expected a string"),
        (field(100, field(7, 5)), "expected a message"),
        (field(3, blob(ONE)), "expected a string|no weights"),  # a .solverstate
    ],
)
def test_not_a_model(tmp_path, data, message):
    refuse(tmp_path, data, message)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        caffe.read(tmp_path / "absent.caffemodel")


@pytest.mark.parametrize(
    "data",
    [
        field(100, b"") * 20_000,
        field(2, field(6, b"")) * 20_000,
        field(100, field(1, "conv1/7x7_s2") + field(7, b"") * 20_000),
        field(100, field(1, "conv1/7x7_s2") + field(7, field(7, b"") * 20_000)),
        field(100, field(1, "conv1/7x7_s2") + field(7, field(7, field(1, b"\x01" * 900) * 20))),
        field(100, field(1, "conv1/7x7_s2") + field(7, field(5, b"") * 20_000)),
        field(100, field(1, "conv1/7x7_s2") + field(7, b"\x2d\x00\x00\x80\x3f" * 20_000)),
        b"".join(field(100, field(1, f"{n}") + field(7, b"")) for n in range(20_000)),
    ],
    ids=["layers", "blobs", "blobs of one", "shapes", "dimensions", "runs", "unpacked", "names"],
)
def test_amplification(tmp_path, data):
    """Tiny messages by the thousand cost no more than the file: a protobuf library would build an object of each."""
    assert peak(caffe.read, write(tmp_path, data)) < 3 * len(data) + (128 << 10)


FILES = {form: caffemodel(toy_tensors(), form) for form in ("v1", "new")}
REFERENCE = caffe.assemble(caffe_arrays(toy_tensors()))


@pytest.mark.parametrize("form", ["v1", "new"])
def test_cut_at_every_boundary(tmp_path, form):
    """Between two layers the rest of the file is a sound message, so only the missing layers tell."""
    data = FILES[form]
    complete = len(data) - len(layer("loss3/classifier/relu", [], form, "ReLU"))
    for place in boundaries(data):
        path = write(tmp_path, data[:place])
        if place >= complete:
            continue
        with pytest.raises(CheckpointError, match="toy.caffemodel"):
            caffe.read(path)


@pytest.mark.parametrize("form", ["v1", "new"])
def test_hostile_files(tmp_path, form):
    data = FILES[form]

    @settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
    @given(hostile.mutations(data, boundaries(data)))
    def run(mutated):
        hostile.check(caffe.read, mutated, REFERENCE, tmp_path / "hostile.caffemodel")

    run()


def test_the_encoder_knows_every_layer():
    assert set(caffe_arrays(toy_tensors())) == {row.caffe for row in names.TABLE}
