"""Our networks against OpenCV's reading of the same `.caffemodel`: random weights, both forms of file, many sizes."""

import cv2
import numpy as np
import pytest
from caffe_files import blob, layer
from caffe_prototxt import googlenet, network_in_network, pixels, random_weights

import keras_inception

MEAN = (104, 117, 123)  # BGR, as BVLC has it
OUTPUTS = {"predictions": "loss3/classifier", "aux_4a": "loss1/classifier", "aux_4d": "loss2/classifier"}


@pytest.fixture(scope="module", params=["v1", "new"])
def caffemodel(request, tmp_path_factory):
    """The path of a model with both heads: V1 layers with shapes of four numbers, or today's layers."""
    parts = []
    for name, arrays in random_weights(googlenet(224, heads=True).shapes).items():
        kind = "InnerProduct" if arrays[0].ndim == 2 else "Convolution"
        parts.append(layer(name, [blob(array, request.param) for array in arrays], request.param, kind))
    path = tmp_path_factory.mktemp(request.param) / "googlenet.caffemodel"
    path.write_bytes(b"".join(parts))
    return path


def opencv(path, size: int, heads: bool, image: np.ndarray) -> dict[str, np.ndarray]:
    prototxt = path.with_name(f"deploy_{size}_{heads}.prototxt")
    prototxt.write_text(googlenet(size, heads).text)
    net = cv2.dnn.readNetFromCaffe(str(prototxt), str(path))
    net.setInput(cv2.dnn.blobFromImage(image[..., ::-1], mean=MEAN))
    names = {ours: theirs for ours, theirs in OUTPUTS.items() if heads or ours == "predictions"}
    return dict(zip(names, net.forward(list(names.values())), strict=True))


def compare(path, size: int, heads: bool):
    image = pixels(size)
    model = keras_inception.GoogLeNet(
        weights=path, classifier_activation=None, input_shape=(size, size, 3), aux_heads=heads
    )
    found = model(image[None], training=False)
    found = found if heads else {"predictions": found}
    for name, theirs in opencv(path, size, heads, image).items():
        ours = np.asarray(found[name])
        assert ours.shape == theirs.shape == (1, 1000)
        spread = np.ptp(theirs)
        assert spread > 1  # logits that say something
        assert np.abs(ours - theirs).max() < 1e-4 * spread, name


@pytest.mark.parametrize("size", [200, 211, 224, 239, 257, 299, 330])
def test_main_output(caffemodel, size):
    compare(caffemodel, size, heads=False)


@pytest.mark.parametrize("size", [200, 213, 224, 238])
def test_auxiliary_heads(caffemodel, size):
    compare(caffemodel, size, heads=True)


@pytest.mark.parametrize("form", ["v1", "new"])
@pytest.mark.parametrize(
    "variant, sizes", [("imagenet", (224, 200, 227, 256)), ("cifar10", (32, 24, 33, 50))], ids=["imagenet", "cifar10"]
)
def test_network_in_network(tmp_path, variant, sizes, form):
    """ImageNet's takes BGR of which Caffe's mean image is subtracted; CIFAR-10's RGB, whitened, and so no mean."""
    weights = random_weights(network_in_network(variant, sizes[0]).shapes)
    path = tmp_path / "nin.caffemodel"
    path.write_bytes(b"".join(layer(name, [blob(a, form) for a in arrays], form) for name, arrays in weights.items()))
    for size in sizes:
        net = network_in_network(variant, size)
        prototxt = tmp_path / f"{size}.prototxt"
        prototxt.write_text(net.text)
        opencv_net = cv2.dnn.readNetFromCaffe(str(prototxt), str(path))
        image = pixels(size) if variant == "imagenet" else (pixels(size) - 128) / 32
        mean = (104.0, 116.7, 122.7) if variant == "imagenet" else (0, 0, 0)
        opencv_net.setInput(cv2.dnn.blobFromImage(image[..., ::-1] if variant == "imagenet" else image, mean=mean))
        theirs = opencv_net.forward().reshape(1, -1)
        model = keras_inception.NetworkInNetwork(weights=path, classifier_activation=None, input_shape=(size, size, 3))
        ours = np.asarray(model(image[None], training=False))
        assert ours.shape == theirs.shape == (1, 1000 if variant == "imagenet" else 10)
        spread = np.ptp(theirs)
        assert spread > 0.5  # logits that say something
        assert np.abs(ours - theirs).max() < 1e-4 * spread, size
