"""GoogLeNet against Table 1, with the numbers written out; the variants, stems, sizes and arguments."""

import json

import keras
import numpy as np
import pytest
from contracts import check_model

from keras_inception import TABLE_1, VARIANTS, GoogLeNet, GoogLeNetSpec, model_spec
from keras_inception.models.googlenet import build_googlenet

# layer, output at 224 x 224, parameters of the row: Table 1's shapes, and its channel columns recounted with biases
ROWS = [
    ("conv1_relu_7x7", (112, 112, 64), ["conv1_7x7_s2"], 9_472),
    ("pool1_3x3_s2", (56, 56, 64), [], 0),
    ("conv2_relu_3x3", (56, 56, 192), ["conv2_3x3_reduce", "conv2_3x3"], 114_944),
    ("pool2_3x3_s2", (28, 28, 192), [], 0),
    ("inception_3a_output", (28, 28, 256), ["inception_3a"], 163_696),
    ("inception_3b_output", (28, 28, 480), ["inception_3b"], 388_736),
    ("pool3_3x3_s2", (14, 14, 480), [], 0),
    ("inception_4a_output", (14, 14, 512), ["inception_4a"], 376_176),
    ("inception_4b_output", (14, 14, 512), ["inception_4b"], 449_160),
    ("inception_4c_output", (14, 14, 512), ["inception_4c"], 510_104),
    ("inception_4d_output", (14, 14, 528), ["inception_4d"], 605_376),
    ("inception_4e_output", (14, 14, 832), ["inception_4e"], 868_352),
    ("pool4_3x3_s2", (7, 7, 832), [], 0),
    ("inception_5a_output", (7, 7, 832), ["inception_5a"], 1_043_456),
    ("inception_5b_output", (7, 7, 1024), ["inception_5b"], 1_444_080),
    ("pool5_7x7_s1", (1024,), [], 0),
    ("pool5_drop_7x7_s1", (1024,), [], 0),
    ("loss3_classifier", (1000,), ["loss3_classifier"], 1_025_000),
    ("predictions", (1000,), [], 0),
]


@pytest.fixture(scope="module")
def paper():
    return GoogLeNet(weights=None)


def test_every_row_of_table_1(paper):
    assert len(ROWS) == len(TABLE_1)
    for (layer, shape, prefixes, parameters), row in zip(ROWS, TABLE_1, strict=True):
        assert paper.get_layer(layer).output.shape[1:] == shape
        assert row.output == (shape if len(shape) == 3 else (1, 1, *shape))
        counted = sum(la.count_params() for la in paper.layers if any(la.name.startswith(p) for p in prefixes))
        # conv2_3x3 is also the beginning of conv2_3x3_reduce: each layer counts once
        assert counted == parameters, layer
    assert sum(row[3] for row in ROWS) == 6_998_552


def test_depth_is_22_layers_and_27_with_pooling():
    assert sum(row.depth for row in TABLE_1) == 22
    assert sum(row.depth + ("pool" in row.type) for row in TABLE_1) == 27


def test_the_printed_columns():
    # as the paper prints them, wrong ones included (see GoogLeNetSpec)
    params = "2.7K 112K 159K 380K 364K 437K 463K 580K 840K 1072K 1388K 1000K"
    ops = "34M 360M 128M 304M 73M 88M 100M 119M 170M 54M 71M 1M"
    patches = "7x7/2 3x3/2 3x3/1 3x3/2 3x3/2 3x3/2 7x7/1"
    assert " ".join(row.params for row in TABLE_1 if row.params) == params
    assert " ".join(row.ops for row in TABLE_1 if row.ops) == ops
    assert " ".join(row.patch_stride for row in TABLE_1 if row.patch_stride) == patches


def counts(spec, **options):
    model = build_googlenet(spec, **options)
    return model.count_params(), sum(int(np.prod(v.shape)) for v in model.trainable_variables)


@pytest.mark.parametrize(
    "spec, total, trainable",
    [
        (GoogLeNetSpec(), 6_998_552, 6_998_552),
        (GoogLeNetSpec(aux_heads=True), 13_378_280, 13_378_280),
        (GoogLeNetSpec(classes=10), 5_983_802, 5_983_802),
        (GoogLeNetSpec(classes=10, aux_heads=True), 10_334_030, 10_334_030),
        (GoogLeNetSpec(classes=205), 6_183_677, 6_183_677),
        (GoogLeNetSpec(classes=365), 6_347_677, 6_347_677),
        (GoogLeNetSpec("torchvision"), 6_639_464, 6_624_904),
        (GoogLeNetSpec("torchvision", aux_heads=True), None, 13_004_888),
        (GoogLeNetSpec("batch_norm"), 7_020_392, 7_005_832),
        (GoogLeNetSpec("batch_norm", aux_heads=True), None, 13_385_816),
        (GoogLeNetSpec("slim", classes=1001), None, 6_618_649),
        (GoogLeNetSpec("inception5h"), 7_066_380, 7_066_380),
        (GoogLeNetSpec("inception5h", aux_heads=True), 13_461_996, 13_461_996),
        (GoogLeNetSpec(stem="small", classes=10), 5_976_122, 5_976_122),
        (GoogLeNetSpec("batch_norm", stem="small", classes=10), None, 5_983_402),
    ],
    ids=str,
)
def test_parameter_counts(spec, total, trainable):
    counted = counts(spec)
    assert counted[1] == trainable
    assert total is None or counted[0] == total


def test_convolutions_alone():
    assert GoogLeNet(weights=None, include_top=False).count_params() == 5_973_552


@pytest.mark.parametrize(
    "variant, stem", [(name, "imagenet") for name in VARIANTS] + [("paper", stem) for stem in ("small", "small_gabor")]
)
def test_contract(variant, stem):
    spec = GoogLeNetSpec(variant, stem=stem, classes=7, aux_heads=True)
    model = build_googlenet(spec, input_shape=(32, 32, 3))
    check_model(model, size=32, outputs={"predictions": (2, 7), "aux_4a": (2, 7), "aux_4d": (2, 7)})


def test_variants_differ_where_they_say():
    built = {name: build_googlenet(GoogLeNetSpec(name)) for name in VARIANTS}
    names = {variant: {layer.name for layer in model.layers} for variant, model in built.items()}
    assert {v for v in names if "pool1_norm1" in names[v]} == {"paper", "inception5h"}
    assert {v for v in names if "conv1_7x7_s2_bn" in names[v]} == {"batch_norm", "slim", "torchvision"}
    assert {v for v in names if "pool4_2x2_s2" in names[v]} == {"slim", "torchvision"}
    assert {v for v in names if "conv1_pad" in names[v]} == {"paper", "batch_norm", "torchvision"}
    five = {v: m.get_layer("inception_3a_5x5").kernel_size[0] for v, m in built.items()}
    assert five == {"paper": 5, "batch_norm": 5, "slim": 3, "torchvision": 3, "inception5h": 5}
    assert built["slim"].get_layer("conv1_7x7_s2_bn").scale is False
    assert built["inception5h"].get_layer("inception_4a_output").output.shape[-1] == 508
    assert built["inception5h"].get_layer("inception_5a_5x5_reduce").filters == 48


def test_lrn_stands_where_figure_3_has_it(paper):
    names = [layer.name for layer in paper.layers]
    order = ["pool1_3x3_s2", "pool1_norm1", "conv2_3x3_reduce", "conv2_relu_3x3", "conv2_norm2", "pool2_3x3_s2"]
    assert [name for name in names if name in order] == order


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_smallest_size(variant):
    model = build_googlenet(GoogLeNetSpec(variant), input_shape=(32, 32, 3))
    assert model.get_layer("inception_5b_output").output.shape[1:3] == (1, 1)


@pytest.mark.parametrize("size", [33, 47, 191, 331])
def test_any_size_from_32_up(size):
    model = GoogLeNet(weights=None, input_shape=(size, size + 1, 3), aux_heads=True)
    assert {tensor.shape for tensor in model.output.values()} == {(None, 1000)}


def test_an_unknown_size_gives_what_a_known_one_gives():
    x = np.random.default_rng(0).uniform(0, 255, (1, 75, 64, 3)).astype("float32")
    known = GoogLeNet(weights=None, input_shape=(75, 64, 3), classes=5, classifier_activation=None)
    unknown = GoogLeNet(weights=None, input_shape=(None, None, 3), classes=5, classifier_activation=None)
    unknown.set_weights(known.get_weights())
    np.testing.assert_allclose(unknown(x), known(x), rtol=1e-4, atol=1e-5)


def test_gabor_stems_have_fixed_filters_in_place_of_the_first_convolution():
    model = GoogLeNet(weights=None, stem="gabor")
    assert model.get_layer("conv1_gabor").output.shape[1:] == (112, 112, 64)
    assert model.get_layer("inception_3a_output").output.shape[1:] == (28, 28, 256)
    assert model.count_params() == 6_998_552 - 9_472, "all but the 7x7 and its biases"
    small = GoogLeNet(weights=None, stem="small_gabor", variant="batch_norm", classes=10)
    assert small.get_layer("conv1_gabor").output.shape[1:] == (32, 32, 48)
    assert small.get_layer("inception_3a_output").output.shape[1:] == (16, 16, 256)
    assert not small.get_layer("conv1_gabor").weights
    # The filters see the pixels as they are, whatever the variant: noise on grey is as faint as noise on white.
    noise = np.random.default_rng(0).normal(0, 1, (1, 32, 32, 3)).astype("float32")
    responses = keras.Model(small.input, small.get_layer("conv1_gabor").output)
    on_grey, on_white = (np.asarray(responses(noise + level))[0, 8:24, 8:24] for level in (127.5, 250.0))
    assert on_grey.max() < 0.1
    np.testing.assert_allclose(on_white, on_grey * 127.5 / 250, atol=2e-3)
    naive = build_googlenet(GoogLeNetSpec("slim", widths=(("3a", (8, 8, 8)),)))
    assert naive.get_layer("inception_3a_5x5").kernel_size == (3, 3), "as the variant's"


def test_small_stem_gives_16_x_16_to_3a():
    model = GoogLeNet(weights=None, stem="small")
    assert model.input_shape == (None, 32, 32, 3)
    assert model.get_layer("inception_3a_output").output.shape[1:] == (16, 16, 256)


@pytest.mark.parametrize("pooling, shape", [(None, (None, 7, 7, 1024)), ("avg", (None, 1024)), ("max", (None, 1024))])
def test_without_top(pooling, shape):
    assert GoogLeNet(weights=None, include_top=False, pooling=pooling).output_shape == shape


def test_input_tensor():
    inputs = keras.Input((80, 64, 3))
    halved = keras.layers.Rescaling(0.5)(inputs)
    model = GoogLeNet(weights=None, input_tensor=halved, classes=4)
    assert model.inputs == [inputs]
    assert model.output_shape == (None, 4)


def test_input_tensor_between_two_networks():
    base = keras.applications.MobileNetV2(weights=None, input_shape=(64, 64, 3), include_top=False, alpha=0.35)
    upsampled = keras.layers.Conv2DTranspose(3, 32, 32)(base.output)
    model = GoogLeNet(weights=None, input_tensor=upsampled, classes=4)
    assert model.input_shape == (None, 64, 64, 3)


def test_other_than_three_channels():
    assert GoogLeNet(weights=None, input_shape=(64, 64, 1)).get_layer("conv1_7x7_s2").kernel.shape == (7, 7, 1, 64)


def test_pixels_are_normalized_inside():
    x = np.full((1, 32, 32, 3), [123.0, 117.0, 104.0], "float32")
    model = GoogLeNet(weights=None, input_shape=(32, 32, 3))
    extractor = keras.Model(model.input, model.get_layer("pixels").output)
    np.testing.assert_array_equal(extractor(x), 0)
    bare = GoogLeNet(weights=None, input_shape=(32, 32, 3), include_preprocessing=False)
    np.testing.assert_array_equal(keras.Model(bare.input, bare.get_layer("pixels").output)(x), x)
    assert model_spec(bare).mean == (123.0, 117.0, 104.0)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"variant": "v2"}, "expected variant to be one of paper, batch_norm.*Received: variant='v2'"),
        ({"stem": "tiny"}, "stem='tiny'"),
        ({"classes": 0}, "classes=0"),
        ({"classes": "ten"}, "classes='ten'"),
        ({"pooling": "sum"}, "pooling='sum'"),
        ({"input_shape": (31, 64, 3)}, "32 or more.*31"),
        ({"input_shape": (64, 64)}, "three numbers"),
        ({"input_shape": (64, 64, None)}, "known number of channels"),
        ({"input_shape": (None, None, 3), "aux_heads": True}, "known height and width with aux_heads=True"),
        ({"include_top": False, "aux_heads": True}, "include_top=False"),
        ({"input_tensor": np.zeros((1, 64, 64, 3))}, "input_tensor"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        GoogLeNet(weights=None, **arguments)


@pytest.mark.parametrize("variant, policy", [("paper", "mixed_float16"), ("batch_norm", "mixed_bfloat16")])
def test_mixed_precision(variant, policy):
    x = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    full = GoogLeNet(
        weights=None, variant=variant, input_shape=(64, 64, 3), classes=5, aux_heads=True, classifier_activation=None
    )
    keras.config.set_dtype_policy(policy)
    half = GoogLeNet(
        weights=None, variant=variant, input_shape=(64, 64, 3), classes=5, aux_heads=True, classifier_activation=None
    )
    half.set_weights(full.get_weights())
    assert {v.dtype for v in half.weights} == {"float32"}
    assert half.get_layer("inception_3a_output").compute_dtype == policy.removeprefix("mixed_")
    for name, expected in full(x).items():
        result = half(x)[name]
        assert result.dtype == "float32"
        scale = float(np.abs(expected).max())
        np.testing.assert_allclose(result, expected, atol=0.03 * scale)


def test_spec_round_trip():
    spec = GoogLeNetSpec("slim", classes=2, labels=["a", "b"], preprocessing={"size": 224})
    assert GoogLeNetSpec.from_dict(spec.to_dict()) == spec
    with pytest.raises(ValueError, match="Received: depth"):
        GoogLeNetSpec.from_dict({"depth": 22})
    with pytest.raises(ValueError, match="architecture='VGG'"):
        GoogLeNetSpec.from_dict({"architecture": "VGG"})


def test_keras_file_round_trip(tmp_path):
    model = GoogLeNet(weights=None, input_shape=(48, 48, 3), classes=3, aux_heads=True)
    x = np.random.default_rng(0).uniform(0, 255, (2, 48, 48, 3)).astype("float32")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is type(model)
    assert model_spec(again) == model_spec(model)
    for name, expected in model(x).items():
        np.testing.assert_allclose(again(x)[name], expected, rtol=1e-6)


def test_spec_survives_cloning_and_surgery():
    model = GoogLeNet(weights=None, variant="batch_norm", input_shape=(48, 48, 3), classes=3)
    assert model_spec(keras.models.clone_model(model)) == model_spec(model)
    cut = keras.Model(model.input, keras.layers.Dense(2)(model.get_layer("pool5_7x7_s1").output))
    assert model_spec(cut).variant == "batch_norm"
    with pytest.raises(ValueError, match="built by keras_inception"):
        model_spec(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))


def test_channels_first():
    keras.config.set_image_data_format("channels_first")
    first = GoogLeNet(weights=None, input_shape=(3, 48, 40), classes=3, aux_heads=True, classifier_activation=None)
    keras.config.set_image_data_format("channels_last")
    last = GoogLeNet(weights=None, input_shape=(48, 40, 3), classes=3, aux_heads=True, classifier_activation=None)
    last.set_weights(first.get_weights())
    x = np.random.default_rng(0).uniform(0, 255, (2, 48, 40, 3)).astype("float32")
    for name, expected in last(x).items():
        np.testing.assert_allclose(first(x.transpose(0, 3, 1, 2))[name], expected, rtol=1e-3, atol=1e-3)


WIDTHS = (("3a", (8, 16, 24, 8, 8, 8)), ("4d", (16, 24, 32)), ("5b", (8, 8, 16, 8, 24, 32)))


def test_modules_of_ones_own_widths():
    model = GoogLeNet(weights=None, stem="small", classes=4)
    spec = GoogLeNetSpec("batch_norm", "small", 4, widths=WIDTHS)
    assert GoogLeNetSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec and hash(spec)
    own = build_googlenet(spec)
    assert own.get_layer("inception_3a_output").output.shape[-1] == 8 + 24 + 8 + 8
    assert own.get_layer("inception_3b_output").output.shape == model.get_layer("inception_3b_output").output.shape
    assert own.get_layer("inception_4d_output").output.shape[-1] == 16 + 24 + 32 + 512, "figure 2a passes all on"
    assert "inception_4d_5x5_reduce" not in [layer.name for layer in own.layers]
    assert own.get_layer("loss3_classifier").kernel.shape == (8 + 16 + 24 + 32, 4)
    assert own.get_layer("inception_3a_pool_proj").filters == 8
    check_model(own, size=32, outputs={"predictions": (2, 4)})
    assert model_spec(own).widths == WIDTHS


@pytest.mark.parametrize(
    "widths",
    [(("6a", (1,) * 6),), (("3a", (1,) * 5),), (("3a", (1, 2, 0)),), (("3a", (1, 2, 3)),) * 2, 3, ((3, "3a"),)],
)
def test_widths_that_are_none(widths):
    with pytest.raises(ValueError, match="widths to be modules, each"):
        GoogLeNetSpec(widths=widths)
