"""The curves of a run as a picture, or those of several in one.

python -m training.curves RUN/metrics.jsonl curves.png
python -m training.curves RUN/metrics.jsonl OTHER/metrics.jsonl curves.png
"""

import argparse
import array
import json
import math
import pathlib
import sys

# Points that a line of the picture is drawn with; a run may have millions of steps.
POINTS = 20_000
# Of a comparison, about: the height of its axis, and that of a line of text, in points.
POINTS_HIGH, LINE = 265, 14


def read_metrics(path) -> tuple[dict, dict, list[int]]:
    """Reads a `metrics.jsonl`.

    Returns:
        Of the steps the columns `step`, `loss`, `accuracy`, `learning_rate`; of the evaluations `step`, `loss`,
        `accuracy`; NaN where a value is no number. And the steps at which the run was resumed.
    """
    steps = {name: array.array("d") for name in ("step", "loss", "accuracy", "learning_rate")}
    evaluations = {name: array.array("d") for name in ("step", "loss", "accuracy")}
    resumed = []
    with open(path) as file:
        for text in file:
            if not text.endswith("\n"):
                break  # is being written
            line = json.loads(text)
            if line.get("resumed"):
                resumed.append(line["step"])
            prefix, columns = ("val_", evaluations) if "val_loss" in line else ("", steps)
            if f"{prefix}loss" in line:
                for name, column in columns.items():
                    value = line[name if name == "step" else prefix + name]
                    column.append(math.nan if value is None else value)
    return steps, evaluations, resumed


def plot_curves(metrics, png, *, title: str = "") -> None:
    """Draws loss, accuracy and learning rate over the steps; dotted lines where the run was resumed.

    Args:
        metrics: a run's `metrics.jsonl`.
        png: the picture.
        title: above it.

    Raises:
        ImportError: matplotlib is not installed; the message says what to install.
    """
    steps, evaluations, resumed = read_metrics(metrics)
    figure = empty_figure(10, 7)
    loss, accuracy, rate = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1))
    every = slice(None, None, max(1, len(steps["step"]) // POINTS))
    at = steps["step"][every]
    for axis, name in ((loss, "loss"), (accuracy, "accuracy")):
        axis.plot(at, steps[name][every], color="#9db8d9", linewidth=0.6, label="training, per step")
        axis.plot(at, smoothed(steps[name])[every], color="#1f4e8c", linewidth=1.6, label="training, smoothed")
        axis.plot(
            evaluations["step"],
            evaluations[name],
            color="#c8501e",
            marker="o",
            markersize=4,
            linewidth=1.6,
            label="evaluation",
        )
        axis.set_ylabel(name)
    loss.set_ylim(0, 1.05 * max(_typical(steps["loss"]), _typical(evaluations["loss"]), 0.1))
    accuracy.set_ylim(0, 1)
    loss.legend(ncols=3, loc="upper right", facecolor="white", edgecolor="none", framealpha=0.9)
    rate.plot(at, steps["learning_rate"][every], color="#444444", linewidth=1.2)
    rate.set_ylabel("learning rate")
    rate.set_xlabel("step" + (" (dotted: resumed)" if resumed else ""))
    for axis in (loss, accuracy, rate):
        _plain(axis)
        for step in resumed:
            axis.axvline(step, color="#888888", linestyle=":", linewidth=1.2)
    figure.suptitle(title, fontsize=13)
    figure.savefig(png, dpi=110)


def compare_curves(runs: dict, png, *, title: str = "") -> None:
    """Draws the accuracies that several runs were evaluated with over their steps, each line named at its end.

    Args:
        runs: the `metrics.jsonl` of each by its name, at most ten.
        png: the picture.
        title: above it.

    Raises:
        ValueError: a run was never evaluated.
        ImportError: matplotlib is not installed; the message says what to install.
    """
    figure = empty_figure(8, 4.5)
    axis = figure.subplots()
    ends = []
    for number, (name, metrics) in enumerate(runs.items()):
        _, evaluations, _ = read_metrics(metrics)
        if not evaluations["step"]:
            raise ValueError(f"expected a run that was evaluated; Received: {metrics}")
        (line,) = axis.plot(evaluations["step"], evaluations["accuracy"], f"C{number}o-", ms=4, lw=1.6, clip_on=False)
        ends.append((name, line.get_color(), evaluations["step"][-1], evaluations["accuracy"][-1]))
    axis.set_ylim(None, 1)
    low, high = axis.get_ylim()
    heights = [(value - low) / (high - low) * POINTS_HIGH for *_, value in ends]
    for (name, color, *end), height, place in zip(ends, heights, apart(heights, LINE), strict=True):
        text, offset = f"{name}, {end[1]:.1%}", (8, place - height)
        axis.annotate(text, end, offset, textcoords="offset points", va="center", color=color)
    axis.set_xlabel("step")
    axis.set_ylabel("accuracy of the evaluation")
    _plain(axis)
    figure.suptitle(title, fontsize=13)
    figure.savefig(png, dpi=110, bbox_inches="tight")


def apart(heights, least: float) -> list[float]:
    """The same heights, moved down where they would be closer than `least`; those that are higher stay."""
    places, before = list(heights), math.inf
    for number in sorted(range(len(places)), key=lambda number: -places[number]):
        before = places[number] = min(places[number], before - least)
    return places


def empty_figure(width, height):
    """An empty figure, in inches."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("expected matplotlib for the curves: pip install 'keras-inception[train]'") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plain(axis):
    """Without a frame, and with faint lines behind the curves."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axis.set_axisbelow(True)


def smoothed(values) -> list[float]:
    """The exponential average over about a hundredth of the run; what is no number counts nowhere."""
    decay = 1 - 1 / max(1.0, len(values) / 100)
    average, weight, result = 0.0, 0.0, []
    for value in values:
        if not math.isnan(value):
            average, weight = decay * average + (1 - decay) * value, decay * weight + 1 - decay
        result.append(average / weight if weight else math.nan)
    return result


def _typical(values) -> float:
    """What all but a hundredth of the values are at most, so that one spike does not flatten a curve."""
    ordered = sorted(value for value in values if not math.isnan(value))
    return ordered[math.ceil(0.99 * (len(ordered) - 1))] if ordered else 0.0


def main(argv=None) -> int:
    """Runs the program; 1 after an error, said in one sentence."""
    parser = argparse.ArgumentParser(prog="python -m training.curves", description=__doc__.splitlines()[0])
    parser.add_argument("metrics", nargs="+", type=pathlib.Path, help="metrics.jsonl of a run, or of several")
    parser.add_argument("png", help="the picture")
    parser.add_argument("--title", help="above it (default: the folder of the one run)")
    arguments = parser.parse_args(argv)
    names = [path.resolve().parent.name for path in arguments.metrics]
    try:
        if len(names) == 1:
            plot_curves(arguments.metrics[0], arguments.png, title=arguments.title or names[0])
        else:
            if len(set(names)) < len(names):
                raise ValueError(f"expected runs in folders of different names; Received: {', '.join(names)}")
            runs = dict(zip(names, arguments.metrics, strict=True))
            compare_curves(runs, arguments.png, title=arguments.title or "")
    except (OSError, ValueError, ImportError) as error:
        print(f"curves: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
