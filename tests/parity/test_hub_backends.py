"""What one backend publishes, the others load, tensorflow blocked where it is not the backend, and publish again."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_inception import GoogLeNet, from_hub, push_to_hub

PROGRAM = """
import os, pathlib, sys
if os.environ["KERAS_BACKEND"] != "tensorflow":
    sys.modules["tensorflow"] = None  # looks as if it were not installed
import numpy as np
import keras_inception
source, pixels, out = map(pathlib.Path, sys.argv[1:])
model = keras_inception.from_hub(source)
np.save(out.with_suffix(".npy"), model.predict(np.load(pixels), verbose=0))
keras_inception.push_to_hub(model, out)
"""


def plain():
    return GoogLeNet(weights=None, variant="batch_norm", stem="small", classes=3, input_shape=(32, 32, 3))


def built_upon():
    base = GoogLeNet(weights=None, stem="small", include_top=False, pooling="avg", input_shape=(32, 32, 3))
    x = keras.layers.Dropout(0.5, name="drop")(base.output)
    return keras.Model(base.input, keras.layers.Dense(2, name="classes")(x))


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("build", [plain, built_upon])
def test_from_one_backend_to_another_and_back(tmp_path, backend, build):
    keras.utils.set_random_seed(0)
    model = build()
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    np.save(tmp_path / "pixels.npy", pixels)
    push_to_hub(model, tmp_path / "ours")
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    arguments = [tmp_path / "ours", tmp_path / "pixels.npy", tmp_path / "theirs"]
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    expected = model.predict(pixels, verbose=0)
    for received in (np.load(tmp_path / "theirs.npy"), from_hub(tmp_path / "theirs").predict(pixels, verbose=0)):
        assert np.abs(received - expected).max() <= 1e-4 * np.abs(expected).max()
