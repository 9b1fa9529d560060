"""A GoogLeNet grown module by module, each as the statistics of what is trained below it ask for."""

import dataclasses
import itertools
import json
import logging
import pathlib

import keras

from keras_inception.datasets import open_source
from keras_inception.layers.cost import reduced_module
from keras_inception.models import families
from keras_inception.models.googlenet import TABLE_1
from keras_inception.models.googlenet_spec import MODULES
from keras_inception.topology import grow
from keras_inception.topology.growth import Stage
from training.input_pipeline import steps_per_epoch, training_batches
from training.network import build_optimizer
from training.recipe import Recipe
from training.topology.report import expect_5x5, layer_below, module_inputs, read_images

logger = logging.getLogger(__name__)


def trunk(recipe: Recipe, classes: int, widths):
    """The recipe's network up to where the next module stands, and a linear classifier upon it.

    Args:
        recipe: the recipe.
        classes: how many.
        widths: of the modules so far, from 3a on.

    Returns:
        A model of images of any size, with logits as its output.
    """
    own = tuple((module, tuple(w)) for module, w in zip(MODULES, widths, strict=False))
    network = dataclasses.replace(recipe, widths=own or None).network(classes, input_size=recipe.evaluated_size)
    whole = families.build(network, input_shape=(None, None, 3))
    top = standing_on(whole, len(widths))
    x = keras.layers.GlobalAveragePooling2D(name="pool5_7x7_s1")(whole.get_layer(top).output)
    x = keras.layers.Dropout(recipe.dropout, name="pool5_drop_7x7_s1")(x)
    x = keras.layers.Dense(classes, name=f"loss3_classifier_{len(widths)}", dtype="float32")(x)
    return keras.Model(whole.input, x)


def standing_on(model, modules: int) -> str:
    """The layer that the next module stands on, where there are so many."""
    inputs = list(module_inputs(model).values())
    return inputs[modules] if modules < len(inputs) else f"inception_{MODULES[-1]}_output"


def hand_made_costs(recipe: Recipe) -> list[int]:
    """Multiply-adds of each module of Table 1, for one image as the recipe's evaluation sees it."""
    network = dataclasses.replace(recipe, widths=None).network(10)
    side = recipe.evaluated_size
    whole = families.build(network, input_shape=(side, side, 3))
    costs = []
    for row in TABLE_1:
        if row.module:
            *_, height, width, channels = whole.get_layer(f"inception_{row.module}_1x1").input.shape
            costs.append(
                reduced_module(channels, network.module_widths(row.module, row.widths), height, width).operations
            )
    return costs


def grow_by_recipe(recipe: Recipe, data_dir, *, epochs=1, images=1024, modules=9) -> list[Stage]:
    """Grows the modules from 3a on, each at the multiply-adds of the one that Table 1 has in its place.

    Args:
        recipe: the recipe: stem, variant, data, and how the network is trained between two modules: at the first of its
            sizes, with its schedule over `epochs` of which a quarter are warm-up, without an average of the weights,
            and leaving out what cannot be decoded. Its precision is Keras' dtype policy from then on.
        data_dir: the folder of its data.
        epochs: of the training before each module; layers keep what they have learned before.
        images: of the training data, for the statistics, as an evaluation sees them.
        modules: how many; those above are as Table 1 has them.

    Returns:
        A `Stage` for each module.

    Raises:
        ValueError: the recipe is not that of a GoogLeNet from scratch, without heads, and with 5x5 convolutions; or no
            module is to grow.
    """
    if recipe.architecture != "GoogLeNet" or recipe.aux_heads or recipe.weights is not None or recipe.widths:
        raise ValueError(
            "expected a GoogLeNet from scratch, with no auxiliary heads and no widths of its own; Received: "
            f"architecture={recipe.architecture!r}, aux_heads={recipe.aux_heads}, weights={recipe.weights!r}, "
            f"widths={recipe.widths}"
        )
    expect_5x5(recipe.variant)
    if not (0 < modules <= len(MODULES) and epochs > 0):
        raise ValueError(
            f"expected 1 to {len(MODULES)} modules, and an epoch at least; Received: modules={modules}, epochs={epochs}"
        )
    keras.config.set_dtype_policy(recipe.precision)
    keras.utils.set_random_seed(recipe.seed)
    source = open_source(recipe.dataset, recipe.train_split, data_dir)
    # No averages: `fit` would leave them in place of the weights, which the next module is to go on from.
    times = {"epochs": epochs, "warmup_epochs": epochs / 4}
    sizes = {"sizes": recipe.sizes[:1], "eval_size": recipe.evaluated_size}
    stage = dataclasses.replace(recipe, average=None, **times, **sizes)
    per_epoch = steps_per_epoch(source, recipe.batch_size)
    numbers = itertools.count()

    def build(widths):
        return trunk(recipe, len(source.classes), widths)

    def last_layer(model):
        return layer_below(model, "pool5_7x7_s1")

    def train(model):
        number = next(numbers)
        batches = training_batches(
            source,
            size=recipe.sizes[0],
            batch_size=recipe.batch_size,
            augmentation=recipe.augmentation,
            seed=recipe.seed,
            epochs=range(number * epochs, (number + 1) * epochs),
            shuffle_buffer=recipe.shuffle_buffer,
        )
        optimizer = build_optimizer(stage, model)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing)
        model.compile(optimizer, loss, weighted_metrics=["accuracy"], auto_scale_loss=False)
        classes = len(source.classes)
        batches = batches.map(lambda x, y, w: (x, keras.ops.one_hot(y, classes), w))
        schedule = _Schedule(stage, per_epoch)
        logs = model.fit(batches, epochs=1, callbacks=[schedule], verbose=0).history
        logger.info("%d modules: accuracy %.4f, loss %.4f", number, logs["accuracy"][-1], logs["loss"][-1])

    size = recipe.evaluated_size
    seen = read_images(recipe.dataset, recipe.train_split, data_dir, size, images, resize_to=recipe.resize_to)
    return grow(build, train, seen, hand_made_costs(recipe)[:modules], last_layer=last_layer)


class _Schedule(keras.callbacks.Callback):
    """The recipe's learning rate, step by step."""

    def __init__(self, recipe: Recipe, per_epoch: int):
        super().__init__()
        self.recipe, self.per_epoch = recipe, per_epoch

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = self.recipe.rate(batch, self.per_epoch)


def write(stages: list[Stage], recipe: Recipe, path) -> str:
    """Writes what has grown as JSON.

    Returns:
        The setting of `training.train` that trains it.
    """
    budgets = hand_made_costs(recipe)
    rows = []
    for module, stage, budget in zip(MODULES, stages, budgets, strict=False):
        rows.append(
            {
                "module": module,
                "upon": stage.layer,
                "groups of 1x1, 3x3, 5x5": stage.asked.clusters,
                "dimensions of 3x3, 5x5": stage.asked.dimensions,
                "widths": tuple(stage.widths),
                "multiply-adds of Table 1's module": budget,
            }
        )
    widths = tuple((module, tuple(stage.widths)) for module, stage in zip(MODULES, stages, strict=False))
    pathlib.Path(path).write_text(json.dumps({"widths": widths, "stages": rows}, indent=1) + "\n")
    return f"--set 'widths={widths}'"
