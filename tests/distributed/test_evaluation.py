"""An evaluation on two workers, and on two devices, is that of one process."""

import json
import os
import subprocess
import sys

import pytest
from launch import REPOSITORY, free_ports
from PIL import Image

from keras_inception.datasets import synthetic

MIRRORED = """
import sys
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_inception

with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    models = [keras_inception.GoogLeNet(weights="cifar10") for _ in range(2)]
source = keras_inception.datasets.open_source("folder", "all", sys.argv[1])
keras_inception.evaluate(models, source, "10", batch_size=8, progress=False).save(sys.argv[2])
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Eleven images of three classes, which two workers cannot share evenly."""
    folder = tmp_path_factory.mktemp("photos")
    source = synthetic("validation", examples=11)
    for number, image in enumerate(source.images):
        path = folder / ("cat", "deer", "ship")[number % 3] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


def start(out, photos, *arguments):
    options = ["--weights", "cifar10", "--data", photos, "--protocol", "10", "--batch-size", "8", "--json", out]
    command = [sys.executable, "-m", "training.evaluate", *options, *arguments]
    environ = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        list(map(str, command)), cwd=REPOSITORY, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process) -> str:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err[-3000:]
    return out


@pytest.fixture(scope="module")
def expected(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("one") / "one.json"
    assert "11 images" in finish(start(out, photos))
    return json.loads(out.read_text())


def assert_same(found, expected):
    assert found["images"] == 11 and found["confusion"] == expected["confusion"]
    assert found["top5_accuracy"] == expected["top5_accuracy"]
    assert found["expected_calibration_error"] == pytest.approx(expected["expected_calibration_error"], abs=1e-5)


def test_two_workers(photos, expected, tmp_path):
    workers = ",".join(free_ports(2))
    arguments = ("--workers", workers, "--resume", tmp_path / "state", "--task-index")
    processes = [start(tmp_path / "two.json", photos, *arguments, index) for index in range(2)]
    first, second = map(finish, processes)
    assert "11 images" in first and not second.strip(), "the first alone tells"
    assert_same(json.loads((tmp_path / "two.json").read_text()), expected)
    assert sorted(path.name for path in tmp_path.glob("state*")) == ["state.0", "state.1"]


def test_two_devices(photos, expected, tmp_path):
    command = [sys.executable, "-c", MIRRORED, str(photos), str(tmp_path / "out.json")]
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=240)
    assert process.returncode == 0, process.stderr[-3000:]
    found = json.loads((tmp_path / "out.json").read_text())
    assert len(found["models"]) == 2
    assert_same(found, expected)


def test_on_jax(photos, expected, tmp_path):
    """The crops are TensorFlow's, the network is the backend's."""
    options = ["--weights", "cifar10", "--data", photos, "--protocol", "10", "--json", tmp_path / "out.json"]
    command = [sys.executable, "-m", "keras_inception_cli", "evaluate", *options]
    environ = {**os.environ, "KERAS_BACKEND": "jax", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.run(
        list(map(str, command)), cwd=REPOSITORY, env=environ, capture_output=True, text=True, timeout=240
    )
    assert process.returncode == 0, process.stderr[-3000:]
    assert_same(json.loads((tmp_path / "out.json").read_text()), expected)
