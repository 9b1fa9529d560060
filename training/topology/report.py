"""The report: statistics of a trained network and of untrained ones like it, tables, pictures, and a verdict."""

import dataclasses
import json
import logging
import pathlib

import keras
import numpy as np

from keras_inception import GoogLeNet, datasets
from keras_inception.layers.pixels import find_pixels
from keras_inception.models import families
from keras_inception.models.googlenet import TABLE_1
from keras_inception.models.googlenet_spec import VARIANTS
from keras_inception.topology import LayerStatistics, correlation_statistics
from training.input_pipeline import evaluation_batches
from training.topology.pictures import draw, draw_correlations
from training.topology.predictions import DIFFERS, FAILS, HOLDS, Asked, Finding, ask, compare, middle, rising_by_map

logger = logging.getLogger(__name__)

BATCH = 64
RADIUS = 2
COLUMNS = ("module", "map", "channels", "groups", "untrained", "spread", "untrained", "asked", "untrained", "Table 1")
COLUMNS += ("designed",)


def read_images(data: str, split: str, data_dir, size: int, count: int, *, resize_to=None) -> np.ndarray:
    """Images of a data set as an evaluation sees them, in the order that a seed of the source gives.

    Args:
        data, split, data_dir: as of `keras_inception.datasets.open_source`.
        size: height and width in pixels.
        count: how many at most; those that cannot be decoded are left out.
        resize_to: the short side before the central crop, in pixels; None for `size`.

    Returns:
        uint8 (n, size, size, 3), RGB.

    Raises:
        ValueError: fewer than a batch.
    """
    source = datasets.open_source(data, split, data_dir)
    count = min(count, len(source))
    if count < BATCH:
        raise ValueError(f"expected {BATCH} images or more; Received: {count}")
    batches = evaluation_batches(source, size=size, resize_to=resize_to or size, batch_size=BATCH, seed=0)
    parts = [(images.numpy(), weights.numpy()) for images, _, weights in batches.take(-(-count // BATCH))]
    images, weights = (np.concatenate(part)[:count] for part in zip(*parts, strict=True))
    return images[weights > 0]


def untrained_like(model, images, seed: int):
    """A network of the same architecture with fresh weights.

    Batch normalization has the statistics of a batch of images, as it has from the first training step on: without them
    the maps of a deep untrained network are nearly constant.
    """
    keras.utils.set_random_seed(seed)
    spec = families.parse_spec(find_pixels(model).spec)
    fresh = families.build(dataclasses.replace(spec, source=None), input_shape=model.input_shape[1:])
    layers = [layer for layer in fresh.layers if isinstance(layer, keras.layers.BatchNormalization)]
    kept = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    if layers:
        fresh(images[: 4 * BATCH].astype("float32"), training=True)
    for layer, momentum in zip(layers, kept, strict=True):
        layer.momentum = momentum
    return fresh


def layer_below(model, name: str) -> str:
    """The layer whose output another one takes."""
    return model.get_layer(name).input._keras_history.operation.name


def module_inputs(model) -> dict[str, str]:
    """By module of Table 1 the layer that it stands on."""
    return {row.module: layer_below(model, f"inception_{row.module}_1x1") for row in TABLE_1 if row.module}


def expect_5x5(variant: str) -> None:
    """Refuses a variant whose "5x5" convolutions are none: what asks for patches of 5 x 5 would not get them.

    Raises:
        ValueError: it is such a variant.
    """
    if (size := VARIANTS[variant].large_kernel) != 5:
        raise ValueError(f"expected a variant with convolutions of 5x5; Received: {variant}, of {size}x{size}")


def analyse(model, images, thresholds, positions) -> tuple[dict[float, list[Asked]], dict[str, LayerStatistics]]:
    """What the inputs of each module ask for, by threshold, and the statistics of them, by module."""
    layers = module_inputs(model)
    options = {"radius": RADIUS, "positions": positions, "batch_size": BATCH}
    found = correlation_statistics(model, list(layers.values()), images, **options)
    statistics = {module: found[layer] for module, layer in layers.items()}
    spec = families.parse_spec(find_pixels(model).spec)
    expect_5x5(spec.variant)
    widths = {row.module: spec.module_widths(row.module, row.widths) for row in TABLE_1 if row.module}
    if reductionless := [module for module, own in widths.items() if len(own) != 6]:
        raise ValueError(f"expected modules with reductions; Received: {', '.join(reductionless)} without")
    asked = {t: [ask(m, s, widths[m], threshold=t) for m, s in statistics.items()] for t in thresholds}
    return asked, statistics


def report(
    weights: str, images: np.ndarray, out, *, thresholds=(0.2, 0.3, 0.5), controls=3, positions=64, described=""
) -> str:
    """Writes `report.json`, `report.md`, `topology.png` and `correlations.png`.

    Args:
        weights: of a GoogLeNet: what `GoogLeNet(weights=...)` takes.
        images: uint8 (n, size, size, 3).
        out: the folder, which is made.
        thresholds: correlations down to which units are grouped; an expectation holds if it holds at all of them.
        controls: how many untrained networks.
        positions: of each map, from which the correlations with other places are taken.
        described: the images in words.

    Returns:
        The text of `report.md`.

    Raises:
        ValueError: no control, or no threshold; a network of modules without reductions, or without 5x5 convolutions.
    """
    if controls < 1 or not thresholds:
        raise ValueError(
            "expected an untrained network and a threshold at least; Received: "
            f"controls={controls}, thresholds={thresholds}"
        )
    out = pathlib.Path(out)
    model = GoogLeNet(weights=weights, input_shape=images.shape[1:])
    logger.info("%s", weights)
    trained, statistics = analyse(model, images, thresholds, positions)
    untrained, drawn = [], {}
    for seed in range(controls):
        logger.info("untrained network %d of %d", seed + 1, controls)
        asked, drawn = analyse(untrained_like(model, images, seed), images, thresholds, positions)
        untrained.append(asked)
    findings = compare(trained, untrained)
    text = compose(weights, described, len(images), trained, untrained, findings)
    out.mkdir(parents=True, exist_ok=True)
    data = {
        "weights": weights,
        "images": len(images),
        "trained": as_json(trained),
        "untrained": [as_json(control) for control in untrained],
        "findings": [
            {**dataclasses.asdict(f), "outcome": f.outcome, "effect": f.effect, "sentence": f.sentence()}
            for f in findings
        ],
    }
    (out / "report.json").write_text(json.dumps(data, indent=1) + "\n")
    (out / "report.md").write_text(text)
    draw(out / "topology.png", trained, untrained)
    draw_correlations(out / "correlations.png", statistics, drawn)
    return text


def as_json(asked: dict[float, list[Asked]]) -> dict:
    """By threshold, of each module."""
    return {
        str(threshold): [
            {**dataclasses.asdict(m), "share": round(m.share, 4), "own_share": round(m.own_share, 4)} for m in modules
        ]
        for threshold, modules in asked.items()
    }


def compose(weights, described, count, trained, untrained, findings: list[Finding]) -> str:
    """The report as Markdown."""
    usual = middle(trained)
    thresholds = ", ".join(f"{t:g}" for t in trained)
    lines = [
        "# Does section 3 of the paper hold for a trained network?",
        "",
        f"Weights `{weights}`, {count} images{f' ({described})' if described else ''}, and as the control untrained "
        f"networks of the same architecture: {len(untrained)}. The statistics are those of each module's inputs: "
        "correlations of its channels at one place and up to two places apart; groups are joined down to a correlation "
        f"of {thresholds}, for the paper names none. All of it is written by `python -m training.topology`.",
        "",
        "## Verdict",
        "",
        "Each expectation is a share between 0 and 1, of pairs of modules that are in the expected order (the last: "
        "ordered alike by both), or of modules. It holds from "
        f"{HOLDS} on at every threshold and fails below {FAILS} at all; training made a difference where it differs "
        f"from the untrained networks' by {DIFFERS} at every threshold. The numbers are those of the thresholds, in "
        "brackets the untrained networks'.",
        "",
        *(f"- {finding.sentence()}" for finding in findings),
        "",
        in_short(findings),
        "",
        by_map(trained[usual]),
        "",
        "## What the statistics ask for, and what Table 1 chose",
        "",
        f"At a threshold of {usual:g}. Shares are those of 1x1 / 3x3 / 5x5 in percent, of groups and of filters (the "
        "pooling branch left out). The spread of a group is the root of the mean square of the distance at which it "
        "correlates, in places of the map: 0 where it does at one place alone, 2 where it does alike at all that were "
        "looked at. The last column is the module that the statistics ask for at as many multiply-adds, in the order "
        "of Table 1's columns.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
    ]
    for number, m in enumerate(trained[usual]):
        others = [control[usual][number] for control in untrained]
        own = np.array((m.own.n1x1, m.own.n3x3, m.own.n5x5))
        cells = [
            m.module,
            f"{m.map_size[0]} x {m.map_size[1]}",
            f"{m.units[0]}" + (f", {m.units[0] - m.units[1]} constant" if m.units[0] != m.units[1] else ""),
            str(sum(m.groups)),
            f"{np.mean([sum(o.groups) for o in others]):.0f}",
            f"{m.spread:.2f}",
            f"{np.mean([o.spread for o in others]):.2f}",
            _percent(m.groups),
            _percent(np.mean([np.array(o.groups) / sum(o.groups) for o in others], axis=0)),
            _percent(own),
            " ".join(map(str, m.widths)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "![spread and shares by module](topology.png)",
        "",
        "![correlation matrices, ordered by group](correlations.png)",
    ]
    return "\n".join(lines) + "\n"


def by_map(modules: list[Asked]) -> str:
    """Where the pairs are that the first two expectations count, and which are in the expected order."""
    sizes = [m.map_size for m in modules]
    wider = rising_by_map([m.spread for m in modules], sizes)
    larger = rising_by_map([m.share for m in modules], sizes)
    parts = [
        f"{pairs} on maps of {height} x {width}: {right:g} and {larger[height, width][0]:g}"
        for (height, width), (right, pairs) in wider.items()
    ]
    return f"Pairs of modules, and how many are in the order of the first and of the second: {'; '.join(parts)}."


def in_short(findings: list[Finding]) -> str:
    """The verdict in a sentence or two."""
    of = {kind: [f.expectation for f in findings if f.outcome == kind] for kind in ("holds", "fails", "undecided")}
    learned = [f.expectation for f in findings if f.outcome == "holds" and f.effect == "more"]
    parts = [f"Of {len(findings)} readings of what the paper expects {len(of['holds'])} hold"]
    parts += [f", {len(of['fails'])} fail{'s' * (len(of['fails']) == 1)}"] if of["fails"] else []
    parts += [f", {len(of['undecided'])} cannot be decided from these statistics"] if of["undecided"] else []
    if of["holds"]:
        made = f"{len(learned)} of those that hold" if len(learned) < len(of["holds"]) else "what holds"
        parts += [f"; training brought about {made}" if learned else "; none of it is training's doing for certain"]
    return "".join(parts) + "."


def _percent(parts) -> str:
    return " / ".join(f"{100 * part / sum(parts):.0f}" for part in parts)
