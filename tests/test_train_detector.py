"""`python -m training.detect`, all of it, on photos of coloured rectangles."""

import dataclasses
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from PIL import Image
from test_detector_folder import WIDTHS

import keras_inception
from keras_inception.detection.selective_search import SelectiveSearch
from keras_inception.model_folder.loading import verify
from training.detect import main
from training.detection.data import read_splits
from training.detection.recipe import DetectionRecipe, MapOptions, MultiBoxOptions
from training.detection.rows import Row, each_alone, rows, table
from training.detection.run import _bar, _Run
from training.recipe import Recipe

SIDES = ("xmin", "ymin", "xmax", "ymax")
COLOURS = {"blue": (30, 30, 220), "red": (220, 30, 30)}
CONFIG = """
import os

from keras_inception.detection.selective_search import SelectiveSearch
from training.detection.recipe import DetectionRecipe, MapOptions, MultiBoxOptions
from training.options import Augmentation
from training.recipe import Recipe

weights = os.environ["TOY_WEIGHTS"]
recipe = DetectionRecipe(
    classifier=Recipe(
        variant="batch_norm", stem="small", weights=weights, aux_heads=False, batch_norm_momentum=0.8, dropout=0.0,
        dataset="arrays", sizes=(32,), resize_to=32, epochs=8, batch_size=32, learning_rate=0.05, schedule="cosine",
        augmentation=Augmentation(crop="none", photometric=0.0, lighting=0.0), average=None, checkpoint_every=20,
    ),
    classifiers=2,
    search=SelectiveSearch("fast", width=96, smallest=8, limit=60),
    search_alone=SelectiveSearch("quality", width=96, smallest=8, limit=60),
    multibox=MultiBoxOptions(weights, (32, 48), priors=8, epochs=2, batch_size=5, limit=8),
    maps=MapOptions("inception_3b_output", scale=0.5, epochs=2),
    regions_per_photo=24, validation_regions_per_photo=8, regression_regions_per_photo=16, timed=2,
)
"""


def voc(folder):
    """A folder of Pascal VOC: 15 photos to train on, 5 to choose by, 6 to be measured on."""
    rng = np.random.default_rng(0)
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    stems = [f"photo{number}" for number in range(26)]
    for split, part in {"train": stems[:15], "val": stems[15:20], "test": stems[20:]}.items():
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(part) + "\n")
    for stem in stems:
        pixels, objects = rng.normal(120, 6, (64, 96, 3)).clip(0, 255).astype(np.uint8), ""
        for left, name in zip((4, 52), rng.permutation(sorted(COLOURS)), strict=True):
            width, height, top = rng.integers(20, 40), rng.integers(20, 40), rng.integers(2, 22)
            box = (left, top, left + width, top + height)
            pixels[box[1] : box[3], box[0] : box[2]] = COLOURS[name]
            sides = "".join(f"<{side}>{value}</{side}>" for side, value in zip(SIDES, box, strict=True))
            objects += f"<object><name>{name}</name><bndbox>{sides}</bndbox></object>"
        Image.fromarray(pixels).save(folder / "JPEGImages" / f"{stem}.jpg", quality=95)
        (folder / "Annotations" / f"{stem}.xml").write_text(f"<annotation>{objects}</annotation>")
    return folder


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """The arguments of the program, but for the work directory; and the environment that the config wants."""
    place = tmp_path_factory.mktemp("toys")
    keras.utils.set_random_seed(0)
    keras_inception.push_to_hub(
        keras_inception.GoogLeNet(
            weights=None, variant="batch_norm", stem="small", classes=5, input_shape=(32, 32, 3), widths=WIDTHS
        ),
        place / "weights",
    )
    (place / "toys.py").write_text(CONFIG)
    return [str(place / "toys.py"), "--data-dir", str(voc(place / "voc"))], str(place / "weights")


def test_killed_it_goes_on_and_ends_with_a_detector(toys, tmp_path, monkeypatch, capsys):
    arguments, weights = toys
    monkeypatch.setenv("TOY_WEIGHTS", weights)
    work = tmp_path / "run"
    command = [sys.executable, "-m", "training.detect", *arguments, "--work-dir", str(work)]
    root = pathlib.Path(__file__).parent.parent
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ)
    begun = work / "classifier_1" / "run.json"
    deadline = time.monotonic() + 600
    while not begun.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    error = process.communicate()[1].decode()
    assert begun.exists() and not (work / "results.json").exists(), error[-3000:]
    made = {
        path: path.stat().st_mtime_ns
        for path in [*(work / "proposals").rglob("*.npy"), work / "multibox/multibox.keras"]
    }
    assert len(made) == 3 * 26 + 1

    measured, measure = [], _Run._measurements

    def recorded(run, split, compared, detectors):
        measured.append((split, compared, detectors, measure(run, split, compared, detectors)))
        return measured[-1][-1]

    monkeypatch.setattr(_Run, "_measurements", recorded)
    out = tmp_path / "numbers" / "toys.json"
    assert main([*arguments, "--work-dir", str(work), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert all(path.stat().st_mtime_ns == before for path, before in made.items()), "what was there was not made again"
    found = json.loads(out.read_text())
    assert [(row["proposals"], row["classifiers"], row["box_regression"], row["features"]) for row in found] == [
        ("selective search (quality)", 1, False, "of each region"),
        ("selective search (fast)", 1, False, "of each region"),
        ("MultiBox", 1, False, "of each region"),
        ("selective search (quality) + MultiBox", 1, False, "of each region"),
        ("selective search (fast) + MultiBox", 1, False, "of each region"),
        ("selective search (fast) + MultiBox", 1, True, "of each region"),
        ("selective search (fast) + MultiBox", 2, False, "of each region"),
        ("selective search (fast) + MultiBox", 2, True, "of each region"),
        ("selective search (fast) + MultiBox", 1, False, "once per image"),
    ]
    assert said.strip() == table(found) and said.count("\n") == 11
    _, search, boxes, _, both, *_ = found
    assert search["coverage"] > 0.9 and both["coverage"] >= max(search["coverage"], boxes["coverage"])
    assert both["proposals_per_image"] == pytest.approx(
        search["proposals_per_image"] + boxes["proposals_per_image"], abs=0.11
    )
    assert search["map50"] > 0.6, "coloured rectangles are found"
    several = found[6]
    assert len(several["map50_of_each"]) == 2 and several["map50_of_each"][0] == both["map50"]
    assert all(
        0 <= row["map50"] <= 1 and row["seconds_per_image"] > 0 and set(row["by_class"]) == set(COLOURS)
        for row in found
    )

    assert verify(work / "detector") == []
    detector = keras_inception.from_hub(work / "detector")
    assert detector.classes == ("blue", "red")
    best = max(found, key=lambda row: row["map50_val"])
    assert detector.suppression == best["suppression"] and len(detector.scorer.models) == best["classifiers"]
    assert (detector.regression is not None) == best["box_regression"]
    protocol = json.loads((work / "detector" / "keras_inception.json").read_text())
    assert "Pascal VOC 2010, IoU 0.5 (map50_95: COCO, IoU 0.5 to 0.95)" in str(protocol)
    for name in ("curves.png", "detections.png"):
        with Image.open(work / name) as picture:
            assert picture.width > 600 and np.ptp(np.asarray(picture.convert("L"))) > 100

    # What a row is measured by is what its detector finds.
    _, (test, compared, detectors, on_test) = measured
    assert len(compared) == len(found) + 1, "and the second classifier alone"
    for row, measurement in zip(compared, on_test, strict=True):
        for photo, expected in list(zip(test.photos, measurement.detections(0.3), strict=True))[:2]:
            there = detectors.of(row, 0.3).detect(photo.open()[0])
            assert len(there) == len(expected) > 0
            np.testing.assert_allclose(there.boxes, expected.boxes, atol=1e-3)
            np.testing.assert_allclose(there.scores, expected.scores, atol=1e-5)
            assert there.labels.tolist() == expected.labels.tolist()


def test_what_goes_wrong_is_one_sentence(toys, tmp_path, monkeypatch, capsys):
    arguments, weights = toys
    monkeypatch.setenv("TOY_WEIGHTS", weights)
    work = ["--work-dir", str(tmp_path / "run")]

    def said(*words):
        assert main([*words, *work]) == 1
        error = capsys.readouterr().err
        assert error.startswith("detect: ") and error.count("\n") == 1
        return error

    assert "with neither" in said(arguments[0], "--data-dir", str(tmp_path))
    assert "expected a field of DetectionRecipe" in said(*arguments, "--set", "nothing=1")
    assert "expected classifier.dataset to be 'arrays'" in said(*arguments, "--set", "classifier.dataset=folder")
    root = pathlib.Path(__file__).parent.parent
    assert "to define recipe = DetectionRecipe(...)" in said(str(root / "training/configs/smoke.py"), *arguments[1:])
    place = tmp_path / "unknown"
    voc(place)
    annotation = place / "Annotations" / "photo21.xml"
    annotation.write_text(annotation.read_text().replace("<name>red", "<name>green"))
    assert "expected the classes blue, red; Received: 'green' in " in said(arguments[0], "--data-dir", str(place))
    lists = place / "ImageSets" / "Main"
    (lists / "val.txt").write_text("photo3\n")
    assert "expected each photo in one split, once; Received: photo3.jpg twice, in val" in said(
        arguments[0], "--data-dir", str(place)
    )
    voc(tmp_path / "broken")
    (tmp_path / "broken" / "Annotations" / "photo21.xml").write_text("<annotation>")
    assert "expected an annotation of Pascal VOC; " in said(arguments[0], "--data-dir", str(tmp_path / "broken"))


def coco(folder):
    """The same as COCO has it: grey photos of one class, and in each split one photo without any."""
    rng = np.random.default_rng(1)
    (folder / "annotations").mkdir(parents=True)
    for split, count in (("train", 9), ("val", 4), ("test", 4)):
        (folder / split).mkdir()
        images, annotations = [], []
        for number in range(count):
            pixels, name = rng.normal(120, 6, (64, 96)).clip(0, 255).astype(np.uint8), f"{split}{number}.jpg"
            if number:
                left, top, width, height = (int(rng.integers(*pair)) for pair in ((2, 40), (2, 22), (24, 44), (24, 40)))
                pixels[top : top + height, left : left + width] = 240
                box = {"bbox": [left, top, width, height], "category_id": 7, "image_id": number}
                annotations.append({**box, "id": number, "area": width * height, "iscrowd": 0})
            Image.fromarray(pixels, "L").save(folder / split / name, quality=95)
            images.append({"id": number, "file_name": name, "height": 64, "width": 96})
        data = {"images": images, "annotations": annotations, "categories": [{"id": 7, "name": "bright"}]}
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(data))
    return folder


def test_the_least_of_a_detector_from_a_folder_of_coco(toys, tmp_path, monkeypatch, capsys):
    """One class, one classifier, no regression, no other looks; photos without colour, and without objects."""
    arguments, weights = toys
    monkeypatch.setenv("TOY_WEIGHTS", weights)
    work, place = tmp_path / "run", coco(tmp_path / "coco")
    settings = ["classifiers=1", "maps=None", "search_alone=None", "regression=False", "multibox.priors=4"]
    command = [arguments[0], "--data-dir", str(place), "--work-dir", str(work)]
    command += [word for setting in settings for word in ("--set", setting)]
    assert main(command) == 0
    found = json.loads((work / "results.json").read_text())
    both = "selective search (fast) + MultiBox"
    assert [row["proposals"] for row in found] == ["selective search (fast)", "MultiBox", both]
    assert found[0]["map50"] > 0.5 and set(found[0]["by_class"]) == {"bright"}
    card = (work / "detector" / "README.md").read_text()
    assert "--set maps=None" in card and "suppression chosen on val" in card and "coco" in card
    assert verify(work / "detector") == []
    capsys.readouterr()
    # Other photos of the same names are other data.
    data = json.loads((place / "annotations" / "instances_test.json").read_text())
    data["annotations"][0]["bbox"][0] += 1
    (place / "annotations" / "instances_test.json").write_text(json.dumps(data))
    assert main(command) == 1
    assert "expected a work directory of this recipe, or an empty one; Received: " in capsys.readouterr().err


def test_a_class_that_no_photo_to_train_on_shows_is_named(tmp_path, caplog):
    place = coco(tmp_path / "coco")
    recipe = DetectionRecipe(Recipe(dataset="arrays", aux_heads=False))
    assert read_splits(place, recipe)["train"].classes == ("bright",)
    assert "cannot be learned" not in caplog.text
    for split in ("train", "val", "test"):
        path = place / "annotations" / f"instances_{split}.json"
        data = json.loads(path.read_text())
        path.write_text(json.dumps({**data, "categories": [*data["categories"], {"id": 9, "name": "dark"}]}))
    assert read_splits(place, recipe)["train"].classes == ("bright", "dark")
    assert "instances_train.json: no photo shows dark, so it cannot be learned." in caplog.text


def test_progress_is_shown_on_a_terminal_alone(monkeypatch):
    for terminal in (True, False):
        stream = io.StringIO()
        stream.isatty = lambda terminal=terminal: terminal
        monkeypatch.setattr(sys, "stderr", stream)
        with _bar("regions", 3, "photo") as update:
            for _ in range(3):
                update(1)
        assert ("regions" in stream.getvalue() and "3/3" in stream.getvalue()) == terminal


def test_rows_of_a_recipe():
    both = ("selective_search", "multibox")
    least = DetectionRecipe(Recipe(dataset="arrays", aux_heads=False), classifiers=1, maps=None, regression=False)
    assert rows(least) == [Row(both[:1]), Row(both[1:]), Row(both)] and each_alone(least) == []
    whole = dataclasses.replace(
        least, classifiers=6, maps=MapOptions(), regression=True, search_alone=SelectiveSearch()
    )
    assert each_alone(whole) == [Row(both, first=number) for number in (1, 2, 3, 4, 5, 6)]
    assert [(row.sources[0], row.classifiers, row.regression, row.maps) for row in rows(whole)] == [
        ("search_alone", 1, False, False),
        ("selective_search", 1, False, False),
        ("multibox", 1, False, False),
        ("search_alone", 1, False, False),
        ("selective_search", 1, False, False),
        ("selective_search", 1, True, False),
        ("selective_search", 6, False, False),
        ("selective_search", 6, True, False),
        ("selective_search", 1, False, True),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classifiers": 0}, "expected classifiers to be above 0"),
        ({"suppressions": ()}, "expected suppressions to be at least one value in 0..1"),
        ({"threshold": 1.5}, "expected threshold to be in 0..1"),
        ({"context": 0.5}, "expected context from 0 to below 0.5"),
        ({"precision": "int8"}, "expected precision to be one of float32"),
        ({"seed": -1}, "expected seed to be 0 or more"),
        (
            {"classifier": Recipe(dataset="arrays", aux_heads=False, eval_split="val")},
            "eval_split to be train and valid",
        ),
    ],
)
def test_recipes_that_are_none(changes, message):
    classifier = Recipe(dataset="arrays", aux_heads=False)
    with pytest.raises(ValueError, match=message):
        DetectionRecipe(**{"classifier": classifier, **changes})
    for options in ({"priors": 0}, {"limit": 0}, {"threshold": 2}, {"precision": "x"}, {"height_width": (0, 1)}):
        with pytest.raises(ValueError, match=f"expected {next(iter(options))} to be "):
            MultiBoxOptions(**options)
    with pytest.raises(ValueError, match="expected scale to be above 0"):
        MapOptions(scale=0)
    with pytest.raises(ValueError, match="expected classifier.aux_heads to be False"):
        DetectionRecipe(dataclasses.replace(classifier, aux_heads=True))
