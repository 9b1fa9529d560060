"""Several networks as one classifier: the softmax of each, averaged over crops and models (section 7)."""

import itertools

import keras
import numpy as np

from keras_inception.evaluation.outputs import classifier_output, image_input, is_logits, main_output, precision


class Ensemble:
    """One or several classifiers that see the same crops.

    Args:
        models: Keras models from RGB pixels 0..255 to classes, with one input size; of a model with auxiliary heads the
            main classifier counts. On TensorFlow they run under the `tf.distribute` strategy that they were made under.
        from_logits: whether a softmax is still to be taken; None: where the last layer has no softmax of its own.
        mirrored: each crop is also seen mirrored, and both probabilities are averaged.

    Raises:
        ValueError: there is no model, or they differ in what must be the same.
    """

    def __init__(self, models, *, from_logits=None, mirrored=False):
        self.models = list(models) if isinstance(models, (list, tuple)) else [models]
        if not self.models:
            raise ValueError("expected at least one model; Received: none")
        shapes = {(tuple(image_input(model).shape), classifier_output(model).shape[-1]) for model in self.models}
        if len(shapes) > 1:
            raise ValueError(
                "expected models of one input size and one number of classes; Received: "
                + ", ".join(f"{shape} to {classes}" for shape, classes in sorted(shapes, key=str))
            )
        ((shape, self.classes),) = shapes
        self.channels_first = shape[1] == 3 and shape[-1] != 3
        self.height_width = shape[2:] if self.channels_first else shape[1:3]
        self.mirrored = mirrored
        self.precisions = tuple(precision(model) for model in self.models)
        self.logits = [is_logits(model) if from_logits is None else from_logits for model in self.models]
        self.strategy = self._strategy()
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # Once for all: each batch has the same shape.
            self._step = tf.function(self._probabilities, reduce_retracing=True)

    def _strategy(self):
        """The strategy of the models, where there is more than one replica."""
        if keras.backend.backend() != "tensorflow":
            return None
        strategies = {id(model.distribute_strategy): model.distribute_strategy for model in self.models}
        if len(strategies) > 1:
            raise ValueError("expected models that were made under one tf.distribute strategy; Received: several")
        (strategy,) = strategies.values()
        return strategy if strategy.num_replicas_in_sync > 1 else None

    @property
    def replicas(self) -> int:
        """How many replicas there are in this process."""
        return 1 if self.strategy is None else len(self.strategy.extended.worker_devices)

    @property
    def worker(self) -> tuple[int, int]:
        """Which of how many processes this one is."""
        if self.strategy is None:
            return 0, 1
        ids = self._for_each(lambda context: context.replica_id_in_sync_group)
        first = self.strategy.experimental_local_results(ids)[0]
        return int(first) // self.replicas, self.strategy.num_replicas_in_sync // self.replicas

    def _for_each(self, function):
        """A value for each replica of this process, made by a function of its context."""
        import tensorflow as tf

        make = self.strategy.experimental_distribute_values_from_function
        return make(lambda context: tf.convert_to_tensor(function(context)))

    def __call__(self, crops):
        """The probabilities of a batch of crops: a call that waits for them, while the next batch is made.

        Args:
            crops: float32 (n, height, width, 3); n must be a multiple of the replicas.

        Returns:
            A function without arguments that gives float32 (n, models, classes).
        """
        if keras.backend.backend() != "tensorflow":
            found = self._by_keras(np.asarray(crops))
            return lambda: found
        if self.strategy is None:
            found = self._step(crops)
            return lambda: found.numpy()
        parts = iter(np.split(np.asarray(crops), self.replicas))
        parts = self._for_each(lambda context: next(parts))
        found = self.strategy.run(self._step, args=(parts,))
        local = self.strategy.experimental_local_results
        return lambda: np.concatenate([part.numpy() for part in local(found)])

    def _probabilities(self, crops):
        import tensorflow as tf

        count = tf.shape(crops)[0]
        if self.mirrored:
            crops = tf.concat([crops, tf.reverse(crops, [2])], 0)
        if self.channels_first:
            crops = tf.transpose(crops, (0, 3, 1, 2))
        found = []
        for model, logits in zip(self.models, self.logits, strict=True):
            scores = tf.cast(main_output(model(crops, training=False)), tf.float32)
            found.append(tf.nn.softmax(scores) if logits else scores)
        found = tf.stack(found, 1)
        return (found[:count] + found[count:]) / 2 if self.mirrored else found

    def _by_keras(self, crops):
        views = [crops, crops[:, :, ::-1]] if self.mirrored else [crops]
        found = 0
        for view in views:
            view = view.transpose(0, 3, 1, 2) if self.channels_first else view
            for_each = []
            for model, logits in zip(self.models, self.logits, strict=True):
                scores = np.asarray(main_output(model.predict_on_batch(np.ascontiguousarray(view))), np.float32)
                for_each.append(keras.ops.convert_to_numpy(keras.ops.softmax(scores)) if logits else scores)
            found = found + np.stack(for_each, 1) / len(views)
        return found

    def sum_over_workers(self, vector) -> np.ndarray:
        """The sum of a float64 vector that each process has."""
        if self.worker[1] == 1:
            return np.asarray(vector)
        import tensorflow as tf

        # Each process gives its vector once, however many replicas it has.
        first = itertools.chain([np.asarray(vector)], itertools.repeat(np.zeros_like(vector)))
        parts = self._for_each(lambda context: next(first))
        total = tf.function(lambda parts: self.strategy.reduce("SUM", parts, axis=None))(parts)
        return total.numpy()
