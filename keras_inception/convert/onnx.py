"""Reads GoogLeNet from an ONNX file of the ONNX model zoo: BVLC's weights, by way of Caffe2, without auxiliary heads.

Only the weights and the way they are multiplied are read; the graph is taken to be GoogLeNet by the names of its
weights, `inception_3a/5x5_reduce_w_0` and `inception_3a/5x5_reduce_b_0`, which are Caffe's with a suffix.
"""

from typing import NamedTuple

import numpy as np

from keras_inception.convert import caffe, names, protobuf
from keras_inception.convert.checkpoint import Checkpoint, CheckpointError

# Field numbers of onnx.proto.
_GRAPH = 7
_NODE, _INITIALIZER, _SPARSE_INITIALIZER = 1, 5, 15
_NODE_INPUT, _NODE_TYPE, _NODE_ATTRIBUTE = 1, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_FLOAT, _ATTRIBUTE_INTEGER = 1, 2, 3
_DIMS, _DATA_TYPE, _NAME, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 1, 2, 8, 9, 13, 14

# Of the data types of ONNX those that we take, and the field that has such numbers if raw_data has not.
_DTYPES = {1: "<f4", 10: "<f2", 11: "<f8"}
_TYPED_DATA = {1: 4, 11: 10}
_QUANTIZED = ("QLinear", "QuantizeLinear", "DequantizeLinear", "DynamicQuantize", "ConvInteger", "MatMulInteger")

# Caffe2's suffixes, and the same without the number.
_WEIGHTS = {f"{row.caffe}_w{end}": row.caffe for row in names.TABLE for end in ("_0", "")}
_BIASES = {f"{row.caffe}_b{end}": row.caffe for row in names.TABLE for end in ("_0", "")}


class _Tensor(NamedTuple):
    """The head of a TensorProto, and the message."""

    name: str
    dims: list[int]
    data_type: int
    message: memoryview


def read(path) -> Checkpoint:
    """Reads a `.onnx` file whose weights have the zoo's names.

    A fully connected layer is (out, in) or (in, out) as the node that multiplies by it says (Gemm with `transB` 1 or 0,
    MatMul); the shape alone could not tell where a classifier has as many classes as features.

    Args:
        path: the file.

    Returns:
        The weights of the trunk and the classifier; of auxiliary heads too if they are there (the zoo has none).

    Raises:
        CheckpointError: the file is damaged, keeps its weights in other files, is quantized, or is not a GoogLeNet.
    """
    with protobuf.opened(path, "an ONNX model") as file:
        weights, biases, unknown, out_first = {}, {}, [], {}
        for number, wire, value in protobuf.fields(_graph(file)):
            if number == _NODE:
                out_first.update(_product(protobuf.submessage(wire, value)))
            elif number == _INITIALIZER:
                tensor = _tensor(protobuf.submessage(wire, value))
                for suffixed, arrays in ((_WEIGHTS, weights), (_BIASES, biases)):
                    if layer := suffixed.get(tensor.name):
                        if layer in arrays:
                            raise CheckpointError(f"expected each array once; Received: {tensor.name} twice")
                        arrays[layer] = _array(tensor)
                        break
                else:
                    # A float of one number is a constant, such as the rate of a dropout; integers are shapes.
                    if tensor.data_type in _DTYPES and max(tensor.dims, default=1) > 1:
                        unknown.append(tensor.name)
                        if len(unknown) > caffe.MAX_LISTED:
                            break
            elif number == _SPARSE_INITIALIZER:
                raise CheckpointError("expected dense weights; Received: a sparse initializer")
        if unknown:
            raise CheckpointError(f"expected the weights of GoogLeNet only; Received: {caffe.listed(unknown)}")
        if alone := sorted(weights.keys() ^ biases.keys()):
            raise CheckpointError(f"expected weights and biases; Received: one of the two for {caffe.listed(alone)}")
        for layer in weights:
            if layer.endswith(("/fc", "/classifier")):
                if layer not in out_first:
                    raise CheckpointError(f"expected a Gemm or MatMul with the weights of {layer}; Received: none")
                if not out_first[layer]:
                    weights[layer] = weights[layer].T
        return caffe.assemble({layer: (weights[layer], biases[layer]) for layer in weights})


def _graph(file: memoryview) -> memoryview:
    graph = None
    for number, wire, value in protobuf.fields(file):
        if number == _GRAPH:
            if graph is not None:
                raise CheckpointError("expected a model with one graph; Received: more")
            graph = protobuf.submessage(wire, value)
    if graph is None:
        raise CheckpointError("expected a model with a graph; Received: none")
    return graph


def _product(node: memoryview) -> dict[str, bool]:
    """{layer: whether its weights are (out, in)} if the node is a matrix product with weights of ours, else nothing."""
    kind, inputs, attributes = "", 0, {}
    weights = None
    for number, wire, value in protobuf.fields(node):
        if number == _NODE_TYPE:
            kind = protobuf.text(wire, value)
        elif number == _NODE_INPUT:
            inputs += 1
            if inputs == 2:
                weights = _WEIGHTS.get(protobuf.text(wire, value))
        elif number == _NODE_ATTRIBUTE and len(attributes) < 16:
            attributes.update(_attribute(protobuf.submessage(wire, value)))
    if kind.startswith(_QUANTIZED):
        raise CheckpointError(f"expected a model of floats; Received: a quantized one, with a node {kind[:40]}")
    if weights is None or kind not in ("Gemm", "MatMul"):
        return {}
    if attributes.get("transA", 0) or attributes.get("alpha", 1) != 1 or attributes.get("beta", 1) != 1:
        raise CheckpointError(
            f"expected a plain product with the weights of {weights}; Received: transA, alpha or beta"
        )
    return {weights: bool(attributes.get("transB", 0))}


def _attribute(message: memoryview) -> dict[str, float]:
    """{name: value} of a node's attribute that is a number."""
    name, number = "", {}
    for field, wire, value in protobuf.fields(message):
        if field == _ATTRIBUTE_NAME:
            name = protobuf.text(wire, value)
        elif field == _ATTRIBUTE_INTEGER:
            number = protobuf.integer(wire, value)
        elif field == _ATTRIBUTE_FLOAT and wire == protobuf.FIXED32:
            number = float(np.frombuffer(value, "<f4")[0])
    return {name: number}


def _tensor(message: memoryview) -> _Tensor:
    name, dims, data_type = "", [], 0
    for number, wire, value in protobuf.fields(message, limit=len(message)):
        if number == _NAME:
            name = protobuf.text(wire, value)
        elif number == _DIMS:
            dims += protobuf.integers(wire, value)
            if len(dims) > 32:
                raise CheckpointError("expected at most 32 dimensions of an array; Received: more")
        elif number == _DATA_TYPE:
            data_type = protobuf.integer(wire, value)
        elif number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value == 1):
            raise CheckpointError("expected the weights in the file; Received: a model with external data")
    return _Tensor(name, dims, data_type, message)


def _array(tensor: _Tensor) -> np.ndarray:
    """The numbers of a tensor in its shape: a view of the file where they are raw or packed."""
    if tensor.data_type not in _DTYPES:
        raise CheckpointError(
            f"expected {tensor.name} of data type 1 (FLOAT), 10 (FLOAT16) or 11 (DOUBLE); "
            f"Received: {tensor.data_type}, perhaps of a quantized model"
        )
    dtype = np.dtype(_DTYPES[tensor.data_type])
    raw = None
    for number, wire, value in protobuf.fields(tensor.message, limit=len(tensor.message)):
        if number == _RAW_DATA:
            raw = protobuf.submessage(wire, value)
    if raw is None:
        field = _TYPED_DATA.get(tensor.data_type)
        if field is None:
            raise CheckpointError(f"expected the numbers of {tensor.name} as raw_data; Received: FLOAT16 without it")
        values = protobuf.numbers(tensor.message, field, dtype)
    elif len(raw) % dtype.itemsize:
        raise CheckpointError(
            f"expected numbers of {dtype.itemsize} bytes each in {tensor.name}; Received: {len(raw)} bytes"
        )
    else:
        values = np.frombuffer(raw, dtype)
    return caffe.shaped(values, tensor.dims, tensor.name)
