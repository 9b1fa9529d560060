"""Our network with a frozen graph of inception5h's nodes against TensorFlow running that graph, with random weights."""

import numpy as np
import pytest
import tensorflow as tf

import keras_inception
from keras_inception import convert

v1 = tf.compat.v1
# Each module: 1x1, 3x3 bottleneck, 3x3, 5x5 bottleneck, 5x5, pool reduce, as in the published graph.
MODULES = {
    "mixed3a": (64, 96, 128, 16, 32, 32),
    "mixed3b": (128, 128, 192, 32, 96, 64),
    "mixed4a": (192, 96, 204, 16, 48, 64),
    "mixed4b": (160, 112, 224, 24, 64, 64),
    "mixed4c": (128, 128, 256, 24, 64, 64),
    "mixed4d": (112, 144, 288, 32, 64, 64),
    "mixed4e": (256, 160, 320, 32, 128, 128),
    "mixed5a": (256, 160, 320, 48, 128, 128),
    "mixed5b": (384, 192, 384, 48, 128, 128),
}
OUTPUTS = {"predictions": "softmax2", "aux_4a": "softmax0", "aux_4d": "softmax1"}


class Graph:
    """Writes the graph under the names of the published one."""

    def __init__(self, lrn: dict, classes: int = 1008):
        self.random = np.random.default_rng(0)
        self.lrn, self.classes = lrn, classes

    def weights(self, name, shape):
        kernel = self.random.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape)
        bias = self.random.normal(0, 0.3, shape[-1:])
        return tf.constant(kernel, tf.float32, name=f"{name}_w"), tf.constant(bias, tf.float32, name=f"{name}_b")

    def convolution(self, x, name, filters, size, stride=1):
        kernel, bias = self.weights(name, (size, size, x.shape[-1], filters))
        x = tf.nn.conv2d(x, kernel, stride, "SAME", name=f"{name}_pre_relu/conv")
        return tf.nn.relu(tf.nn.bias_add(x, bias, name=f"{name}_pre_relu"), name=name)

    def dense(self, x, name, units):
        kernel, bias = self.weights(name, (x.shape[-1], units))
        return tf.nn.bias_add(
            tf.matmul(x, kernel, name=f"{name}_pre_activation/matmul"), bias, name=f"{name}_pre_activation"
        )

    def pool(self, x, name, size=3, stride=2):
        return tf.nn.max_pool2d(x, size, stride, "SAME", name=name)

    def normalization(self, x, number):
        return tf.nn.local_response_normalization(x, **self.lrn[number], name=f"localresponsenorm{number}")

    def mixed(self, x, name):
        n1, n3_reduce, n3, n5_reduce, n5, pool = MODULES[name]
        branches = [
            self.convolution(x, f"{name}_1x1", n1, 1),
            self.convolution(self.convolution(x, f"{name}_3x3_bottleneck", n3_reduce, 1), f"{name}_3x3", n3, 3),
            self.convolution(self.convolution(x, f"{name}_5x5_bottleneck", n5_reduce, 1), f"{name}_5x5", n5, 5),
            self.convolution(self.pool(x, f"{name}_pool", stride=1), f"{name}_pool_reduce", pool, 1),
        ]
        return tf.concat(branches, 3, name=name)

    def head(self, x, number):
        x = tf.nn.avg_pool2d(x, 5, 3, "VALID", name=f"head{number}_pool")
        x = self.convolution(x, f"head{number}_bottleneck", 128, 1)
        x = tf.reshape(x, (-1, np.prod(x.shape[1:])), name=f"head{number}_bottleneck/reshape")
        x = tf.nn.relu(self.dense(x, f"nn{number}", 1024), name=f"nn{number}")
        return tf.nn.softmax(self.dense(x, f"softmax{number}", self.classes), name=f"softmax{number}")

    def build(self, size):
        """The graph for one input size, frozen from the beginning: every weight is a constant."""
        with tf.Graph().as_default() as graph:
            x = v1.placeholder(tf.float32, (None, *size, 3), name="input")
            x = self.pool(self.convolution(x, "conv2d0", 64, 7, 2), "maxpool0")
            x = self.convolution(self.normalization(x, 0), "conv2d1", 64, 1)
            x = self.normalization(self.convolution(x, "conv2d2", 192, 3), 1)
            x = self.pool(x, "maxpool1")
            for name in MODULES:
                x = self.mixed(x, name)
                if name in ("mixed3b", "mixed4e"):
                    x = self.pool(x, "maxpool4" if name == "mixed3b" else "maxpool10")
                if name in ("mixed4a", "mixed4d"):
                    self.head(x, 0 if name == "mixed4a" else 1)
            x = tf.nn.avg_pool2d(x, x.shape[1:3], 1, "VALID", name="avgpool0")
            x = tf.reshape(x, (-1, 1024), name="avgpool0/reshape")
            tf.nn.softmax(self.dense(x, "softmax2", self.classes), name="softmax2")
        return graph


LRN = (
    {"depth_radius": 5, "bias": 2.0, "alpha": 1e-4, "beta": 0.5},
    {"depth_radius": 3, "bias": 1.0, "alpha": 2e-2, "beta": 0.75},  # the two need not be alike
)


@pytest.mark.parametrize("size", [(224, 224), (211, 224), (240, 197)])
def test_logits(tmp_path, size):
    graph = Graph(LRN).build(size)
    path = tmp_path / "tensorflow_inception_graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    pixels = np.random.default_rng(1).uniform(0, 255, (2, *size, 3)).astype(np.float32)
    with v1.Session(graph=graph) as session:
        tensors = {name: f"{node}_pre_activation:0" for name, node in OUTPUTS.items()}
        theirs = session.run(tensors, {"input:0": pixels - 117})
    model = keras_inception.GoogLeNet(
        weights=str(path), aux_heads=True, input_shape=(*size, 3), classifier_activation=None
    )
    ours = model.predict(pixels, verbose=0)
    assert set(ours) == set(theirs)
    for name, wanted in theirs.items():
        assert ours[name].shape == wanted.shape == (2, 1008)
        assert np.abs(ours[name] - wanted).max() / np.ptp(wanted) < 1e-4, name
        assert np.ptp(wanted) > 0.1 and np.abs(wanted[0] - wanted[1]).max() > 1e-3  # the weights are not degenerate


def test_constants_of_the_normalization_are_the_graphs(tmp_path):
    path = tmp_path / "graph.pb"
    path.write_bytes(Graph(LRN, classes=5).build((224, 224)).as_graph_def().SerializeToString())
    assert convert.read(path).spec["lrn"] == list(LRN)
    model = keras_inception.GoogLeNet(weights=str(path))
    assert [dict(lrn) for lrn in keras_inception.model_spec(model).lrn] == list(LRN)
