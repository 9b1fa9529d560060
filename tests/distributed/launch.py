"""Runs of `python -m training.train` in processes of their own, over folders of images that the tests make."""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
from PIL import Image

REPOSITORY = pathlib.Path(__file__).parent.parent.parent
# The network is the paper's, the images are few and small. Four classes of ten images: eight of each to train on.
FIELDS = {
    "stem": "small",
    "dataset": "folder",
    "sizes": (32,),
    "resize_to": 32,
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "average": 0.9,
    "deterministic": True,
    "checkpoint_every": 3,
    "shuffle_buffer": 64,
}


def photos(folder, per_class=10) -> pathlib.Path:
    """Noise around a colour for each of four classes, as JPEG files of several shapes."""
    rng = np.random.default_rng(0)
    for label, colour in enumerate([(200, 60, 60), (60, 200, 60), (60, 60, 200), (180, 180, 60)]):
        for number in range(per_class):
            shape = (40 + 3 * number, 52 - 2 * number, 3)
            pixels = np.clip(rng.normal(colour, 40, shape), 0, 255).astype("uint8")
            path = pathlib.Path(folder) / f"class {label}" / f"{number:02d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return pathlib.Path(folder)


def recipe_file(path, more="", **fields) -> pathlib.Path:
    """The file of a recipe, and `more` below it."""
    path = pathlib.Path(path)
    path.write_text(f"from training.recipe import Recipe\n\nrecipe = Recipe(**{ ({**FIELDS, **fields})!r})\n{more}")
    return path


def free_ports(count) -> list[str]:
    """Addresses on the loopback that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


@dataclasses.dataclass
class Run:
    """A training in a process of its own."""

    process: subprocess.Popen
    work_dir: pathlib.Path
    log: pathlib.Path

    def wait(self, seconds=240) -> int:
        return self.process.wait(seconds)

    def finish(self) -> "Run":
        """Waits for its success."""
        assert self.wait() == 0, self.output()[-4000:]
        return self

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        assert self.process.wait(30) == -signal.SIGKILL

    def kill_at(self, step: int) -> None:
        """SIGKILL when a step is done."""
        self.wait_for(step)
        self.kill()

    def wait_for(self, step: int, seconds=200, *, resumed=False) -> None:
        """Waits until a step is done; with `resumed`, by a process that went on with the run of another."""
        end = time.monotonic() + seconds
        while not self._is_at(step, resumed):
            assert self.process.poll() is None, f"ended before step {step}: {self.output()[-4000:]}"
            assert time.monotonic() < end, f"not at step {step} after {seconds} s: {self.output()[-4000:]}"
            time.sleep(0.02)

    def _is_at(self, step, resumed) -> bool:
        lines = self.lines()
        begun = not resumed or any(line.get("resumed") for line in lines)
        return begun and any("loss" in line and line["step"] >= step for line in lines)

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def lines(self) -> list[dict]:
        path = self.work_dir / "metrics.jsonl"
        found = []
        for line in path.read_text().splitlines() if path.exists() else []:
            with contextlib.suppress(ValueError):  # one that is being written
                found.append(json.loads(line))
        return found

    def steps(self) -> list[dict]:
        return [line for line in self.lines() if "loss" in line]

    def losses(self) -> list[float]:
        return [line["loss"] for line in self.steps()]


def start(config, data_dir, work_dir, *arguments, environ=None, name="run", pipe=False) -> Run:
    work_dir = pathlib.Path(work_dir)
    work_dir.mkdir(parents=True, exist_ok=True)
    log = work_dir.with_name(f"{work_dir.name}.{name}.log")
    command = [sys.executable, "-m", "training.train", config, "--work-dir", work_dir, *arguments]
    command += ["--data-dir", data_dir] if data_dir else []
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "TF_CONFIG"))}
    with open(log, "a") as file:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE if pipe else file,
            stderr=subprocess.STDOUT,
            env={**clean, "CUDA_VISIBLE_DEVICES": "", **(environ or {})},
        )
    return Run(process, work_dir, log)


def start_workers(config, data_dir, work_dir, count=2, arguments=(), second=None) -> list[Run]:
    """The workers of a cluster on the loopback; `second`: other folders, of data and run, that the second one has."""
    addresses = ",".join(free_ports(count))
    folders = [(data_dir, work_dir)] * count
    if second is not None:
        folders[1] = second
    return [
        start(config, *folders[index], "--workers", addresses, "--task-index", index, *arguments, name=f"worker{index}")
        for index in range(count)
    ]


def checkpoint(run: Run) -> tuple[int, dict[str, np.ndarray]]:
    """The newest checkpoint of a run."""
    from training.checkpoint import Checkpoints

    step, state, _ = Checkpoints(run.work_dir / "checkpoints", 1).load_latest()
    return step, state
