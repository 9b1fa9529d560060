"""The comparison of runs: what it reads of a real one, and of an HMAX."""

import json
import shutil

import pytest

from keras_inception import NetworkInNetwork
from training.compare import main, read_hmax, read_run, table
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


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"accuracy": 3}', '{"accuracy": {"test": 0.5}}'])
def test_what_is_none_of_ours_is_one_sentence(tmp_path, capsys, text):
    path = tmp_path / "other.json"
    if text is not None:
        path.write_text(text)
    assert main([str(path)]) == 1
    assert capsys.readouterr().err.startswith("compare: expected what training.hmax wrote; Received: ")


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
