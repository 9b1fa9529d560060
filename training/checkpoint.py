"""Checkpoints of a run: written whole or not at all, the newest few kept."""

import json
import logging
import os
import pathlib

import numpy as np

logger = logging.getLogger(__name__)

SUFFIX = ".checkpoint"


class Checkpoints:
    """The folder of a run's checkpoints, one file each, named after the step.

    A file is a safetensors file of all variables, with JSON in its metadata. It gets its name only when every byte is
    on the disk, so that a process killed at any moment leaves whole checkpoints behind and at most one nameless file.

    Args:
        folder: where they are; created with the first.
        keep: how many are kept.
    """

    def __init__(self, folder, keep: int):
        self.folder, self.keep = pathlib.Path(folder), keep

    def steps(self) -> list[int]:
        """The steps of the checkpoints that are there, oldest first."""
        names = (path.name.removeprefix("step-").removesuffix(SUFFIX) for path in self.folder.glob(f"step-*{SUFFIX}"))
        return sorted(int(name) for name in names if name.isdecimal())

    def path(self, step: int) -> pathlib.Path:
        return self.folder / f"step-{step:08d}{SUFFIX}"

    def save(self, step: int, state: dict[str, np.ndarray], info: dict) -> pathlib.Path:
        """Writes a checkpoint, then removes those that are too old.

        Args:
            step: how many steps are done.
            state: arrays by name.
            info: JSON data.

        Raises:
            OSError: it could not be written; the checkpoints before it are as they were, and the message names the
                last.
        """
        from safetensors.numpy import save

        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.path(step)
        for left in self.folder.glob("*.part"):  # by a process that was killed; only one writes
            left.unlink(missing_ok=True)
        temporary = path.with_suffix(".part")
        # Arrays of no dimension come back as such only if they are contiguous of their own.
        data = save({name: np.array(value, order="C") for name, value in state.items()}, {"info": json.dumps(info)})
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            last = self.steps()
            still = f"the last good checkpoint is {self.path(last[-1])}" if last else "there is no checkpoint yet"
            raise OSError(
                error.errno, f"could not write the checkpoint of step {step} ({error.strerror}); {still}"
            ) from error
        self._sync_folder()
        for old in [number for number in self.steps() if number <= step][: -self.keep]:
            self.path(old).unlink(missing_ok=True)
        return path

    def _sync_folder(self):
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(handle)  # the new name itself
        finally:
            os.close(handle)

    def load_latest(self):
        """The newest readable checkpoint: its step, state and info; None where there is none.

        A file that a broken disk has damaged is named in the log and passed over; `set_aside` takes it out of the way.

        Raises:
            OSError: a file cannot be read now, which may pass.
            ValueError: there are checkpoints, but all are damaged: to begin anew may not be what is wanted.
        """
        from safetensors import SafetensorError, safe_open

        for step in reversed(self.steps()):
            try:
                with safe_open(self.path(step), framework="numpy") as file:
                    info = json.loads(file.metadata()["info"])
                    return step, {name: file.get_tensor(name) for name in file.keys()}, info  # noqa: SIM118
            except (SafetensorError, ValueError, KeyError, TypeError) as error:
                logger.warning("The checkpoint %s is damaged, and is passed over: %s", self.path(step), error)
        if self.steps():
            raise ValueError(
                f"expected a checkpoint that can be read, or none; Received: {self.folder}, with damaged ones"
            )
        return None

    def set_aside(self, step: int) -> None:
        """Renames checkpoints of later steps, all of which `load_latest` has found damaged."""
        for later in self.steps():
            if later > step:
                os.replace(self.path(later), self.path(later).with_suffix(".damaged"))
