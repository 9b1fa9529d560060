"""The Inception module (figure 2 of the paper), its naive form, and the convolution unit that both are made of."""

import dataclasses
from typing import NamedTuple

import keras

from keras_inception.layers.batch_normalization import FusedBatchNormalization
from keras_inception.layers.data_format import channel_axis


class InceptionWidths(NamedTuple):
    """Filters of one module, in the order of Table 1's columns."""

    n1x1: int
    n3x3_reduce: int
    n3x3: int
    n5x5_reduce: int
    n5x5: int
    pool_proj: int

    @property
    def output(self) -> int:
        """Channels of the module's output."""
        return self.n1x1 + self.n3x3 + self.n5x5 + self.pool_proj


@dataclasses.dataclass(frozen=True)
class ConvStyle:
    """What a convolution consists of: the paper's bias and ReLU, or batch norm in place of the bias.

    Args:
        batch_norm: put batch normalization between convolution and ReLU, and leave the bias out.
        scale: whether batch normalization learns gamma; TF-slim's does not, for the next convolution can scale.
        kernel_initializer: of the convolutions.
        bias_initializer: of the convolutions without batch norm.
    """

    batch_norm: bool = False
    scale: bool = True
    # Caffe's "xavier" is uniform by fan-in alone, which Keras calls LeCun's; its bias starts at 0.2 in bvlc_googlenet.
    kernel_initializer: str = "lecun_uniform"
    bias_initializer: float = 0.2


PAPER_STYLE = ConvStyle()
BATCH_NORM_STYLE = ConvStyle(batch_norm=True, kernel_initializer="he_normal")


def relu_name(name: str) -> str:
    """The ReLU's name after the convolution `name`: as in Caffe, `inception_3a_5x5` has `inception_3a_relu_5x5`."""
    for prefix in ("conv1_", "conv2_", "loss1_", "loss2_"):
        if name.startswith(prefix):
            return f"{prefix}relu_{name.removeprefix(prefix)}".removesuffix("_s2").removesuffix("_s1")
    parts = name.split("_", 2)
    if parts[0] == "inception" and len(parts) == 3:
        return f"inception_{parts[1]}_relu_{parts[2]}"
    return f"{name}_relu"


def conv_unit(x, filters, kernel_size, *, name, strides=1, padding="same", style=PAPER_STYLE):
    """Convolution, batch normalization if the style has it, and the ReLU that every convolution has (section 5).

    Args:
        x: a symbolic tensor of rank 4.
        filters: output channels.
        kernel_size: rows and columns of the kernel.
        name: the convolution's name; batch normalization is `NAME_bn`, and the ReLU is named by `relu_name`.
        strides: rows and columns between windows.
        padding: `"same"` or `"valid"`.
        style: a `ConvStyle`.

    Returns:
        The ReLU's output.
    """
    x = keras.layers.Conv2D(
        filters,
        kernel_size,
        strides,
        padding=padding,
        use_bias=not style.batch_norm,
        kernel_initializer=style.kernel_initializer,
        bias_initializer=keras.initializers.Constant(style.bias_initializer),
        name=name,
    )(x)
    if style.batch_norm:
        # epsilon is TF-slim's and torchvision's; momentum is the one to which TF Hub changed Inception v1, so that
        # short trainings get statistics of their own.
        x = FusedBatchNormalization(channel_axis(), momentum=0.99, epsilon=1e-3, scale=style.scale, name=f"{name}_bn")(
            x
        )
    return keras.layers.ReLU(name=relu_name(name))(x)


def inception_module(x, widths, *, name, style=PAPER_STYLE, large_kernel=5):
    """The Inception module with dimension reductions (figure 2b).

    Adds plain Keras layers named after the paper and Caffe: `NAME_1x1`, `NAME_3x3_reduce`, `NAME_3x3`,
    `NAME_5x5_reduce`, `NAME_5x5`, `NAME_pool`, `NAME_pool_proj` and `NAME_output`, the concatenation in this order of
    branches.

    Args:
        x: a symbolic tensor of rank 4.
        widths: six filter counts in the order of Table 1's columns, an `InceptionWidths` or any sequence.
        name: the module's name, `"inception_3a"`.
        style: a `ConvStyle`.
        large_kernel: 5 as in the paper; 3 for the TF-slim and torchvision weights, whose "5x5" branch is a 3x3.

    Returns:
        The module's output: the map's size unchanged, 1x1 + 3x3 + 5x5 + pool_proj channels.

    Raises:
        ValueError: `widths` does not hold six numbers.
    """
    if len(widths) != 6:
        raise ValueError(f"expected six widths {InceptionWidths._fields}; Received: widths={tuple(widths)}")
    widths = InceptionWidths(*widths)

    def conv(x, filters, kernel_size, branch):
        return conv_unit(x, filters, kernel_size, name=f"{name}_{branch}", style=style)

    branch1 = conv(x, widths.n1x1, 1, "1x1")
    branch2 = conv(x, widths.n3x3_reduce, 1, "3x3_reduce")
    branch2 = conv(branch2, widths.n3x3, 3, "3x3")
    branch3 = conv(x, widths.n5x5_reduce, 1, "5x5_reduce")
    branch3 = conv(branch3, widths.n5x5, large_kernel, "5x5")
    branch4 = keras.layers.MaxPooling2D(3, 1, padding="same", name=f"{name}_pool")(x)
    branch4 = conv(branch4, widths.pool_proj, 1, "pool_proj")
    return keras.layers.Concatenate(channel_axis(), name=f"{name}_output")([branch1, branch2, branch3, branch4])


def naive_inception_module(x, n1x1, n3x3, n5x5, *, name, style=PAPER_STYLE, large_kernel=5):
    """The module without reductions (figure 2a), which the paper shows in order to reject it.

    The pooling branch passes all of its input on, so the output can only grow from stage to stage.

    Args:
        x: a symbolic tensor of rank 4 with c channels.
        n1x1: filters of the 1x1 branch.
        n3x3: filters of the 3x3 branch.
        n5x5: filters of the 5x5 branch.
        name: the module's name.
        style: a `ConvStyle`.
        large_kernel: see `inception_module`.

    Returns:
        The concatenation of the four branches: n1x1 + n3x3 + n5x5 + c channels.
    """
    branches = [
        conv_unit(x, n1x1, 1, name=f"{name}_1x1", style=style),
        conv_unit(x, n3x3, 3, name=f"{name}_3x3", style=style),
        conv_unit(x, n5x5, large_kernel, name=f"{name}_5x5", style=style),
        keras.layers.MaxPooling2D(3, 1, padding="same", name=f"{name}_pool")(x),
    ]
    return keras.layers.Concatenate(channel_axis(), name=f"{name}_output")(branches)
