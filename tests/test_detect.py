"""`keras-inception detect`, from a published detector to text, JSON and a picture."""

import json

import numpy as np
import pytest
from PIL import Image
from test_detector_folder import classifier, published_toy
from test_selective_search import scene

import keras_inception
from keras_inception.detection.rcnn import RCNN
from keras_inception.detection.selective_search import SelectiveSearch
from keras_inception_cli import main


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    search = SelectiveSearch("fast", width=240, limit=40)
    return published_toy(tmp_path_factory.mktemp("hub"), RCNN(classifier(), search, threshold=0.2))


@pytest.fixture
def photos(tmp_path):
    for name in ("one.png", "two.png"):
        Image.fromarray(scene()).save(tmp_path / name)
    return tmp_path


def test_a_photo(weights, photos, capsys):
    assert main(["detect", str(photos / "one.png"), "--weights", str(weights), "--threshold", "0.2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (found,) = keras_inception.from_hub(weights)([photos / "one.png"])
    expected = [(box, label, score) for box, label, score in found if score >= 0.2]
    assert lines[0] == str(photos / "one.png") and len(lines) == 1 + len(expected) > 1
    for line, (box, label, score) in zip(lines[1:], expected, strict=True):
        share, name, *sides = line.split()
        assert (share, name) == (f"{score:.1%}", ("red", "green", "blue")[label])
        np.testing.assert_allclose([float(side) for side in sides], box, atol=0.51)


def test_json_and_a_threshold(weights, photos, capsys):
    arguments = ["detect", str(photos), "--weights", str(weights), "--json"]
    assert main([*arguments, "--threshold", "0"]) == 0
    one, two = map(json.loads, capsys.readouterr().out.splitlines())
    assert one["objects"] == two["objects"] and set(one["objects"][0]) == {"label", "score", "box"}
    assert main([*arguments, "--threshold", "1"]) == 0
    assert [json.loads(line)["objects"] for line in capsys.readouterr().out.splitlines()] == [[], []]


def test_pictures(weights, photos, capsys):
    out = photos / "out"
    out.mkdir()
    arguments = ["--weights", str(weights), "--threshold", "0.2", "-o"]
    assert main(["detect", str(photos / "one.png"), *arguments, str(out / "one.png")]) == 0
    with Image.open(out / "one.png") as drawn:
        assert drawn.width % scene().shape[1] == 0 and np.ptp(np.asarray(drawn)) > 0
    assert main(["detect", str(photos / "one.png"), str(photos / "two.png"), *arguments, str(out / "all.png")]) == 0
    with Image.open(out / "all.png") as page:
        assert page.width > 2 * 640


def test_what_goes_wrong(weights, photos, tmp_path, capsys):
    (photos / "broken.jpg").write_bytes(b"no photo")
    assert main(["detect", str(photos), "--weights", str(weights)]) == 1
    said = capsys.readouterr()
    assert "broken.jpg" in said.err and said.err.count("\n") == 1 and said.out.count("one.png") == 1
    assert main(["detect", str(tmp_path / "none.jpg"), "--weights", str(weights)]) == 1
    capsys.readouterr()
    place = tmp_path / "classifier"
    keras_inception.push_to_hub(classifier(), place)
    assert main(["detect", str(photos / "one.png"), "--weights", str(place)]) == 1
    assert "expected a detector; Received: " in capsys.readouterr().err
    assert main(["classify", str(photos / "one.png"), "--weights", str(weights)]) == 1
    assert "a detector, which `keras-inception detect` runs" in capsys.readouterr().err
    assert (
        main(["detect", str(photos / "one.png"), "--weights", str(weights), "-o", str(tmp_path / "no" / "o.png")]) == 1
    )
    assert "expected an existing folder for the picture" in capsys.readouterr().err
    for bad in ("2", "x", "nan"):
        with pytest.raises(SystemExit, match="2"):
            main(["detect", "x.png", "--weights", str(weights), "--threshold", bad])


def test_other_commands_know_detectors(weights, tmp_path, capsys):
    assert main(["verify", str(weights)]) == 0 and "as published" in capsys.readouterr().out
    assert main(["info", str(weights), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kind"] == "detector" and facts["detector"]["classifiers"] == 1 and facts["accuracy"]["map50"] == 0.5
    assert main(["list", "--hub", str(weights.parent)]) == 0 and "cells" in capsys.readouterr().out
    assert main(["publish", str(weights), str(tmp_path / "again")]) == 0
    capsys.readouterr()
    assert main(["info", str(tmp_path / "again"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["detector"] == facts["detector"] and again["accuracy"] == facts["accuracy"]
