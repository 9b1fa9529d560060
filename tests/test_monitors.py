"""What a run writes of itself, step by step, and after it was killed at the worst moment."""

import datetime
import io
import json
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

from training import monitors

LOGS = {"epoch": 1, "loss": 2.5, "accuracy": 0.25, "learning_rate": 0.1}


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is told to go on."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(monitors.time, "perf_counter", lambda: Clock.now)
    monkeypatch.setattr(monitors.time, "monotonic", lambda: Clock.now)
    return Clock


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(path, first, last, total=10):
    """The lines of a process that takes the steps after `first`, up to `last`."""
    file = monitors.MetricsFile(path)
    file.begin(first, total)
    for step in range(first + 1, last + 1):
        file.step(step, LOGS, 32)
    file.close()


def test_a_line_for_each_step_and_evaluation(tmp_path, clock):
    path = tmp_path / "run" / "metrics.jsonl"
    file = monitors.MetricsFile(path)
    file.begin(0, 2)
    clock.now += 0.5
    file.step(1, LOGS, 32)
    assert lines(path) == [{"step": 1, **LOGS, "images_per_second": 64.0}]  # to be seen at once
    clock.now += 0.25
    file.step(2, LOGS, 32)
    clock.now += 100
    file.evaluated(2, 1, {"val_loss": 1.5})
    clock.now += 1
    file.step(3, LOGS, 32)
    file.end(3)
    file.close()
    assert [line.get("images_per_second") for line in lines(path)] == [64.0, 128.0, None, 32.0]
    assert lines(path)[2] == {"step": 2, "epoch": 1, "val_loss": 1.5}


def test_no_number_is_null(tmp_path):
    file = monitors.MetricsFile(tmp_path / "m")
    file.begin(0, 3)
    file.step(1, {"loss": float("nan"), "accuracy": float("inf"), "epoch": 1}, 1)
    file.close()
    text = (tmp_path / "m").read_text()
    assert "NaN" not in text and "Infinity" not in text
    (line,) = lines(tmp_path / "m")
    assert line["loss"] is line["accuracy"] is None and line["epoch"] == 1


def test_a_run_that_goes_on_has_every_step_once(tmp_path):
    path = tmp_path / "metrics.jsonl"
    run(path, 0, 5)
    run(path, 3, 7)  # killed after step 5, whose last checkpoint was that of step 3
    run(path, 3, 4)
    run(path, 4, 10)
    taken = [line["step"] for line in lines(path) if "loss" in line]
    assert taken == list(range(1, 11))
    resumed = [line for line in lines(path) if line.get("resumed")]
    assert [line["step"] for line in resumed] == [3, 3, 4]
    assert resumed[-1] == {"step": 4, "resumed": True, "total_steps": 10}


@pytest.mark.parametrize(
    "torn", ['{"step": 3, "lo', '{"step": 3}', "{", "\0\0\0\0", '{"step": 2', "7", "[]", "\x00\n{"]
)
def test_what_a_killed_process_left_unfinished_is_cut_off(tmp_path, torn):
    path = tmp_path / "metrics.jsonl"
    run(path, 0, 2)
    whole = path.read_text()
    path.write_text(whole + torn)
    run(path, 2, 2)
    assert path.read_text() == whole + '{"step": 2, "resumed": true, "total_steps": 10}\n'


def test_a_whole_line_without_its_end_stays(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 1.0}')
    run(path, 1, 2)
    assert [line["step"] for line in lines(path)] == [1, 1, 2]


def test_the_evaluation_of_the_resumed_step_stays(tmp_path):
    file = monitors.MetricsFile(tmp_path / "m")
    file.begin(0, 4)
    file.step(1, LOGS, 1)
    file.evaluated(1, 1, {"val_loss": 1.0})
    file.step(2, LOGS, 1)
    file.evaluated(2, 2, {"val_loss": 0.5})
    file.close()
    run(tmp_path / "m", 1, 1)
    assert [line.get("val_loss") for line in lines(tmp_path / "m")] == [None, 1.0, None]


def test_a_run_from_the_start_begins_a_new_file(tmp_path):
    run(tmp_path / "m", 0, 3)
    run(tmp_path / "m", 0, 1)
    assert [line["step"] for line in lines(tmp_path / "m")] == [1]


def test_a_full_disk_leaves_the_old_lines(tmp_path, monkeypatch):
    run(tmp_path / "m", 0, 3)
    before = (tmp_path / "m").read_text()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(monitors.os, "replace", full)
    with pytest.raises(OSError):
        run(tmp_path / "m", 1, 1)
    assert (tmp_path / "m").read_text() == before


def test_closing_what_was_never_begun(tmp_path):
    for each in (
        monitors.MetricsFile(tmp_path / "m"),
        monitors.Progress(io.StringIO()),
        monitors.TensorBoard(tmp_path),
    ):
        each.close()
    assert list(tmp_path.iterdir()) == []


def test_off_a_terminal_there_is_a_line_now_and_then(clock):
    stream = io.StringIO()
    progress = monitors.Progress(stream, seconds=30)
    progress.begin(0, 100)
    for step in range(1, 42):
        progress.step(step, {"loss": 1 / step}, 32)
        clock.now += 1
    progress.evaluated(41, 1, {"val_loss": 0.5, "val_accuracy": 0.75})
    progress.end(41)
    progress.close()
    assert stream.getvalue().splitlines() == [
        "step 1 of 100, loss 1.000",
        # 30 steps of 32 images in 30 seconds after the first; 69 are left
        "step 31 of 100, loss 0.032, 32.0 images/s, 0:01:09 left",
        "epoch 1, step 41: val_loss 0.5000, val_accuracy 0.7500",
        "step 41 of 100, loss 0.024, 32.0 images/s, 0:00:59 left",
    ]


def test_the_time_left_is_that_of_the_whole_run_when_it_goes_on(clock):
    stream = io.StringIO()
    progress = monitors.Progress(stream, seconds=0)
    progress.begin(8000, 10000)
    for step in (8001, 8002):
        progress.step(step, {"loss": 1.0}, 10)
        clock.now += 2
    assert stream.getvalue().splitlines() == [
        "resumed at step 8000 of 10000",
        "step 8001 of 10000, loss 1.000",
        "step 8002 of 10000, loss 1.000, 5.0 images/s, 1:06:36 left",
    ]


def test_a_run_that_was_done_says_nothing_of_steps():
    stream = io.StringIO()
    progress = monitors.Progress(stream)
    progress.begin(5, 5)
    progress.evaluated(5, 1, {"val_loss": 0.5})
    progress.end(5)
    progress.close()
    assert stream.getvalue().splitlines() == ["resumed at step 5 of 5", "epoch 1, step 5: val_loss 0.5000"]


def test_on_a_terminal_there_is_a_bar(clock):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    progress = monitors.Progress(stream)
    progress.begin(2, 4)
    for step in (3, 4):
        clock.now += 0.5
        progress.step(step, {"loss": 2.5}, 32)
    progress.evaluated(4, 1, {"val_loss": 0.5})
    progress.end(4)
    progress.close()
    text = stream.getvalue()
    assert "50%" in text and "100%" in text and "4/4" in text and "\r" in text
    assert "loss=2.500" in text and "images/s=64.0" in text
    assert "resumed at step 2 of 4\n" in text and "epoch 1, step 4: val_loss 0.5000\n" in text


def events(folder):
    """The scalars of TensorBoard's files by name, as (step, value), and the shapes of the pictures."""
    import tensorflow as tf
    from tensorboard.backend.event_processing import event_file_loader as loader

    scalars, images = {}, {}
    for file in sorted(folder.glob("events*")):
        for event in loader.EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                array = tf.make_ndarray(value.tensor)
                if array.dtype == object:
                    images[value.tag] = [tf.io.decode_image(picture).numpy() for picture in array[2:]]
                else:
                    scalars.setdefault(value.tag, []).append((event.step, float(array)))
    return scalars, images


def test_tensorboard(tmp_path):
    board = monitors.TensorBoard(tmp_path, every=2)
    board.begin(0, 5)
    board.images(0, np.full((20, 8, 6, 3), 200, "uint8"))
    for step in range(1, 6):
        board.step(step, {"loss": step / 2, "accuracy": float("nan")}, 32)
    board.evaluated(5, 1, {"val_loss": 0.5})
    board.end(5)
    board.close()
    scalars, images = events(tmp_path)
    assert scalars["train/loss"] == [(2, 1.0), (4, 2.0)]
    assert scalars["val_loss"] == [(5, 0.5)] and np.isnan(scalars["train/accuracy"][0][1])
    assert [picture.tolist() for picture in images.pop("augmented")] == [[[[200] * 3] * 6] * 8] * 16 and not images


def test_run_info(tmp_path):
    path = monitors.write_run_info(tmp_path, {"epochs": 3})
    assert path == tmp_path / "run.json" and [each.name for each in tmp_path.iterdir()] == ["run.json"]
    whole = json.loads(path.read_text())
    (info,) = whole["sessions"]
    assert whole["recipe"] == {"epochs": 3} and info["backend"] == keras.backend.backend()
    assert info["versions"]["keras"] == keras.__version__ and info["versions"]["numpy"] == np.__version__
    assert info["python"] == ".".join(map(str, sys.version_info[:3]))
    assert any("CPU" in device for device in info["devices"])
    assert abs(datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(info["began"])).seconds < 60


def test_run_info_names_the_commit(tmp_path, monkeypatch):
    repository = pathlib.Path(monitors.__file__).parent.parent
    if shutil.which("git") and (repository / ".git").exists():
        command = ["git", "rev-parse", "HEAD"]
        head = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout.strip()
        assert monitors._commit() in (head, f"{head}-dirty")

    def no_git(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(monitors.subprocess, "run", no_git)
    (session,) = json.loads(monitors.write_run_info(tmp_path, {}).read_text())["sessions"]
    assert session["commit"] is None


def test_run_info_keeps_what_a_run_began_with(tmp_path, monkeypatch):
    monitors.write_run_info(tmp_path, {"epochs": 3})
    monkeypatch.setattr(monitors.platform, "python_version", lambda: "9.9.9")
    sessions = json.loads(monitors.write_run_info(tmp_path, {"epochs": 3}).read_text())["sessions"]
    assert [session["python"] for session in sessions] == [".".join(map(str, sys.version_info[:3])), "9.9.9"]


def test_run_info_replaces_the_old_whole(tmp_path, monkeypatch):
    monitors.write_run_info(tmp_path, {"epochs": 3})
    before = (tmp_path / "run.json").read_text()

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(monitors.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        monitors.write_run_info(tmp_path, {"epochs": 4})
    assert (tmp_path / "run.json").read_text() == before
