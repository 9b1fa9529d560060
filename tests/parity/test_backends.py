"""The same weights give the same numbers on TensorFlow, JAX and PyTorch, the last two with tensorflow blocked."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from keras_inception import GoogLeNetSpec, NetworkInNetworkSpec, checkpoints
from keras_inception.hub import serialization
from keras_inception.models import families

SHAPE = (64, 80, 3)
NETWORKS = {
    variant: GoogLeNetSpec(variant, classes=20, aux_heads=True)
    for variant in ("paper", "torchvision", "slim", "inception5h")
}
NETWORKS["gabor"] = GoogLeNetSpec("paper", stem="gabor", classes=20, aux_heads=True)
NETWORKS["network_in_network"] = NetworkInNetworkSpec("cifar10", second_pool="average")
NETWORKS["network_in_network_imagenet"] = NetworkInNetworkSpec("imagenet", classes=20)


def random_weights(spec, path):
    """Weights whose biases and batch-norm statistics are not the initial ones."""
    model = families.build(spec, input_shape=SHAPE)
    rng = np.random.default_rng(0)
    for variable in model.weights:
        if "kernel" not in variable.path:
            low = 0.5 if variable.path.endswith(("gamma", "moving_variance")) else -0.5
            variable.assign(rng.uniform(low, low + 1, variable.shape))
    serialization.write(path, checkpoints.to_checkpoint(model))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backends")
    np.save(folder / "images.npy", np.random.default_rng(0).uniform(0, 255, (2, *SHAPE)).astype("float32"))
    for name, spec in NETWORKS.items():
        random_weights(spec, folder / f"{name}.safetensors")
    answer(folder, "tensorflow")
    return folder


def answer(folder, backend):
    program = pathlib.Path(__file__).with_name("backend_program.py")
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    files = [folder / "images.npy", *(folder / f"{variant}.safetensors" for variant in NETWORKS)]
    command = [sys.executable, str(program), *map(str, files)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_same_numbers(folder, backend):
    answer(folder, backend)
    for variant in NETWORKS:
        expected = np.load(folder / f"{variant}.safetensors.tensorflow.npz")
        received = np.load(folder / f"{variant}.safetensors.{backend}.npz")
        nin = variant.startswith("network_in_network")
        wanted = {"predictions", "pool2"} if nin else {"predictions", "aux_4a", "aux_4d", "pool1"}
        assert set(received) == set(expected) == wanted
        for name in expected:
            largest = np.abs(expected[name]).max()
            assert np.abs(received[name] - expected[name]).max() <= 1e-4 * largest, (variant, name)
    expected, received = (np.load(folder / f"hmax.{name}.npy") for name in ("tensorflow", backend))
    np.testing.assert_allclose(received, expected, atol=1e-3)
    assert np.ptp(expected, axis=0).max() > 0.1 * np.abs(expected).max(), "the images differ"
