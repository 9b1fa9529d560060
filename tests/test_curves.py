"""The picture of a run: what is read of its metrics, and what is drawn."""

import json
import math
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from training.curves import apart, compare_curves, main, plot_curves, read_metrics, smoothed

ROOT = pathlib.Path(__file__).parent.parent


def step(number, loss=1.0, accuracy=0.5):
    return {"step": number, "epoch": 1, "loss": loss, "accuracy": accuracy, "learning_rate": 0.1 / number}


def evaluation(number, loss=1.0, accuracy=0.5):
    return {"step": number, "epoch": 1, "val_loss": loss, "val_accuracy": accuracy}


def write(path, *lines, torn=""):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + torn)
    return path


def shades(picture):
    """How much there is of the colours of the single steps, the smoothed steps and the evaluations."""
    pixels = np.asarray(Image.open(picture).convert("RGB")).reshape(-1, 3).astype(int)
    colours = ((0x9D, 0xB8, 0xD9), (0x1F, 0x4E, 0x8C), (0xC8, 0x50, 0x1E))
    return [int((abs(pixels - colour).max(axis=1) < 8).sum()) for colour in colours]


def test_metrics_are_read_by_column(tmp_path):
    resumed = {"step": 1, "resumed": True, "total_steps": 2}
    path = write(
        tmp_path / "m", step(1, 2.0), resumed, step(2, None, None), evaluation(2, 3.0, 0.25), torn='{"step": 3, "lo'
    )
    steps, evaluations, at = read_metrics(path)
    assert at == [1] and list(steps["step"]) == [1, 2] and list(steps["learning_rate"]) == [0.1, 0.05]
    assert steps["loss"][0] == 2 and math.isnan(steps["loss"][1]) and math.isnan(steps["accuracy"][1])
    assert {name: list(column) for name, column in evaluations.items()} == {
        "step": [2],
        "loss": [3.0],
        "accuracy": [0.25],
    }


def test_smoothing():
    assert smoothed([3.0, 1.0, 2.0]) == [3.0, 1.0, 2.0]  # short runs need none
    # 200 steps: weights 1/2, 1/4, ... from the newest back, over their sum: (4/4 + 1/2) / (3/4), (4/8 + 1/4) / (7/8)
    assert smoothed([4.0, 1.0, *[0.0] * 198])[:3] == pytest.approx([4, 2, 6 / 7])
    assert smoothed([5.0] * 400) == pytest.approx([5.0] * 400)
    assert smoothed([math.nan, 2.0]) == pytest.approx([math.nan, 2.0], nan_ok=True)


def test_the_picture_has_all_curves(tmp_path):
    lines = [step(number, 1 + number % 2, 0.5 + 0.2 * (number % 2)) for number in range(1, 300)]
    write(tmp_path / "m", *lines, evaluation(100, 0.5), evaluation(299, 0.2))
    plot_curves(tmp_path / "m", tmp_path / "all.png", title="cifar10: 91.20 % top-1")
    assert min(shades(tmp_path / "all.png")) > 50
    write(tmp_path / "m", *lines)
    plot_curves(tmp_path / "m", tmp_path / "steps.png")
    evaluations = [shades(tmp_path / name)[2] for name in ("all.png", "steps.png")]
    assert evaluations[1] < evaluations[0] / 2  # the legend's only


def test_a_resumption_is_marked(tmp_path):
    lines = [step(number) for number in range(1, 21)]
    pictures = []
    for extra in ([], [{"step": 10, "resumed": True}]):
        write(tmp_path / "m", *lines[:10], *extra, *lines[10:])
        plot_curves(tmp_path / "m", tmp_path / "c.png")
        pictures.append(np.asarray(Image.open(tmp_path / "c.png").convert("L")).astype(int))
    middle = slice(450, 650)  # of the width, where step 10 of 20 is
    differs = (abs(pictures[0] - pictures[1])[:600, middle] > 60).sum(axis=0)
    assert differs.max() > 100


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [step(1)],
        [evaluation(1)],
        [step(1, None, None), evaluation(1, None, None)],
        [{"step": 7, "resumed": True}, evaluation(7)],
        [step(number, 1e30) for number in range(1, 4)],
    ],
)
def test_short_and_broken_runs_are_drawn(tmp_path, lines):
    plot_curves(write(tmp_path / "m", *lines), tmp_path / "c.png")
    assert Image.open(tmp_path / "c.png").size == (1100, 770)


def test_one_spike_does_not_flatten_the_curve(tmp_path):
    from matplotlib import figure

    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figure.Figure, "savefig", lambda self, *_, **__: drawn.append(self))
        lines = [step(number, 1e6 if number == 150 else 2.0) for number in range(1, 301)]
        plot_curves(write(tmp_path / "m", *lines), tmp_path / "c.png")
    assert drawn[0].axes[0].get_ylim() == pytest.approx((0, 2.1))


def test_a_run_of_millions_of_steps_is_drawn_with_thousands_of_points(tmp_path, monkeypatch):
    from matplotlib import figure

    drawn = []
    monkeypatch.setattr("training.curves.POINTS", 10)
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, *_, **__: drawn.append(self))
    plot_curves(write(tmp_path / "m", *(step(number) for number in range(1, 101))), tmp_path / "c.png")
    assert [len(line.get_xdata()) for line in drawn[0].axes[0].lines[:2]] == [10, 10]


def test_without_matplotlib_it_is_said_what_to_install(tmp_path, monkeypatch):
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install 'keras-inception\[train\]'"):
        plot_curves(write(tmp_path / "m", step(1)), tmp_path / "c.png")


def test_the_program(tmp_path):
    metrics, png = write(tmp_path / "metrics.jsonl", step(1), evaluation(1)), tmp_path / "c.png"
    subprocess.run([sys.executable, "-m", "training.curves", metrics, png], cwd=ROOT, check=True, timeout=60)
    assert Image.open(png).format == "PNG"


def test_several_runs_in_one_picture(tmp_path, monkeypatch, capsys):
    from matplotlib import figure

    drawn = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, *_, **__: drawn.append(self))
    paths = []
    for name, accuracies in (("tuned", (0.8, 0.9)), ("scratch", (0.3, 0.5))):
        (tmp_path / name).mkdir()
        lines = [evaluation(10 * (at + 1), accuracy=accuracy) for at, accuracy in enumerate(accuracies)]
        paths.append(str(write(tmp_path / name / "metrics.jsonl", step(1), *lines)))
    assert main([*paths, str(tmp_path / "c.png"), "--title", "cells"]) == 0
    (axis,) = drawn[0].axes
    assert [list(line.get_ydata()) for line in axis.lines] == [[0.8, 0.9], [0.3, 0.5]]
    assert [list(line.get_xdata()) for line in axis.lines] == [[10, 20], [10, 20]]
    assert [text.get_text() for text in axis.texts] == ["tuned, 90.0%", "scratch, 50.0%"]
    assert main([paths[0], paths[0], str(tmp_path / "c.png")]) == 1
    assert "expected runs in folders of different names; Received: tuned, tuned" in capsys.readouterr().err


def test_names_at_the_ends_of_lines_do_not_lie_on_each_other():
    assert apart([10.0, 50.0, 45.0, 44.0], 14) == [8.0, 50.0, 36.0, 22.0]
    assert apart([10.0, 50.0, 30.0], 14) == [10.0, 50.0, 30.0] and apart([], 14) == []


def test_a_comparison_is_a_picture_of_evaluations(tmp_path):
    runs = {"a": write(tmp_path / "a", evaluation(1)), "b": write(tmp_path / "b", evaluation(1), evaluation(2))}
    compare_curves(runs, tmp_path / "c.png", title="two")
    assert Image.open(tmp_path / "c.png").format == "PNG"
    with pytest.raises(ValueError, match="expected a run that was evaluated; Received: .*m"):
        compare_curves({"m": write(tmp_path / "m", step(1))}, tmp_path / "c.png")
