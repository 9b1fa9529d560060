"""The two backends that a run knows: the strategy and the engine of each, and the batches that they are given."""

import functools
import logging

import keras

from training import distribution
from training.loop import Data
from training.recipe import Recipe

logger = logging.getLogger(__name__)


def find_backend(recipe: Recipe, strategy: str, cluster: distribution.Cluster, devices=None):
    """The backend of a run: the one that Keras has.

    Args:
        recipe: the recipe, whose precision and determinism hold from here on.
        strategy: a name of `training.distribution.make_strategy`.
        cluster: who else takes part.
        devices: names of the local devices that take part; None for all.

    Raises:
        ValueError: the backend cannot do it.
    """
    backends = {"tensorflow": TensorFlowBackend, "jax": JaxBackend}
    if keras.backend.backend() not in backends:
        raise ValueError(f"expected the backend tensorflow or jax; Received: {keras.backend.backend()}")
    backend = backends[keras.backend.backend()](recipe, strategy, cluster, devices)
    keras.config.set_dtype_policy(recipe.precision)
    return backend


class TensorFlowBackend:
    """TensorFlow, under a `tf.distribute` strategy, which must be made before the process runs any operation."""

    has_tensorboard = True

    def __init__(self, recipe: Recipe, strategy: str, cluster: distribution.Cluster, devices=None):
        import tensorflow as tf

        self.recipe, self.cluster = recipe, cluster
        strategy = distribution.resolve(strategy, cluster, len(tf.config.list_physical_devices("GPU")))
        if recipe.deterministic:
            tf.config.experimental.enable_op_determinism()
            if strategy == "one":  # several devices must be able to wait for one another
                _one_operation_at_a_time()
        self.strategy = distribution.make_strategy(strategy, cluster, devices)
        self.asynchronous = isinstance(self.strategy, tf.distribute.ParameterServerStrategy)
        self.replicas = 1 if self.asynchronous else self.strategy.num_replicas_in_sync
        check_batch(recipe, self.replicas)

    @property
    def hardware(self) -> str:
        """What the run is computed on, for its card."""
        import tensorflow as tf

        kinds = [device.device_type for device in tf.config.list_logical_devices() if device.device_type != "CPU"]
        count = max(self.replicas, len(self.cluster.workers))
        together = f" ({type(self.strategy).__name__.removesuffix('V2')})" if count > 1 else ""
        return f"{count} {kinds[0] if kinds else 'CPU'}{together}"

    def engine(self, classes, source: str):
        from training.parameter_server import ParameterServerEngine
        from training.tensorflow_engine import TensorFlowEngine

        if self.asynchronous:
            workers = len(self.cluster.workers)
            return ParameterServerEngine(self.recipe, classes, self.strategy, workers=workers, source=source)
        return TensorFlowEngine(self.recipe, classes, self.strategy, source=source)

    def data(self, training, evaluation, on_broken) -> Data:
        """The batches of the recipe's data sets; each synchronous worker has its rows of every batch."""
        from training import input_pipeline

        recipe = self.recipe
        if self.asynchronous and training.needs_python:
            raise ValueError(
                "expected JPEG and PNG files with parameter servers, whose workers run no Python; "
                f"Received: {training.needs_python}"
            )
        worker = (0, 1) if self.asynchronous else (self.cluster.task_index, max(1, len(self.cluster.workers)))

        def batches(epochs, first_step, size):
            return input_pipeline.training_batches(
                training,
                **batch_options(recipe, epochs, first_step, size),
                worker=worker,
                shuffle_buffer=recipe.shuffle_buffer,
                shard_by=recipe.shard_by,
                broken=recipe.broken,
                on_broken=None if self.asynchronous else on_broken,
                own_order=self.asynchronous,
                pil=not self.asynchronous,
            )

        @functools.cache  # to make it takes half a second, and there may be hundreds of evaluations
        def evaluation_batches():
            return input_pipeline.evaluation_batches(
                evaluation,
                size=recipe.evaluated_size,
                resize_to=recipe.resize_to,
                batch_size=recipe.batch_size,
                worker=worker,
                broken=recipe.broken,
                on_broken=on_broken,
            )

        return Data(batches, evaluation_batches, input_pipeline.steps_per_epoch(training, recipe.batch_size))


def _one_operation_at_a_time() -> None:
    """Lets TensorFlow run its operations one after another, each still on all cores.

    Its determinism lacks this. A sum of three gradients or more (`AddN`, three of which make the gradient of every
    batch norm) begins with whichever of them is no longer used by another operation, so that its last bits depend on
    which of two operations that ran at the same time was done first.
    """
    import tensorflow as tf

    try:
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:  # TensorFlow has begun
        logger.warning("TensorFlow already runs several operations at a time: two runs may differ in their last bits.")


class JaxBackend:
    """JAX, on all local devices; a data set in memory needs no TensorFlow."""

    has_tensorboard = False

    def __init__(self, recipe: Recipe, strategy: str, cluster: distribution.Cluster, devices=None):
        import jax

        if strategy not in ("auto", "one") or cluster.workers:
            raise ValueError(f"expected the strategy auto or one on JAX, and one process; Received: {strategy}")
        if recipe.precision == "float64":
            jax.config.update("jax_enable_x64", True)
        self.recipe = recipe
        self.devices = 1 if strategy == "one" else len(devices or jax.local_devices())
        check_batch(recipe, self.devices)

    @property
    def hardware(self) -> str:
        """What the run is computed on, for its card."""
        import jax

        return f"{self.devices} {jax.local_devices()[0].device_kind} (JAX)"

    def engine(self, classes, source: str):
        from training.jax_engine import JaxEngine

        return JaxEngine(self.recipe, classes, source=source, devices=self.devices)

    def data(self, training, evaluation, on_broken) -> Data:
        """The batches of the recipe's data sets, as NumPy arrays."""
        from keras_inception.datasets import ArraySource
        from training import array_pipeline, input_pipeline

        recipe = self.recipe
        in_memory = isinstance(training, ArraySource) and isinstance(evaluation, ArraySource)
        if not in_memory or not array_pipeline.knows(recipe.augmentation):
            return self._through_tensorflow(training, evaluation, on_broken)

        def batches(epochs, first_step, size):
            return array_pipeline.training_batches(training, **batch_options(recipe, epochs, first_step, size))

        def evaluation_batches():
            return array_pipeline.evaluation_batches(
                evaluation, size=recipe.evaluated_size, resize_to=recipe.resize_to, batch_size=recipe.batch_size
            )

        return Data(batches, evaluation_batches, input_pipeline.steps_per_epoch(training, recipe.batch_size))

    def _through_tensorflow(self, training, evaluation, on_broken) -> Data:
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")  # whose memory TensorFlow would take from JAX
        tensorflow = TensorFlowBackend(self.recipe, "one", distribution.Cluster())
        data = tensorflow.data(training, evaluation, on_broken)
        return Data(
            lambda *where: data.training(*where).as_numpy_iterator(),
            lambda: data.evaluation().as_numpy_iterator(),
            data.steps_per_epoch,
        )


def batch_options(recipe: Recipe, epochs, first_step: int, size: int) -> dict:
    """What the batches of epochs are made by, in whichever pipeline."""
    return {
        "size": size,
        "batch_size": recipe.batch_size,
        "augmentation": recipe.augmentation,
        "seed": recipe.seed,
        "epochs": epochs,
        "first_step": first_step,
    }


def check_batch(recipe: Recipe, replicas: int) -> None:
    """Raises ValueError where the replicas cannot share a batch evenly."""
    if recipe.batch_size % replicas:
        raise ValueError(
            f"expected batch_size to be a multiple of the {replicas} replicas; Received: batch_size={recipe.batch_size}"
        )
