"""Which architectures a stranger's JSON may ask Keras to build: layers on a list, and nothing that runs code."""

import json

from keras_inception.convert.checkpoint import CheckpointError
from keras_inception.hub import building

# Layers that compute what their JSON says, of which none loads or runs anything else. Lambda is not one of them.
LAYERS = frozenset(
    """
    Activation ActivityRegularization AdaptiveAveragePooling2D AdaptiveMaxPooling2D Add AlphaDropout Average
    AveragePooling2D BatchNormalization CenterCrop Concatenate Conv2D Conv2DTranspose Cropping2D Dense DepthwiseConv2D
    Dot Dropout ELU Flatten GaussianDropout GaussianNoise GlobalAveragePooling2D GlobalMaxPooling2D GroupNormalization
    Identity InputLayer LayerNormalization LeakyReLU Maximum MaxPooling2D Minimum Multiply Normalization PReLU Permute
    RandomBrightness RandomContrast RandomCrop RandomFlip RandomRotation RandomTranslation RandomZoom ReLU RepeatVector
    Rescaling Reshape Resizing SeparableConv2D Softmax SpatialDropout2D Subtract UnitNormalization UpSampling2D
    ZeroPadding2D
    """.split()
)
OURS = {
    "AroundPriors": "keras_inception.detection.multibox",
    "CeilAveragePooling2D": "keras_inception.layers.pooling",
    "FusedBatchNormalization": "keras_inception.layers.batch_normalization",
    "GaborFilterBank": "keras_inception.layers.gabor",
    "GoogLeNetWithHeads": "keras_inception.models.auxiliary",
    "LocalResponseNormalization": "keras_inception.layers.local_response_normalization",
    "Pixels": "keras_inception.layers.pixels",
}
_MODELS = {("keras.src.models.functional", "Functional"), ("keras", "Sequential")}
_PARTS = {
    "keras.initializers": """
        Constant GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal LecunUniform Ones Orthogonal RandomNormal
        RandomUniform TruncatedNormal VarianceScaling Zeros
        """.split(),
    "keras.regularizers": ["L1", "L1L2", "L2", "OrthogonalRegularizer"],
    "keras.constraints": ["MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"],
}
POLICIES = ("float32", "float64", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16")
_ACTIVATIONS = frozenset(
    """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid
    log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus squareplus swish
    tanh tanh_shrink threshold
    """.split()
)
_TENSOR = "__keras_tensor__"  # a reference from one layer to another
# No size of a layer is larger. Sizes multiply, but what a layer then would make is compared with the arrays before;
# what cannot be compared is looked at in `building`.
MAX_SIZE = 1 << 20
_NO_SIZES = ("seed", "shared_object_id")
# Where Keras looks a text up among all functions that anybody has registered, and calls what it finds.
_LOOKED_UP = ("initializer", "regularizer", "constraint", "activation", "dtype")


def parse(text: str, name: str) -> dict:
    """The architecture in a `config.json`, of which every class is on the list.

    Raises:
        CheckpointError: it is no such JSON, or names something else.
    """
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name}: expected the JSON of a Keras model; Received: {error}") from error
    try:
        check(config)
    except RecursionError as error:
        raise CheckpointError(f"{name}: expected a Keras model; Received: {type(error).__name__}") from error
    except ValueError as error:
        raise CheckpointError(f"{name}: {error}") from error
    return config


def bare(config):
    """A model's Keras JSON without what is not its architecture: how it was compiled, and how its layers were built."""
    if isinstance(config, list):
        return [bare(item) for item in config]
    if isinstance(config, dict):
        return {key: bare(item) for key, item in config.items() if key not in ("compile_config", "build_config")}
    return config


def check(config) -> None:
    """Raises ValueError unless a model's Keras JSON is made of layers on the list alone, and costs little to build."""
    if not isinstance(config, dict) or not any(config.get("class_name") == name for name in building.MODELS):
        raise ValueError(f"expected a functional or sequential model; Received: {_name(config)}")
    _check(config)
    building.check(config)


def _check(value, key="", of_layer=False) -> None:
    """Checks everything that Keras would make an object of: what has a class, wherever it stands.

    Args:
        value: a part of the JSON.
        key: its name.
        of_layer: whether it is in the config of a layer, in which Keras makes objects of texts too.
    """
    looked_up = of_layer and key.endswith(_LOOKED_UP)
    if isinstance(value, list):
        for item in value:
            _check(item, key, of_layer)
    elif isinstance(value, dict):
        is_object = "class_name" in value or "registered_name" in value or "module" in value
        if is_object:
            _check_class(value)
        elif looked_up:
            raise ValueError(f"expected {key} to be an object of Keras' own classes; Received: {value!r:.100}")
        for name, item in value.items():
            if name in ("compile_config", "build_config"):
                raise ValueError(f"expected an architecture alone; Received: {name}")
            _check(item, name, name == "config" and not _is_model(value) if is_object else of_layer)
    elif isinstance(value, str) and looked_up:
        known = POLICIES if key == "dtype" else _ACTIVATIONS if key == "activation" else ()
        if value not in known:
            raise ValueError(f"expected {key} to be {', '.join(known) or 'an object'}; Received: {value!r:.100}")
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and key not in _NO_SIZES:
        if not abs(value) <= MAX_SIZE:
            raise ValueError(f"expected sizes up to {MAX_SIZE}; Received: {key}={value!r:.100}")


def _is_model(value) -> bool:
    return value.get("class_name") in building.MODELS


def _check_class(value) -> None:
    module, name, registered = (value.get(key) for key in ("module", "class_name", "registered_name"))
    config = value.get("config")
    if not all(isinstance(text, str | None) for text in (module, name, registered)):
        raise ValueError(f"expected a class and its module as texts; Received: {_name(value)}")
    if name == _TENSOR and module is None and registered is None:
        return
    if (module, name) == ("keras", "DTypePolicy") and registered is None:
        policy = config.get("name") if isinstance(config, dict) else None
        if policy not in POLICIES:
            raise ValueError(f"expected a dtype policy, one of {', '.join(POLICIES)}; Received: {policy!r:.100}")
        return
    if isinstance(config, dict):  # and so no function, whose config is a name
        if (module, name) in _MODELS and registered in (None, name):
            return
        if module == "keras.layers" and name in LAYERS and registered is None:
            return
        if name in OURS and OURS[name] == module and registered == f"keras_inception>{name}":
            return
        if name in _PARTS.get(module, ()) and registered is None:
            return
    raise ValueError(
        f"expected Keras' own layers and those of keras_inception ({', '.join(sorted(LAYERS | set(OURS)))}); "
        f"Received: {_name(value)}"
    )


def _name(value) -> str:
    if not isinstance(value, dict):
        return f"{value!r:.100}"
    return ".".join(f"{value[key]!s:.100}" for key in ("module", "class_name") if value.get(key)) or f"{value!r:.100}"
