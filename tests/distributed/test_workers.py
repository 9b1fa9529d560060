"""Two workers on the loopback under MultiWorkerMirroredStrategy: they compute what one does, and die together."""

import csv
import time

import numpy as np
import pytest
from launch import checkpoint, photos, recipe_file, start, start_workers

# What the README promises for the time that a cluster takes to end after the loss of a worker.
STATED_SECONDS = 60
# Each worker leaves what it has in the end beside its own callbacks' files, which are the chief's alone in the run.
CALLBACKS = """
import json, os, pathlib
import keras

class Dump(keras.callbacks.Callback):
    def on_train_end(self, logs=None):
        index = json.loads(os.environ.get("TF_CONFIG", '{"task": {"index": 0}}'))["task"]["index"]
        values = {str(number): v.numpy().tolist() for number, v in enumerate(self.model.variables) if v.shape.rank == 1}
        pathlib.Path(DUMPS, f"{index}.json").write_text(json.dumps(values))

def callbacks(folder):
    return [
        keras.callbacks.CSVLogger(folder / "log.csv"),
        keras.callbacks.ModelCheckpoint(folder / "best.keras", monitor="val_loss", save_best_only=True),
        keras.callbacks.EarlyStopping(monitor="val_loss", patience=1, min_delta=1e9),
        keras.callbacks.TensorBoard(folder / "board"),
        Dump(),
    ]
"""
# In double precision, which convolutions are slow in, and so with few filters.
NARROW = tuple((module, (8,) * 6) for module in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"))
EXACT = {"precision": "float64", "dropout": 0.0, "head_dropout": 0.0, "widths": NARROW}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    # Eleven images of four classes: 36 to train on, and 8 to evaluate, which is no multiple of six.
    return photos(tmp_path_factory.mktemp("photos"), per_class=11)


@pytest.mark.parametrize(
    "fields", [{"aux_heads": True}, {"variant": "batch_norm", "synchronized": True, "aux_heads": False}]
)
def test_the_curve_of_two_workers_is_that_of_one_process(tmp_path, data, fields):
    config = recipe_file(tmp_path / "recipe.py", batch_size=6, **EXACT, **fields)
    workers = start_workers(config, data, tmp_path / "two", arguments=["--predict", tmp_path / "two.npz"])
    one = start(config, data, tmp_path / "one", "--predict", tmp_path / "one.npz").finish()
    for worker in workers:
        worker.finish()
    np.testing.assert_allclose(workers[0].losses(), one.losses(), rtol=1e-9)
    assert len(one.losses()) > 10 and len(set(one.losses())) > 10
    ours, theirs = ([line for line in run.lines() if "val_loss" in line] for run in (workers[0], one))
    assert len(ours) == 2
    for a, b in zip(ours, theirs, strict=True):
        assert a["val_loss"] == pytest.approx(b["val_loss"], rel=1e-9)
        assert a["val_accuracy"] == b["val_accuracy"]
    for name, value in checkpoint(one)[1].items():
        np.testing.assert_allclose(checkpoint(workers[0])[1][name], value, rtol=1e-7, atol=1e-9, err_msg=name)
    first, second = (np.load(tmp_path / f"{name}.npz") for name in ("one", "two"))
    assert first["probabilities"].shape == (8, 4), "eight images, in batches of six"
    np.testing.assert_allclose(first["probabilities"].sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(second["probabilities"], first["probabilities"], rtol=1e-5)
    correct = first["probabilities"].argmax(1) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert correct.mean() == theirs[-1]["val_accuracy"] and list(first["classes"]) == [f"class {i}" for i in range(4)]
    assert "images/s" in workers[0].output() and "images/s" not in workers[1].output(), "progress on the chief alone"


def test_keras_callbacks_and_batch_norm_statistics(tmp_path, data):
    """Without synchronized batch norm each worker has batch statistics of its own, and yet one set of moving ones."""
    more = f"DUMPS = {str(tmp_path)!r}\n{CALLBACKS}"
    config = recipe_file(
        tmp_path / "recipe.py", more, variant="batch_norm", aux_heads=False, batch_size=6, epochs=4, average=None
    )
    workers = start_workers(config, data, tmp_path / "run")
    for worker in workers:
        worker.finish()
    import json

    first, second = (json.loads((tmp_path / f"{index}.json").read_text()) for index in (0, 1))
    assert first.keys() == second.keys() and len(first) > 100
    for name, values in first.items():
        np.testing.assert_allclose(second[name], values, rtol=1e-6, atol=1e-7, err_msg=name)
    run = workers[0].work_dir
    rows = list(csv.DictReader((run / "log.csv").open()))
    assert [row["epoch"] for row in rows] == ["0", "1"], "stopped early, on both workers, after one epoch's patience"
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"} <= rows[0].keys()
    assert (run / "best.keras").stat().st_size > 1_000_000
    assert list((run / "board").rglob("events*"))


@pytest.mark.parametrize("victim", [1, 0], ids=["worker", "chief"])
def test_a_killed_worker_takes_its_cluster_down_and_the_next_goes_on(tmp_path, data, victim):
    config = recipe_file(tmp_path / "recipe.py", aux_heads=False, batch_size=6, epochs=2, **EXACT)
    workers = start_workers(config, data, tmp_path / "run")
    workers[0].wait_for(5)
    workers[victim].kill()
    killed = time.monotonic()
    other = workers[1 - victim]
    assert other.wait(STATED_SECONDS) == 75, other.output()[-3000:]
    assert time.monotonic() - killed < STATED_SECONDS
    assert "goes on from the last checkpoint" in other.output().splitlines()[-1]
    at = checkpoint(workers[0])[0]
    assert at >= 3
    if victim == 1:
        # A worker that does not see the folder, or an old state of it, would go on from another step.
        apart = start_workers(config, data, tmp_path / "run", second=(data, tmp_path / "elsewhere"))
        assert [worker.wait() for worker in apart] == [1, 1]
        said = [worker.output().strip().splitlines()[-1] for worker in apart]
        assert said[0] == said[1] and said[0].endswith(f"Received: checkpoints of the steps 0, {at}"), said
    again = start_workers(config, data, tmp_path / "run")
    for worker in again:
        worker.finish()
    assert [line["step"] for line in again[0].lines() if line.get("resumed")] == [at]
    assert [line["step"] for line in again[0].steps()] == list(range(1, 13)), "every step once"
    one = start(config, data, tmp_path / "one").finish()
    np.testing.assert_allclose(again[0].losses(), one.losses(), rtol=1e-9)
    for name, value in checkpoint(one)[1].items():
        np.testing.assert_allclose(checkpoint(again[0])[1][name], value, rtol=1e-7, atol=1e-9, err_msg=name)


def test_a_worker_that_cannot_begin_takes_its_cluster_down(tmp_path, data):
    """Its own error is told where it is, with exit code 1; to the others it is lost."""
    config = recipe_file(tmp_path / "recipe.py", aux_heads=False, batch_size=6)
    first, second = start_workers(
        config, data, tmp_path / "run", second=(tmp_path / "no such folder", tmp_path / "run")
    )
    assert second.wait() == 1
    assert "no such folder" in second.output().strip().splitlines()[-1]
    assert first.wait(STATED_SECONDS) == 75, first.output()[-3000:]
