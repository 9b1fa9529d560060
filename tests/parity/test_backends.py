"""The same weights give the same numbers on TensorFlow, JAX and PyTorch, the last two with tensorflow blocked."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from keras_inception import GoogLeNetSpec, pretrained
from keras_inception.hub import serialization
from keras_inception.models.googlenet import build_googlenet


def answers(backend, weights, images, output):
    program = pathlib.Path(__file__).with_name("backend_program.py")
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(program), str(weights), str(images), str(output)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return dict(np.load(output))


@pytest.mark.parametrize("variant", ["paper", "torchvision", "slim", "inception5h"])
def test_the_same_numbers(variant, tmp_path):
    model = build_googlenet(GoogLeNetSpec(variant, classes=20, aux_heads=True), input_shape=(112, 96, 3))
    rng = np.random.default_rng(0)
    for variable in model.weights:
        if variable.path.endswith(("gamma", "moving_variance", "beta", "moving_mean")):
            low = 0.5 if "gamma" in variable.path or "variance" in variable.path else -0.5
            variable.assign(rng.uniform(low, low + 1, variable.shape))
    serialization.write(tmp_path / "weights.safetensors", pretrained.to_checkpoint(model))
    np.save(tmp_path / "images.npy", rng.uniform(0, 255, (2, 112, 96, 3)).astype("float32"))
    arguments = (tmp_path / "weights.safetensors", tmp_path / "images.npy")
    expected = answers("tensorflow", *arguments, tmp_path / "tensorflow.npz")
    for backend in ("jax", "torch"):
        received = answers(backend, *arguments, tmp_path / f"{backend}.npz")
        assert set(received) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(received[name], value, rtol=1e-4, atol=1e-4 * np.abs(value).max(), err_msg=name)
