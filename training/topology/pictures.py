"""The pictures of the report."""

import numpy as np

from keras_inception.topology import LayerStatistics, cluster_units
from training.curves import empty_figure
from training.topology.predictions import middle

# Of the correlation matrices that are drawn: one module of each size of the map.
DRAWN = ("3b", "4e", "5b")


def draw(png, trained, untrained) -> None:
    """Spread, and the share of 3x3 and 5x5, by module: a line for each threshold, the untrained networks in grey."""
    figure = empty_figure(11, 7.5)
    axes = figure.subplots(2, 2)
    usual = trained[middle(trained)]
    names = [m.module for m in usual]
    at, blues = np.arange(len(names)), ("#9ecae1", "#3182bd", "#08306b")
    measures = (
        ("spread of correlated groups, places of the map", lambda m: m.spread),
        ("share of 3x3 and 5x5 among the groups", lambda m: m.share),
    )
    for axis, (title, measure) in zip(axes[0], measures, strict=True):
        for number, threshold in enumerate(trained):
            for control in untrained:
                axis.plot(at, [measure(m) for m in control[threshold]], color="#b0b0b0", linewidth=0.8)
            colour = blues[number * (len(blues) - 1) // max(1, len(trained) - 1)]
            axis.plot(at, [measure(m) for m in trained[threshold]], "o-", color=colour, label=f"trained, {threshold:g}")
        axis.plot([], color="#b0b0b0", label="untrained")
        axis.set(title=title, xticks=at, xticklabels=names)
        for x in np.flatnonzero(np.diff([m.map_size[0] for m in usual])) + 0.5:
            axis.axvline(x, color="#d0d0d0", linestyle=":")
    own = [m.own_share for m in usual]
    axes[0, 1].plot(at, own, "s--", color="#d95f02", label="Table 1")
    axes[0, 0].axhline(2, color="#d0d0d0", linewidth=0.8)  # where all offsets of up to 2 places are alike
    axes[0, 0].legend(frameon=False, fontsize=8)
    axes[0, 1].legend(frameon=False, fontsize=8)
    colours = ("#fdd49e", "#fc8d59", "#b30000")
    bars = (
        ("groups that the statistics ask for", [m.groups for m in usual]),
        ("filters of Table 1", [(m.own.n1x1, m.own.n3x3, m.own.n5x5) for m in usual]),
    )
    for axis, (title, parts) in zip(axes[1], bars, strict=True):
        shares = np.array([np.array(part) / sum(part) for part in parts])
        below = np.zeros(len(names))
        for column, (size, colour) in enumerate(zip(("1x1", "3x3", "5x5"), colours, strict=True)):
            axis.bar(at, shares[:, column], bottom=below, color=colour, label=size)
            below += shares[:, column]
        axis.set(title=title, xticks=at, xticklabels=names, ylim=(0, 1))
    axes[1, 0].legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=3)
    figure.savefig(png, dpi=110)


def draw_correlations(png, trained: dict[str, LayerStatistics], untrained: dict[str, LayerStatistics]) -> None:
    """Correlation matrices of some modules' inputs, units ordered by group; above of the trained network."""
    modules = [module for module in DRAWN if module in trained]
    figure = empty_figure(3.6 * len(modules), 7.4)
    axes = figure.subplots(2, len(modules), squeeze=False)
    for row, (kind, statistics) in enumerate((("trained", trained), ("untrained", untrained))):
        for column, module in enumerate(modules):
            clusters = cluster_units(statistics[module], threshold=0.3)
            order = np.concatenate([cluster.units for cluster in clusters])
            matrix = statistics[module].correlation()[np.ix_(order, order)]
            shown = axes[row, column].imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="antialiased")
            axes[row, column].set(title=f"{kind}, inputs of {module}", xticks=[], yticks=[])
    figure.colorbar(shown, ax=axes, shrink=0.6, label="correlation at one place")
    figure.savefig(png, dpi=70)  # noise makes large files
