"""Arora's construction on its own ground: how much of random sparse networks is found, and where that ends."""

import json
import logging
import pathlib

import numpy as np

from keras_inception.topology.arora import SparseNetwork, recover, score
from training.curves import empty_figure

logger = logging.getLogger(__name__)

USUAL = {"width": 1000, "degree": 8, "density": 0.005, "samples": 20_000}
# One of the usual numbers varies in each sweep.
SWEEPS = {
    "degree": (2, 3, 4, 6, 8, 12, 16, 24, 32),
    "density": (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1),
    "samples": (250, 500, 1000, 2000, 5000, 10_000, 20_000, 40_000),
    "width": (125, 250, 500, 1000, 2000),
}
# With two hidden layers the relations through a grandparent count, which wide layers have less of.
TWO_LAYERS = (
    {"width": 1000, "degree": 8, "density": 0.001, "samples": 40_000},
    {"width": 2000, "degree": 8, "density": 0.0007, "samples": 40_000},
    {"width": 4000, "degree": 8, "density": 0.0005, "samples": 40_000},
)


def identifiable(weights: np.ndarray) -> float:
    """The share of the edges that turn a unit on which are those of hidden units with two such edges or more.

    A unit that turns one other on, and no more, is not to be told from that one.
    """
    edges = (weights > 0).sum(0)
    return float(edges[edges > 1].sum() / max(1, edges.sum()))


def measure(width, degree, density, samples, *, depth=1, seeds=2) -> list[dict]:
    """Recall and precision of each hidden layer, from the lowest up: means over networks that the seeds draw."""
    runs = []
    for seed in range(seeds):
        network = SparseNetwork.random(width, degree, density, depth, seed=seed)
        observed = network.sample(samples, seed=seeds + seed)
        found, order, layers = recover(observed, depth), None, []
        for weights, layer in zip(network.weights, [*found, *[None] * (depth - len(found))], strict=True):
            values = {"recall": 0.0, "precision": None, "identifiable": identifiable(weights)}
            if layer is not None:
                result = score(layer, weights, order)
                order = result.order
                values |= {"recall": result.recall, "precision": result.precision}
            layers.append(values | {"on": float(observed.mean())})
        runs.append(layers)
    return [_means([run[number] for run in runs]) for number in range(depth)]


def _means(values: list[dict]) -> dict:
    """Of precision, which there is none of where nothing was found, over the others."""
    known = {name: [value[name] for value in values if value[name] is not None] for name in values[0]}
    return {name: round(float(np.mean(numbers)), 4) if numbers else None for name, numbers in known.items()}


def sweep(out, *, sweeps=SWEEPS, two_layers=TWO_LAYERS, usual=USUAL, seeds=2) -> str:
    """Writes `recovery.json` and `recovery.png`.

    Args:
        out: the folder, which is made.
        sweeps: by the name of what varies its values.
        two_layers: networks of two hidden layers.
        usual: of what does not vary.
        seeds: networks of each kind.

    Returns:
        The figures as a table.
    """
    out = pathlib.Path(out)
    found = {}
    for name, values in sweeps.items():
        found[name] = [{name: value, **measure(**{**usual, name: value}, seeds=seeds)[0]} for value in values]
        logger.info("%s: %s", name, [(row[name], row["recall"], row["precision"]) for row in found[name]])
    deep = []
    for network in two_layers:
        lower, upper = measure(**network, depth=2, seeds=seeds)
        deep.append({**network, "lower": lower, "upper": upper})
        logger.info("two layers: %s", deep[-1])
    out.mkdir(parents=True, exist_ok=True)
    data = {"usual": usual, "networks of each kind": seeds, "one layer": found, "two layers": deep}
    (out / "recovery.json").write_text(json.dumps(data, indent=1) + "\n")
    draw(out / "recovery.png", found, usual)
    lines = [f"{'':>22} recall  precision  to be seen at all"]
    rows = [(f"{name} {row[name]:g}", row) for name, rows in found.items() for row in rows]
    for row in deep:
        text = f"{row['width']}, degree {row['degree']}"
        rows += [(f"{text}, {part}", row[part]) for part in ("lower", "upper")]
    for text, row in rows:
        precision = "-" if row["precision"] is None else f"{row['precision']:.3f}"
        lines.append(f"{text:>22} {row['recall']:.3f}  {precision:>9}  {row['identifiable']:.3f}")
    return "\n".join(lines)


def draw(png, found: dict[str, list[dict]], usual: dict) -> None:
    """Recall and precision over what varies, a panel each."""
    figure = empty_figure(3.4 * len(found), 3.6)
    for axis, (name, rows) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        at = [row[name] for row in rows]
        axis.plot(at, [row["identifiable"] for row in rows], "--", color="#b0b0b0", label="to be seen at all")
        axis.plot(at, [row["recall"] for row in rows], "o-", color="#3182bd", label="recall")
        # None where nothing was found.
        precision = [np.nan if row["precision"] is None else row["precision"] for row in rows]
        axis.plot(at, precision, "s-", color="#d95f02", label="precision")
        axis.set(xscale="log", title=name, ylim=(-0.03, 1.03))
        others = ", ".join(f"{key} {value:g}" for key, value in usual.items() if key != name)
        axis.set_xlabel(others, fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.axhline(0.95, color="#e0e0e0", linewidth=0.8, zorder=0)
    figure.axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(png, dpi=110)
