"""Our GoogLeNet against onnxruntime on the same `.onnx` file, which has the structure and names of the ONNX zoo's."""

import numpy as np
import onnx
import onnxruntime
import pytest
from caffe_prototxt import INCEPTION, POOL_AFTER, googlenet, pixels, random_weights
from onnx import TensorProto, helper, numpy_helper

import keras_inception

MEAN = np.array([123, 117, 104], np.float32)


class Graph:
    """Nodes and initializers under the names that Caffe2's exporter gave the zoo's files."""

    def __init__(self, weights):
        self.nodes, self.tensors, self.weights = [], [], weights

    def node(self, kind, inputs, name, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def arrays(self, layer):
        names = [f"{layer}_w_0", f"{layer}_b_0"]
        self.tensors += [
            numpy_helper.from_array(array, name) for array, name in zip(self.weights[layer], names, strict=True)
        ]
        return names

    def conv(self, layer, x, stride=1):
        size = self.weights[layer][0].shape[2]
        geometry = {"kernel_shape": [size] * 2, "strides": [stride] * 2, "pads": [size // 2] * 4}
        return self.node("Relu", [self.node("Conv", [x, *self.arrays(layer)], f"{layer}_1", **geometry)], f"{layer}_2")

    def halve(self, layer, x):
        # Two rows and columns after the end, rounded down: on even maps the same as Caffe's rounding up.
        return self.node("MaxPool", [x], f"{layer}_1", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 2, 2])

    def lrn(self, layer, x):
        return self.node("LRN", [x], f"{layer}_1", size=5, alpha=1e-4, beta=0.75, bias=1.0)

    def inception(self, module, x):
        name = f"inception_{module}"
        pool = self.node("MaxPool", [x], f"{name}/pool_1", kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
        branches = [
            self.conv(f"{name}/1x1", x),
            self.conv(f"{name}/3x3", self.conv(f"{name}/3x3_reduce", x)),
            self.conv(f"{name}/5x5", self.conv(f"{name}/5x5_reduce", x)),
            self.conv(f"{name}/pool_proj", pool),
        ]
        return self.node("Concat", branches, f"{name}/output_1", axis=1)


def zoo_model(size: int) -> onnx.ModelProto:
    graph = Graph(random_weights(googlenet(size, heads=False).shapes, seed=size))
    x = graph.conv("conv1/7x7_s2", "data_0", stride=2)
    x = graph.lrn("pool1/norm1", graph.halve("pool1/3x3_s2", x))
    x = graph.conv("conv2/3x3", graph.conv("conv2/3x3_reduce", x))
    x = graph.halve("pool2/3x3_s2", graph.lrn("conv2/norm2", x))
    for module in INCEPTION:
        x = graph.inception(module, x)
        if module in POOL_AFTER:
            x = graph.halve(POOL_AFTER[module], x)
    # 7 x 7 in the zoo, whose images have 224 x 224 pixels.
    x = graph.node("AveragePool", [x], "pool5/7x7_s1_1", kernel_shape=[size // 32] * 2, strides=[1, 1])
    graph.tensors.append(numpy_helper.from_array(np.array([1, 1024]), "OC2_DUMMY_1"))
    x = graph.node("Reshape", [x, "OC2_DUMMY_1"], "OC2_DUMMY_0")
    x = graph.node("Gemm", [x, *graph.arrays("loss3/classifier")], "loss3/classifier_1", transB=1)
    graph.node("Softmax", [x], "prob_1", axis=1)

    def value(name, shape, kind=TensorProto.FLOAT):
        return helper.make_tensor_value_info(name, kind, shape)

    inputs = [value("data_0", [1, 3, size, size])]
    inputs += [value(tensor.name, tensor.dims, tensor.data_type) for tensor in graph.tensors]  # as IR version 3 asks
    outputs = [value("prob_1", [1, 1000]), value("loss3/classifier_1", [1, 1000])]
    model = helper.make_graph(graph.nodes, "bvlc_googlenet", inputs, outputs, graph.tensors)
    return helper.make_model(model, opset_imports=[helper.make_opsetid("", 9)], ir_version=3)


@pytest.mark.parametrize("size", [224, 256])
def test_zoo_model(tmp_path, size):
    path = tmp_path / "googlenet.onnx"
    model = zoo_model(size)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    image = pixels(size)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    bgr = (image - MEAN)[..., ::-1].transpose(2, 0, 1)[None]
    theirs, probabilities = session.run(["loss3/classifier_1", "prob_1"], {"data_0": np.ascontiguousarray(bgr)})
    network = keras_inception.GoogLeNet(weights=path, classifier_activation=None, input_shape=(size, size, 3))
    ours = np.asarray(network(image[None], training=False))
    assert ours.shape == theirs.shape == (1, 1000)
    assert ours.argmax() == probabilities.argmax()
    assert np.ptp(theirs) > 1
    assert np.abs(ours - theirs).max() < 1e-4 * np.ptp(theirs)
