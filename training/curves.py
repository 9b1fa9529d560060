"""The curves of a run as a picture: `python -m training.curves RUN/metrics.jsonl curves.png`."""

import json
import pathlib
import sys


def read_metrics(path) -> tuple[list[dict], list[dict], list[int]]:
    """The steps, the evaluations, and the steps at which the run was resumed, from a `metrics.jsonl`."""
    lines = [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]
    return (
        [line for line in lines if "loss" in line],
        [line for line in lines if "val_loss" in line],
        [line["step"] for line in lines if line.get("resumed")],
    )


def plot_curves(metrics, png, *, title: str = "") -> None:
    """Draws loss, accuracy and learning rate over the steps; dotted lines where the run was resumed.

    Args:
        metrics: a run's `metrics.jsonl`.
        png: the picture.
        title: above it.

    Raises:
        ImportError: matplotlib is not installed; the message says what to install.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("expected matplotlib for the curves: pip install 'keras-inception[train]'") from error

    steps, evaluations, resumed = read_metrics(metrics)
    figure = Figure(figsize=(10, 7), layout="constrained")
    FigureCanvasAgg(figure)
    loss, accuracy, rate = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1))
    at = [line["step"] for line in steps]
    for axis, name, label in ((loss, "loss", "loss"), (accuracy, "accuracy", "accuracy")):
        values = [float("nan") if line[name] is None else line[name] for line in steps]
        axis.plot(at, values, color="#9db8d9", linewidth=0.6, label="training, per step")
        axis.plot(at, smoothed(values), color="#1f4e8c", linewidth=1.6, label="training, smoothed")
        axis.plot(
            [line["step"] for line in evaluations],
            [line[f"val_{name}"] for line in evaluations],
            color="#c8501e",
            marker="o",
            markersize=4,
            linewidth=1.6,
            label="evaluation",
        )
        axis.set_ylabel(label)
    loss.set_ylim(0, 1.05 * max(_typical(line["loss"] for line in steps), *(e["val_loss"] for e in evaluations), 0.1))
    accuracy.set_ylim(0, 1)
    loss.legend(frameon=False, ncols=3, loc="upper right")
    rate.plot(at, [line["learning_rate"] for line in steps], color="#444444", linewidth=1.2)
    rate.set_ylabel("learning rate")
    rate.set_xlabel("step" + (" (dotted: resumed)" if resumed else ""))
    for axis in (loss, accuracy, rate):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="#e6e6e6", linewidth=0.8)
        axis.set_axisbelow(True)
        for step in resumed:
            axis.axvline(step, color="#888888", linestyle=":", linewidth=1.2)
    figure.suptitle(title, fontsize=13)
    figure.savefig(png, dpi=110)


def smoothed(values) -> list[float]:
    """The exponential average over about a hundredth of the run; what is no number counts nowhere."""
    decay = 1 - 1 / max(1.0, len(values) / 100)
    average, weight, result = 0.0, 0.0, []
    for value in values:
        if value == value:
            average, weight = decay * average + (1 - decay) * value, decay * weight + 1 - decay
        result.append(average / weight if weight else float("nan"))
    return result


def _typical(values) -> float:
    """What all but a hundredth of the values are below, so that one spike does not flatten a curve."""
    ordered = sorted(value for value in values if value is not None)
    return ordered[int(0.99 * (len(ordered) - 1))] if ordered else 1.0


if __name__ == "__main__":
    plot_curves(sys.argv[1], sys.argv[2], title=pathlib.Path(sys.argv[1]).parent.name)
