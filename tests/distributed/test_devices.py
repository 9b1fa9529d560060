"""Two devices compute what one does: under MirroredStrategy, and with JAX's DataParallel."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from launch import REPOSITORY, photos, recipe_file

from keras_inception.hub import serialization

PROGRAM = pathlib.Path(__file__).with_name("engine_program.py")
PAPER = {"variant": "paper", "aux_heads": True}
SYNCHRONIZED = {"variant": "batch_norm", "synchronized": True, "aux_heads": True}
RUN = """
import pathlib, sys
import tensorflow as tf
from training.recipe import load_config
from training.run import train

config, data, folder, devices = *map(pathlib.Path, sys.argv[1:4]), int(sys.argv[4])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
names = [f"CPU:{number}" for number in range(devices)]
recipe = load_config(config)["recipe"]
train(recipe, name="two", data_dir=data, work_dir=folder, strategy="mirrored", devices=names)
"""


FROM_HUB = """
import contextlib, sys
import keras, numpy as np
import keras_inception

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    scope = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope()
else:
    scope = keras.distribution.DataParallel(auto_shard_dataset=False).scope()
base = keras_inception.GoogLeNet(weights=None, stem="small", include_top=False, pooling="avg", input_shape=(32, 32, 3))
keras_inception.push_to_hub(keras.Model(base.input, keras.layers.Dense(2, name="own")(base.output)), sys.argv[1])
with scope:
    model = keras_inception.from_hub(sys.argv[1])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 32, 32, 3)), np.ones((4, 2)), batch_size=4, verbose=0)
value = model.get_layer("own").kernel.value
value = getattr(value, "_values", None) or value.sharding.device_set
print(len(value))
"""


def take_steps(folder, devices, fields, backend="tensorflow"):
    out = folder / f"{backend}{devices}.npz"
    command = [sys.executable, PROGRAM, out, str(devices), json.dumps(fields)]
    environ = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=400)
    assert process.returncode == 0, process.stderr[-3000:]
    return np.load(out)


def assert_same(one, two, tolerance, reported=None):
    """Weights, momentum, averages, moving statistics; and what is reported, loss and metrics. The loss must move."""
    assert one.files == two.files and len(one.files) > 300
    assert len(set(one["losses"])) == len(one["losses"])
    limits = {"losses": reported or tolerance, "metrics": reported or tolerance, "probabilities": 1e-5}
    assert one["probabilities"].shape == (31, 10) and np.isnan(one["probabilities"]).all(1).tolist().index(True) == 5
    for name in one.files:
        limit = limits.get(name, tolerance)
        np.testing.assert_allclose(two[name], one[name], rtol=limit, atol=limit, err_msg=name)


@pytest.mark.parametrize("fields", [PAPER, SYNCHRONIZED], ids=["paper", "synchronized batch norm"])
def test_mirrored(tmp_path, fields):
    """In float64, where the order of additions does not show: in float32 batch norm drifts to 1e-3 in ten steps."""
    one, two = take_steps(tmp_path, 1, fields), take_steps(tmp_path, 2, fields)
    assert one["model/0000"].dtype == np.float64
    assert_same(one, two, 1e-9)


def test_a_mirrored_run(tmp_path):
    """From files to weights, with evaluations whose last batch is not full."""
    data = photos(tmp_path / "photos", per_class=15)
    config = recipe_file(tmp_path / "recipe.py", precision="float64", dropout=0.0, head_dropout=0.0)
    environ = {**os.environ, "KERAS_BACKEND": "tensorflow", "PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": ""}
    runs, models = [], []
    for devices in (1, 2):
        folder = tmp_path / f"run{devices}"
        command = [sys.executable, "-c", RUN, config, data, folder, str(devices)]
        process = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=400)
        assert process.returncode == 0, process.stderr[-3000:]
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert sum("val_loss" in line for line in lines) == 2
        models.append(serialization.read(folder / "model" / "model.safetensors").tensors)
        runs.append([[line.get(key, 0) for key in ("step", "loss", "val_loss", "val_accuracy")] for line in lines])
    assert len(runs[0]) == 14, "two epochs of six batches"
    np.testing.assert_allclose(runs[1], runs[0], rtol=1e-6)
    assert set(models[0]) == set(models[1])
    for name, values in models[0].items():
        np.testing.assert_allclose(models[1][name], values, rtol=1e-5, atol=1e-7, err_msg=name)


def test_jax(tmp_path):
    """The state is float64; the sums that JAX reports are float32."""
    one, two = (take_steps(tmp_path, devices, PAPER, "jax") for devices in (1, 2))
    assert_same(one, two, 1e-9, reported=1e-6)


def test_jax_takes_batch_norms_statistics_over_all_devices(tmp_path):
    """Of each device alone they would change the first loss by several per cent; Keras computes them in float32."""
    one, two = (take_steps(tmp_path, devices, SYNCHRONIZED, "jax") for devices in (1, 2))
    np.testing.assert_allclose(two["losses"][0], one["losses"][0], rtol=1e-5)
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=0.02)


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_what_is_loaded_in_a_scope_is_on_all_of_its_devices(tmp_path, backend):
    environ = {**os.environ, "KERAS_BACKEND": backend, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    environ |= {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", FROM_HUB, str(tmp_path / "net")]
    process = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=400)
    assert process.returncode == 0, process.stderr[-3000:]
    assert process.stdout.strip() == "2"
