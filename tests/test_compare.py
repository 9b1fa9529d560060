"""The comparison of runs: what it reads of a real one, and of an HMAX."""

import dataclasses
import json
import shutil

import pytest

from keras_inception import NetworkInNetwork
from training.compare import Row, main, read_hmax, read_run, table
from training.options import Augmentation
from training.recipe import Recipe
from training.run import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "nin"
    plain = Augmentation(crop="none", photometric=0.0, lighting=0.0)
    fields = {"architecture": "NetworkInNetwork", "variant": "cifar10", "aux_heads": False, "average": None}
    sizes = {"sizes": (16,), "eval_size": 24, "resize_to": 24, "epochs": 1, "batch_size": 128}
    recipe = Recipe(dataset="synthetic", augmentation=plain, **fields, **sizes)
    return folder, train(recipe, name="nin", work_dir=folder)


def test_a_run_is_read(run):
    folder, metrics = run
    row = read_run(folder)
    assert (row.name, row.trained) == ("nin", "1 epoch at 16 pixels")
    assert row.accuracy == pytest.approx(metrics["accuracy"])
    assert row.parameters == NetworkInNetwork(weights=None, variant="cifar10").count_params() == 966_986
    assert row.multiply_adds == 125_148_672, "at 24 pixels, of the evaluation"


def test_hmax_is_read(tmp_path, run, capsys):
    result = {"accuracy": {"train": 0.9, "test": 0.5}, "parameters": 1234567, "multiply-adds": 2_500_000}
    path = tmp_path / "hmax.json"
    path.write_text(json.dumps({**result, "epochs of the classifier": 20}))
    row = read_hmax(path)
    assert table([row]).splitlines()[-1] == ("| hmax | 1,234,567 | 2.5M | 50.00 % | a linear classifier, 20 epochs |")
    assert main([str(run[0]), str(path)]) == 0
    assert capsys.readouterr().out.count("\n| ") == 2


def test_two_runs_of_one_name(capsys):
    assert main(["a/run", "b/run"]) == 1
    assert "expected runs of different names; Received: run more than once" in capsys.readouterr().err


def test_seeds_share_a_line_and_lines_are_read_again(tmp_path, capsys):
    first = Row("grown", 5, 2_000_000, 0.5, "3 epochs")
    others = [dataclasses.replace(first, name=f"grown_seed{seed}", accuracy=0.5 + seed / 100) for seed in (1, 2)]
    longer = dataclasses.replace(first, name="grown_seed3", trained="4 epochs")
    path, out = tmp_path / "rows.json", tmp_path / "out.json"
    path.write_text(json.dumps([dataclasses.asdict(row) for row in (first, *others, longer)]))
    assert main([str(path), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[2:] == [
        "| grown | 5 | 2.0M | 51.00 % (50.00 to 52.00, 3 seeds) | 3 epochs |",
        "| grown | 5 | 2.0M | 50.00 % | 4 epochs |",
    ]
    path.write_text(json.dumps([dataclasses.asdict(dataclasses.replace(first, accuracy=0.9))]))
    assert main([str(out), str(path), "--out", str(out)]) == 0, "a run that was made anew takes the old one's place"
    assert [row["accuracy"] for row in json.loads(out.read_text())] == [0.9, 0.51, 0.52, 0.5]


@pytest.mark.parametrize(
    "text", [None, "", "{}", "[3]", '[{"name": 3}]', '{"accuracy": 3}', '{"accuracy": {"test": 0.5}}']
)
def test_what_is_none_of_ours_is_one_sentence(tmp_path, capsys, text):
    path = tmp_path / "other.json"
    if text is not None:
        path.write_text(text)
    assert main([str(path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("compare: expected what training.hmax ") and error.count("\n") == 1


@pytest.mark.parametrize("text", [None, "", "{}", "[]", '{"recipe": {"epochs": 1, "sizes": [32]}}'])
def test_a_folder_that_is_no_run(tmp_path, capsys, text):
    if text is not None:
        (tmp_path / "run.json").write_text(text)
        (tmp_path / "metrics.jsonl").write_text("")
    assert main([str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "expected the work directory of a finished training" in error


def test_a_line_that_is_being_written_does_not_count(run, tmp_path):
    folder = tmp_path / "nin"
    shutil.copytree(run[0], folder)
    with open(folder / "metrics.jsonl", "a") as file:
        file.write('{"step": 9, "val_lo')
    assert read_run(folder) == read_run(run[0])
