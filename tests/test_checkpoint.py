"""Checkpoints: whole or not at all, the newest few, and what is damaged passed over."""

import errno
import os

import numpy as np
import pytest
import safetensors

from training.checkpoint import Checkpoints

STATE = {"model/0": np.arange(6, dtype="float32").reshape(2, 3), "optimizer/0": np.array(7), "f64": np.ones(2)}


def test_round_trip_and_the_newest_few(tmp_path):
    checkpoints = Checkpoints(tmp_path / "new", keep=2)
    assert checkpoints.load_latest() is None
    for step in (5, 10, 15):
        checkpoints.save(step, {**STATE, "step": np.array(step)}, {"seconds": 1.5 * step})
    assert checkpoints.steps() == [10, 15]
    step, state, info = checkpoints.load_latest()
    assert (step, info) == (15, {"seconds": 22.5}) and state["step"] == 15
    for name, value in STATE.items():
        np.testing.assert_array_equal(state[name], value)
        assert state[name].dtype == value.dtype and state[name].shape == value.shape


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"", lambda data: b"x" * len(data)])
def test_a_damaged_one_is_passed_over(tmp_path, damage, caplog):
    checkpoints = Checkpoints(tmp_path, keep=3)
    for step in (1, 2):
        checkpoints.save(step, STATE, {"step": step})
    path = checkpoints.path(2)
    path.write_bytes(damage(path.read_bytes()))
    assert checkpoints.load_latest()[0] == 1
    assert str(path) in caplog.text


def test_a_run_that_goes_back_keeps_what_it_writes(tmp_path):
    """Damaged files of later steps would count as the newest, and be all that is kept."""
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (10, 20, 30):
        checkpoints.save(step, STATE, {})
    checkpoints.path(30).write_bytes(b"")
    assert checkpoints.load_latest()[0] == 20
    checkpoints.save(25, STATE, {})
    assert checkpoints.steps() == [20, 25, 30] and checkpoints.load_latest()[0] == 25
    checkpoints.set_aside(25)
    assert checkpoints.steps() == [20, 25] and (tmp_path / "step-00000030.damaged").is_file()
    checkpoints.save(30, STATE, {})
    assert checkpoints.steps() == [25, 30]


def test_where_all_are_damaged_nobody_begins_anew(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(10, STATE, {})
    checkpoints.path(10).write_bytes(b"")
    with pytest.raises(
        ValueError, match="expected a checkpoint that can be read, or none; Received: .*with damaged ones"
    ):
        checkpoints.load_latest()


def test_what_cannot_be_read_now_is_not_damaged(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(10, STATE, {})

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(safetensors, "safe_open", refuse)
    with pytest.raises(PermissionError):
        checkpoints.load_latest()


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_the_last_one_valid(tmp_path, monkeypatch, function):
    checkpoints = Checkpoints(tmp_path, keep=1)

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, function, full)
        with pytest.raises(OSError, match="step 1 .No space left on device.; there is no checkpoint yet"):
            checkpoints.save(1, STATE, {})
    checkpoints.save(2, STATE, {"good": True})
    monkeypatch.setattr(os, function, full)
    with pytest.raises(OSError, match=f"step 3 .No space left on device.; the last good .*{checkpoints.path(2).name}"):
        checkpoints.save(3, STATE, {})
    assert [path.name for path in tmp_path.iterdir()] == [checkpoints.path(2).name]
    assert checkpoints.load_latest()[2] == {"good": True}


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(4, STATE, {})
    checkpoints.path(8).with_suffix(".part").write_bytes(b"half")
    assert checkpoints.load_latest()[0] == 4
    assert len(list(tmp_path.iterdir())) == 2, "whoever only reads may be another than who writes"
    checkpoints.save(5, STATE, {})
    assert [path.name for path in tmp_path.iterdir()] == [checkpoints.path(5).name]
