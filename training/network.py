"""The network, the optimizer and the loss of a recipe, for every engine."""

import contextlib
import dataclasses

import keras
from keras import ops

from keras_inception import GoogLeNet, NetworkInNetwork, Preprocessing, freeze
from keras_inception.layers.pixels import find_pixels
from keras_inception.models import families
from keras_inception.models.auxiliary import HEADS
from training.optimizer import CaffeSGD
from training.recipe import Recipe

SUMS = ("main_loss", "correct", "top5", "weight")


def build(recipe: Recipe, classes, source: str) -> keras.Model:
    """The network that a recipe trains, with logits as outputs: an array, or a dict by head.

    Args:
        recipe: the recipe, whose seed the initial weights are a function of.
        classes: the names of the classes, in label order.
        source: what the trained model says of where it came from.
    """
    keras.utils.set_random_seed(recipe.seed if recipe.weights_seed is None else recipe.weights_seed)
    size = recipe.evaluated_size
    side = None if recipe.changes_size else size
    labels = recipe.labels or tuple(classes)
    options = {"input_shape": (side, side, 3), "dropout": recipe.dropout, "classifier_activation": None}
    preprocessing = Preprocessing(size=size, resize="short_side", resize_to=recipe.resize_to).to_dict()
    if recipe.weights is None:
        facts = {"input_size": size, "labels": labels, "preprocessing": preprocessing, "source": source}
        model = families.build(recipe.network(len(classes), **facts), **options)
    else:
        network = {"GoogLeNet": GoogLeNet, "NetworkInNetwork": NetworkInNetwork}[recipe.architecture]
        if recipe.architecture == "GoogLeNet":
            options |= {"aux_heads": recipe.aux_heads, "stem": recipe.stem}
        model = network(weights=recipe.weights, variant=recipe.variant, classes=len(classes), labels=labels, **options)
        # Photos come to it as this training's evaluation sees them, not as they came to the weights it began with.
        pixels = find_pixels(model)
        pixels.spec = {**pixels.spec, "preprocessing": preprocessing, "source": source}
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = recipe.synchronized
            if recipe.batch_norm_momentum is not None:
                layer.momentum = recipe.batch_norm_momentum
        elif layer.name in {f"{loss}_drop_fc" for _, loss in HEADS.values()}:
            layer.rate = recipe.head_dropout
    return model


def set_phase(model, frozen: bool) -> None:
    """Freezes the trunk, for the first epochs of a fine-tuning, or lets everything train."""
    if frozen:
        freeze(model)
    else:
        model.trainable = True
        for layer in model.layers:
            layer.trainable = True


def build_optimizer(recipe: Recipe, model) -> keras.optimizers.Optimizer:
    """The optimizer of the model's trainable variables, and from now on the model's.

    Its learning rate is a variable that the engine sets.
    """
    optimizer = CaffeSGD(
        recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        l2=recipe.weight_decay,
        bias_multiplier=recipe.bias_multiplier,
        use_ema=recipe.average is not None,
        ema_momentum=recipe.average or 0.0,
        name="sgd",
    )
    if keras.config.dtype_policy().name == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, auto_scale_loss=False)  # for Keras callbacks, which look for the model's optimizer
    return optimizer


def inner(optimizer) -> CaffeSGD:
    """The optimizer itself, without what scales its loss."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def averages(optimizer) -> dict:
    """The averages of the trainable variables, by `id` of the variable; none where the recipe has no average."""
    return {id(variable): average for variable, average in inner(optimizer).averages}


@contextlib.contextmanager
def swapped(model, optimizer):
    """A model has its averaged weights for as long as this lasts; where there is no average, its own."""
    of = averages(optimizer)
    kept = [(variable, ops.convert_to_numpy(variable.value)) for variable in model.variables if id(variable) in of]
    try:
        for variable, _ in kept:
            variable.assign(ops.convert_to_numpy(of[id(variable)].value))
        yield
    finally:
        for variable, value in kept:
            variable.assign(value)


def loss_sums(outputs, labels, weights, recipe: Recipe) -> dict:
    """What a batch adds to the loss and the metrics.

    Args:
        outputs: logits (n, classes), or a dict of them by head.
        labels: integers (n,).
        weights: 1 or 0 for each example (n,); an example of weight 0 counts nowhere.
        recipe: for label smoothing and the heads' share.

    Returns:
        Sums over the batch, scalars: `loss` (with the heads), `main_loss`, `correct`, `top5`, `weight`; and
        `loss_aux_4a`, `loss_aux_4d` with heads.
    """
    logits = outputs if isinstance(outputs, dict) else {"predictions": outputs}
    main = main_logits(outputs)
    weights = ops.cast(weights, main.dtype)
    classes = main.shape[-1]
    smooth = recipe.label_smoothing
    target = ops.one_hot(labels, classes, dtype=main.dtype) * (1 - smooth) + smooth / classes
    losses = {
        name: ops.sum(ops.categorical_crossentropy(target, values, from_logits=True) * weights)
        for name, values in logits.items()
    }
    heads = {f"loss_{name}": value for name, value in losses.items() if name != "predictions"}
    labels = ops.cast(labels, "int32")
    top5 = ops.in_top_k(labels, ops.cast(main, "float32"), k=min(5, classes))
    correct = ops.equal(ops.cast(ops.argmax(main, axis=-1), "int32"), labels)
    return {
        "loss": losses["predictions"] + recipe.aux_weight * sum(heads.values()),
        "main_loss": losses["predictions"],
        **heads,
        "correct": ops.sum(ops.cast(correct, main.dtype) * weights),
        "top5": ops.sum(ops.cast(top5, main.dtype) * weights),
        "weight": ops.sum(weights),
    }


def evaluation_metrics(batches) -> dict[str, float]:
    """Loss, accuracy and top-5 accuracy from the sums of all batches of an evaluation."""
    totals = dict.fromkeys(SUMS, 0.0)
    for sums in batches:
        for name in SUMS:
            totals[name] += float(sums[name])
    names = {"loss": "main_loss", "accuracy": "correct", "top5_accuracy": "top5"}
    if not totals["weight"]:
        raise ValueError("expected an image to evaluate with that can be decoded; Received: none")
    return {metric: totals[name] / totals["weight"] for metric, name in names.items()}


def main_logits(outputs):
    """The main classifier's, of the outputs of a network with or without auxiliary heads."""
    return outputs["predictions"] if isinstance(outputs, dict) else outputs


def predictions(outputs, weights):
    """Probabilities of the main classifier, float32 (n, classes); no numbers for an example of weight 0."""
    probabilities = ops.softmax(ops.cast(main_logits(outputs), "float32"), axis=-1)
    return ops.where(weights[:, None] > 0, probabilities, float("nan"))


def evaluation_sums(outputs, labels, weights, recipe: Recipe) -> dict:
    """`loss_sums` of the main classifier alone, plain cross-entropy."""
    return loss_sums(main_logits(outputs), labels, weights, dataclasses.replace(recipe, label_smoothing=0.0))


def state_variables(model, optimizer) -> dict:
    """All variables that a step reads or writes, in the order of their creation, which is that of the recipe."""
    variables = {f"model/{number:04d}": variable for number, variable in enumerate(model.variables)}
    return variables | {f"optimizer/{number:04d}": variable for number, variable in enumerate(optimizer.variables)}


def assign_state(variables: dict, state: dict) -> None:
    """Assigns a stored state to `state_variables`.

    Raises:
        ValueError: it is the state of another network or optimizer; nothing was assigned.
    """
    expected = {name: tuple(variable.shape) for name, variable in variables.items()}
    received = {name: tuple(value.shape) for name, value in state.items()}
    if expected != received:
        wrong = sorted(name for name in {*expected, *received} if expected.get(name) != received.get(name))
        raise ValueError(
            f"expected the state of {len(expected)} variables; Received: {len(received)}, which differ in "
            f"{', '.join(wrong[:5])}"
        )
    for name, variable in variables.items():
        variable.assign(state[name])
