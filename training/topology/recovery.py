"""Arora's construction on its own ground: how much of random sparse networks is found, and where that ends.

The theorem is one of large n: degrees grow as a small power of it, few units are on, samples are many. At 1,000 units
that is the middle of each sweep. With a degree of 4, half of which are edges that turn a unit on, many hidden units
turn on one other or none, and what no pair of units can tell of is left out of `identifiable`.
"""

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
    """Recall and precision of each hidden layer, from the lowest up: means over networks that the seeds draw.

    `precision` is None where nothing was found; `observed on` is the share of observed units that are on, and
    `identifiable` that of the edges which pairs can tell of.
    """
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
            layers.append(values | {"observed on": float(observed.mean())})
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
    draw(out / "recovery.png", found, deep, usual)
    lines = [f"{'':>22} recall  precision  to be seen at all"]
    rows = [(f"{name} {row[name]:g}", row) for name, rows in found.items() for row in rows]
    for row in deep:
        text = f"{row['width']}, degree {row['degree']}"
        rows += [(f"{text}, {part}", row[part]) for part in ("lower", "upper")]
    for text, row in rows:
        precision = "-" if row["precision"] is None else f"{row['precision']:.3f}"
        lines.append(f"{text:>22} {row['recall']:.3f}  {precision:>9}  {row['identifiable']:.3f}")
    return "\n".join(lines)


def draw(png, found: dict[str, list[dict]], deep: list[dict], usual: dict) -> None:
    """Recall and precision over what varies, a panel each; in the last, both layers of deeper networks."""
    figure = empty_figure(3.4 * (len(found) + 1), 3.6)
    axes = figure.subplots(1, len(found) + 1, squeeze=False)[0]
    for axis, (name, rows) in zip(axes, found.items(), strict=False):
        others = ", ".join(f"{key} {value:g}" for key, value in usual.items() if key != name)
        _panel(axis, name, [row[name] for row in rows], others)
        at = [row[name] for row in rows]
        axis.plot(at, [row["identifiable"] for row in rows], "--", color="#b0b0b0", label="to be seen at all")
        _lines(axis, at, rows, "-", "")
    at = [row["width"] for row in deep]
    _panel(axes[-1], "width, two hidden layers", at, "degree and density: see recovery.json")
    for layer, style in (("lower", "-"), ("upper", ":")):
        _lines(axes[-1], at, [row[layer] for row in deep], style, f", {layer} layer")
    for axis in (axes[0], axes[-1]):
        axis.legend(frameon=False, fontsize=8, loc="lower left")
    figure.savefig(png, dpi=110)


def _panel(axis, title, at, below) -> None:
    axis.set(xscale="log", title=title, ylim=(-0.03, 1.03))
    axis.set_xticks(at, [f"{value:g}" for value in at], fontsize=8, rotation=45)
    axis.minorticks_off()
    axis.set_xlabel(below, fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.axhline(0.95, color="#e0e0e0", linewidth=0.8, zorder=0)


def _lines(axis, at, rows, style, label) -> None:
    # Where nothing was found, there is no precision.
    precision = [np.nan if row["precision"] is None else row["precision"] for row in rows]
    axis.plot(at, [row["recall"] for row in rows], f"o{style}", color="#3182bd", label=f"recall{label}")
    axis.plot(at, precision, f"s{style}", color="#d95f02", label=f"precision{label}")
