"""A whole run on JAX, where there is no TensorFlow: killed, resumed, finished."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from launch import REPOSITORY, Run, checkpoint, photos, recipe_file, start

import keras_inception
from keras_inception.datasets import synthetic
from training.array_pipeline import training_batches
from training.options import Augmentation

PROGRAM = """
import sys
sys.modules["tensorflow"] = None
from training.train import main
sys.exit(main(sys.argv[1:]))
"""
SETTINGS = ("sizes=32", "epochs=1", "warmup_epochs=0", "batch_size=64", "checkpoint_every=3", "average=0.9")


def jax_environ(folder) -> dict:
    """The backend; and what one process has compiled, which takes most of its time, serves the next."""
    cache = {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    return {"KERAS_BACKEND": "jax", **cache}


def run(work_dir, environ) -> Run:
    work_dir.mkdir(exist_ok=True)
    log = work_dir.with_suffix(".log")
    command = [sys.executable, "-c", PROGRAM, "training/configs/smoke.py", "--work-dir", str(work_dir)]
    command += ["--predict", str(work_dir.with_suffix(".npz"))]
    command += [word for setting in SETTINGS for word in ("--set", setting)]
    with open(log, "a") as file:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=file, stderr=subprocess.STDOUT, env=environ)
    return Run(process, work_dir, log)


def test_two_devices_without_tensorflow(tmp_path):
    environ = {**os.environ, **jax_environ(tmp_path), "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    whole = run(tmp_path / "whole", environ).finish()
    killed = run(tmp_path / "killed", environ)
    killed.wait_for(4)
    killed.kill()
    at = checkpoint(killed)[0]
    again = run(tmp_path / "killed", environ).finish()
    assert [line["step"] for line in again.lines() if line.get("resumed")] == [at] and at >= 3
    assert [line["step"] for line in again.steps()] == list(range(1, 9))
    np.testing.assert_allclose(again.losses(), whole.losses(), rtol=1e-4)
    assert whole.losses()[-1] < whole.losses()[0]
    probabilities = np.load(again.work_dir.with_suffix(".npz"))["probabilities"]
    correct = probabilities.argmax(1) == synthetic("validation").labels
    assert correct.mean() == pytest.approx([line for line in again.lines() if "val_loss" in line][-1]["val_accuracy"])
    assert (again.work_dir / "model" / "model.safetensors").stat().st_size > 20_000_000


def test_photos_in_folders_and_a_trunk_that_thaws(tmp_path):
    """What is not in memory comes through TensorFlow; in bfloat16, from the weights of another network."""
    fields = {"variant": "batch_norm", "aux_heads": False, "weights": "cifar10", "frozen_epochs": 1}
    fields |= {"precision": "mixed_bfloat16", "deterministic": False, "checkpoint_every": 100}
    config = recipe_file(tmp_path / "recipe.py", **fields)
    data = photos(tmp_path / "photos")
    killed = start(config, data, tmp_path / "run", environ=jax_environ(tmp_path))
    killed.kill_at(5)
    at, frozen = checkpoint(killed)
    assert at == 4, "the end of the frozen epoch"
    again = start(config, data, tmp_path / "run", environ=jax_environ(tmp_path)).finish()
    assert [line["step"] for line in again.steps()] == list(range(1, 9))
    kernel = keras_inception.GoogLeNet(weights="cifar10").get_layer("conv1_3x3_s1").kernel.numpy()

    def has_it(state):
        return any(np.array_equal(value, kernel) for name, value in state.items() if name.startswith("model/"))

    assert has_it(frozen) and not has_it(checkpoint(again)[1])
    assert (again.work_dir / "model" / "model.safetensors").is_file()


def test_weights_that_a_callback_changes_are_trained_on():
    code = (
        "import numpy as np\n"
        "from training.jax_engine import JaxEngine\n"
        "from training.recipe import Recipe\n"
        "small = {'architecture': 'NetworkInNetwork', 'variant': 'cifar10', 'aux_heads': False}\n"
        "engine = JaxEngine(Recipe(sizes=(32,), resize_to=32, **small), list('ab'))\n"
        "kernel = engine.model.trainable_variables[0]\n"
        "kernel.assign(np.full(kernel.shape, 0.25))\n"
        "engine.adopt()\n"
        "assert np.all(engine.state()['model/0000'] == 0.25) and np.all(np.asarray(kernel.value) == 0.25)\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(REPOSITORY)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=200)
    assert result.returncode == 0, result.stderr[-3000:]


def test_arrays_need_no_tensorflow():
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from keras_inception.datasets import open_source\n"
        "source = open_source('synthetic', 'train')\n"
        "print(len(source), source.images.dtype, source.labels.dtype)"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert result.stdout.split() == ["512", "uint8", "int64"], result.stderr


def test_the_batches_of_arrays_need_no_tensorflow():
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from keras_inception.datasets import synthetic\n"
        "from training.array_pipeline import evaluation_batches, training_batches\n"
        "from training.options import Augmentation\n"
        "options = Augmentation(crop='shift', photometric=0.0, lighting=0.0)\n"
        "batches = training_batches(synthetic(), size=24, batch_size=64, augmentation=options, seed=1, epochs=[2])\n"
        "print(sum(float(images.sum()) for images, *_ in batches))\n"
        "evaluation = evaluation_batches(synthetic('validation'), size=24, resize_to=32, batch_size=64)\n"
        "print(sum(float(weights.sum()) for *_, weights in evaluation))"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=REPOSITORY
    )
    assert result.returncode == 0, result.stderr
    total, count = map(float, result.stdout.split())
    options = Augmentation(crop="shift", photometric=0.0, lighting=0.0)
    batches = training_batches(synthetic(), size=24, batch_size=64, augmentation=options, seed=1, epochs=[2])
    assert total == pytest.approx(sum(float(images.sum()) for images, *_ in batches)) and count == 160


def test_run_info_on_jax_without_tensorflow(tmp_path):
    program = (
        "import os, sys; os.environ['KERAS_BACKEND'] = 'jax'; sys.modules['tensorflow'] = None\n"
        "from training import monitors; monitors.write_run_info(sys.argv[1], {})"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path], check=True, timeout=120)
    (info,) = json.loads((tmp_path / "run.json").read_text())["sessions"]
    assert info["backend"] == "jax" and len(info["devices"]) >= 1 and all(info["devices"])
