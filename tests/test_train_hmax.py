"""HMAX with a linear classifier, as a program: on images that it makes itself, and with what it cannot do."""

import json

import pytest

from training.hmax import main


def test_it_learns_what_the_synthetic_images_are(tmp_path, capsys):
    out = tmp_path / "hmax.json"
    arguments = ["--data", "synthetic", "--eval-split", "validation", "--prototypes", "80", "--bands", "1", "2"]
    assert main([*arguments, "--epochs", "40", "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    assert result == json.loads(capsys.readouterr().out)
    assert result["images"] == {"train": 512, "validation": 160}
    # HMAX sees grey, and the five colours of a direction differ by little else: chance is 0.1.
    assert result["accuracy"]["validation"] > 0.35
    assert result["parameters"] == 40 * 4 * (16 + 64) + 2 * 80 + 80 * 10 + 10
    assert result["multiply-adds"] > 1e6


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--bands", "9"], "expected different bands among 1, 2"),
        (["--prototypes", "3"], "as many prototypes of each"),
        (["--eval-split", "test"], "train or validation"),
        (["--eval-split", "train"], "two splits"),
        (["--limit", "0"], "an image of each at least"),
        (["--data", "folder", "--data-dir", "nowhere"], "nowhere"),
    ],
)
def test_what_it_cannot_do(tmp_path, capsys, arguments, message):
    out = tmp_path / "hmax.json"
    fixed = ["--data", "synthetic", "--eval-split", "validation", "--out", str(out)]
    assert main([*fixed, *arguments]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("hmax: ") and message in error and not out.exists()
