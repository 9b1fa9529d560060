"""One table of names: what each weighted layer is called here and in every public checkpoint.

Our layer names are Caffe's, GoogLeNet's with `/` written `_`, for Keras refuses the slash. The other columns follow
from the layer's place in the module, except where a format is irregular; each irregularity is told beside the line that
handles it.
"""

import dataclasses

# Network in Network's, which are Caffe's own; the last three are of the ImageNet model alone.
NIN_LAYERS = ("conv1", "cccp1", "cccp2", "conv2", "cccp3", "cccp4", "conv3", "cccp5", "cccp6")
NIN_LAYERS += ("conv4-1024", "cccp7-1024", "cccp8-1024")
MODULES = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")


@dataclasses.dataclass(frozen=True)
class Name:
    """A weighted layer (convolution or fully connected) under the name of each format; None where it lacks it."""

    layer: str
    caffe: str
    slim: str | None
    torchvision: str
    inception5h: str


def _slim_module(module: str) -> str:
    """TF-slim's letters run one ahead, for the pooling before each stage is its `a`: 3a is Mixed_3b, 5b is Mixed_5c."""
    stage, letter = module
    return f"Mixed_{stage}{chr(ord(letter) + 1)}"


def _branches(module: str):
    """Yields (branch, slim, torchvision, inception5h) of the six convolutions of one Inception module."""
    # Mixed_5b's 3x3 of branch 2 is scoped 0a where every other module has 0b: a slip that the published checkpoint has
    # kept.
    last = "0a" if module == "5a" else "0b"
    yield "1x1", "Branch_0/Conv2d_0a_1x1", "branch1", "1x1"
    yield "3x3_reduce", "Branch_1/Conv2d_0a_1x1", "branch2.0", "3x3_bottleneck"
    yield "3x3", "Branch_1/Conv2d_0b_3x3", "branch2.1", "3x3"
    yield "5x5_reduce", "Branch_2/Conv2d_0a_1x1", "branch3.0", "5x5_bottleneck"
    # TF-slim and torchvision call it 3x3, and it is one.
    yield "5x5", f"Branch_2/Conv2d_{last}_3x3", "branch3.1", "5x5"
    yield "pool_proj", "Branch_3/Conv2d_0b_1x1", "branch4.1", "pool_reduce"


def _table():
    yield Name("conv1_7x7_s2", "conv1/7x7_s2", "InceptionV1/Conv2d_1a_7x7", "conv1", "conv2d0")
    yield Name("conv2_3x3_reduce", "conv2/3x3_reduce", "InceptionV1/Conv2d_2b_1x1", "conv2", "conv2d1")
    yield Name("conv2_3x3", "conv2/3x3", "InceptionV1/Conv2d_2c_3x3", "conv3", "conv2d2")
    for module in MODULES:
        for branch, slim, torchvision, inception5h in _branches(module):
            yield Name(
                f"inception_{module}_{branch}",
                f"inception_{module}/{branch}",
                f"InceptionV1/{_slim_module(module)}/{slim}",
                f"inception{module}.{torchvision}",
                f"mixed{module}_{inception5h}",
            )
    for head in (1, 2):  # the auxiliary classifiers on 4a and 4d; TF-slim has none
        yield Name(f"loss{head}_conv", f"loss{head}/conv", None, f"aux{head}.conv", f"head{head - 1}_bottleneck")
        yield Name(f"loss{head}_fc", f"loss{head}/fc", None, f"aux{head}.fc1", f"nn{head - 1}")
        yield Name(f"loss{head}_classifier", f"loss{head}/classifier", None, f"aux{head}.fc2", f"softmax{head - 1}")
    yield Name("loss3_classifier", "loss3/classifier", "InceptionV1/Logits/Conv2d_0c_1x1", "fc", "softmax2")


TABLE: tuple[Name, ...] = tuple(_table())


def missing_layers(present) -> list[str]:
    """The layers that a file lacks: all of the trunk must be in it, and each auxiliary head whole or not at all."""
    present = set(present)
    heads = {row.layer[:5] for row in TABLE if row.layer in present and row.layer.startswith(("loss1", "loss2"))}
    return [
        row.layer
        for row in TABLE
        if row.layer not in present and (row.layer[:5] in heads or not row.layer.startswith(("loss1", "loss2")))
    ]
