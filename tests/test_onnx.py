"""The ONNX reader on files of a few KB in the form of the ONNX zoo's GoogLeNet, made here by hand, and hostile ones."""

import hostile
import numpy as np
import pytest
from caffe_files import boundaries, caffe_arrays, field, peak, toy_tensors, unpacked, varint
from hypothesis import HealthCheck, given, settings

from keras_inception.convert import caffe, onnx
from keras_inception.convert.checkpoint import CheckpointError

# Of a ModelProto: graph, its nodes with their attributes, its initializers.
MESSAGES = {7: {1: {5: {}}, 5: {}}}
DATA_TYPES = {"float32": 1, "float16": 10, "float64": 11, "int8": 3, "int64": 7}
DENSE = ("/fc", "/classifier")


def tensor(name: str, array: np.ndarray, how: str = "raw") -> bytes:
    """A TensorProto; `how` is "raw", or "packed" or "unpacked" numbers in the field of their type."""
    array = np.asarray(array)
    head = b"".join(field(1, size) for size in array.shape) + field(2, DATA_TYPES[array.dtype.name])
    typed = 4 if array.itemsize == 4 else 10
    if how == "raw":
        return head + field(8, name) + field(9, array.tobytes())
    return head + (field(typed, array.tobytes()) if how == "packed" else unpacked(typed, array)) + field(8, name)


def node(kind: str, *inputs: str, **attributes) -> bytes:
    message = b"".join(field(1, name) for name in inputs) + field(2, "y") + field(3, "a node") + field(4, kind)
    for name, value in attributes.items():
        number = field(3, value) if isinstance(value, int) else varint(2 << 3 | 5) + np.float32(value).tobytes()
        message += field(5, field(1, name) + number + field(20, 2))
    return message


def model(nodes: list[bytes], tensors: list[bytes]) -> bytes:
    graph = [field(1, message) for message in nodes] + [field(2, "bvlc_googlenet")]
    graph += [field(5, message) for message in tensors] + [field(11, field(1, "data_0"))]
    return field(1, 3) + field(2, "onnx-caffe2") + field(7, b"".join(graph)) + field(8, field(2, 9))


def zoo(tensors, how="raw", dtype="<f4", kind="Gemm", trans=1, end="_0", change=None, more=(), more_nodes=()) -> bytes:
    """A model of the tensors as the zoo writes it; `change(name, array)` may give other tensors for a name."""
    nodes, messages = [node("Conv", "data_0", "conv1/7x7_s2_w_0", "conv1/7x7_s2_b_0", kernel_shape=7)], []
    for layer, (weights, bias) in caffe_arrays(tensors).items():
        if layer.endswith(DENSE):
            attributes = {"transB": trans, "alpha": 1.0, "beta": 1.0, "broadcast": 1} if kind == "Gemm" else {}
            nodes.append(node(kind, "OC2_DUMMY_0", f"{layer}_w{end}", f"{layer}_b{end}", **attributes))
            weights = weights if trans else np.ascontiguousarray(weights.T)
        for name, array in ((f"{layer}_w{end}", weights), (f"{layer}_b{end}", bias)):
            made = change(name, array) if change else None
            messages += [tensor(name, array.astype(dtype), how)] if made is None else made
    shape = tensor("OC2_DUMMY_1", np.array([1, 1024]))
    rate = tensor("dropout/ratio", np.float32(0.4))
    return model(nodes + list(more_nodes), [shape, *messages, rate, *more])


def write(tmp_path, data: bytes):
    path = tmp_path / "toy.onnx"
    path.write_bytes(data)
    return path


def refuse(tmp_path, data: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as error:
        onnx.read(write(tmp_path, data))
    assert "toy.onnx" in str(error.value)


def refuse_tensor(tmp_path, name: str, made: list[bytes], message: str) -> None:
    """The toy model with other tensors in the place of the one called `name`."""
    refuse(tmp_path, zoo(toy_tensors(False), change=lambda other, _: made if other == name else None), message)


@pytest.mark.parametrize("heads", [False, True])
@pytest.mark.parametrize(
    "how, dtype",
    [("raw", "<f4"), ("raw", "<f8"), ("raw", "<f2"), ("packed", "<f4"), ("packed", "<f8"), ("unpacked", "<f4")],
)
@pytest.mark.parametrize("end", ["_0", ""])
def test_every_form_of_file(tmp_path, heads, how, dtype, end):
    tensors = {name: array.astype(dtype).astype(np.float32) for name, array in toy_tensors(heads).items()}
    result = onnx.read(write(tmp_path, zoo(tensors, how, dtype, end=end)))
    assert set(result.tensors) == set(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(result.tensors[name], array, err_msg=name)
        assert result.tensors[name].dtype == np.float32
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


@pytest.mark.parametrize("kind, trans", [("Gemm", 1), ("Gemm", 0), ("MatMul", 0)])
@pytest.mark.parametrize("classes", [2, 3])  # the toy has two features: two classes make the weights square
def test_the_node_tells_the_orientation(tmp_path, kind, trans, classes):
    tensors = toy_tensors(False, classes)
    result = onnx.read(write(tmp_path, zoo(tensors, kind=kind, trans=trans)))
    np.testing.assert_array_equal(result.tensors["loss3_classifier/kernel"], tensors["loss3_classifier/kernel"])


def test_products_that_are_not_plain(tmp_path):
    tensors = toy_tensors(False)
    for attribute in ({"transA": 1}, {"alpha": 0.5}, {"beta": 0.0}):
        extra = node("Gemm", "x", "loss3/classifier_w_0", "loss3/classifier_b_0", transB=1, **attribute)
        refuse(tmp_path, zoo(tensors, more_nodes=[extra]), "plain product with the weights of loss3/classifier")
    refuse(tmp_path, zoo(tensors, kind="Conv"), "Gemm or MatMul with the weights of loss3/classifier")


@pytest.mark.parametrize("kind", ["QLinearConv", "DequantizeLinear", "QuantizeLinear", "ConvInteger", "QLinearMatMul"])
def test_quantized(tmp_path, kind):
    refuse(tmp_path, zoo(toy_tensors(False), more_nodes=[node(kind, "a", "b")]), f"quantized one, with a node {kind}")


def test_data_types(tmp_path):
    name = "inception_3a/1x1_w_0"
    values = np.ones((2, 1, 1, 1), np.int8)
    refuse_tensor(
        tmp_path, name, [tensor(name, values)], "1x1_w_0 of data type 1 .* Received: 3, perhaps of a quantized"
    )
    half = field(1, 2) + field(2, 10) + field(8, name) + field(5, b"\x01\x02")
    refuse_tensor(tmp_path, name, [half], "FLOAT16 without it")
    refuse_tensor(tmp_path, name, [field(1, 2) + field(8, name) + field(9, bytes(8))], "Received: 0, ")


@pytest.mark.parametrize("mark", [field(14, 1), field(13, field(1, "location") + field(2, "/etc/passwd"))])
def test_external_data(tmp_path, mark):
    name = "conv1/7x7_s2_b_0"
    refuse_tensor(tmp_path, name, [field(1, 2) + field(2, 1) + field(8, name) + mark], "external data")


def test_sparse(tmp_path):
    data = zoo(toy_tensors(False))
    graph = field(15, field(1, tensor("x", np.ones(3, np.float32))))
    refuse(tmp_path, field(7, graph), "sparse initializer")
    refuse(tmp_path, data + field(7, graph), "one graph; Received: more")


def test_missing_unknown_and_duplicate(tmp_path):
    tensors = toy_tensors(False)
    name = "inception_4c/3x3_w_0"
    refuse_tensor(tmp_path, name, [], "one of the two for inception_4c/3x3")
    refuse_tensor(tmp_path, name, [tensor(name, np.ones((2, 1, 3, 3), "f4"))] * 2, "inception_4c/3x3_w_0 twice")
    plain = [tensor("inception_4c/3x3_w", np.ones((2, 1, 3, 3), "f4"))]
    refuse(tmp_path, zoo(tensors, more=plain), "inception_4c/3x3_w twice")
    part = {key: array for key, array in tensors.items() if not key.startswith("inception_5b_pool_proj")}
    refuse(tmp_path, zoo(part), "no weights of inception_5b_pool_proj")
    scale = tensor("conv1/7x7_s2/bn_scale_0", np.ones(2, "f4"))
    refuse(tmp_path, zoo(tensors, more=[scale]), "Received: conv1/7x7_s2/bn_scale_0")
    refuse(tmp_path, zoo(tensors, more=[scale] * 50), "and more$")
    head = {key: array for key, array in toy_tensors().items() if not key.startswith("loss2")}
    refuse(tmp_path, zoo(head), "both auxiliary heads or none; Received: loss1 only")


@pytest.mark.parametrize(
    "dims, message",
    [
        ([-4, -1, 1], "-4 x -1 x 1 numbers"),
        ([0], "expected 0 numbers"),
        ([1 << 40] * 4, "numbers of conv1/7x7_s2_w_0; Received: 4"),
        ([(1 << 62) + 1, 4], "numbers of conv1/7x7_s2_w_0; Received: 4"),
        ([], "Received: 0"),
        ([1] * 5, "1 to 4 dimensions"),
        ([1] * 40, "at most 32"),
        ([3], "expected 3 numbers"),
    ],
)
def test_hostile_shapes(tmp_path, dims, message):
    name = "conv1/7x7_s2_w_0"
    head = b"".join(field(1, size) for size in dims)
    refuse_tensor(tmp_path, name, [head + field(2, 1) + field(8, name) + field(9, bytes(16))], message)


def test_ragged_numbers(tmp_path):
    name = "conv1/7x7_s2_w_0"
    head = field(1, 4) + field(2, 1) + field(8, name)
    refuse_tensor(tmp_path, name, [head + field(9, bytes(15))], "4 bytes each in conv1/7x7_s2_w_0; Received: 15")
    refuse_tensor(tmp_path, name, [head + field(4, bytes(15))], "4 bytes each")
    refuse_tensor(tmp_path, name, [head], "Received: 0")


def test_not_a_number(tmp_path):
    tensors = toy_tensors(False)
    tensors["inception_3a_1x1/kernel"][0, 0, 0, 1] = np.nan
    refuse(tmp_path, zoo(tensors), "finite.*inception_3a_1x1/kernel")


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "with a graph; Received: none"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:57\n", "wire type"),  # a pointer of Git LFS
        (b"<!DOCTYPE html>", "wire type"),
        (bytes(1000), "field number"),
        (field(1, 3) + varint(7 << 3 | 2) + varint(1 << 62) + b"abc", "expected 4611686018427387904 bytes"),
        (field(7, 1), "expected a message"),
        (field(7, b""), "no weights at all"),
        (field(7, field(5, 1)), "expected a message"),
        (field(7, field(1, 1)), "expected a message"),
        (field(7, field(5, field(8, 1))), "expected a string"),
    ],
)
def test_not_a_model(tmp_path, data, message):
    refuse(tmp_path, data, message)


REFERENCE = caffe.assemble(caffe_arrays(toy_tensors(False)))
NAME = field(8, "conv1/7x7_s2_w_0") + field(2, 1)


@pytest.mark.parametrize(
    "data",
    [
        field(7, b"") * 20_000,
        field(7, field(1, b"") * 20_000),
        field(7, field(1, field(5, b"") * 20_000)),
        field(7, field(1, field(1, b"") * 20_000)),
        field(7, field(5, b"") * 20_000),
        field(7, field(5, NAME + field(1, 1) * 20_000)),
        field(7, field(5, NAME + field(9, b"") * 20_000)),
        field(7, field(5, NAME + field(4, b"") * 20_000)),
        field(7, b"".join(field(1, field(4, "Gemm") + field(5, field(1, f"{n}"))) for n in range(20_000))),
        field(7, b"".join(field(5, field(8, f"{n}") + field(1, 2) + field(2, 1)) for n in range(20_000))),
    ],
    ids=["graphs", "nodes", "attributes", "inputs", "tensors", "dims", "raw", "runs", "names", "unknown"],
)
def test_amplification(tmp_path, data):
    assert peak(onnx.read, write(tmp_path, data)) < 3 * len(data) + (128 << 10)


ZOO = zoo(toy_tensors(False))


def test_cut_at_every_boundary(tmp_path):
    whole = len(ZOO) - len(field(8, field(2, 9)))
    for place in boundaries(ZOO, MESSAGES):
        if place < whole:
            refuse(tmp_path, ZOO[:place], ".")


def test_hostile_files(tmp_path):
    @settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
    @given(hostile.mutations(ZOO, boundaries(ZOO, MESSAGES)))
    def run(mutated):
        hostile.check(onnx.read, mutated, REFERENCE, tmp_path / "hostile.onnx")

    run()
