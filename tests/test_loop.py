"""Whole runs in this process: what a callback that stops them leaves behind, and weights that are no numbers."""

import dataclasses
import errno
import itertools
import json
import math
import re

import keras
import pytest
import yaml
from PIL import Image

from keras_inception import GoogLeNet, GoogLeNetSpec, NetworkInNetworkSpec, evaluate, from_hub, model_spec
from keras_inception.datasets import open_source
from keras_inception.hub.folder import Published
from keras_inception.models.googlenet_spec import MODULES
from training import network, run
from training.augmentation import center
from training.finish import card, command, measured
from training.loop import NotFiniteError
from training.monitors import Monitor
from training.options import Augmentation
from training.recipe import Recipe
from training.run import train

FIELDS = {
    "variant": "batch_norm",
    "stem": "small",
    "aux_heads": False,
    "dataset": "synthetic",
    "sizes": (32,),
    "resize_to": 32,
    "augmentation": Augmentation(crop="none", photometric=0.0, lighting=0.0),
    "epochs": 4,
    "batch_size": 128,
    "average": None,
    "evaluate_every": 2,
}
# Runs take less of the tests' time with a network that is as deep and narrow, or, where batch normalization and the
# size of the model that comes out do not count, with a small one on small images.
NARROW = {**FIELDS, "widths": tuple((module, (8,) * 6) for module in MODULES)}
SMALL = {**FIELDS, "architecture": "NetworkInNetwork", "variant": "cifar10", "sizes": (16,), "resize_to": 16}


class StopAfter(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == self.epoch


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_run_that_a_callback_stops_is_evaluated_and_stays_stopped(tmp_path):
    recipe = Recipe(**NARROW)
    metrics = train(recipe, name="stopped", work_dir=tmp_path, callbacks=[StopAfter(2)])
    evaluations = [line for line in lines(tmp_path) if "val_loss" in line]
    assert [line["epoch"] for line in evaluations] == [2, 3], "the last weights too, in an epoch that is not one's turn"
    assert metrics["loss"] == evaluations[-1]["val_loss"] != evaluations[0]["val_loss"]
    assert json.loads((tmp_path / "model" / "keras_inception.json").read_text())["metrics"]["top1"] == pytest.approx(
        100 * metrics["accuracy"], abs=0.01
    )
    assert "* stopped by a callback after 3 of " in (tmp_path / "model" / "README.md").read_text()
    again = train(recipe, name="stopped", work_dir=tmp_path)
    assert again["loss"] == pytest.approx(metrics["loss"], rel=1e-6)
    assert max(line["step"] for line in lines(tmp_path)) == 12, "three epochs of four steps"


class FullDisk(Monitor):
    """A disk that is full once some steps are done, and that the log is the first to meet."""

    def __init__(self, step):
        self.last, self.shown = step, []

    def images(self, step, batch):
        self.shown.append((step, batch.shape))

    def step(self, step, logs, images):
        if step > self.last:
            raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_that_the_log_meets_first(tmp_path, monkeypatch):
    disk = FullDisk(5)
    monkeypatch.setattr(run, "watch", lambda *_: [disk])
    recipe = Recipe(**SMALL, checkpoint_every=2)
    with pytest.raises(
        OSError, match=r"could not write the log \(No space left on device\); .*step-00000004.checkpoint"
    ):
        train(recipe, name="full", work_dir=tmp_path)
    assert (tmp_path / "checkpoints" / "step-00000004.checkpoint").is_file()
    assert disk.shown == [(0, (128, 16, 16, 3)), (4, (128, 16, 16, 3))], "images, at the beginning of each epoch"


class Resized(Monitor):
    """Is told what the images of each epoch are like, and stops a run as SIGKILL would: without a checkpoint."""

    def __init__(self, last=math.inf):
        self.last, self.shown, self.steps = last, [], []

    def images(self, step, batch):
        self.shown.append((step, batch.shape[1], batch.dtype.name))

    def step(self, step, logs, images):
        if step > self.last:
            raise RuntimeError("killed")
        self.steps.append(step)


def test_images_that_grow_also_in_a_run_that_is_resumed(tmp_path, monkeypatch):
    watching, watch = [], run.watch
    monkeypatch.setattr(run, "watch", lambda *arguments: [*watch(*arguments), watching[-1]])
    recipe = Recipe(**{**SMALL, "epochs": 3, "sizes": (16, 17, 16), "resize_to": 17}, checkpoint_every=5)
    watching.append(Resized(last=6))
    with pytest.raises(RuntimeError, match="killed"):
        train(recipe, name="grows", work_dir=tmp_path)
    assert watching[-1].shown == [(0, 16, "uint8"), (4, 17, "uint8")]
    watching.append(Resized())
    train(recipe, name="grows", work_dir=tmp_path)
    assert watching[-1].steps == list(range(6, 13)), "from the checkpoint of step 5, the second of the larger size"
    assert watching[-1].shown == [(8, 16, "uint8")]


def test_data_that_end_too_early_are_an_error(tmp_path, monkeypatch):
    from training import backends

    whole = backends.TensorFlowBackend.data

    def short(self, *arguments):
        data = whole(self, *arguments)
        return dataclasses.replace(data, training=lambda *where: itertools.islice(data.training(*where), 3))

    monkeypatch.setattr(backends.TensorFlowBackend, "data", short)
    with pytest.raises(RuntimeError, match="expected batches up to step 16; Received: the last at step 3"):
        train(Recipe(**SMALL), name="short", work_dir=tmp_path)


class StopAt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = int(self.model.optimizer.iterations.numpy()) == 6


def test_a_run_that_is_stopped_within_an_epoch(tmp_path):
    recipe = Recipe(**SMALL, checkpoint_every=1)
    metrics = train(recipe, name="stopped", work_dir=tmp_path, callbacks=[StopAt()])
    assert max(line["step"] for line in lines(tmp_path)) == 6, "in the second of four epochs of four steps"
    assert [line["step"] for line in lines(tmp_path) if "val_loss" in line][-1] == 6
    assert "* stopped by a callback after 1.5 of " in (tmp_path / "model" / "README.md").read_text()
    again = train(recipe, name="stopped", work_dir=tmp_path)
    assert again["loss"] == pytest.approx(metrics["loss"], rel=1e-6)
    assert max(line["step"] for line in lines(tmp_path)) == 6


def test_weights_that_are_no_numbers_are_never_a_checkpoint(tmp_path):
    recipe = Recipe(
        **{**SMALL, "learning_rate": 1e38, "bias_multiplier": 1e6, "schedule": "constant"}, checkpoint_every=1
    )
    with pytest.raises(NotFiniteError, match="after step 1; the last good checkpoint: there is none"):
        train(recipe, name="diverges", work_dir=tmp_path)
    assert not list((tmp_path / "checkpoints").glob("step-*"))


def test_a_work_directory_is_not_claimed_by_a_run_that_cannot_begin(tmp_path):
    with pytest.raises(ValueError, match="nothing"):
        train(Recipe(**FIELDS, weights="nothing"), name="wrong", work_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "run.json").write_text('{"recipe": 3')
    with pytest.raises(ValueError, match="expected the work directory of a training; Received: "):
        train(Recipe(**FIELDS), name="strange", work_dir=tmp_path)


def test_a_fine_tuned_model_says_how_it_was_evaluated():
    recipe = Recipe(**{**FIELDS, "sizes": (48,), "resize_to": 56}, weights="cifar10")
    model = network.build(recipe, ["a", "b"], "training/configs/x.py")
    spec = model_spec(model)
    assert spec.source == "training/configs/x.py" and spec.labels == ("a", "b")
    assert (spec.preprocessing["size"], spec.preprocessing["resize_to"]) == (48, 56)
    assert spec.preprocessing["resize"] == "short_side", f"as {center.__name__} does it"
    assert model_spec(GoogLeNet(weights="cifar10")).preprocessing["size"] == 32


def test_an_evaluation_at_a_size_of_its_own(tmp_path):
    """The data set's images are of 32 pixels; the network trains on them at 24, and is evaluated at 32."""
    recipe = Recipe(**{**NARROW, "sizes": (24,), "eval_size": 32, "epochs": 1})
    metrics = train(recipe, name="sizes", work_dir=tmp_path, predict=tmp_path / "out.npz")
    model = from_hub(tmp_path / "model")
    spec = model_spec(model)
    assert (spec.input_size, spec.preprocessing["size"], model.input_shape) == (32, 32, (None, 32, 32, 3))
    assert "one central crop of 32 pixels" in (tmp_path / "model" / "README.md").read_text()
    source = open_source("synthetic", recipe.eval_split)
    found = evaluate(model, source, progress=False)
    assert found.top1_accuracy == pytest.approx(metrics["accuracy"], abs=1e-9)


def test_rows_without_an_image_are_counted(tmp_path, monkeypatch, caplog):
    """By what the steps tell, for the processes that decode may be others, as with parameter servers."""
    for label in "ab":
        for number in range(5):
            path = tmp_path / "photos" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (25 * number, 0, 0)).save(path)
    (tmp_path / "photos" / "b" / "0.png").write_bytes(b"no image")
    monkeypatch.setattr(run.BrokenImages, "__call__", lambda self, name: None)
    recipe = Recipe(**{**SMALL, "dataset": "folder", "batch_size": 8, "epochs": 3, "evaluate_every": 3})
    with caplog.at_level("WARNING", "training"):
        train(recipe, name="broken", data_dir=tmp_path / "photos", work_dir=tmp_path / "run")
    assert "Images that could not be decoded were left out 3 times." in caplog.text


def test_network_in_network_is_trained_by_the_same_loop(tmp_path):
    fields = {**SMALL, "epochs": 1}
    train(Recipe(**fields), name="nin", work_dir=tmp_path)
    model = from_hub(tmp_path / "model")
    assert isinstance(model_spec(model), NetworkInNetworkSpec) and model_spec(model).variant == "cifar10"
    text = (tmp_path / "model" / "README.md").read_text()
    assert text.count("Network in Network (Lin, Chen, Yan 2013), variant `cifar10`") == 1
    assert "name: network-in-network-nin" in text
    tuned = Recipe(**fields, weights=str(tmp_path / "model"))
    kernel = model.get_layer("conv2").kernel.numpy()
    assert (network.build(tuned, ["a", "b"], "x").get_layer("conv2").kernel.numpy() == kernel).all()


def test_modules_of_ones_own_widths_are_trained(tmp_path):
    widths = (("3a", (8, 8, 8, 8, 8, 8)), ("5b", (8, 16, 8)))
    model = network.build(Recipe(**FIELDS, widths=widths), ["a", "b"], "x")
    assert model_spec(model).widths == widths and model.get_layer("inception_5b_3x3").filters == 16


@pytest.mark.parametrize("weights", [None, "cifar10"])
def test_statistics_that_follow_faster(weights):
    recipe = Recipe(**{**FIELDS, "variant": "batch_norm", "weights": weights})
    for wanted, expected in ((None, 0.99), (0.9, 0.9)):
        model = network.build(dataclasses.replace(recipe, batch_norm_momentum=wanted), ["a", "b"], "x")
        layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
        assert len(layers) == 57 and {layer.momentum for layer in layers} == {expected}


def test_models_that_differ_in_sampling_alone():
    weights = [
        network.build(Recipe(**FIELDS, **seeds), ["a", "b"], "x").get_layer("conv2_3x3").kernel.numpy()
        for seeds in ({"seed": 1, "weights_seed": 7}, {"seed": 2, "weights_seed": 7}, {"seed": 7}, {"seed": 1})
    ]
    assert (weights[0] == weights[1]).all() and (weights[0] == weights[2]).all() and (weights[0] != weights[3]).any()


def test_the_card_can_be_repeated_and_indexed():
    recipe = Recipe(**FIELDS, weights="bvlc")
    metrics = measured(recipe, {"accuracy": 0.915, "top5_accuracy": 0.99})
    provenance = {"command": command("x", ["a=b c"]), "commit": "1f"}
    spec = GoogLeNetSpec(preprocessing={"size": 32}).to_dict()
    published = Published(spec, {}, metrics, provenance=provenance)
    text = card(recipe, published, name="x", epochs=recipe.epochs)
    assert f"* {recipe.epochs} epochs at " in text
    front = yaml.safe_load(text.split("---")[1])
    (result,) = front["model-index"][0]["results"]
    assert {metric["type"]: metric["value"] for metric in result["metrics"]} == {
        "accuracy": 91.5,
        "top-5-accuracy": 99.0,
    }
    assert "datasets" not in front, "nobody else has it"
    for name in ("cifar10", "cifar10:3.0.2", "imagenet_v2/topimages:3.0.0"):
        found = measured(dataclasses.replace(recipe, dataset=name), {"accuracy": 1.0, "top5_accuracy": 1.0})
        assert found["dataset"] == re.match("[a-z0-9_]+", name)[0]
    assert "training/configs/x.py --set 'a=b c'" in text and "begun with the weights `bvlc`" in text
    assert "| top1 | 91.5 |" in text and "* commit: 1f" in text
