"""Arora's construction on its own ground: how much of random sparse networks is found, and where that ends.

The theorem is one of large n: degrees grow as a small power of it, few units are on, samples are many. At 1,000 units
that is the middle of each sweep of one layer; two layers want more of all, and their sweeps end near there. With a
degree of 4, half of which are edges that turn a unit on, many hidden units turn on one other or none, and what no pair
of units can tell of is left out of `identifiable`.
"""

import dataclasses
import itertools
import json
import logging
import pathlib

import numpy as np

from keras_inception.topology.arora import recover
from keras_inception.topology.sparse_network import SparseNetwork, score, visible
from training.curves import empty_figure

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Networks of which one number varies at a time.

    Args:
        depth: hidden layers.
        usual: width, degree, density and samples where they do not vary.
        varied: by the name of what varies its values.
    """

    depth: int
    usual: dict[str, float]
    varied: dict[str, tuple[float, ...]]

    @property
    def name(self) -> str:
        return {1: "one hidden layer", 2: "two hidden layers"}.get(self.depth, f"{self.depth} hidden layers")


SWEEPS = (
    Sweep(
        1,
        {"width": 1000, "degree": 8, "density": 0.005, "samples": 20_000},
        {
            "degree": (2, 3, 4, 6, 8, 12, 16, 24, 32),
            "density": (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1),
            "samples": (250, 500, 1000, 2000, 5000, 10_000, 20_000, 40_000, 100_000),
            "width": (125, 250, 500, 1000, 2000),
        },
    ),
    # Each layer turns on more units than the one above, so fewer of the uppermost are on; and a unit has as many
    # cousins as the fourth power of half of the degree, which wants wider layers.
    Sweep(
        2,
        {"width": 2000, "degree": 12, "density": 0.0005, "samples": 40_000},
        {
            "degree": (4, 6, 8, 12, 16),
            "density": (0.0001, 0.0002, 0.0005, 0.001),
            "samples": (10_000, 20_000, 40_000),
            "width": (500, 1000, 2000, 4000),
        },
    ),
)


def identifiable(weights: np.ndarray, above: np.ndarray | None = None) -> float:
    """The share of the edges that turn a unit on of which there is something to be seen.

    Args:
        weights: (units, hidden units).
        above: (hidden units, units above them); None: the hidden units are the uppermost.
    """
    edges = (weights > 0).sum(0)
    return float(edges[visible(weights, above)].sum() / max(1, edges.sum()))


def measure(width, degree, density, samples, *, depth=1, seeds=2) -> list[dict]:
    """Recall and precision of each hidden layer, from the lowest up: means over networks that the seeds draw.

    Of edges that turn a unit on, and, `off`, of those that turn one off; a precision is None where nothing was found.
    `observed on` is the share of observed units that are on, and `identifiable` that of the edges that turn a unit on,
    which pairs can tell of.
    """
    runs = []
    for seed in range(seeds):
        network = SparseNetwork.random(width, degree, density, depth, seed=seed)
        observed = network.sample(samples, seed=seeds + seed)
        found, order, layers = recover(observed, depth), None, []
        layers_above = (*network.weights[1:], None)
        for weights, above, layer in itertools.zip_longest(network.weights, layers_above, found):
            values = {"recall": 0.0, "precision": None, "off recall": 0.0, "off precision": None}
            if layer is not None:
                result = score(layer, weights, order, above)
                order = result.order
                values |= {"recall": result.recall, "precision": result.precision, "off recall": result.off_recall}
                values["off precision"] = None if np.isnan(result.off_precision) else result.off_precision
            values["identifiable"] = identifiable(weights, above)
            layers.append(values | {"observed on": float(observed.mean())})
        runs.append(layers)
    return [_means([run[number] for run in runs]) for number in range(depth)]


def _means(values: list[dict]) -> dict:
    """Of precision, which there is none of where nothing was found, over the others."""
    known = {name: [value[name] for value in values if value[name] is not None] for name in values[0]}
    return {name: round(float(np.mean(numbers)), 4) if numbers else None for name, numbers in known.items()}


def sweep(out, *, sweeps=SWEEPS, seeds=2) -> str:
    """Writes `recovery.json` and `recovery.png`.

    Args:
        out: the folder, which is made.
        sweeps: `Sweep`s.
        seeds: networks of each kind.

    Returns:
        The figures as a table.
    """
    out = pathlib.Path(out)
    data = {"networks of each kind": seeds}
    lines = [f"{'':>22} recall  precision  to be seen at all  off: recall  precision"]
    for kind in sweeps:
        known: dict[tuple, list[dict]] = {}  # what is usual is in each of its sweeps
        measured: dict[str, list[dict]] = {}
        data[kind.name] = {"usual": kind.usual, "varied": measured}
        for name, values in kind.varied.items():
            measured[name] = []
            for value in values:
                numbers = {**kind.usual, name: value}
                if (key := tuple(numbers.values())) not in known:
                    known[key] = measure(**numbers, depth=kind.depth, seeds=seeds)
                layers = known[key]
                measured[name].append({name: value, "layers": layers})
                where = f"{name} {value:g}"
                lines += [_line(where, number, layer, kind.depth) for number, layer in enumerate(layers, 1)]
                logger.info("%s, %s", kind.name, lines[-1].strip())
    out.mkdir(parents=True, exist_ok=True)
    (out / "recovery.json").write_text(json.dumps(data, indent=1) + "\n")
    draw(out / "recovery.png", data, sweeps)
    return "\n".join(lines)


def _line(where, number, layer, depth) -> str:
    text = where if depth == 1 else f"{where}, layer {number}"
    precision, off = ("-" if layer[of] is None else f"{layer[of]:.3f}" for of in ("precision", "off precision"))
    seen, recall = layer["identifiable"], layer["off recall"]
    return f"{text:>22} {layer['recall']:.3f}  {precision:>9}  {seen:17.3f}  {recall:11.3f}  {off:>9}"


def draw(png, data: dict, sweeps=SWEEPS) -> None:
    """Recall and precision over what varies, a panel each; a row of panels for each depth.

    Args:
        png: the file.
        data: as in `recovery.json`.
        sweeps: which of its parts.
    """
    columns = max(len(kind.varied) for kind in sweeps)
    figure = empty_figure(3.4 * columns + 2, 3.8 * len(sweeps))
    axes = figure.subplots(len(sweeps), columns, squeeze=False)
    for row, kind in zip(axes, sweeps, strict=True):
        part = data[kind.name]
        for axis, (name, points) in itertools.zip_longest(row, part["varied"].items(), fillvalue=(None, None)):
            if name is None:
                axis.set_axis_off()
                continue
            others = ", ".join(f"{key} {value:g}" for key, value in part["usual"].items() if key != name)
            at = [point[name] for point in points]
            _panel(axis, f"{name}, {kind.name}", at, others)
            for number in range(kind.depth):
                layers = [point["layers"][number] for point in points]
                style, label = ("-", "") if kind.depth == 1 else ("-:"[number % 2], f", layer {number + 1}")
                seen = [layer["identifiable"] for layer in layers]
                axis.plot(at, seen, "--", color="#b0b0b0", label=None if number else "to be seen at all")
                _lines(axis, at, layers, style, label)
        legend = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5), "frameon": False, "fontsize": 8}
        row[-1].legend(*row[0].get_legend_handles_labels(), **legend)
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
    values = {name: [np.nan if row[name] is None else row[name] for row in rows] for name in rows[0]}
    axis.plot(at, values["recall"], f"o{style}", color="#3182bd", label=f"recall{label}")
    axis.plot(at, values["precision"], f"s{style}", color="#d95f02", label=f"precision{label}")
    off = f", edges that turn off{label}"
    axis.plot(at, values["off recall"], f"o{style}", color="#9ecae1", ms=4, label=f"recall{off}")
    axis.plot(at, values["off precision"], f"s{style}", color="#fdae6b", ms=4, label=f"precision{off}")
