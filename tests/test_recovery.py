"""The sweep over random sparse networks: what it measures, where nothing is found, and what it leaves behind."""

import json

import numpy as np
import pytest

from training.topology.__main__ import main
from training.topology.recovery import Sweep, identifiable, measure, sweep


def test_edges_that_no_pair_tells_of():
    weights = np.array([[1, 1, 0], [1, 0, -1], [0, 0, 1], [0, 0, 1]])
    assert identifiable(weights) == 4 / 5, "the second unit turns on one other alone"
    assert identifiable(-np.abs(weights)) == 0
    above = np.array([[0.5], [0.5], [-0.5]])
    assert identifiable(weights, above) == 2 / 5, "the third is never on"


def test_more_samples_find_more():
    few, many = (measure(200, 6, 0.01, samples, seeds=1)[0] for samples in (100, 10_000))
    assert few["recall"] < 0.5 < 0.9 < many["recall"] <= many["identifiable"]
    assert many["precision"] > 0.9


def test_where_nothing_is_found_there_is_no_precision():
    (lower, upper) = measure(50, 4, 0.001, 20, depth=2, seeds=2)
    for layer in (lower, upper):
        assert (layer["recall"], layer["precision"]) == (0.0, None) and layer["identifiable"] > 0


def test_a_sweep_is_written_and_drawn(tmp_path):
    usual = {"width": 100, "degree": 6, "density": 0.02, "samples": 3000}
    sweeps = (Sweep(1, usual, {"samples": (20, 3000), "degree": (4, 6)}), Sweep(2, usual, {"samples": (500,)}))
    table = sweep(tmp_path, sweeps=sweeps, seeds=1)
    data = json.loads((tmp_path / "recovery.json").read_text())
    one = data["one hidden layer"]["varied"]
    assert [row["samples"] for row in one["samples"]] == [20, 3000]
    (same,), (again,) = one["samples"][1]["layers"], one["degree"][1]["layers"]
    assert same == again and same["recall"] > 0.8, "one network, in both sweeps"
    lower, upper = data["two hidden layers"]["varied"]["samples"][0]["layers"]
    known = {"recall", "precision", "off recall", "off precision", "identifiable", "observed on"}
    assert lower.keys() == upper.keys() == known
    assert table.count("\n") == 6 and "degree 6" in table and " -  " in table.splitlines()[1]
    assert "samples 500, layer 2" in table.splitlines()[-1]
    assert (tmp_path / "recovery.png").read_bytes().startswith(b"\x89PNG")


def test_no_network_is_one_sentence(tmp_path, capsys):
    assert main(["recovery", "--seeds", "0", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("topology: expected a network of each kind")


def test_help_names_all_programs(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0 and "report|grow|recovery" in capsys.readouterr().out


@pytest.mark.parametrize("command", [[], ["grow"]])
def test_usage(command):
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
