"""From a finished run to weights: the folder that `weights/` and the hub hold, with its card."""

import json
import pathlib
import re
import shlex

from keras_inception import checkpoints, remove_aux_heads
from keras_inception.hub import card as cards
from keras_inception.hub import folder as folders
from training.recipe import Recipe

FOLDER = "model"


def publish(
    engine,
    recipe: Recipe,
    metrics: dict,
    work_dir,
    *,
    name: str,
    epochs: float,
    seconds: float,
    hardware: str,
    settings=(),
    made_by: str | None = None,
) -> pathlib.Path:
    """Writes `work_dir/model`: averaged weights, no auxiliary heads, JSON and a card.

    Args:
        engine: the engine of the finished run.
        recipe: the recipe.
        metrics: of the last evaluation, `accuracy` and `top5_accuracy` as fractions.
        work_dir: the run's folder.
        name: the recipe's name.
        epochs: that were trained, fewer than the recipe's where a callback stopped the run.
        seconds: of training, over interruptions.
        hardware: what it ran on.
        settings: the texts of `--set` that changed the recipe's file.
        made_by: the command, where it is not that of `training.train`.

    Returns:
        The folder.
    """
    with engine.averaged() as model:
        trained = remove_aux_heads(model) if isinstance(model.output, dict) else model
        checkpoint = checkpoints.to_checkpoint(trained)
    provenance = {
        "recipe": f"training/configs/{name}.py",
        "command": made_by or command(name, settings),
        "trained": f"{round(epochs, 2):g} epochs in {seconds / 60:.0f} minutes on {hardware}",
        **session(pathlib.Path(work_dir) / "run.json"),
    }
    folder = pathlib.Path(work_dir) / FOLDER
    published = folders.write(
        folder, checkpoint, metrics=measured(recipe, metrics), half=recipe.half, provenance=provenance
    )
    (folder / folders.CARD).write_text(card(recipe, published, name=name, epochs=epochs), "utf-8")
    return folder


def measured(recipe: Recipe, metrics: dict) -> dict:
    """The metrics of the last evaluation in percent, and how they were measured, as a published folder has them."""
    own = recipe.dataset in ("folder", "arrays", "synthetic")  # known to nobody else
    return {
        "top1": round(100 * metrics["accuracy"], 2),
        "top5": round(100 * metrics["top5_accuracy"], 2),
        # Of TFDS's name/config:version, what the Hub may know.
        **({} if own else {"dataset": re.split("[/:]", recipe.dataset)[0]}),
        "split": recipe.eval_split,
        "protocol": f"one central crop of {recipe.evaluated_size} pixels, in the training's precision",
    }


def command(name: str, settings=(), program: str = "train") -> str:
    """The command of a run, but for the folders of whoever gives it."""
    words = ["python", "-m", f"training.{program}", f"training/configs/{name}.py"]
    return shlex.join([*words, *(word for setting in settings for word in ("--set", setting))])


def session(path) -> dict:
    """Commit and versions of the run's last session, which `run.json` tells; nothing without it."""
    if not path.is_file():
        return {}
    session = json.loads(path.read_text())["sessions"][-1]
    versions = ", ".join(f"{package} {number}" for package, number in session["versions"].items() if number)
    return {"commit": session["commit"] or "unknown", "versions": versions}


def card(recipe: Recipe, published: folders.Published, *, name: str, epochs: float) -> str:
    """The model's card: what it is, how it was made, and what was measured.

    Args:
        recipe: the recipe.
        published: what the JSON beside the card says.
        name: the recipe's name.
        epochs: that were trained.
    """
    sizes = ", ".join(f"{recipe.sizes.count(size)} at {size} x {size}" for size in sorted(set(recipe.sizes)))
    planned = f"{recipe.epochs} epochs: {sizes}" if len(recipe.sizes) > 1 else f"{recipe.epochs} epochs at {sizes[5:]}"
    trained = planned if epochs == recipe.epochs else f"stopped by a callback after {round(epochs, 2):g} of {planned}"
    begun = "" if recipe.weights is None else f"\n* begun with the weights `{recipe.weights}`, whose licence holds too"
    weights = "the averaged weights" if recipe.average else "the last weights"
    facts = cards.front_matter(f"{cards.TAGS[recipe.architecture][0]}-{name}", published, license="apache-2.0")
    text = f"""# {recipe.architecture}, {name}

{cards.what_it_is(published)} These are {weights} of the training.

## How it was made

`{published.provenance["command"]}`
The recipe in full, the versions of the frameworks and the curves are in the run's folder (`run.json`, `metrics.jsonl`,
`curves.png`).

* {trained}, batch {recipe.batch_size}{begun}
* SGD, momentum {recipe.momentum}, learning rate {recipe.learning_rate} ({recipe.schedule})
* weight decay {recipe.weight_decay}
* {"auxiliary classifiers at " + str(recipe.aux_weight) if recipe.aux_heads else "no auxiliary classifiers"}
* {recipe.precision}, seed {recipe.seed}
"""
    return cards.compose(facts, text, "path/of/this/folder", published)
