"""GoogLeNet: Table 1 of the paper as data, and the builder that walks it for any of the variants."""

from typing import NamedTuple

import keras

from keras_inception.layers.cost import naive_module, reduced_module
from keras_inception.layers.data_format import spatial_shape
from keras_inception.layers.gabor import ORIENTATIONS, SERRE_SCALES, GaborFilterBank
from keras_inception.layers.inception import (
    InceptionWidths,
    conv_unit,
    inception_module,
    naive_inception_module,
)
from keras_inception.layers.local_response_normalization import LocalResponseNormalization
from keras_inception.layers.pooling import CeilAveragePooling2D, ceil_max_pooling
from keras_inception.models.auxiliary import HEADS, GoogLeNetWithHeads
from keras_inception.models.googlenet_spec import MODULES, VARIANTS, GoogLeNetSpec
from keras_inception.models.inputs import check_options, classifier_activation_layer, model_inputs, open_input


class Row(NamedTuple):
    """A row of Table 1, in the paper's columns; `params` and `ops` as printed, which is not always right."""

    type: str
    patch_stride: str
    output: tuple[int, int, int]
    depth: int
    widths: InceptionWidths | None = None
    params: str = ""
    ops: str = ""

    @property
    def module(self) -> str | None:
        """Of an Inception module its name, such as `"3a"`."""
        return self.type[len("inception (") : -1] if self.type.startswith("inception") else None


_widths = InceptionWidths
# fmt: off
TABLE_1 = (
    #   type              patch/stride  output          depth           1x1  3x3r 3x3  5x5r 5x5  pool  params   ops
    Row("convolution",    "7x7/2",      (112, 112, 64),   1, None,                                     "2.7K",  "34M"),
    Row("max pool",       "3x3/2",      (56, 56, 64),     0),
    Row("convolution",    "3x3/1",      (56, 56, 192),    2, _widths(0,    64, 192,   0,   0,   0),    "112K",  "360M"),
    Row("max pool",       "3x3/2",      (28, 28, 192),    0),
    Row("inception (3a)", "",           (28, 28, 256),    2, _widths(64,   96, 128,  16,  32,  32),    "159K",  "128M"),
    Row("inception (3b)", "",           (28, 28, 480),    2, _widths(128, 128, 192,  32,  96,  64),    "380K",  "304M"),
    Row("max pool",       "3x3/2",      (14, 14, 480),    0),
    Row("inception (4a)", "",           (14, 14, 512),    2, _widths(192,  96, 208,  16,  48,  64),    "364K",  "73M"),
    Row("inception (4b)", "",           (14, 14, 512),    2, _widths(160, 112, 224,  24,  64,  64),    "437K",  "88M"),
    Row("inception (4c)", "",           (14, 14, 512),    2, _widths(128, 128, 256,  24,  64,  64),    "463K",  "100M"),
    Row("inception (4d)", "",           (14, 14, 528),    2, _widths(112, 144, 288,  32,  64,  64),    "580K",  "119M"),
    Row("inception (4e)", "",           (14, 14, 832),    2, _widths(256, 160, 320,  32, 128, 128),    "840K",  "170M"),
    Row("max pool",       "3x3/2",      (7, 7, 832),      0),
    Row("inception (5a)", "",           (7, 7, 832),      2, _widths(256, 160, 320,  32, 128, 128),    "1072K", "54M"),
    Row("inception (5b)", "",           (7, 7, 1024),     2, _widths(384, 192, 384,  48, 128, 128),    "1388K", "71M"),
    Row("avg pool",       "7x7/1",      (1, 1, 1024),     0),
    Row("dropout (40%)",  "",           (1, 1, 1024),     0),
    Row("linear",         "",           (1, 1, 1000),     1, None,                                     "1000K", "1M"),
    Row("softmax",        "",           (1, 1, 1000),     0),
)
# fmt: on


SMALL_GABOR = (7, 9, 11, 13)  # sizes that an image of 32 x 32 has room for


def _stem(x, spec: GoogLeNetSpec):
    """The rows above 3a. Normalization stands where figure 3 has it: after the first pooling, and before the second."""
    variant, symmetric = VARIANTS[spec.variant], VARIANTS[spec.variant].padding == "symmetric"
    conv1, _, conv2, _ = TABLE_1[:4]
    if spec.stem == "gabor":
        x = GaborFilterBank(strides=2, name="conv1_gabor")(x)  # 112 x 112 x 64: 16 sizes in 4 orientations
        x = _pool(x, spec, name="pool1_3x3_s2")  # 56 x 56 x 64
    elif spec.stem == "small_gabor":
        x = GaborFilterBank(SMALL_GABOR, colours="each", name="conv1_gabor")(x)  # 32 x 32 x 48
    elif spec.stem == "small":
        x = conv_unit(x, conv1.output[-1], 3, name="conv1_3x3_s1", style=variant.style)  # 32 x 32 x 64
    else:
        if symmetric:
            x = keras.layers.ZeroPadding2D(3, name="conv1_pad")(
                x
            )  # 230 x 230 x 3: "same" would pad 2 before and 3 after
        padding = "valid" if symmetric else "same"
        x = conv_unit(
            x, conv1.output[-1], 7, strides=2, padding=padding, name="conv1_7x7_s2", style=variant.style
        )  # 112 x 112 x 64
        x = _pool(x, spec, name="pool1_3x3_s2")  # 56 x 56 x 64
    if spec.lrn:
        x = LocalResponseNormalization(**spec.lrn[0], name="pool1_norm1")(x)
    x = conv_unit(x, conv2.widths.n3x3_reduce, 1, name="conv2_3x3_reduce", style=variant.style)  # 56 x 56 x 64
    x = conv_unit(x, conv2.widths.n3x3, 3, name="conv2_3x3", style=variant.style)  # 56 x 56 x 192
    if spec.lrn:
        x = LocalResponseNormalization(**spec.lrn[1], name="conv2_norm2")(x)
    return _pool(x, spec, name="pool2_3x3_s2")  # 28 x 28 x 192


def _pool(x, spec: GoogLeNetSpec, *, name, size=3):
    """Max pooling with stride 2 in the variant's convention."""
    if VARIANTS[spec.variant].padding == "symmetric" and size == 3:
        return ceil_max_pooling(x, name=name)
    return keras.layers.MaxPooling2D(size, 2, padding="same", name=name)(x)


def _modules(x, spec: GoogLeNetSpec):
    """The nine Inception modules and the poolings between them: the last output, and each module's by its name."""
    variant = VARIANTS[spec.variant]
    outputs, pools = {}, 2
    for row in TABLE_1[4:15]:
        if row.type == "max pool":
            pools += 1
            size = variant.last_pool if pools == 4 else 3
            x = _pool(x, spec, size=size, name=f"pool{pools}_{size}x{size}_s2")
        else:
            module = row.module
            widths = spec.module_widths(module, row.widths)
            options = {"name": f"inception_{module}", "style": variant.style, "large_kernel": variant.large_kernel}
            if len(widths) == 3:
                x = naive_inception_module(x, *widths, **options)
            else:
                x = inception_module(x, widths, **options)
            outputs[module] = x
    return x, outputs


def _classifier(x, spec: GoogLeNetSpec, activation, *, layer, output):
    """The linear layer, and its activation."""
    style = VARIANTS[spec.variant].style
    initializer = "glorot_uniform" if style.batch_norm else style.kernel_initializer
    x = keras.layers.Dense(spec.classes, kernel_initializer=initializer, name=layer)(x)
    return classifier_activation_layer(x, activation, output)


def _auxiliary_head(x, spec: GoogLeNetSpec, activation, *, loss: str, output: str):
    """An auxiliary classifier: 5x5/3 average pooling, 128 1x1 convolutions, 1024 units, 70 % dropout, linear."""
    variant = VARIANTS[spec.variant]
    if variant.head_pool == "adaptive":
        x = keras.layers.AdaptiveAveragePooling2D(4, name=f"{loss}_ave_pool")(x)  # 4 x 4 x 512
    elif variant.head_pool == "valid" and min(spatial_shape(x)) >= 5:
        x = keras.layers.AveragePooling2D(5, 3, name=f"{loss}_ave_pool")(x)  # 4 x 4 x 508 (4a), 528 (4d)
    else:
        x = CeilAveragePooling2D(5, 3, name=f"{loss}_ave_pool")(x)  # 4 x 4 x 512 (4a), 528 (4d)
    x = conv_unit(x, 128, 1, name=f"{loss}_conv", style=variant.style)  # 4 x 4 x 128
    x = keras.layers.Flatten(name=f"{loss}_flatten")(x)  # 2048
    bias = keras.initializers.Constant(0.0 if variant.style.batch_norm else variant.style.bias_initializer)
    x = keras.layers.Dense(
        1024, kernel_initializer=variant.style.kernel_initializer, bias_initializer=bias, name=f"{loss}_fc"
    )(x)
    x = keras.layers.ReLU(name=f"{loss}_relu_fc")(x)
    x = keras.layers.Dropout(0.7, name=f"{loss}_drop_fc")(x)
    return _classifier(x, spec, activation, layer=f"{loss}_classifier", output=output)


def build_googlenet(
    spec: GoogLeNetSpec,
    *,
    include_top=True,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classifier_activation="softmax",
    dropout=None,
    include_preprocessing=True,
    name="googlenet",
) -> keras.Model:
    """Builds the network of a spec with fresh weights; `keras_inception.GoogLeNet` explains the arguments."""
    check_options(spec, include_top=include_top, input_shape=input_shape, pooling=pooling)
    pixels, x, spec = open_input(spec, input_tensor, input_shape, include_preprocessing)  # 224 x 224 x 3
    x = _stem(x, spec)
    x, modules = _modules(x, spec)  # 7 x 7 x 1024

    if include_top:
        # 7x7/1 in the paper; over the whole map here, so that any input size has one answer.
        x = keras.layers.GlobalAveragePooling2D(name="pool5_7x7_s1")(x)  # 1024
        rate = VARIANTS[spec.variant].dropout if dropout is None else dropout
        x = keras.layers.Dropout(rate, name="pool5_drop_7x7_s1")(x)
        x = _classifier(x, spec, classifier_activation, layer="loss3_classifier", output="predictions")  # 1000
    elif pooling == "avg":
        x = keras.layers.GlobalAveragePooling2D(name="pool5_7x7_s1")(x)
    elif pooling == "max":
        x = keras.layers.GlobalMaxPooling2D(name="max_pool")(x)

    inputs = model_inputs(pixels, input_tensor)
    if not spec.aux_heads:
        return keras.Model(inputs, x, name=name)
    outputs = {"predictions": x}
    for output, (module, loss) in HEADS.items():
        outputs[output] = _auxiliary_head(modules[module], spec, classifier_activation, loss=loss, output=output)
    return GoogLeNetWithHeads(inputs, outputs, name=name)


def weighted_layers(spec: GoogLeNetSpec) -> list[str]:
    """The names of all layers that can have weights, without their batch normalizations."""
    first = {"imagenet": ["conv1_7x7_s2"], "small": ["conv1_3x3_s1"]}
    names = [*first.get(spec.stem, []), "conv2_3x3_reduce", "conv2_3x3"]
    branches = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")
    names += [f"inception_{module}_{branch}" for module in MODULES for branch in branches]
    names += [f"{loss}_{part}" for _, loss in HEADS.values() for part in ("conv", "fc", "classifier")]
    return [*names, "loss3_classifier"]


def _walk_modules(spec: GoogLeNetSpec):
    """Yields of each module its widths, and the channels that it takes and puts out."""
    inputs = TABLE_1[2].output[-1]
    for row in TABLE_1:
        if row.module:
            widths = spec.module_widths(row.module, row.widths)
            # Without reductions the pooling passes all that comes in on.
            outputs = inputs + sum(widths) if len(widths) == 3 else widths.output
            yield widths, inputs, outputs
            inputs = outputs


def classifiers(spec: GoogLeNetSpec) -> dict[str, tuple[int, ...]]:
    """The kernels' shapes of the last linear layer of each classifier, the main one first."""
    *_, (_, _, channels) = _walk_modules(spec)
    heads = [loss for _, loss in HEADS.values()] if spec.aux_heads else []
    shapes = {"loss3_classifier": (channels, spec.classes)}
    return shapes | {f"{loss}_classifier": (1024, spec.classes) for loss in heads}


def own_weights(spec: GoogLeNetSpec) -> int:
    """How many weights the convolutions of all modules have, where the spec has widths of its own; else 0."""
    if not spec.widths:
        return 0
    kernel = VARIANTS[spec.variant].large_kernel
    costs = {3: naive_module, 6: reduced_module}
    return sum(costs[len(w)](inputs, w, 1, 1, kernel).weights for w, inputs, _ in _walk_modules(spec))


def first_kernel(spec: GoogLeNetSpec, channels: int) -> tuple[str, int]:
    """The first layer with weights, and how many inputs it has where the image has so many channels."""
    if spec.stem == "small_gabor":
        return "conv2_3x3_reduce", len(SMALL_GABOR) * len(ORIENTATIONS) * channels
    first = weighted_layers(spec)[0]
    return (first, len(SERRE_SCALES) * len(ORIENTATIONS)) if spec.stem == "gabor" else (first, channels)


def dropout_layers(spec: GoogLeNetSpec) -> list[str]:
    """The name of the dropout before the main classifier."""
    return ["pool5_drop_7x7_s1"]
