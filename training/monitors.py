"""Seeing a run: `metrics.jsonl`, the terminal, TensorBoard, and what the run was made with."""

import datetime
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import subprocess
import time

from training.machine import processor


class Monitor:
    """What is told of a run. Steps are counted from 1, and a run that goes on begins with those that are done."""

    def begin(self, step: int, total_steps: int) -> None:
        """Before the first step of this process, when `step` are done."""

    def images(self, step: int, batch) -> None:
        """Of a batch as the network sees it: uint8 (n, height, width, 3), RGB."""

    def step(self, step: int, logs: dict, images: int) -> None:
        """After each step, with its own loss and metrics and the number of images that it took."""

    def evaluated(self, step: int, epoch: int, logs: dict) -> None:
        """After an evaluation."""

    def end(self, step: int) -> None:
        """After the last step."""

    def close(self) -> None:
        """Whatever became of the run."""


class MetricsFile(Monitor):
    """Writes one line of JSON a step, with the key `step`; one for each evaluation; and one that says `resumed`.

    A run that goes on cuts off the lines of steps after its checkpoint, which it is about to take again, and a line
    that a killed process left unfinished: every step is there once.

    Args:
        path: the file.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self._file, self._clock = None, None

    def begin(self, step: int, total_steps: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            temporary = self.path.with_suffix(".part")
            with open(self.path, "rb") as old, open(temporary, "wb") as new:
                new.writelines(line.rstrip(b"\n") + b"\n" for line in old if _step_of(line) <= step)
            os.replace(temporary, self.path)
        self._file = open(self.path, "a", buffering=1)  # noqa: SIM115 (closed by close)
        if step:
            self._write({"step": step, "resumed": True, "total_steps": total_steps})
        self._clock = time.perf_counter()

    def step(self, step: int, logs: dict, images: int) -> None:
        now = time.perf_counter()
        self._write({"step": step, **logs, "images_per_second": round(images / (now - self._clock), 2)})
        self._clock = now

    def evaluated(self, step: int, epoch: int, logs: dict) -> None:
        self._write({"step": step, "epoch": epoch, **logs})
        self._clock = time.perf_counter()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, line: dict) -> None:
        # JSON knows no NaN.
        values = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()}
        self._file.write(json.dumps(values, allow_nan=False) + "\n")


def _step_of(line: bytes) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf


class Progress(Monitor):
    """A progress bar over all steps, with images per second and the time left; on no terminal, a line now and then.

    Args:
        stream: where it is drawn.
        seconds: between lines, where the stream is no terminal.
    """

    def __init__(self, stream, seconds: float = 30.0):
        self.stream, self.seconds = stream, seconds
        self._bar = None

    def begin(self, step: int, total_steps: int) -> None:
        self._step, self._total, self._done = step, total_steps, 0
        self._started, self._said = None, -math.inf
        if getattr(self.stream, "isatty", lambda: False)():
            from tqdm import tqdm

            self._bar = tqdm(
                total=total_steps, initial=step, unit="step", file=self.stream, mininterval=0.2, dynamic_ncols=True
            )
        if step:
            self._say(f"resumed at step {step} of {total_steps}")

    def step(self, step: int, logs: dict, images: int) -> None:
        self._step, self._loss = step, logs["loss"]
        now = time.monotonic()
        if self._started is None:
            self._started = now  # the first step is spent on compiling
        else:
            self._done += 1
        self._seconds = max(now - self._started, 1e-9)
        self._rate = self._done * images / self._seconds
        if self._bar is not None:
            rate = f"{self._rate:.1f}" if self._done else "-"
            self._bar.set_postfix({"loss": f"{self._loss:.3f}", "images/s": rate}, refresh=False)
            self._bar.update()
        elif now - self._said >= self.seconds:
            self._said = now
            self._say(self._line())

    def evaluated(self, step: int, epoch: int, logs: dict) -> None:
        shown = ", ".join(f"{name} {value:.4f}" for name, value in logs.items())
        self._say(f"epoch {epoch}, step {step}: {shown}")

    def end(self, step: int) -> None:
        if self._bar is not None:
            self._bar.refresh()
        elif self._started is not None:
            self._say(self._line())

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _line(self) -> str:
        line = f"step {self._step} of {self._total}, loss {self._loss:.3f}"
        if self._done:
            left = round((self._total - self._step) * self._seconds / self._done)
            line += f", {self._rate:.1f} images/s, {datetime.timedelta(seconds=left)} left"
        return line

    def _say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.write(line, file=self.stream)
        else:
            print(line, file=self.stream, flush=True)


class TensorBoard(Monitor):
    """Writes TensorBoard's files: scalars of steps and evaluations, and the first batch as the network sees it.

    Args:
        folder: where they are.
        every: steps from one point of a curve to the next.
    """

    def __init__(self, folder, every: int = 20):
        self.folder, self.every = str(folder), every
        self._writer = None

    def begin(self, step: int, total_steps: int) -> None:
        import tensorflow as tf

        self._summary = tf.summary
        self._writer = tf.summary.create_file_writer(self.folder)

    def images(self, step: int, batch) -> None:
        """Shows up to 16 of them."""
        with self._writer.as_default():
            self._summary.image("augmented", batch[:16], step=step, max_outputs=16)
        self._writer.flush()

    def step(self, step: int, logs: dict, images: int) -> None:
        if step % self.every == 0:
            self._scalars(step, logs, "train/")

    def evaluated(self, step: int, epoch: int, logs: dict) -> None:
        self._scalars(step, logs, "")
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _scalars(self, step, logs, prefix):
        with self._writer.as_default():
            for name, value in logs.items():
                self._summary.scalar(f"{prefix}{name}", value, step=step)


def write_run_info(folder, recipe: dict) -> pathlib.Path:
    """Writes `run.json`: the whole recipe, and the devices, commit and versions of a session; whole or not at all.

    A run that goes on adds a session, for it may go on with other devices and versions.

    Args:
        folder: the run's folder.
        recipe: JSON data.

    Returns:
        The file.
    """
    import keras

    def version(package):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return None

    path = pathlib.Path(folder) / "run.json"
    sessions = json.loads(path.read_text()).get("sessions", []) if path.exists() else []
    packages = ("keras-inception", "keras", "tensorflow", "jax", "numpy", "tensorflow-datasets")
    session = {
        "began": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "backend": keras.backend.backend(),
        "devices": _devices(keras.backend.backend()),
        "processor": processor(),
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in packages},
    }
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps({"recipe": recipe, "sessions": [*sessions, session]}, indent=2) + "\n")
    os.replace(temporary, path)
    return path


def _commit() -> str | None:
    """Of this program's repository, with `-dirty` where files of it were changed; None outside of one."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, cwd=pathlib.Path(__file__).parent, capture_output=True, text=True)
    except OSError:  # there is no git
        return None
    return found.stdout.strip() or None


def _devices(backend: str) -> list[str]:
    """The names of the local devices, as their makers call them where they do."""
    if backend == "jax":
        import jax

        return [device.device_kind for device in jax.local_devices()]
    import tensorflow as tf

    details = tf.config.experimental.get_device_details
    return [details(device).get("device_name", device.name) for device in tf.config.list_physical_devices()]
