"""Asynchronous training with parameter servers, as the paper's DistBelief did (section 6)."""

import contextlib
import time

import numpy as np
import tensorflow as tf

from training import network
from training.recipe import Recipe
from training.tensorflow_engine import TensorFlowEngine


class ParameterServerEngine(TensorFlowEngine):
    """A model on parameter servers: each worker takes steps on its own, with weights as it finds them.

    Steps are counted by the coordinator, which hands every step its learning rate: concurrent increments of the
    optimizer's own counter get lost. A step is one worker's batch of `recipe.batch_size` images. A worker that is lost
    is trained on without, and its unfinished step is given to another; a run is not repeatable in its bits. Evaluation
    and the finished model use a copy of the weights on the coordinator.

    Args:
        recipe, classes, source: as in `TensorFlowEngine`.
        strategy: a `tf.distribute.ParameterServerStrategy`.
        workers: how many there are.
    """

    def __init__(self, recipe: Recipe, classes, strategy, *, workers: int, source=None):
        self.coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
        # Enough steps in the queue that no worker waits for the coordinator to look at results.
        self.lag, self._sample = 4 * workers, None
        super().__init__(recipe, classes, strategy, source=source)
        self._evaluated = network.build(recipe, classes, source)
        self._evaluate = tf.function(self._replica_evaluation, reduce_retracing=True)
        self._predict = tf.function(self._replica_prediction, reduce_retracing=True)

    def distribute(self, dataset):
        """For each step of the data set the workers' iterators, of which each worker uses its own."""
        steps = int(dataset.cardinality())
        if self._sample is None:
            self._sample = dataset.take(1)
        iterators = iter(self.coordinator.create_per_worker_dataset(dataset))
        for _ in range(steps):
            yield iterators

    def images(self, batch) -> np.ndarray | None:
        """Images such as the workers see, for theirs are not here; None after the first call, for each shuffles."""
        sample, self._sample = self._sample, ()
        return next((images.numpy() for images, *_ in sample), None)

    def train_step(self, batch, rate: float):
        """Gives a step to a worker; the sums of `network.loss_sums` over its batch, when it is done."""
        return self.coordinator.schedule(self._train, args=(batch, tf.constant(rate, "float32")))

    def fetch(self, sums) -> dict[str, float]:
        while True:
            try:
                return {name: float(value) for name, value in sums.fetch().items()}
            except tf.errors.UnavailableError:
                # The worker was lost after its step, with the result that this copies. The coordinator notices too, and
                # has the step taken anew; or it fails here, where more was lost than a worker.
                self.coordinator.done()
                time.sleep(0.1)

    def _train_step(self, iterator, rate):
        # The variable is for whoever looks at it: between two lines here another worker may give it another value.
        self.optimizer.learning_rate.assign(rate)
        with network.inner(self.optimizer).at(rate):
            return self.strategy.run(self._replica_step, args=next(iterator))

    def predict(self, dataset, count: int) -> np.ndarray:
        with self.averaged():
            return np.concatenate([self._predict(*batch).numpy() for batch in dataset])[:count]

    def evaluate(self, dataset) -> dict[str, float]:
        with self.averaged():
            return network.evaluation_metrics(self._evaluate(*batch) for batch in dataset)

    @contextlib.contextmanager
    def averaged(self):
        """The coordinator's copy of the model, with the averaged weights; the servers' weights stay as they are."""
        averages = network.averages(self.optimizer)
        for copy, variable in zip(self._evaluated.variables, self.model.variables, strict=True):
            copy.assign(averages.get(id(variable), variable).numpy())
        yield self._evaluated

    def state(self) -> dict[str, np.ndarray]:
        self.coordinator.join()
        return super().state()
