"""The auxiliary classifiers (section 5): one label for three outputs, and the network without them afterwards."""

import keras

# output: (the module that it stands on, the prefix of its layers in Caffe)
HEADS = {"aux_4a": ("4a", "loss1"), "aux_4d": ("4d", "loss2")}


@keras.saving.register_keras_serializable(package="keras_inception")
class GoogLeNetWithHeads(keras.Model):
    """A functional model with the outputs `predictions`, `aux_4a` and `aux_4d`, all trained on the same labels.

    Keras matches the structure of the labels with that of the outputs, so with a plain model every data set would have
    to yield three copies of its labels. Here `fit`, `evaluate` and `train_on_batch` take plain `(x, y)` or `(x, y,
    sample_weight)`, and a dict of labels as well.
    """

    def _for_every_output(self, y, y_pred):
        if y is None or isinstance(y, dict):
            return y
        if isinstance(y, (list, tuple)):
            raise ValueError(
                f"expected one array of labels, or a dict by {', '.join(y_pred)}; Received: {len(y)} arrays"
            )
        return {name: y for name in y_pred}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        y = self._for_every_output(y, y_pred)
        if sample_weight is not None:
            sample_weight = self._for_every_output(sample_weight, y_pred)
        return super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        y = self._for_every_output(y, y_pred)
        if sample_weight is not None:
            sample_weight = self._for_every_output(sample_weight, y_pred)
        return super().compute_metrics(x, y, y_pred, sample_weight=sample_weight)


def auxiliary_losses(loss, *, metrics=None, weight=0.3):
    """The arguments of `compile` for a model with auxiliary heads.

    ```python
    model.compile("sgd", **keras_inception.auxiliary_losses("sparse_categorical_crossentropy", metrics=["accuracy"]))
    ```

    Args:
        loss: the loss of every output, a name or a Keras loss.
        metrics: metrics of the main output, or a dict of metrics by output.
        weight: the heads' share of the total loss (section 5: "the losses of the auxiliary classifiers were weighted
            by 0.3").

    Returns:
        A dict with `loss`, `loss_weights` and `metrics`.
    """
    outputs = ("predictions", *HEADS)
    metrics = [metrics] if isinstance(metrics, str) else metrics or []
    return {
        "loss": {name: loss for name in outputs},
        "loss_weights": {name: weight if name in HEADS else 1.0 for name in outputs},
        "metrics": metrics if isinstance(metrics, dict) else {"predictions": metrics},
    }


def remove_aux_heads(model):
    """The network without its auxiliary classifiers, as the paper uses it at inference (section 5).

    Args:
        model: a GoogLeNet with heads.

    Returns:
        A plain `keras.Model` with one output, which shares its layers and weights with `model`.

    Raises:
        ValueError: the model has no heads.
    """
    outputs = model.output
    if not isinstance(outputs, dict) or not set(HEADS) <= set(outputs):
        raise ValueError(f"expected a model with the outputs predictions, aux_4a and aux_4d; Received: {outputs}")
    return keras.Model(model.input, outputs["predictions"], name=model.name)


# The last layer of each network's trunk; where one is part of another's name, the longer network's comes first.
_TRUNKS = ("inception_5b_output", "cccp7-1024_relu", "cccp5_relu")


def freeze(model, upto=None):
    """Freezes a model from its input up to a layer: those weights no longer train, and batch norm keeps its statistics.

    By default that is the whole trunk, and what trains are the classifiers, auxiliary ones and your own included.
    All that `upto` does not depend on is made trainable, so calls may follow each other in any order. Compile the model
    afterwards, as always when `trainable` was changed.

    Args:
        model: a GoogLeNet or a Network in Network, or a model built upon one.
        upto: the name of the last layer to freeze, such as `"inception_4e_output"`; None for the whole trunk.

    Returns:
        The model.

    Raises:
        ValueError: the model has no layer `upto`.
    """
    names = {layer.name for layer in model.layers}
    if upto is None:
        upto = next((name for name in _TRUNKS if name in names), None)
    if upto not in names:
        raise ValueError(f"expected the name of a layer, such as 'inception_4e_output'; Received: upto={upto!r}")
    frozen = {layer.name for layer in keras.Model(model.input, model.get_layer(upto).output).layers}
    model.trainable = True
    for layer in model.layers:
        layer.trainable = layer.name not in frozen
    return model
