"""Training and evaluation steps on JAX, on one device or on several by `keras.distribution.DataParallel`."""

import contextlib
import dataclasses

import jax
import keras
import numpy as np

from training import network
from training.recipe import Recipe


class JaxEngine:
    """A model in training, with the same methods as `TensorFlowEngine`; its state lives outside of the model.

    Args:
        recipe, classes, source: as in `TensorFlowEngine`.
        devices: how many of the local devices take part; None for all. Set before any model was built.
    """

    lag = 1  # steps that may be under way while the results of those before are looked at

    def __init__(self, recipe: Recipe, classes, *, source=None, devices=None):
        if recipe.precision == "mixed_float16":
            raise ValueError("expected mixed_bfloat16 on JAX, which needs no loss scaling; Received: mixed_float16")
        if recipe.synchronized:
            # One batch over all devices: JAX computes its statistics over all of it, whatever the layer says.
            recipe = dataclasses.replace(recipe, synchronized=False)
        self.recipe, self.frozen = recipe, False
        found = jax.local_devices()[:devices]
        keras.distribution.set_distribution(
            keras.distribution.DataParallel(devices=[f"{device.platform}:{device.id}" for device in found])
            if len(found) > 1
            else None
        )
        self.model = network.build(recipe, classes, source)
        self._begin()

    def set_phase(self, frozen: bool) -> None:
        """Goes from the frozen trunk to the whole network, with a fresh optimizer."""
        if frozen != self.frozen:
            self.sync()
            self.frozen = frozen
            self._begin()

    def _begin(self):
        network.set_phase(self.model, self.frozen)
        self.optimizer = network.build_optimizer(self.recipe, self.model)
        rate = network.inner(self.optimizer).rate
        rates = [number for number, v in enumerate(self.optimizer.variables) if v is rate]
        (self._rate_index,) = rates
        self._train = jax.jit(self._train_step, donate_argnums=(0, 1, 2))
        self._evaluate = jax.jit(self._evaluation)
        self._predict = jax.jit(self._prediction)
        self._take()

    def _lists(self):
        return self.model.trainable_variables, self.model.non_trainable_variables, self.optimizer.variables

    def _take(self):
        """Takes the state out of the model and the optimizer."""
        self._state = tuple([variable.value for variable in variables] for variables in self._lists())

    def sync(self) -> None:
        """Puts the state back into the model, for whoever looks at it."""
        for variables, values in zip(self._lists(), self._state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                if variable.value is not value:
                    variable.assign(value)
        self._take()  # from here on the model's own arrays, which the next step may consume

    def agree(self, step: int) -> None:
        """Sees to it that all processes begin at the same step; here there is one."""

    def adopt(self) -> None:
        """Goes on with the weights that the model has, which a callback may have changed."""
        self._take()

    def distribute(self, batches):
        """The batches with their rows spread over the devices."""
        distribution = keras.distribution.distribution()
        for batch in batches:
            arrays = [np.asarray(array) for array in batch]
            if distribution is None:
                yield tuple(map(jax.numpy.asarray, arrays))
            else:
                layouts = [distribution.get_data_layout(array.shape) for array in arrays]
                yield tuple(map(keras.distribution.distribute_tensor, arrays, layouts))

    def images(self, batch) -> np.ndarray:
        """The images of a batch."""
        return np.asarray(batch[0])

    def train_step(self, batch, rate: float) -> dict:
        """One step of the optimizer; the sums of `network.loss_sums` over the batch, as device arrays."""
        *self._state, sums = self._train(*self._state, batch, np.float32(rate))
        return sums

    def fetch(self, sums) -> dict[str, float]:
        """The sums as numbers; waits for their step."""
        return {name: float(value) for name, value in sums.items()}

    def _train_step(self, trainable, non_trainable, optimizer, batch, rate):
        images, labels, weights = batch

        def loss(trainable, non_trainable):
            outputs, non_trainable = self.model.stateless_call(trainable, non_trainable, images, training=True)
            sums = network.loss_sums(outputs, labels, weights, self.recipe)
            return sums["loss"] / self.recipe.batch_size, (sums, non_trainable)

        gradients, (sums, non_trainable) = jax.grad(loss, has_aux=True)(trainable, non_trainable)
        optimizer = [rate if number == self._rate_index else value for number, value in enumerate(optimizer)]
        trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)
        return trainable, non_trainable, optimizer, sums

    def _evaluation(self, trainable, non_trainable, batch):
        images, labels, weights = batch
        outputs, _ = self.model.stateless_call(trainable, non_trainable, images, training=False)
        return network.evaluation_sums(outputs, labels, weights, self.recipe)

    def _prediction(self, trainable, non_trainable, batch):
        images, _, weights = batch
        outputs, _ = self.model.stateless_call(trainable, non_trainable, images, training=False)
        return network.predictions(outputs, weights)

    def predict(self, batches, count: int) -> np.ndarray:
        """The main classifier's probabilities with the averaged weights, as from `TensorFlowEngine.predict`."""
        return np.concatenate(list(map(np.asarray, self._with_averages(self._predict, batches))))[:count]

    def evaluate(self, batches) -> dict[str, float]:
        """Loss, accuracy and top-5 accuracy over a data set, each example counted once, with the averaged weights."""
        return network.evaluation_metrics(self._with_averages(self._evaluate, batches))

    def _with_averages(self, function, batches):
        """What a function of the weights and a batch gives for each batch, with the averaged weights."""
        with self.averaged():
            weights = [[variable.value for variable in variables] for variables in self._lists()[:2]]
            for batch in self.distribute(batches):
                yield function(*weights, batch)

    @contextlib.contextmanager
    def averaged(self):
        """The model has its averaged weights for as long as this lasts."""
        self.sync()
        with network.swapped(self.model, self.optimizer):
            yield self.model
        self._take()

    def state(self) -> dict[str, np.ndarray]:
        """Everything that the next step depends on: weights, random state, optimizer and averages."""
        self.sync()
        variables = network.state_variables(self.model, self.optimizer)
        return {name: np.asarray(variable.value) for name, variable in variables.items()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Goes on from a state of `state()`.

        Raises:
            ValueError: it is the state of another network or optimizer.
        """
        network.assign_state(network.state_variables(self.model, self.optimizer), state)
        self._take()
