"""From a finished run to weights: the folder that `weights/` and the hub hold, with its card."""

import json
import pathlib
import shlex

from keras_inception import checkpoints, remove_aux_heads
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

    Returns:
        The folder.
    """
    with engine.averaged() as model:
        trained = remove_aux_heads(model) if isinstance(model.output, dict) else model
        checkpoint = checkpoints.to_checkpoint(trained)
    measured = {
        "top1": round(100 * metrics["accuracy"], 2),
        "top5": round(100 * metrics["top5_accuracy"], 2),
        "protocol": f"{recipe.dataset} {recipe.eval_split}, one central crop of {max(recipe.sizes)} pixels, "
        "in the training's precision",
    }
    folder = pathlib.Path(work_dir) / FOLDER
    folders.write_folder(folder, checkpoint, metrics=measured, half=recipe.half)
    made = {"name": name, "epochs": epochs, "minutes": seconds / 60, "hardware": hardware, "settings": settings}
    text = card(recipe, measured, **made)
    (folder / "README.md").write_text(text)
    return folder


def card(recipe: Recipe, metrics: dict, *, name: str, epochs: float, minutes: float, hardware: str, settings=()) -> str:
    """The model's card: what it is, how it was made, and what was measured."""
    words = ["python", "-m", "training.train", f"training/configs/{name}.py"]
    command = shlex.join([*words, *(word for setting in settings for word in ("--set", setting))])
    sizes = ", ".join(f"{recipe.sizes.count(size)} at {size} x {size}" for size in sorted(set(recipe.sizes)))
    planned = f"{recipe.epochs} epochs: {sizes}" if len(recipe.sizes) > 1 else f"{recipe.epochs} epochs at {sizes[5:]}"
    trained = planned if epochs == recipe.epochs else f"stopped by a callback after {round(epochs, 2):g} of {planned}"
    own = recipe.dataset in ("folder", "synthetic")  # known to nobody else
    datasets = "" if own else f"datasets: [{recipe.dataset.partition('/')[0].partition(':')[0]}]\n"
    split = json.dumps(recipe.eval_split)
    begun = "" if recipe.weights is None else f"\n* begun with the weights `{recipe.weights}`, whose licence holds too"
    weights = "averaged weights" if recipe.average else "the last weights"
    return f"""---
library_name: keras
license: apache-2.0
pipeline_tag: image-classification
{datasets}tags: [keras, googlenet, inception]
model-index:
- name: googlenet-{name}
  results:
  - task: {{type: image-classification}}
    dataset: {{name: {json.dumps(recipe.dataset)}, type: {json.dumps(recipe.dataset)}, split: {split}}}
    metrics:
    - {{type: accuracy, value: {metrics["top1"]}}}
    - {{type: top-5-accuracy, value: {metrics["top5"]}}}
---

# GoogLeNet, {name}

The network of "Going deeper with convolutions", variant `{recipe.variant}`, stem `{recipe.stem}`, without auxiliary
classifiers; {weights} of the training.

```python
model = keras_inception.GoogLeNet(weights="path/of/this/folder")  # RGB pixels 0..255
keras_inception.decode_predictions(model.predict(images), labels=model)
```

| measured | |
|---|---|
| top-1 accuracy | {metrics["top1"]} % (top 5: {metrics["top5"]} %) |
| protocol | {metrics["protocol"]} |

## How it was made

`{command}`, in {minutes:.0f} minutes on {hardware}.
The recipe in full, the versions of the frameworks and the curves are in the run's folder (`run.json`, `metrics.jsonl`,
`curves.png`).

* {trained}, batch {recipe.batch_size}{begun}
* SGD, momentum {recipe.momentum}, learning rate {recipe.learning_rate} ({recipe.schedule})
* weight decay {recipe.weight_decay}
* {"auxiliary classifiers at " + str(recipe.aux_weight) if recipe.aux_heads else "no auxiliary classifiers"}
* {recipe.precision}, seed {recipe.seed}
"""
