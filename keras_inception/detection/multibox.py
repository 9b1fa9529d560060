"""MultiBox (Erhan et al., 2014, "Scalable Object Detection using Deep Neural Networks"): a network that proposes boxes.

Boxes of its own are xmin, ymin, xmax, ymax in shares of the image's width and height, for it sees every image at one
size.
"""

import keras
import numpy as np
from keras import ops

from keras_inception.detection.boxes import Mapping, checked_boxes, clip, suppress
from keras_inception.detection.regions import checked_image

PACKAGE = "keras_inception"


def cluster_priors(boxes, count: int, *, seed: int = 0) -> np.ndarray:
    """The boxes that predictions begin with: the centres of the training's boxes, clustered by k-means.

    Args:
        boxes: (n, 4), of all training images, in shares of their sides.
        count: how many priors.
        seed: of the first centres.

    Returns:
        (count, 4), from the left to the right.

    Raises:
        ValueError: there are fewer different boxes than that, or they are no shares.
        ImportError: scipy is not installed; the message says what to install.
    """
    try:
        from scipy.cluster.vq import kmeans2
    except ImportError as error:
        raise ImportError("clustering needs scipy: pip install 'keras-inception[detection]'") from error
    boxes = checked_boxes(boxes)
    different = len(np.unique(boxes, axis=0))
    if not 1 <= count <= different:
        raise ValueError(f"expected 1 to {different} priors, of so many different boxes; Received: count={count}")
    if boxes.min() < -0.5 or boxes.max() > 1.5:
        raise ValueError(f"expected boxes in shares of their images; Received: {boxes.min():g} to {boxes.max():g}")
    centres, _ = kmeans2(boxes, count, minit="++", seed=seed)
    return centres[np.lexsort(centres.T[::-1])]


@keras.saving.register_keras_serializable(PACKAGE)
class AroundPriors(keras.layers.Layer):
    """Boxes from what moves them away from priors.

    Args:
        priors: (k, 4), in shares of the image.
        spread: what a move of 1 is worth, in shares of the image.

    Input: (n, 5 k), of each prior four moves and a logit of the confidence. Output: (n, k, 5), boxes and logits.
    """

    def __init__(self, priors, spread: float = 0.1, **kwargs):
        super().__init__(**kwargs)
        self.priors = checked_boxes(priors)
        self.spread = spread

    def call(self, inputs):
        moves = ops.reshape(inputs, (-1, len(self.priors), 5))
        boxes = ops.cast(self.priors, moves.dtype) + self.spread * moves[..., :4]
        return ops.concatenate([boxes, moves[..., 4:]], axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], len(self.priors), 5)

    def get_config(self):
        return {**super().get_config(), "priors": self.priors.tolist(), "spread": self.spread}


def MultiBox(trunk, priors, *, channels: int = 64, hidden: int = 1024, dropout: float = 0.3, name="multibox"):
    """The network: a trunk, and as in the paper's auxiliary heads a reduction and two linear layers upon it.

    Args:
        trunk: a model from images of one size to maps, such as `GoogLeNet(include_top=False, input_shape=...)`.
        priors: (k, 4), as `cluster_priors` gives them.
        channels: to which a 1x1 convolution reduces the maps.
        hidden: units of the layer in between.
        dropout: its rate, behind that layer.

    Returns:
        A model whose output is (n, k, 5): boxes in shares of the image, and the logits of their confidences. It begins
        with the priors, and with a confidence of one in twenty.

    Raises:
        ValueError: the trunk is not like that.
    """
    if len(trunk.outputs[0].shape) != 4 or None in trunk.outputs[0].shape[1:]:
        raise ValueError(f"expected a trunk that gives maps of one size; Received: output {trunk.outputs[0].shape}")
    count = len(priors)
    # The moves begin at 0, the confidences at log(1/19).
    bias = np.tile([0, 0, 0, 0, -np.log(19)], count)
    x = keras.layers.Conv2D(channels, 1, activation="relu", name="multibox_reduce")(trunk.outputs[0])
    x = keras.layers.Flatten(name="multibox_flatten")(x)
    x = keras.layers.Dense(hidden, activation="relu", name="multibox_fc")(x)
    x = keras.layers.Dropout(dropout, name="multibox_drop")(x)
    x = keras.layers.Dense(
        5 * count,
        kernel_initializer=keras.initializers.RandomNormal(stddev=1e-3),
        bias_initializer=keras.initializers.Constant(bias.tolist()),
        dtype="float32",
        name="multibox_moves",
    )(x)
    return keras.Model(trunk.inputs[0], AroundPriors(priors, dtype="float32", name="multibox_boxes")(x), name=name)


@keras.saving.register_keras_serializable(PACKAGE)
class MultiBoxLoss(keras.losses.Loss):
    """The loss of MultiBox (section 3.1): alpha F_match + F_conf, over the best assignment of predictions to objects.

    Each object is assigned to a prediction of its own, so that the sum of all is least (bipartite matching): the
    squared distance of its box, and the cross entropy of its confidence, which is to be 1, and 0 of all others.

    Args:
        alpha: what a squared distance, in shares of the image, is worth; MultiBox's authors are said to have had 0.3.
            With 250, a side that is off by a tenth of the image costs 1.25; with 0.3 it would be next to nothing.

    `y_true` is (n, m, 4), the boxes of the objects, and then boxes without extent, which are no objects; `y_pred` what
    the network gives, (n, k, 5).
    """

    def __init__(self, alpha: float = 250.0, name="multibox_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.alpha = alpha

    def call(self, y_true, y_pred):
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        matches = _on_the_host(lambda truth, found: assign(truth, found, self.alpha), y_true, y_pred)
        found = ops.cast(matches >= 0, "float32")
        wanted = ops.take_along_axis(y_true, ops.maximum(matches, 0)[..., None], axis=1)
        distances = ops.sum(ops.square(y_pred[..., :4] - wanted), -1)
        logits = y_pred[..., 4]
        entropy = ops.softplus(logits) - found * logits
        return ops.sum(self.alpha / 2 * found * distances + entropy, -1)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha}


def assign(truth, predictions, alpha: float) -> np.ndarray:
    """Which object each prediction is for: the assignment of least cost.

    Args:
        truth: (n, m, 4), boxes; those without extent are no objects.
        predictions: (n, k, 5), boxes and logits.
        alpha: as of `MultiBoxLoss`.

    Returns:
        int32 (n, k): the number of the object; -1 for none.
    """
    from scipy.optimize import linear_sum_assignment

    matches = np.full(predictions.shape[:2], -1, np.int32)
    for row, boxes, found in zip(matches, np.asarray(truth, np.float64), predictions, strict=True):
        objects = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(1))
        if not len(objects) or not np.isfinite(found).all():  # the loss is no number then, which ends a training
            continue
        distances = np.square(found[:, None, :4] - boxes[None, objects]).sum(-1)
        # -log c + log(1 - c) is the logit, negative.
        which, whom = linear_sum_assignment(alpha / 2 * distances - found[:, 4:])
        row[which] = objects[whom]
    return matches


def _on_the_host(function, truth, predictions):
    """What numpy makes of two tensors, as a tensor of whole numbers that no gradient goes through."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        matches = tf.numpy_function(function, [truth, predictions], tf.int32)
        return tf.ensure_shape(matches, predictions.shape[:2])
    if backend == "jax":
        import jax

        result = jax.ShapeDtypeStruct(predictions.shape[:2], np.int32)
        stopped = jax.lax.stop_gradient((truth, predictions))
        return jax.pure_callback(lambda *given: function(*map(np.asarray, given)), result, *stopped)
    return ops.convert_to_tensor(function(ops.convert_to_numpy(truth), ops.convert_to_numpy(predictions)))


class MultiBoxProposals:
    """Proposes boxes by a MultiBox network.

    Args:
        model: as `MultiBox` makes it, trained.
        limit: boxes of an image, at most; section 8 has 200.
        threshold: of the overlap from which on a box suppresses another of less confidence.

    Raises:
        ValueError: one of them is not like that.
    """

    def __init__(self, model, *, limit: int = 200, threshold: float = 0.8):
        shape, output = model.input_shape, model.output_shape
        if len(shape) != 4 or shape[-1] != 3 or None in shape[1:] or len(output) != 3 or output[-1] != 5:
            raise ValueError(
                "expected a model from RGB images of one size to boxes (n, k, 5); "
                f"Received: one from {shape} to {output}"
            )
        if type(limit) is not int or limit < 1 or not 0 <= threshold <= 1:
            raise ValueError(
                "expected a limit, a whole number above 0, and a threshold in 0..1; "
                f"Received: limit={limit!r}, threshold={threshold!r}"
            )
        self.model, self.limit, self.threshold = model, limit, float(threshold)

    def __call__(self, image) -> np.ndarray:
        """Boxes (n, 4) in pixels of an image, RGB in 0..255 (h, w, 3); the surest first.

        Raises:
            ValueError: the image is not like that.
        """
        image = checked_image(image)
        height_width = self.model.input_shape[1:3]
        found = np.asarray(self.model.predict_on_batch(resized(image, height_width)[None]))[0].astype(np.float64)
        corners = found[:, :4].reshape(-1, 2, 2)
        # A prediction may have its sides the wrong way round.
        boxes = np.concatenate([corners.min(1), corners.max(1)], axis=1)
        boxes = clip(Mapping.resized((1, 1), image.shape[:2])(boxes), image.shape[:2])
        kept = suppress(boxes, found[:, 4], self.threshold)
        kept = kept[(boxes[kept, 2:] > boxes[kept, :2]).all(1)]
        return boxes[kept[: self.limit]]


def resized(image, height_width):
    """The whole image at the size of a network's input, whatever its aspect: a float32 array (h, w, 3)."""
    import tensorflow as tf

    return tf.image.resize(image, height_width, antialias=True).numpy()
