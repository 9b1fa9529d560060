"""Training and evaluation steps on TensorFlow, under any synchronous `tf.distribute` strategy."""

import contextlib

import numpy as np
import tensorflow as tf

from training import network
from training.recipe import Recipe


class TensorFlowEngine:
    """A model in training: its steps, its evaluation and its state.

    Keras 3's own `fit` cannot train on two or more workers: it reduces scalar logs over an axis that they do not have.
    Here each replica returns sums, the strategy adds them up, and the gradient is that of the whole batch's mean.

    Args:
        recipe: the recipe.
        classes: the class names, in label order.
        strategy: a `tf.distribute` strategy; None for the default one.
        source: what the model says of where it came from.
    """

    lag = 0  # steps that may be under way while the results of those before are looked at

    def __init__(self, recipe: Recipe, classes, strategy=None, *, source=None):
        self.recipe, self.frozen = recipe, False
        self.strategy = strategy or tf.distribute.get_strategy()
        with self.strategy.scope():
            self.model = self._evaluated = network.build(recipe, classes, source)
            self.optimizer = network.build_optimizer(recipe, self.model)
        self._train = tf.function(self._train_step, reduce_retracing=True)
        self._evaluate = tf.function(self._evaluate_step, reduce_retracing=True)
        self._predict = tf.function(self._predict_step, reduce_retracing=True)
        self._average = tf.function(self._averages)
        names = ("moving_mean", "moving_variance")
        self._statistics = [v.value for v in self.model.non_trainable_variables if v.name in names]

    def set_phase(self, frozen: bool) -> None:
        """Goes from the frozen trunk to the whole network, with a fresh optimizer."""
        if frozen == self.frozen:
            return
        self.frozen = frozen
        with self.strategy.scope():
            network.set_phase(self.model, frozen)
            self.optimizer = network.build_optimizer(self.recipe, self.model)
        self._train = tf.function(self._train_step, reduce_retracing=True)

    def distribute(self, dataset):
        """The batches of this worker, each cut into one part per local replica."""
        if self.strategy.num_replicas_in_sync == 1:
            return dataset
        return self.strategy.distribute_datasets_from_function(lambda context: self._per_replica(dataset))

    def _per_replica(self, dataset):
        rows = dataset.element_spec[1].shape[0]
        replicas = len(self.strategy.extended.worker_devices)
        return dataset.rebatch(rows // replicas, drop_remainder=True).prefetch(tf.data.AUTOTUNE)

    def images(self, batch) -> np.ndarray:
        """The images of a batch, or those of its first local replica."""
        return self.strategy.experimental_local_results(batch[0])[0].numpy()

    def train_step(self, batch, rate: float) -> dict:
        """One step of the optimizer; the sums of `network.loss_sums` over the global batch, as tensors."""
        return self._train(batch, tf.constant(rate, "float32"))

    def fetch(self, sums) -> dict[str, float]:
        """The sums as numbers; waits for their step."""
        return {name: float(value) for name, value in sums.items()}

    def _train_step(self, batch, rate):
        self.optimizer.learning_rate.assign(rate)
        return self._reduced(self.strategy.run(self._replica_step, args=batch))

    def _replica_step(self, images, labels, weights):
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            sums = network.loss_sums(self.model(images, training=True), labels, weights, self.recipe)
            loss = self.optimizer.scale_loss(sums["loss"] / self.recipe.batch_size)
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return sums

    def _evaluate_step(self, batch):
        return self._reduced(self.strategy.run(self._replica_evaluation, args=batch))

    def _replica_evaluation(self, images, labels, weights):
        outputs = self._evaluated(images, training=False)
        return network.evaluation_sums(outputs, labels, weights, self.recipe)

    def _predict_step(self, batch):
        return self.strategy.gather(self.strategy.run(self._replica_prediction, args=batch), axis=0)

    def _replica_prediction(self, images, labels, weights):
        return network.predictions(self._evaluated(images, training=False), weights)

    def _reduced(self, sums):
        return {name: self.strategy.reduce("SUM", value, axis=None) for name, value in sums.items()}

    def _averages(self):
        """The moving statistics, each the mean over all replicas of all workers."""

        def over_replicas():
            parts = [tf.reshape(variable, [-1]) for variable in self._statistics]
            # One reduction for all: each costs a message between the workers.
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, tf.concat(parts, 0))

        means = self.strategy.experimental_local_results(self.strategy.run(over_replicas))[0]
        return tf.split(means, [variable.shape[0] for variable in self._statistics])

    def evaluate(self, dataset) -> dict[str, float]:
        """Loss, accuracy and top-5 accuracy over a data set, each example counted once, with the averaged weights."""
        with self.averaged():
            return network.evaluation_metrics(self._evaluate(batch) for batch in self.distribute(dataset))

    def predict(self, dataset, count: int) -> np.ndarray:
        """The main classifier's probabilities with the averaged weights, from all workers, on every worker.

        Args:
            dataset: batches of an evaluation.
            count: how many examples there are; the rows behind them only fill the last batch.

        Returns:
            float32 (count, classes), in the order of the examples; NaN for an image that is broken.
        """
        with self.averaged():
            return np.concatenate([self._predict(batch).numpy() for batch in self.distribute(dataset)])[:count]

    @contextlib.contextmanager
    def averaged(self):
        """The model has its averaged weights for as long as this lasts."""
        with network.swapped(self.model, self.optimizer):
            yield self.model

    def sync(self) -> None:
        """Averages batch norm's moving statistics over the workers; Keras leaves each worker with its own.

        To be called by all workers at the same step, before anyone looks at the model.
        """
        if self._statistics and isinstance(self.strategy, tf.distribute.MultiWorkerMirroredStrategy):
            for variable, mean in zip(self._statistics, self._average(), strict=True):
                variable.assign(mean)

    def agree(self, step: int) -> None:
        """Sees to it that all workers begin at the same step.

        Raises:
            ValueError: they do not, on any of them.
        """
        if isinstance(self.strategy, tf.distribute.MultiWorkerMirroredStrategy):

            def of_all():
                return tf.distribute.get_replica_context().all_gather(tf.constant([step]), axis=0)

            found = self.strategy.experimental_local_results(self.strategy.run(tf.function(of_all)))[0].numpy()
            if (found != step).any():
                steps = ", ".join(map(str, sorted(set(found.tolist()))))
                raise ValueError(
                    "expected all workers to find the same checkpoint in the work directory, one folder for all; "
                    f"Received: checkpoints of the steps {steps}"
                )

    def adopt(self) -> None:
        """Goes on with the weights that the model has, which a callback may have changed; here there are no others."""

    def state(self) -> dict[str, np.ndarray]:
        """Everything that the next step depends on: weights, random state, optimizer and averages."""
        variables = network.state_variables(self.model, self.optimizer)
        return {name: variable.numpy() for name, variable in variables.items()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Goes on from a state of `state()`.

        Raises:
            ValueError: it is the state of another network or optimizer.
        """
        network.assign_state(network.state_variables(self.model, self.optimizer), state)
