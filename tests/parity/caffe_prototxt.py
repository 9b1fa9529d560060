"""GoogLeNet and Network in Network as Caffe prototxts, and random weights for them, written apart from our networks.

The layers, their order and their parameters are those of BVLC's `train_val.prototxt` (bvlc_googlenet), and of the two
networks of Caffe's zoo, for ImageNet and for CIFAR-10.
"""

import numpy as np

# Table 1: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj.
INCEPTION = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
POOL_AFTER = {"3b": "pool3/3x3_s2", "4e": "pool4/3x3_s2"}
HEAD_AFTER = {"4a": "loss1", "4d": "loss2"}


class Prototxt:
    """Collects layers as text, and the shapes of their weights."""

    def __init__(self, size: int):
        self.text = f'name: "GoogleNet"\ninput: "data"\ninput_shape {{ dim: 1 dim: 3 dim: {size} dim: {size} }}\n'
        self.shapes = {}

    def layer(self, kind: str, name: str, bottoms, parameters: str = "", top: str | None = None) -> str:
        bottoms = [bottoms] if isinstance(bottoms, str) else bottoms
        top = top or name
        inputs = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
        self.text += f'layer {{ name: "{name}" type: "{kind}" {inputs} top: "{top}" {parameters} }}\n'
        return top

    def relu(self, name: str, bottom: str) -> str:
        prefix, _, rest = name.rpartition("/")
        return self.layer("ReLU", f"{prefix}/relu_{rest}", bottom, top=bottom)

    def conv(self, name: str, bottom: str, inputs: int, outputs: int, size: int = 1, stride: int = 1) -> str:
        self.shapes[name] = (outputs, inputs, size, size)
        parameters = f"num_output: {outputs} kernel_size: {size} stride: {stride} pad: {size // 2}"
        return self.relu(name, self.layer("Convolution", name, bottom, f"convolution_param {{ {parameters} }}"))

    def plain_conv(self, name: str, bottom: str, inputs: int, outputs: int, size: int = 1, more: str = "") -> str:
        """A convolution and a ReLU of its own name, as Network in Network's."""
        self.shapes[name] = (outputs, inputs, size, size)
        parameters = f"convolution_param {{ num_output: {outputs} kernel_size: {size} {more} }}"
        return self.layer("ReLU", f"relu_{name}", self.layer("Convolution", name, bottom, parameters), top=name)

    def dense(self, name: str, bottom: str, inputs: int, outputs: int) -> str:
        self.shapes[name] = (outputs, inputs)
        return self.layer("InnerProduct", name, bottom, f"inner_product_param {{ num_output: {outputs} }}")

    def pool(self, name: str, bottom: str, parameters: str) -> str:
        return self.layer("Pooling", name, bottom, f"pooling_param {{ {parameters} }}")

    def lrn(self, name: str, bottom: str) -> str:
        return self.layer("LRN", name, bottom, "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")

    def inception(self, name: str, bottom: str, inputs: int, widths) -> str:
        n1, n3_reduce, n3, n5_reduce, n5, projection = widths
        name = f"inception_{name}"
        branches = [
            self.conv(f"{name}/1x1", bottom, inputs, n1),
            self.conv(f"{name}/3x3", self.conv(f"{name}/3x3_reduce", bottom, inputs, n3_reduce), n3_reduce, n3, 3),
            self.conv(f"{name}/5x5", self.conv(f"{name}/5x5_reduce", bottom, inputs, n5_reduce), n5_reduce, n5, 5),
        ]
        pool = self.pool(f"{name}/pool", bottom, "pool: MAX kernel_size: 3 stride: 1 pad: 1")
        branches.append(self.conv(f"{name}/pool_proj", pool, inputs, projection))
        return self.layer("Concat", f"{name}/output", branches)

    def head(self, name: str, bottom: str, inputs: int, classes: int) -> str:
        x = self.pool(f"{name}/ave_pool", bottom, "pool: AVE kernel_size: 5 stride: 3")
        x = self.conv(f"{name}/conv", x, inputs, 128)
        x = self.relu(f"{name}/fc", self.dense(f"{name}/fc", x, 128 * 4 * 4, 1024))
        x = self.layer("Dropout", f"{name}/drop_fc", x, "dropout_param { dropout_ratio: 0.7 }", top=x)
        return self.dense(f"{name}/classifier", x, 1024, classes)


def googlenet(size: int, heads: bool, classes: int = 1000) -> Prototxt:
    """The deploy network for square images of `size`; pool5 takes the whole map, which at 224 is BVLC's 7x7."""
    net = Prototxt(size)
    halve = "pool: MAX kernel_size: 3 stride: 2"
    x = net.conv("conv1/7x7_s2", "data", 3, 64, 7, 2)
    x = net.lrn("pool1/norm1", net.pool("pool1/3x3_s2", x, halve))
    x = net.conv("conv2/3x3", net.conv("conv2/3x3_reduce", x, 64, 64), 64, 192, 3)
    x = net.pool("pool2/3x3_s2", net.lrn("conv2/norm2", x), halve)
    channels = 192
    for name, widths in INCEPTION.items():
        x = net.inception(name, x, channels, widths)
        channels = widths[0] + widths[2] + widths[4] + widths[5]
        if heads and name in HEAD_AFTER:
            net.head(HEAD_AFTER[name], x, channels, classes)
        if name in POOL_AFTER:
            x = net.pool(POOL_AFTER[name], x, halve)
    x = net.pool("pool5/7x7_s1", x, "pool: AVE global_pooling: true")
    x = net.layer("Dropout", "pool5/drop_7x7_s1", x, "dropout_param { dropout_ratio: 0.4 }", top=x)
    net.dense("loss3/classifier", x, channels, classes)
    return net


def network_in_network(variant: str, size: int) -> Prototxt:
    """The deploy network for square images of `size`; the last pooling takes the whole map, at 224 and 32 the zoo's."""
    net = Prototxt(size)
    if variant == "imagenet":
        x = net.plain_conv("conv1", "data", 3, 96, 11, "stride: 4")
        x = net.plain_conv("cccp2", net.plain_conv("cccp1", x, 96, 96), 96, 96)
        x = net.pool("pool1", x, "pool: MAX kernel_size: 3 stride: 2")
        x = net.plain_conv("conv2", x, 96, 256, 5, "pad: 2")
        x = net.plain_conv("cccp4", net.plain_conv("cccp3", x, 256, 256), 256, 256)
        x = net.pool("pool2", x, "pool: MAX kernel_size: 3 stride: 2")
        x = net.plain_conv("conv3", x, 256, 384, 3, "pad: 1")
        x = net.plain_conv("cccp6", net.plain_conv("cccp5", x, 384, 384), 384, 384)
        x = net.pool("pool3", x, "pool: MAX kernel_size: 3 stride: 2")
        x = net.plain_conv("conv4-1024", x, 384, 1024, 3, "pad: 1")
        x = net.plain_conv("cccp8-1024", net.plain_conv("cccp7-1024", x, 1024, 1024), 1024, 1000)
        net.pool("pool4", x, "pool: AVE global_pooling: true")
    else:
        x = net.plain_conv("conv1", "data", 3, 192, 5, "pad: 2")
        x = net.plain_conv("cccp2", net.plain_conv("cccp1", x, 192, 160), 160, 96)
        x = net.pool("pool1", x, "pool: MAX kernel_size: 3 stride: 2")
        x = net.plain_conv("conv2", x, 96, 192, 5, "pad: 2")
        x = net.plain_conv("cccp4", net.plain_conv("cccp3", x, 192, 192), 192, 192)
        x = net.pool("pool2", x, "pool: AVE kernel_size: 3 stride: 2")
        x = net.plain_conv("conv3", x, 192, 192, 3, "pad: 1")
        x = net.plain_conv("cccp6", net.plain_conv("cccp5", x, 192, 192), 192, 10)
        net.pool("pool3", x, "pool: AVE global_pooling: true")
    return net


def random_weights(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """He's initialization and small biases in Caffe's layout: activations keep their size through the network.

    Pixels of up to 123 then make LRN's denominators range from 1 to several, so that its place and constants show.
    """
    random = np.random.default_rng(seed)
    weights = {}
    for name, shape in shapes.items():
        deviation = (2 / np.prod(shape[1:])) ** 0.5
        kernel = random.normal(0, deviation, shape).astype(np.float32)
        weights[name] = kernel, random.normal(0, 0.5, shape[0]).astype(np.float32)
    return weights


def pixels(size: int) -> np.ndarray:
    """RGB with blocks of every size, for in white noise every window is like every other."""
    random = np.random.default_rng(size)
    places = np.arange(size)
    blocks = [random.integers(0, 256, (n, n, 3))[places * n // size][:, places * n // size] for n in (4, 16, 64, size)]
    return np.rint(np.mean(blocks, axis=0)).astype(np.float32)
