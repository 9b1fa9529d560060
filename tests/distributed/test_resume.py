"""One process, killed for real: what a run keeps, and that it goes on as if nothing had happened."""

import json
import resource

import numpy as np
import pytest
from launch import checkpoint, photos, recipe_file, start

import keras_inception
from keras_inception import checkpoints
from keras_inception.hub import folder as folders
from keras_inception.hub import serialization


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return photos(tmp_path_factory.mktemp("photos"))


def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(tmp_path, data):
    config = recipe_file(tmp_path / "recipe.py", aux_heads=True)  # dropout, heads, averages, the paper's augmentation
    whole = start(config, data, tmp_path / "whole").finish()
    killed = start(config, data, tmp_path / "killed")
    killed.kill_at(7)
    at = checkpoint(killed)[0]
    assert at == 6, "a checkpoint every three steps, in the middle of an epoch of four"
    again = start(config, data, tmp_path / "killed").finish()

    resumed = [line for line in again.lines() if line.get("resumed")]
    assert [line["step"] for line in resumed] == [at]
    assert [line["step"] for line in again.steps()] == list(range(1, 9)), "every step once"
    assert again.losses() == whole.losses()
    (step, expected), (_, received) = checkpoint(whole), checkpoint(again)
    assert step == 8 and expected.keys() == received.keys()
    for name in expected:
        np.testing.assert_array_equal(received[name], expected[name], err_msg=name)

    # What is left behind.
    folder = again.work_dir / "model"
    assert [path.relative_to(again.work_dir).as_posix() for path in again.work_dir.rglob("*.safetensors")] == [
        "model/model.safetensors"
    ]
    same = folders.read(folder).checkpoint().tensors
    for name, tensor in folders.read(whole.work_dir / "model").checkpoint().tensors.items():
        np.testing.assert_array_equal(same[name], tensor)
    assert not any(name.startswith("loss1") for name in same), "no auxiliary heads"
    model = keras_inception.GoogLeNet(weights=folder)
    spec = keras_inception.model_spec(model)
    assert spec.labels == ("class 0", "class 1", "class 2", "class 3") and spec.classes == 4
    averages = {name: value for name, value in expected.items() if value.shape == (1024, 4)}
    kernel = model.get_layer("loss3_classifier").kernel.numpy()
    assert any(np.array_equal(kernel, value) for name, value in averages.items() if name.startswith("optimizer/"))
    assert not any(np.array_equal(kernel, value) for name, value in averages.items() if name.startswith("model/"))
    assert len(list((again.work_dir / "checkpoints").iterdir())) == 3, "the newest three"
    info = json.loads((again.work_dir / "run.json").read_text())
    assert info["recipe"]["augmentation"]["photometric"] == 0.5
    assert len(info["sessions"]) == 2 and all(session["versions"]["keras"] for session in info["sessions"])
    assert (again.work_dir / "curves.png").stat().st_size > 10_000
    assert list((again.work_dir / "tensorboard").iterdir())
    assert "| top1 |" in (folder / "README.md").read_text()

    # Started once more, there is nothing left to do; another recipe may not go on here.
    start(config, data, tmp_path / "killed").finish()
    other = start(config, data, tmp_path / "killed", "--set", "learning_rate=0.5", name="other")
    assert other.wait() == 1 and "begun with learning_rate=0.001" in other.output()


def test_fine_tuning_thaws_its_trunk_and_goes_on_from_that_very_moment(tmp_path, data):
    pretrained = keras_inception.GoogLeNet(weights=None, stem="small", classes=7)
    weights = serialization.write(tmp_path / "other.safetensors", checkpoints.to_checkpoint(pretrained))
    fields = {"weights": str(weights), "aux_heads": False, "frozen_epochs": 1, "checkpoint_every": 100, "keep": 9}
    config = recipe_file(tmp_path / "recipe.py", **fields)
    whole = start(config, data, tmp_path / "whole").finish()
    killed = start(config, data, tmp_path / "killed")
    killed.kill_at(5)
    assert checkpoint(killed)[0] == 4, "the end of the frozen epoch"
    frozen = checkpoint(killed)[1]
    trunk = pretrained.get_layer("conv2_3x3").kernel.numpy()
    assert any(np.array_equal(value, trunk) for name, value in frozen.items() if name.startswith("model/"))
    again = start(config, data, tmp_path / "killed").finish()
    assert again.losses() == whole.losses()
    (_, expected), (_, received) = checkpoint(whole), checkpoint(again)
    for name in expected:
        np.testing.assert_array_equal(received[name], expected[name], err_msg=name)
    assert not any(np.array_equal(value, trunk) for name, value in expected.items() if name.startswith("model/"))
    assert folders.read(again.work_dir / "model").checkpoint().tensors["loss3_classifier/kernel"].shape == (1024, 4)


def test_a_loss_that_is_no_number(tmp_path, data):
    config = recipe_file(
        tmp_path / "recipe.py", aux_heads=False, schedule="exponential", decay_rate=1e12, decay_epochs=1.0
    )
    run = start(config, data, tmp_path / "run")
    assert run.wait() == 1
    last = run.output().strip().splitlines()[-1]
    assert last.startswith("train: the loss of step ") and (" is nan" in last or " is inf" in last)
    good = checkpoint(run)
    assert last.endswith(f"step-{good[0]:08d}.checkpoint")
    assert all(np.isfinite(value).all() for value in good[1].values() if value.dtype.kind == "f")


@pytest.mark.parametrize(
    "step, limit, said",
    [(1, 10_000_000, "could not write the checkpoint of step 3"), (5, 400, "could not write the log")],
    ids=["checkpoint", "log"],
)
def test_a_full_disk(tmp_path, data, step, limit, said):
    """The limit of a file's size makes the system refuse to write, as a full disk does."""
    config = recipe_file(tmp_path / "recipe.py", aux_heads=False)
    run = start(config, data, tmp_path / "run", pipe=True)  # what it says is no file
    run.wait_for(step)
    resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    assert run.wait() == 1
    last = run.process.stdout.read().decode().splitlines()[-1]
    assert last.startswith("train: ") and said in last
    assert ("there is no checkpoint yet" if step == 1 else "step-00000004.checkpoint") in last
    assert not list(run.work_dir.glob("checkpoints/*.part"))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--data-dir", "/nowhere"], "/nowhere"),
        (["--set", "epoch=3"], "expected a field of Recipe"),
        (["--set", "batch_size=100"], "expected at least 100 examples"),
        (["--set", "variant=slim", "--set", "weights=nothing"], "nothing"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, data, arguments, message):
    config = recipe_file(tmp_path / "recipe.py", aux_heads=False)
    folder = () if "--data-dir" in arguments else ("--data-dir", data)
    run = start(config, None, tmp_path / "run", *folder, *arguments)
    assert run.wait() == 1
    last = run.output().strip().splitlines()[-1]
    assert last.startswith("train: ") and message in last and "Traceback" not in run.output()


def test_the_smoke_recipe_learns(tmp_path):
    run = start("training/configs/smoke.py", None, tmp_path / "smoke").finish()
    assert len(run.steps()) == 320 and checkpoint(run)[0] == 320
    kept = sorted(path.name for path in (run.work_dir / "checkpoints").iterdir())
    assert kept == [f"step-{step:08d}.checkpoint" for step in (280, 300, 320)], "one every 20 steps"
    (*_, last) = (line for line in run.lines() if "val_loss" in line)
    assert last["val_accuracy"] > 0.6, "ten classes, 160 images; 0.85 was measured"
