"""Network in Network (Lin, Chen, Yan 2013), where the paper's 1x1 convolutions come from: tables and their builder."""

import dataclasses
from typing import ClassVar, NamedTuple

import keras

from keras_inception.layers.inception import ConvStyle, conv_unit
from keras_inception.layers.pooling import CeilAveragePooling2D, ceil_max_pooling
from keras_inception.models.inputs import check_options, classifier_activation_layer, model_inputs, open_input
from keras_inception.models.spec import NetworkSpec, expect


class MLPConv(NamedTuple):
    """A convolution and the two of 1x1 behind it: a small fully connected network that slides over the map.

    Args:
        names: of the three convolutions, which are Caffe's.
        size: rows and columns of the first one's kernel.
        widths: filters of the three; the last of the network's are its classes, None.
        deviations: of the Gaussians that the three kernels begin with.
        stride: of the first one.
        dropout: the name of the dropout that follows the pooling behind it, or None.
    """

    names: tuple[str, str, str]
    size: int
    widths: tuple[int, int, int | None]
    deviations: tuple[float, float, float] = (0.05, 0.05, 0.05)
    stride: int = 1
    dropout: str | None = None


@dataclasses.dataclass(frozen=True)
class NINVariant:
    """One of the published networks.

    Args:
        blocks: the layers from the input up.
        classes: outputs.
        input_size: height and width.
        mean: of the pixels, per channel.
        scale: factor after the mean.
        min_size: the smallest height and width, at which the last map is one pixel.
    """

    blocks: tuple[MLPConv, ...]
    classes: int
    input_size: int
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    min_size: int = 4


_FIRST, _SECOND, _THIRD = ("conv1", "cccp1", "cccp2"), ("conv2", "cccp3", "cccp4"), ("conv3", "cccp5", "cccp6")
_CIFAR = (
    MLPConv(_FIRST, 5, (192, 160, 96), dropout="drop3"),  # 32 x 32
    MLPConv(_SECOND, 5, (192, 192, 192), dropout="drop6"),  # 16 x 16
    MLPConv(_THIRD, 3, (192, 192, None)),  # 8 x 8
)
# The authors trained on CIFAR with global contrast normalization and ZCA whitening, on ImageNet with a mean image; a
# model that takes pixels has one mean and one scale per channel in their place: of CIFAR and MNIST the means and
# deviations in general use (TFDS's CIFAR-10, whose images are JPEG, has means of 124.1, 123.0 and 112.6 and deviations
# of 62.5, 61.8 and 66.4), of ImageNet the mean of Caffe's mean image.
NIN_VARIANTS = {
    "cifar10": NINVariant(_CIFAR, 10, 32, (125.3, 123.0, 113.9), (1 / 63.0, 1 / 62.1, 1 / 66.7)),
    "cifar100": NINVariant(
        (_CIFAR[0]._replace(deviations=(0.001, 0.01, 0.01)), *_CIFAR[1:]),
        100,
        32,
        (129.3, 124.1, 112.4),
        (1 / 68.2, 1 / 65.4, 1 / 70.4),
    ),
    "mnist": NINVariant(
        (
            MLPConv(_FIRST, 5, (96, 64, 48), dropout="drop3"),  # 28 x 28
            MLPConv(_SECOND, 5, (128, 96, 48), dropout="drop6"),  # 14 x 14
            MLPConv(_THIRD, 5, (128, 96, None)),  # 7 x 7
        ),
        10,
        28,
        (33.3,),
        (1 / 78.6,),
    ),
    "imagenet": NINVariant(
        (
            MLPConv(_FIRST, 11, (96, 96, 96), (0.01, 0.05, 0.05), stride=4),  # 54 x 54
            MLPConv(_SECOND, 5, (256, 256, 256)),  # 27 x 27
            MLPConv(_THIRD, 3, (384, 384, 384), (0.01, 0.05, 0.05), dropout="drop"),  # 13 x 13
            MLPConv(("conv4-1024", "cccp7-1024", "cccp8-1024"), 3, (1024, 1024, None), (0.05, 0.05, 0.01)),  # 6 x 6
        ),
        1000,
        224,
        (122.7, 116.7, 104.0),
        (1.0, 1.0, 1.0),
        min_size=39,
    ),
}
POOLINGS = ("max", "average")


@dataclasses.dataclass(frozen=True)
class NetworkInNetworkSpec(NetworkSpec):
    """Which Network in Network a set of weights belongs to, as plain data that is stored with them.

    Args:
        variant: a name in `NIN_VARIANTS`.
        classes: outputs; None for the variant's.
        input_size: height and width that the weights were made for, one number or two; None for the variant's.
        mean: of the pixels, per channel; None for the variant's.
        scale: factor after the mean, per channel; None for the variant's.
        second_pool: `"max"`, as in the authors' own definition, or `"average"`, as in the CIFAR-10 model that they put
            into Caffe's zoo.
        labels: name of a label set, a list of labels, or None.
        preprocessing: how a photo becomes the input (`Preprocessing.to_dict()`), or None.
        source: where the weights came from, or None.

    Raises:
        ValueError: a field is not what it should be.
    """

    ARCHITECTURE: ClassVar[str] = "NetworkInNetwork"

    variant: str = "imagenet"
    classes: int | None = None
    input_size: int | tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    scale: tuple[float, ...] | None = None
    second_pool: str = "max"
    labels: str | tuple[str, ...] | None = None
    preprocessing: dict | None = dataclasses.field(default=None, hash=False)
    source: str | None = None

    def __post_init__(self):
        known = isinstance(self.variant, str) and self.variant in NIN_VARIANTS
        expect(known, f"one of {', '.join(NIN_VARIANTS)}", variant=self.variant)
        pool = isinstance(self.second_pool, str) and self.second_pool in POOLINGS
        expect(pool, f"one of {', '.join(POOLINGS)}", second_pool=self.second_pool)
        variant = NIN_VARIANTS[self.variant]
        self.settle({name: getattr(variant, name) for name in ("classes", "input_size", "mean", "scale")})

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the input's channels; MNIST's is grey."""
        return ("grey",) if self.variant == "mnist" else super().channels

    @property
    def min_size(self) -> int:
        """The smallest height and width that the network takes."""
        return NIN_VARIANTS[self.variant].min_size

    @property
    def blocks(self) -> tuple[MLPConv, ...]:
        """The variant's blocks, with this spec's classes."""
        *blocks, last = NIN_VARIANTS[self.variant].blocks
        return (*blocks, last._replace(widths=(*last.widths[:2], self.classes)))


def weighted_layers(spec: NetworkInNetworkSpec) -> list[str]:
    """The names of the convolutions, from the input up."""
    return [name for block in spec.blocks for name in block.names]


def classifiers(spec: NetworkInNetworkSpec) -> dict[str, tuple[int, ...]]:
    """The kernel's shape of the last convolution, whose filters are the classes."""
    last = spec.blocks[-1]
    return {last.names[2]: (1, 1, *last.widths[1:])}


def own_weights(spec: NetworkInNetworkSpec) -> int:
    """How many weights are as many as the spec alone says: none are, but the classifier's."""
    return 0


def first_kernel(spec: NetworkInNetworkSpec, channels: int) -> tuple[str, int]:
    """The first layer with weights, and how many inputs it has where the image has so many channels."""
    return spec.blocks[0].names[0], channels


def dropout_layers(spec: NetworkInNetworkSpec) -> list[str]:
    """The names of the dropouts."""
    return [block.dropout for block in spec.blocks if block.dropout]


def build_network_in_network(
    spec: NetworkInNetworkSpec,
    *,
    include_top=True,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classifier_activation="softmax",
    dropout=None,
    include_preprocessing=True,
    name="network_in_network",
) -> keras.Model:
    """Builds the network of a spec with fresh weights; `keras_inception.NetworkInNetwork` explains the arguments."""
    check_options(spec, include_top=include_top, input_shape=input_shape, pooling=pooling)
    pixels, x, spec = open_input(spec, input_tensor, input_shape, include_preprocessing)  # 224 x 224 x 3
    blocks = spec.blocks
    for number, block in enumerate(blocks, 1):
        last = number == len(blocks)
        for place, (layer, width) in enumerate(zip(block.names, block.widths, strict=True)):
            if last and place == 2 and not include_top:
                break  # the last one's filters are the classes
            first = place == 0
            x = conv_unit(
                x,
                width,
                block.size if first else 1,
                strides=block.stride if first else 1,
                padding="valid" if first and block.stride > 1 else "same",
                name=layer,
                style=ConvStyle(
                    kernel_initializer=keras.initializers.RandomNormal(stddev=block.deviations[place]),
                    bias_initializer=0.0,
                ),
            )
        if last:
            break
        if number == 2 and spec.second_pool == "average":
            x = CeilAveragePooling2D(3, 2, name="pool2")(x)
        else:
            x = ceil_max_pooling(x, name=f"pool{number}")
        if block.dropout:
            x = keras.layers.Dropout(0.5 if dropout is None else dropout, name=block.dropout)(x)

    if include_top:
        # 6x6 in Caffe, 8x8 and 7x7 for the small images: the whole map, so that any input size has one answer.
        x = keras.layers.GlobalAveragePooling2D(name=f"pool{len(blocks)}")(x)
        x = classifier_activation_layer(x, classifier_activation, "predictions")  # 1000
    elif pooling == "avg":
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    elif pooling == "max":
        x = keras.layers.GlobalMaxPooling2D(name="max_pool")(x)
    return keras.Model(model_inputs(pixels, input_tensor), x, name=name)
