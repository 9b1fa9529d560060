"""The training loop: epochs and steps, checkpoints, evaluation, and what is to be seen of them."""

import contextlib
import dataclasses
import itertools
import math
import time

import keras
import numpy as np

from training.checkpoint import Checkpoints
from training.recipe import Recipe


class NotFiniteError(ArithmeticError):
    """The loss is no number any more."""


@dataclasses.dataclass
class Data:
    """Where the batches come from.

    Attributes:
        training: gives the batches of epochs, one after another. Arguments: their numbers, how many batches of the
            first were done before, and the size of the images in pixels.
        evaluation: gives all batches of the evaluation split.
        steps_per_epoch: batches of an epoch.
    """

    training: callable
    evaluation: callable
    steps_per_epoch: int


class Loop:
    """Trains a model by a recipe, from the step that its checkpoints have reached.

    The loss of a step is looked at when the next one is on its way, so that an accelerator never waits for it.

    Args:
        recipe: the recipe.
        engine: what takes steps (`TensorFlowEngine`, `JaxEngine`, `ParameterServerEngine`).
        data: the batches.
        checkpoints: where the state is kept.
        monitors: what is told of every step (`training.monitors`).
        callbacks: Keras callbacks. They see epochs, steps and evaluations as under `fit`: logs of a step are its own
            and not the mean since the epoch began, `model` has logits as outputs and the weights as they train.
        writes: whether this process writes checkpoints, as only the chief of several workers does.
    """

    def __init__(
        self, recipe: Recipe, engine, data: Data, checkpoints: Checkpoints, *, monitors=(), callbacks=(), writes=True
    ):
        self.recipe, self.engine, self.data, self.checkpoints = recipe, engine, data, checkpoints
        self.monitors, self.writes = list(monitors), writes
        self.callbacks = keras.callbacks.CallbackList(
            list(callbacks), model=engine.model, epochs=recipe.epochs, steps=data.steps_per_epoch, verbose=0
        )
        self.step = 0
        self.metrics = None  # of the last evaluation
        self._seconds, self._started = 0.0, time.monotonic()
        self._pending = []
        self._saved, self._stopped = None, False
        self.left_out = 0  # rows of this session's batches whose image is broken

    @property
    def total_steps(self) -> int:
        return self.recipe.epochs * self.data.steps_per_epoch

    @property
    def seconds(self) -> float:
        """Time of training so far, over interruptions."""
        return self._seconds + time.monotonic() - self._started

    def run(self) -> dict | None:
        """Trains to the end.

        Returns:
            The metrics of the last evaluation.

        Raises:
            NotFiniteError: the loss became infinite or NaN; the message names the step and the last good checkpoint.
            OSError: a checkpoint could not be written.
        """
        self._resume()
        self.engine.model.stop_training = self._stopped
        with contextlib.ExitStack() as stack:
            for monitor in self.monitors:
                stack.callback(self._close, monitor)
            self._tell("begin", self.step, self.total_steps)
            self.callbacks.on_train_begin()
            batches = self._batches()
            while self.step < self.total_steps and not self.engine.model.stop_training:
                self._epoch(self.step // self.data.steps_per_epoch, batches)
            stopped = self.step < self.total_steps
            self.callbacks.on_train_end()
            self.engine.adopt()
            # Resumed when all was done; or stopped by a callback, maybe with other weights, or between evaluations.
            if self.metrics is None or stopped:
                self._evaluate(max(0, self.step - 1) // self.data.steps_per_epoch, keras.callbacks.CallbackList())
            self._tell("end", self.step)
        return self.metrics

    @staticmethod
    def _close(monitor):
        # What a full disk does not take at the end either has been told of before.
        with contextlib.suppress(OSError):
            monitor.close()

    def _tell(self, event: str, *what):
        """Tells all monitors of an event."""
        for monitor in self.monitors:
            try:
                getattr(monitor, event)(*what)
            except OSError as error:
                # A full disk, most likely, which any file that grows may be the first to meet.
                text = f"could not write the log ({error.strerror}); {self._last_good}"
                raise OSError(error.errno, text) from error

    def _resume(self):
        found = self.checkpoints.load_latest()
        self.step = 0 if found is None else found[0]
        self.engine.agree(self.step)
        if self.writes and found is not None:
            self.checkpoints.set_aside(self.step)
        # A checkpoint at the end of the frozen epochs is that of the frozen trunk, whose optimizer is another.
        self.engine.set_phase(self._frozen(max(0, self.step - 1)))
        if found is not None:
            self.engine.load_state(found[1])
            self._saved, self._seconds = self.step, found[2]["seconds"]
            self._stopped = found[2].get("stopped", False)  # by a callback, for good

    def _frozen(self, step: int) -> bool:
        return step < self.recipe.frozen_epochs * self.data.steps_per_epoch

    def _batches(self):
        """All batches from here to the end, from one pipeline as long as the size of the images stays."""
        per_epoch = self.data.steps_per_epoch
        for size, epochs in itertools.groupby(range(self.step // per_epoch, self.recipe.epochs), self.recipe.size):
            epochs = list(epochs)
            yield from self.engine.distribute(self.data.training(epochs, self.step - epochs[0] * per_epoch, size))
            end = (epochs[-1] + 1) * per_epoch
            if self.step != end:
                raise RuntimeError(f"expected batches up to step {end}; Received: the last at step {self.step}")

    def _epoch(self, epoch: int, batches):
        self.engine.set_phase(self._frozen(self.step))
        left = self.data.steps_per_epoch - self.step % self.data.steps_per_epoch
        self.callbacks.on_epoch_begin(epoch)
        for batch in itertools.islice(batches, left):
            if self.monitors and self.step == epoch * self.data.steps_per_epoch:
                self._show(batch)
            self._step(batch)
            if self.engine.model.stop_training:
                break  # in the middle of an epoch, as fit does
        self._settle(0)
        logs = dict(self._last)
        last = self.step == self.total_steps
        if last or (epoch + 1) % self.recipe.evaluate_every == 0:
            logs |= {f"val_{name}": value for name, value in self._evaluate(epoch).items()}
        self.engine.sync()
        self.callbacks.on_epoch_end(epoch, logs)
        self.engine.adopt()
        # After the callbacks, which may have stopped the training or changed the weights; and before the trunk thaws.
        self._save()

    def _show(self, batch):
        images = self.engine.images(batch)
        if images is not None:
            self._tell("images", self.step, images)

    def _step(self, batch):
        rate = self.recipe.rate(self.step, self.data.steps_per_epoch)
        self.callbacks.on_train_batch_begin(self.step % self.data.steps_per_epoch)
        self._pending.append((self.step, rate, self.engine.train_step(batch, rate)))
        self.step += 1
        self._settle(self.engine.lag)
        within = self.step % self.data.steps_per_epoch and not self.engine.model.stop_training
        if within and self.step % self.recipe.checkpoint_every == 0:
            self._save()

    def _settle(self, lag: int):
        """Looks at the results of all steps but the last few."""
        while len(self._pending) > lag:
            step, rate, sums = self._pending.pop(0)
            self._look(step, rate, self.engine.fetch(sums))

    def _look(self, step: int, rate: float, sums: dict[str, float]):
        self.left_out += round(self.recipe.batch_size - sums["weight"])
        weight = max(sums["weight"], 1.0)
        logs = {"loss": sums["loss"] / self.recipe.batch_size}
        logs |= {name: value / self.recipe.batch_size for name, value in sums.items() if name.startswith("loss_aux")}
        logs |= {"accuracy": sums["correct"] / weight, "learning_rate": rate}
        if not math.isfinite(logs["loss"]):
            raise NotFiniteError(f"the loss of step {step + 1} is {logs['loss']}; {self._last_good}")
        self._last = logs
        per_epoch = self.data.steps_per_epoch
        self._tell("step", step + 1, {"epoch": step // per_epoch + 1, **logs}, self.recipe.batch_size)
        self.callbacks.on_train_batch_end(step % per_epoch, logs)

    @property
    def _last_good(self) -> str:
        good = "there is none" if self._saved is None else str(self.checkpoints.path(self._saved))
        return f"the last good checkpoint: {good}"

    def _save(self):
        self._settle(0)  # a state that is no number must not be saved as a good one
        if self.step == self._saved:
            return
        self.engine.sync()
        state = self.engine.state()  # on all workers, for reading may take all of them
        # The loss of a step is that of the weights before it.
        if not all(np.isfinite(value).all() for value in state.values() if value.dtype.kind in "fc"):
            raise NotFiniteError(f"the weights are no numbers after step {self.step}; {self._last_good}")
        if self.writes:
            info = {"seconds": self.seconds, "stopped": bool(self.engine.model.stop_training)}
            self.checkpoints.save(self.step, state, info)
        self._saved = self.step

    def _evaluate(self, epoch: int, callbacks=None) -> dict[str, float]:
        callbacks = callbacks or self.callbacks  # which after the training's end have closed their files
        self.engine.sync()
        callbacks.on_test_begin()
        self.metrics = self.engine.evaluate(self.data.evaluation())
        callbacks.on_test_end(self.metrics)
        self._tell("evaluated", self.step, epoch + 1, {f"val_{name}": value for name, value in self.metrics.items()})
        return self.metrics
