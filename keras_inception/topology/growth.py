"""The layer-by-layer construction of section 3: train, analyse the last layer, add a module, and again."""

import dataclasses
import logging

from keras_inception.layers.inception import InceptionWidths
from keras_inception.topology.correlation import correlation_statistics
from keras_inception.topology.design import Demand, demand, fit_to_budget

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Stage:
    """One step of the construction.

    Args:
        layer: the layer that was analysed.
        asked: what its statistics ask for.
        widths: the module that was added above it.
        carried: how many variables began with the trained values of the network before.
    """

    layer: str
    asked: Demand
    widths: InceptionWidths
    carried: int


def grow(build, train, images, budgets, *, last_layer, radius=2, **options) -> list[Stage]:
    """Builds a network module by module, each as the statistics of the trained layers below it ask for.

    ```python
    stages = grow(build, train, images, budgets=[20e6, 20e6], last_layer=lambda model: model.layers[-4].name)
    widths = [stage.widths for stage in stages]
    ```

    Args:
        build: from a list of `InceptionWidths`, of the modules so far, to a `keras.Model` that ends in a classifier;
            with none of them, of the layers below the first. Layers have the same names each time.
        train: trains such a model, in place.
        images: what `correlation_statistics` takes as a data set; gone through once for each module, and so no
            iterator.
        budgets: multiply-adds for one image, of each module.
        last_layer: from a model of `build` to the name of the layer that the next module would stand on.
        radius: of the offsets.
        options: of `design_module`.

    Returns:
        A `Stage` for each budget.

    Raises:
        ValueError: a budget is too small for any module.
    """
    stages: list[Stage] = []
    before = None
    for budget in budgets:
        model = build([stage.widths for stage in stages])
        carried = 0 if before is None else carry_over(before, model)
        train(model)
        layer = last_layer(model)
        statistics = correlation_statistics(model, layer, images, radius=radius)[layer]
        asked = demand(statistics, **options)
        widths = fit_to_budget(asked, statistics.units, statistics.map_size, budget)
        logger.info("upon %s: groups of 1x1, 3x3, 5x5 %s, and so %s", layer, asked.clusters, tuple(widths))
        stages.append(Stage(layer, asked, widths, carried))
        before = model
    return stages


def carry_over(source, target) -> int:
    """Gives the layers of a model the weights of another's of the same names, where all their shapes are equal.

    Returns:
        How many variables were given.
    """
    known = {layer.name: layer for layer in source.layers}
    count = 0
    for layer in target.layers:
        other = known.get(layer.name)
        if other is None or not layer.weights:
            continue
        if [tuple(v.shape) for v in layer.weights] == [tuple(v.shape) for v in other.weights]:
            layer.set_weights(other.get_weights())
            count += len(layer.weights)
    return count
