"""Detectors as published folders: what is written is what is loaded, and what is hostile is refused."""

import json

import keras
import numpy as np
import pytest
from test_selective_search import scene

import keras_inception
from keras_inception.convert.checkpoint import CheckpointError
from keras_inception.detection.box_regression import BoxRegression
from keras_inception.detection.multibox import MultiBox, MultiBoxProposals
from keras_inception.detection.rcnn import RCNN
from keras_inception.detection.scoring import MapScorer, RegionScorer
from keras_inception.detection.selective_search import SelectiveSearch, selective_search
from keras_inception.hub import folder as folders
from keras_inception.model_folder.loading import verify

WIDTHS = {
    f"{number}{letter}": (8, 8, 8, 8, 8, 8)
    for number, letters in (("3", "ab"), ("4", "abcde"), ("5", "ab"))
    for letter in letters
}
COLOURED = ("red", "green", "blue")


def classifier(seed=0):
    keras.utils.set_random_seed(seed)
    options = {"variant": "batch_norm", "stem": "small", "widths": WIDTHS, "labels": [*COLOURED, "background"]}
    return keras_inception.GoogLeNet(weights=None, input_shape=(32, 32, 3), **options)


def proposer():
    keras.utils.set_random_seed(7)
    trunk = keras_inception.GoogLeNet(
        include_top=False, weights=None, input_shape=(32, 48, 3), variant="batch_norm", stem="small", widths=WIDTHS
    )
    return MultiBox(trunk, [[0.1, 0.1, 0.4, 0.5], [0.5, 0.2, 0.9, 0.8]], channels=4, hidden=8)


def toy():
    weights = np.random.default_rng(0).normal(0, 0.1, (3, 33, 4)).astype("float32")
    return RCNN(
        RegionScorer([classifier(0), classifier(1)], context=0.1),
        [SelectiveSearch("fast", width=240, limit=40), MultiBoxProposals(proposer(), limit=5, threshold=0.7)],
        threshold=0.2,
        suppression=0.4,
        candidates=50,
        regression=BoxRegression(weights),
    )


def published_toy(hub, detector=None):
    """The folder of a detector, untrained, that finds something in everything."""
    metrics = {"map50": 0.5, "dataset": "toys", "split": "test"}
    revision = keras_inception.push_to_hub(detector or toy(), hub / "cells", metrics=metrics, license="mit")
    assert revision.startswith("sha256:")
    return hub / "cells"


@pytest.fixture(scope="module")
def detector():
    return toy()


@pytest.fixture(scope="module")
def published(detector, tmp_path_factory):
    return published_toy(tmp_path_factory.mktemp("hub"), detector)


def same(one, other):
    for name in ("boxes", "labels", "scores"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-4, atol=1e-3)


def test_what_is_loaded_finds_the_same(detector, published):
    loaded = keras_inception.from_hub(published)
    assert isinstance(loaded, RCNN) and loaded.classes == COLOURED
    assert len(loaded.scorer.models) == 2 and loaded.scorer.context == 0.1
    assert (loaded.threshold, loaded.suppression, loaded.candidates) == (0.2, 0.4, 50)
    assert loaded.proposals[0] == SelectiveSearch("fast", width=240, limit=40)
    assert (loaded.proposals[1].limit, loaded.proposals[1].threshold) == (5, 0.7)
    (found,), (expected,) = loaded([scene()]), detector([scene()])
    assert len(expected) > 0
    same(found, expected)


def test_the_folder_is_whole_and_has_a_card(published):
    assert verify(published) == []
    described = folders.read_published(published)
    assert described.kind == "detector" and set(described.files) == {
        *(f"classifier-{number}.{name}" for number in (1, 2) for name in (folders.CONFIG, folders.WEIGHTS)),
        *(f"multibox-1.{name}" for name in (folders.CONFIG, folders.WEIGHTS, folders.ARCHITECTURE)),
        "regression.model.safetensors",
    }
    card = (published / folders.CARD).read_text()
    assert "pipeline_tag: object-detection" in card and "map50" in card and "license: mit" in card
    assert (
        "A detector (R-CNN) of red, green, blue: proposals by selective search and MultiBox, each looked at by 2"
        in card
    )
    assert 'detector = keras_inception.from_hub("path/to/cells")' in card


def test_every_file_counts(published, tmp_path):
    for number, name in enumerate(folders.read_published(published).files):
        place = tmp_path / str(number)
        place.mkdir()
        for file in published.iterdir():
            (place / file.name).write_bytes(file.read_bytes())
        data = bytearray((place / name).read_bytes())
        data[len(data) // 2] ^= 1
        (place / name).write_bytes(data)
        with pytest.raises(CheckpointError, match=f"{name}: expected sha256"):
            keras_inception.from_hub(place)
        (place / name).unlink()
        with pytest.raises(CheckpointError, match=f"expected the file {name}; Received: none"):
            keras_inception.from_hub(place)


def test_one_look_at_the_image(tmp_path):
    detector = RCNN(MapScorer(classifier(), "inception_3b_output", scale=0.5), selective_search, threshold=0.2)
    keras_inception.push_to_hub(detector, tmp_path / "cells")
    loaded = keras_inception.from_hub(tmp_path / "cells")
    assert isinstance(loaded.scorer, MapScorer) and (loaded.scorer.layer, loaded.scorer.scale) == (
        "inception_3b_output",
        0.5,
    )
    assert loaded.proposals == [SelectiveSearch()] and loaded.regression is None
    assert loaded.classes == detector.classes == COLOURED, "as the classifier knows them"
    boxes = np.array([[10, 10, 60, 70], [30, 5, 90, 50]], float)
    same(loaded.detect(scene(), boxes), detector.detect(scene(), boxes))


def test_on_the_hub(hub, hub_client, detector, monkeypatch):
    """Published, fetched, replaced by a classifier and by a smaller detector: nothing of the one before is left."""
    options = {"token": "hf_me", "endpoint": hub.url}

    def there():
        return {file for file in hub_client_files(hub) if not file.startswith(".git")}

    first = keras_inception.push_to_hub(detector, "me/cells", metrics={"map50": 0.5}, version="v1", **options)
    assert "multibox-1.config.json" in there() and "regression.model.safetensors" in there()
    loaded = keras_inception.from_hub("hf://me/cells@v1", **options)
    same(loaded([scene()])[0], detector([scene()])[0])
    keras_inception.push_to_hub(classifier(), "me/cells", **options)
    assert there() == {folders.CARD, folders.CONFIG, folders.WEIGHTS, *folders.KERAS_FILES}
    keras_inception.push_to_hub(RCNN(classifier(), selective_search), "me/cells", **options)
    assert there() == {
        folders.CARD,
        folders.CONFIG,
        *(f"classifier-1.{name}" for name in (folders.CONFIG, folders.WEIGHTS)),
    }
    assert len(keras_inception.from_hub("hf://me/cells", **options).scorer.models) == 1
    monkeypatch.setattr(hub_client, "HF_HUB_OFFLINE", True)
    assert len(keras_inception.from_hub(f"hf://me/cells@{first}").scorer.models) == 2


def hub_client_files(hub):
    from huggingface_hub import HfApi

    return HfApi(endpoint=hub.url, token="hf_me").list_repo_files("me/cells")


def test_half_precision(detector, tmp_path):
    keras_inception.push_to_hub(detector, tmp_path / "half", dtype="float16")
    sizes = {
        name: record.bytes
        for name, record in folders.read_published(tmp_path / "half").files.items()
        if "model" in name
    }
    whole = classifier()
    assert sizes["classifier-1.model.safetensors"] < 3 * whole.count_params()
    assert len(keras_inception.from_hub(tmp_path / "half").scorer.models) == 2


def test_published_again_nothing_of_the_one_before_is_left(detector, tmp_path):
    place = tmp_path / "cells"
    keras_inception.push_to_hub(detector, place)
    (place / "notes.config.json").write_text("its author's")
    keras_inception.push_to_hub(classifier(), place)
    assert {path.name for path in place.iterdir()} == {
        folders.CONFIG,
        folders.WEIGHTS,
        folders.CARD,
        "notes.config.json",
    }
    keras_inception.push_to_hub(RCNN(classifier(), selective_search), place)
    assert folders.WEIGHTS not in {path.name for path in place.iterdir()} and verify(place) == []


def test_what_cannot_be_published(tmp_path):
    with pytest.raises(
        ValueError, match="expected proposals by SelectiveSearch or MultiBoxProposals; Received: function"
    ):
        keras_inception.push_to_hub(RCNN(classifier(), lambda image: []), tmp_path / "x")
    with pytest.raises(ValueError, match="expected labels only of a classifier; Received: a detector"):
        keras_inception.push_to_hub(RCNN(classifier(), selective_search), tmp_path / "x", labels=["a"])
    assert not (tmp_path / "x").exists()


def changed(published, place, change):
    """A copy of the folder whose JSON says something else."""
    place.mkdir()
    for file in published.iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    data = json.loads((place / folders.CONFIG).read_text())
    change(data)
    (place / folders.CONFIG).write_text(json.dumps(data))
    return place


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda data: data["options"].update(scorer="eval"),
            "expected the scorer regions or maps; Received: scorer='eval'",
        ),
        (lambda data: data["options"].update(classifiers=3), "expected the file classifier-3.keras_inception.json"),
        (lambda data: data["options"].update(classifiers=10**6), "expected up to 64 classifiers"),
        (lambda data: data["options"].update(classifiers=True), "Received: {'classifiers': True}"),
        (lambda data: data["options"].pop("threshold"), "Received: {'threshold': None}"),
        (lambda data: data["options"].update(more=1), "Received: {'more': 1}"),
        (lambda data: data["options"].update(threshold=2), "expected threshold in 0..1; Received: threshold=2"),
        (lambda data: data["options"].update(context=0.5), "expected context from 0 to below 0.5"),
        (
            lambda data: data["options"].update(classes=["a"]),
            "expected the names of 1 classes|expected the names of 3 classes",
        ),
        (lambda data: data["options"].update(classes=[1, 2, 3]), "expected the names of classes"),
        (lambda data: data["options"].update(proposals=[7]), "expected proposals of selective_search or multibox-N"),
        (lambda data: data["options"]["proposals"][0].update(mode="x"), "expected mode to be one of"),
        (lambda data: data["options"]["proposals"][0].update(width=-1), "expected width to be None"),
        (lambda data: data["options"]["proposals"][0].update(smallest="x"), "Received: {'smallest': 'x'}"),
        (lambda data: data["options"]["proposals"][1].update(limit=0), "expected a limit, a whole number above 0"),
        (lambda data: data["options"]["proposals"][1].update(source="multibox-2"), "expected the file multibox-2"),
        (lambda data: data["options"].update(proposals=[]), "expected at least one source of proposals"),
        (
            lambda data: data["options"].update(proposals=data["options"]["proposals"] * 2),
            "each model once; Received: 4",
        ),
        (lambda data: data["options"].update(proposals=data["options"]["proposals"][:1] * 9), "up to 8 sources"),
        (lambda data: data["options"]["proposals"][0].update(width=10**6), "expected width to be None, or 1 to 8192"),
        (lambda data: data["spec"].update(stem="imagenet"), "expected the spec of classifier-1; Received: another"),
        (
            lambda data: data["files"].update({"x.bin": data["files"]["classifier-1.model.safetensors"]}),
            "files of models",
        ),
        (
            lambda data: data["options"]["proposals"][1].update(source="multibox-/etc"),
            "expected the file multibox-/etc",
        ),
    ],
)
def test_a_json_that_describes_no_detector(published, tmp_path, change, message):
    with pytest.raises(CheckpointError, match=message):
        keras_inception.from_hub(changed(published, tmp_path / "x", change))


def test_a_model_that_is_another(published, tmp_path):
    def swap(data):
        files = data["files"]
        files["multibox-1.model.safetensors"] = files["classifier-1.model.safetensors"]

    place = changed(published, tmp_path / "x", swap)
    (place / "multibox-1.model.safetensors").write_bytes((place / "classifier-1.model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="multibox-1.model.safetensors: expected"):
        keras_inception.from_hub(place)


def test_a_detector_is_no_classifier(published):
    with pytest.raises(ValueError, match="expected the weights of a network of ours; Received: .*, a detector"):
        keras_inception.GoogLeNet(weights=published)


def test_a_regression_of_other_features(detector):
    for shape in ((2, 33, 4), (3, 9, 4)):
        with pytest.raises(ValueError, match="expected a regression of 3 classes, from the 32 features"):
            RCNN(detector.scorer, selective_search, regression=BoxRegression(np.zeros(shape)))
