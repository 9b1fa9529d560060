"""The report on section 3: its measures by hand, planted statistics that it must judge rightly, and a whole report."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from PIL import Image

from keras_inception import GoogLeNet
from keras_inception.layers.cost import reduced_module
from keras_inception.layers.inception import InceptionWidths
from keras_inception.topology import correlation_statistics
from training.recipe import Recipe, with_settings
from training.topology import growth, predictions
from training.topology.__main__ import main
from training.topology.report import analyse, in_short, layer_below, module_inputs, read_images, report, untrained_like

TABLE = (64, 96, 128, 16, 32, 32)


def asked(module="3a", side=8, groups=(4, 2, 1), spread=1.0, own=TABLE):
    own = InceptionWidths(*own)
    return predictions.Asked(module, "layer", (side, side), (16, 16), groups, spread, own, own)


def test_rising_compares_modules_on_maps_of_one_size():
    sizes = [(8, 8), (8, 8), (4, 4), (4, 4)]
    assert predictions.rising([1, 2, 0, 1], sizes) == 1, "what falls from one size to the next does not count"
    assert predictions.rising([2, 1, 1, 0], sizes) == 0
    assert predictions.rising([1, 2, 1, 1], sizes) == 0.75, "a tie is half"
    assert predictions.rising([1, 3, 2], [(8, 8)] * 3) == pytest.approx(2 / 3)
    by_map = predictions.rising_by_map([1, 2, 1, 1, 5], [*sizes, (2, 2)])
    assert by_map == {(8, 8): (1, 1), (4, 4): (0.5, 1)}
    with pytest.raises(ValueError, match="two modules on maps of one size"):
        predictions.rising([1, 2], [(8, 8), (4, 4)])


def test_the_measures_by_hand():
    low = asked("3a", groups=(6, 1, 1), spread=1.0, own=(90, 1, 10, 1, 0, 7))
    high = asked("3b", groups=(1, 5, 2), spread=2.0, own=(50, 1, 40, 1, 10, 7))
    assert (low.share, high.share) == (2 / 8, 7 / 8)
    assert (low.own_share, high.own_share) == (0.1, 0.5), "the pooling branch does not count"
    assert predictions.spreads_with_depth([low, high]) == 1 and predictions.spreads_with_depth([high, low]) == 0
    assert predictions.larger_patches_with_depth([low, high]) == 1
    elsewhere = dataclasses.replace(high, map_size=(2, 2))
    assert predictions.larger_patches_over_all([low, elsewhere]) == 1, "on maps of any size"
    assert predictions.larger_patches_over_all([elsewhere, low, high]) == 0.5, "one right, one wrong, and a tie"
    assert predictions.fewer_of_larger([low, high]) == 0.5
    assert predictions.as_table_1([low, high]) == 1
    assert predictions.as_table_1([low, asked("3b", groups=(1, 5, 2), own=(95, 1, 4, 1, 1, 7))]) == 0


@pytest.mark.parametrize(
    "trained, control, outcome, effect, said",
    [
        ((1.0, 0.75), (0.2, 0.5), "holds", "more", "holds; training made it more so. 1.00 (0.20), 0.75 (0.50)."),
        ((1.0, 0.75), (0.2, 0.7), "holds", "unclear", "holds; what training does to it depends on the threshold."),
        ((1.0, 0.9), (0.9, 1.0), "holds", "same", "holds; untrained networks are much the same."),
        ((0.4, 0.0), (0.4, 0.2), "fails", "same", "does not hold; untrained networks are much the same."),
        ((0.4, 0.0), (1.0, 0.25), "fails", "less", "does not hold; training made it less so."),
        ((0.9, 0.7), (0.1, 0.1), "undecided", "more", "is undecided; training made it more so."),
        ((0.6, 0.5), (1.0, 0.9), "undecided", "less", "is undecided; training made it less so."),
    ],
)
def test_an_expectation_can_come_out_either_way(trained, control, outcome, effect, said):
    values = (dict(zip((0.2, 0.5), part, strict=True)) for part in (trained, control))
    finding = predictions.Finding("groups are wide", *values)
    assert (finding.outcome, finding.effect) == (outcome, effect)
    assert finding.sentence().startswith(f"Groups are wide: {said}")
    short = in_short([finding])
    assert {"holds": "1 hold", "fails": "1 fails", "undecided": "1 cannot be decided"}[outcome] in short
    assert ("brought about what holds" in short) == (outcome == "holds" and effect == "more")


def test_planted_statistics_are_asked_for():
    """Units in wide groups ask for large patches; independent ones for 1x1 alone."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(64, 10, 10, 12)).astype("float32")
    wide = np.repeat(rng.normal(size=(64, 1, 1, 3)), 4, axis=-1) * np.ones((1, 10, 10, 1)) + 0.1 * noise
    inputs = keras.Input((10, 10, 12))
    model = keras.Model(inputs, keras.layers.Identity(name="layer")(inputs))
    own = InceptionWidths(*TABLE)
    for maps, groups, spread in ((wide, (0, 0, 3), 2.0), (noise, (12, 0, 0), 0.0)):
        statistics = correlation_statistics(model, "layer", maps.astype("float32"), radius=2)["layer"]
        found = predictions.ask("3a", statistics, own, threshold=0.5)
        assert found.groups == groups
        assert reduced_module(12, found.widths, 10, 10).operations <= reduced_module(12, own, 10, 10).operations
        assert found.units == (12, 12) and found.spread == pytest.approx(spread, abs=0.1)


def test_an_untrained_network_has_the_architecture_and_none_of_the_weights():
    model = GoogLeNet(weights="cifar10")
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), "uint8")
    fresh = untrained_like(model, images, seed=1)
    assert [layer.name for layer in fresh.layers] == [layer.name for layer in model.layers]
    kernels = (network.get_layer("inception_4a_3x3").kernel for network in (model, fresh))
    assert not np.allclose(*map(keras.ops.convert_to_numpy, kernels))
    activations = keras.Model(fresh.input, fresh.get_layer("inception_5b_output").output)(images.astype("float32"))
    assert np.ptp(keras.ops.convert_to_numpy(activations), axis=(0, 1, 2)).min() > 0.1, "units that change"
    assert module_inputs(model)["4a"] == "pool3_3x3_s2" and module_inputs(model)["4b"] == "inception_4a_output"


def test_a_whole_report(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), "uint8")
    text = report("cifar10", images, tmp_path, thresholds=(0.3,), controls=1, positions=8, described="noise")
    assert text == (tmp_path / "report.md").read_text()
    assert "64 images (noise)" in text and text.count("\n| 4") == 5 and "## Verdict" in text
    assert all(f"{pairs} on maps of {side} x {side}: " in text for pairs, side in ((1, 16), (10, 8), (1, 4)))
    data = json.loads((tmp_path / "report.json").read_text())
    assert [m["module"] for m in data["trained"]["0.3"]] == "3a 3b 4a 4b 4c 4d 4e 5a 5b".split()
    assert len(data["untrained"]) == 1 and len(data["findings"]) == 5
    for finding in data["findings"]:
        assert finding["sentence"] in text and 0 <= finding["trained"]["0.3"] <= 1
    for picture in ("topology.png", "correlations.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


def test_images_come_from_all_over_a_folder_and_broken_ones_are_left_out(tmp_path):
    for label in "ab":
        for number in range(70):
            path = tmp_path / "photos" / label / f"{number:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 40), (200, 0, 0) if label == "a" else (0, 200, 0)).save(path)
            if number < 35:
                path.write_bytes(b"no image")
    images = read_images("folder", "all", tmp_path / "photos", 32, 128)
    assert images.shape[1:] == (32, 32, 3) and 40 < len(images) < 88, "half of 128"
    reds = (images[:, 16, 16, 0] > 100).mean()
    assert 0.25 < reds < 0.75, "of both classes"
    assert images.max(axis=(1, 2, 3)).min() > 100, "nothing black"
    for count in (63, 0, -5):
        with pytest.raises(ValueError, match=f"64 images or more; Received: {count}"):
            read_images("folder", "all", tmp_path / "photos", 32, count)


def test_a_variant_without_5x5_convolutions_is_refused(recipe):
    with pytest.raises(ValueError, match="with convolutions of 5x5; Received: torchvision, of 3x3"):
        analyse(
            GoogLeNet(weights=None, variant="torchvision", input_shape=(64, 64, 3)), np.zeros((64, 64, 64, 3)), (), 1
        )
    with pytest.raises(ValueError, match="with convolutions of 5x5; Received: slim, of 3x3"):
        growth.grow_by_recipe(dataclasses.replace(recipe, variant="slim"), None)


@pytest.mark.parametrize("options", [{"controls": 0}, {"thresholds": ()}])
def test_a_report_without_a_control_is_refused(tmp_path, options):
    with pytest.raises(ValueError, match="an untrained network and a threshold at least"):
        report("cifar10", np.zeros((64, 32, 32, 3), "uint8"), tmp_path, **options)


def test_wrong_arguments_are_one_sentence(tmp_path, capsys):
    assert main(["--data", "folder", "--data-dir", str(tmp_path / "none"), "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("topology: expected")


# --- growth


@pytest.fixture(scope="module")
def recipe():
    return Recipe(
        variant="batch_norm",
        stem="small",
        aux_heads=False,
        dataset="synthetic",
        sizes=(20,),
        eval_size=32,
        resize_to=32,
        epochs=1,
        batch_size=32,
        learning_rate=0.05,
        average=None,
    )


def test_hand_made_modules_cost_what_table_1_says(recipe):
    costs = growth.hand_made_costs(recipe)
    assert costs[0] == reduced_module(192, TABLE, 16, 16).operations and len(costs) == 9
    assert costs[2] == reduced_module(480, (192, 96, 208, 16, 48, 64), 8, 8).operations


def test_a_trunk_ends_where_the_next_module_stands(recipe):
    narrow = (8, 8, 8, 8, 8, 8)
    for count, layer in (
        (0, "pool2_3x3_s2"),
        (1, "inception_3a_output"),
        (2, "pool3_3x3_s2"),
        (9, "inception_5b_output"),
    ):
        model = growth.trunk(recipe, 5, [narrow] * count)
        assert layer_below(model, "pool5_7x7_s1") == layer
        assert model.output.shape == (None, 5)
        assert sum(found.name.endswith("_output") for found in model.layers) == count


def test_two_modules_grow_and_are_trained_as_a_googlenet(recipe, tmp_path, monkeypatch):
    build, averages = growth.build_optimizer, []
    monkeypatch.setattr(growth, "build_optimizer", lambda r, model: averages.append(r.average) or build(r, model))
    stages = growth.grow_by_recipe(dataclasses.replace(recipe, average=0.9999), None, images=64, modules=2)
    assert averages == [None, None], "fit would leave the average in place of the weights: nearly the first ones"
    assert [stage.layer for stage in stages] == ["pool2_3x3_s2", "inception_3a_output"]
    budgets, inputs = growth.hand_made_costs(recipe)[:2], (192, stages[0].widths.output)
    for stage, budget, channels in zip(stages, budgets, inputs, strict=True):
        assert 0.5 * budget < reduced_module(channels, stage.widths, 16, 16).operations <= budget
    # Of the stem, three kernels with the normalizations behind them.
    assert [stage.carried for stage in stages] == [0, 3 * 5]
    setting = growth.write(stages, recipe, tmp_path / "grown.json")
    written = json.loads((tmp_path / "grown.json").read_text())
    assert [row["module"] for row in written["stages"]] == ["3a", "3b"]
    grown = with_settings(recipe, [setting.removeprefix("--set '").removesuffix("'")])
    assert grown.network(5).module_widths("3b", None) == stages[1].widths


@pytest.mark.parametrize(
    "change, options, message",
    [
        ({"aux_heads": True, "sizes": (32,)}, {}, "no auxiliary heads"),
        ({"architecture": "NetworkInNetwork", "variant": "cifar10"}, {}, "architecture='NetworkInNetwork'"),
        ({"widths": (("3a", TABLE),)}, {}, "no widths of its own"),
        ({}, {"modules": 10}, "1 to 9 modules"),
        ({}, {"epochs": 0}, "an epoch at least"),
    ],
)
def test_what_cannot_grow(recipe, change, options, message):
    with pytest.raises(ValueError, match=message):
        growth.grow_by_recipe(dataclasses.replace(recipe, **change), None, **options)
