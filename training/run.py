"""A run from recipe to weights: everything that `python -m training.train` brings together."""

import importlib.util
import json
import logging
import pathlib
import sys

import numpy as np

from keras_inception.datasets import open_source
from training import distribution, monitors
from training.backends import find_backend
from training.checkpoint import Checkpoints
from training.finish import publish
from training.loop import Loop
from training.recipe import Recipe

logger = logging.getLogger(__name__)

# What a run that goes on may change: none of it changes the weights.
CHANGEABLE = ("checkpoint_every", "keep", "evaluate_every", "half")


class ClusterLostError(RuntimeError):
    """Another process of the cluster is gone; the same command, given to all of them again, goes on."""


def train(
    recipe: Recipe,
    *,
    name,
    data_dir=None,
    work_dir,
    strategy="auto",
    cluster=None,
    devices=None,
    callbacks=(),
    predict=None,
    settings=(),
    made_by=None,
) -> dict:
    """Trains, or goes on training, in this process.

    Args:
        recipe: the recipe.
        name: its name, for titles and cards.
        data_dir: TFDS's folder, or the folder of images; None for data that the recipe makes itself.
        work_dir: the run's folder, the same for all workers.
        strategy: a name of `training.distribution.make_strategy`; on JAX `"auto"` takes all local devices.
        cluster: a `training.distribution.Cluster`; None for one process.
        devices: names of the local devices that take part; None for all.
        callbacks: Keras callbacks.
        predict: a file for the probabilities of all evaluated images; None for none.
        settings: the texts of `--set` that made this recipe of its file, for the card.
        made_by: the command, for the card, where it is not that of `training.train`.

    Returns:
        The metrics of the last evaluation: `loss`, `accuracy`, `top5_accuracy`.

    Raises:
        ValueError: the data, the work directory or the cluster is not what the recipe needs.
        NotFiniteError: the loss became infinite or NaN.
        ClusterLostError: another process of the cluster is gone.
        OSError: a file could not be read or written.
    """
    work_dir, cluster = pathlib.Path(work_dir), cluster or distribution.Cluster()
    # The order counts: the strategy before any operation, precision and determinism before any layer, and nothing is
    # written before the data, the network and the work directory are known to be what the recipe needs.
    broken = BrokenImages()
    try:
        backend = find_backend(recipe, strategy, cluster, devices)
        training = open_source(recipe.dataset, recipe.train_split, data_dir)
        evaluation = open_source(recipe.dataset, recipe.eval_split, data_dir)
        data = backend.data(training, evaluation, broken)
        engine = backend.engine(training.classes, f"training/configs/{name}.py")
        if cluster.is_chief:
            claim(work_dir, recipe)
        loop = Loop(
            recipe,
            engine,
            data,
            Checkpoints(work_dir / "checkpoints", recipe.keep),
            monitors=watch(work_dir, backend) if cluster.is_chief else (),
            callbacks=callbacks,
            writes=cluster.is_chief,
        )
        metrics = loop.run()
        if predict is not None:
            probabilities = engine.predict(data.evaluation(), len(evaluation))  # on all workers, for each has a part
    except Exception as error:
        # Already the first variables are sent from worker to worker.
        if distribution.is_loss(error, cluster):
            raise ClusterLostError(
                "expected every process of the cluster to stay; Received: the loss of one; the same command, given to "
                "all of them again, goes on from the last checkpoint"
            ) from error
        raise
    if broken.names:
        logger.warning("%d images could not be decoded, and were left out.", len(broken.names))
    elif loop.left_out:
        # Only the workers know their names, and have written them.
        logger.warning("Images that could not be decoded were left out %d times.", loop.left_out)
    if cluster.is_chief:
        if predict is not None:
            np.savez(predict, probabilities=probabilities, classes=training.classes)
        draw(work_dir, f"{name}: {100 * metrics['accuracy']:.2f} % top-1")
        folder = publish(
            engine,
            recipe,
            metrics,
            work_dir,
            name=name,
            epochs=loop.step / data.steps_per_epoch,
            seconds=loop.seconds,
            hardware=backend.hardware,
            settings=settings,
            made_by=made_by,
        )
        logger.info("%.2f %% top-1 accuracy; the trained model is %s", 100 * metrics["accuracy"], folder)
    return metrics


def watch(work_dir, backend) -> list:
    """What shows a run: on the terminal, in `metrics.jsonl`, and with TensorFlow in TensorBoard's files."""
    shown = [monitors.MetricsFile(work_dir / "metrics.jsonl"), monitors.Progress(sys.stderr)]
    if backend.has_tensorboard and importlib.util.find_spec("tensorboard"):
        shown.append(monitors.TensorBoard(work_dir / "tensorboard"))
    return shown


def draw(work_dir, title: str) -> None:
    """Draws the curves of a run; where nothing is there to draw with, says so."""
    from training.curves import plot_curves

    try:
        plot_curves(work_dir / "metrics.jsonl", work_dir / "curves.png", title=title)
    except ImportError as error:
        logger.warning("%s", error)


def claim(work_dir: pathlib.Path, recipe: Recipe, **facts) -> None:
    """Makes a work directory that of a recipe.

    Args:
        work_dir: the directory.
        recipe: the recipe.
        facts: what else must be the same when the run goes on, as JSON data.

    Raises:
        ValueError: it is that of another.
    """
    path = work_dir / "run.json"
    ours = {**recipe.to_dict(), **facts}
    if path.exists():
        try:
            theirs = dict(json.loads(path.read_text())["recipe"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"expected the work directory of a training; Received: {path}, which is of none"
            ) from error
        names = sorted({*ours, *theirs} - set(CHANGEABLE))
        different = [name for name in names if ours.get(name) != theirs.get(name)]
        if different:
            shown = ", ".join(f"{name}={theirs.get(name)!r}" for name in different)
            raise ValueError(
                f"expected a work directory of this recipe, or an empty one; Received: {work_dir}, begun with {shown}"
            )
    work_dir.mkdir(parents=True, exist_ok=True)
    monitors.write_run_info(work_dir, ours)


def preview(recipe: Recipe, data_dir, path) -> None:
    """Draws what the network will see, at the size of the evaluation."""
    from training.preview import preview as draw_preview

    source = open_source(recipe.dataset, recipe.train_split, data_dir)
    # Where the images grow, as the last epochs see them, and the evaluation.
    draw_preview(source, recipe.augmentation, recipe.evaluated_size, path, seed=recipe.seed, resize_to=recipe.resize_to)


class BrokenImages:
    """Names each image that cannot be decoded once, and counts them."""

    def __init__(self):
        self.names = set()

    def __call__(self, name: str) -> None:
        if name not in self.names:
            self.names.add(name)
            logger.warning("The image %s cannot be decoded, and is left out.", name)
