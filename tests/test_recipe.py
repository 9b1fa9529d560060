"""Recipes: the paper's numbers as defaults, every schedule against values worked out by hand, and what --set says."""

import dataclasses
import json
import math
import pathlib

import pytest

from training.detection.recipe import DetectionRecipe
from training.recipe import Recipe, load_config, with_settings

CONFIGS = sorted((pathlib.Path(__file__).parent.parent / "training" / "configs").glob("[!_]*.py"))
DETECTORS = ("bccd",)


def test_the_defaults_are_section_6_of_the_paper():
    recipe = Recipe()
    assert (recipe.variant, recipe.momentum, recipe.decay_rate, recipe.decay_epochs) == ("paper", 0.9, 0.96, 8)
    assert (recipe.aux_heads, recipe.aux_weight, recipe.dropout, recipe.head_dropout) == (True, 0.3, 0.4, 0.7)
    assert recipe.schedule == "exponential" and recipe.average is not None
    augmentation = recipe.augmentation
    assert augmentation.area == (0.08, 1.0) and augmentation.aspect == (3 / 4, 4 / 3)
    assert set(augmentation.interpolations) == {"bilinear", "area", "nearest", "bicubic"} and augmentation.mirror
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.momentum = 0.5


def test_the_papers_schedule_falls_by_4_percent_every_8_epochs():
    recipe = Recipe(learning_rate=1.0, epochs=24)
    steps = 100
    assert [recipe.rate(step, steps) for step in (0, 799)] == [1.0, 1.0]
    assert [recipe.rate(step, steps) for step in (800, 1599)] == [0.96, 0.96]
    assert recipe.rate(1600, steps) == pytest.approx(0.9216)
    assert recipe.rate(2399, steps) == pytest.approx(0.9216)


def test_bvlcs_own_numbers():
    # solver.prototxt: 0.01, x 0.96 every 320,000 of 10M iterations, ends at 0.00282
    epochs = Recipe(learning_rate=0.01, epochs=250)
    assert epochs.rate(10_000_000 - 1, 40_000) == pytest.approx(0.00282, abs=1e-5)
    # quick_solver.prototxt: 0.01 * (1 - step / 2.4M) ** 0.5
    quick = Recipe(learning_rate=0.01, epochs=60, schedule="polynomial", power=0.5)
    assert quick.rate(0, 40_000) == 0.01
    assert quick.rate(600_000, 40_000) == pytest.approx(0.01 * 0.75**0.5)
    assert quick.rate(1_800_000, 40_000) == pytest.approx(0.005)
    assert quick.rate(2_399_999, 40_000) == pytest.approx(0.01 * (1 / 2.4e6) ** 0.5)


def test_cosine_with_warm_up():
    recipe = Recipe(learning_rate=2.0, epochs=10, schedule="cosine", warmup_epochs=2)
    rates = [recipe.rate(step, 5) for step in range(50)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[5] == pytest.approx(2.0 * 0.55)  # half of the way from a tenth to all
    assert rates[10] == pytest.approx(2.0)
    assert rates[30] == pytest.approx(1.0)
    assert rates[49] == pytest.approx(1 + math.cos(math.pi * 39 / 40))
    assert rates[20] == pytest.approx(1 + math.cos(math.pi / 4))
    assert all(a > b for a, b in zip(rates[10:], rates[11:], strict=False))


def test_constant():
    recipe = Recipe(learning_rate=0.3, schedule="constant", warmup_epochs=1, epochs=3)
    assert [recipe.rate(step, 2) for step in range(6)] == pytest.approx([0.03, 0.165, 0.3, 0.3, 0.3, 0.3])


@pytest.mark.parametrize(
    "settings, field, value",
    [
        (["epochs=3"], "epochs", 3),
        (["learning_rate=1e-3"], "learning_rate", 1e-3),
        (["dropout=0"], "dropout", 0.0),
        (["average=none"], "average", None),
        (["average=None"], "average", None),
        (["aux_heads=false"], "aux_heads", False),
        (["sizes=128"], "sizes", (128,)),
        (["sizes=(16,24)", "epochs=2"], "sizes", (16, 24)),
        (["eval_size=256"], "eval_size", 256),
        (["variant=batch_norm"], "variant", "batch_norm"),
        (["weights=hf://me/flowers@v1"], "weights", "hf://me/flowers@v1"),
        (["dataset='folder'"], "dataset", "folder"),
        (["widths=(('3a', (8, 8, 8)),)"], "widths", (("3a", (8, 8, 8)),)),
        (["architecture=NetworkInNetwork", "variant=cifar10"], "variant", "cifar10"),
    ],
)
def test_settings(settings, field, value):
    start = Recipe(aux_heads=False)
    order = sorted(settings, reverse=True) if field != "sizes" else sorted(settings)
    changed = with_settings(start, order)
    assert getattr(changed, field) == value and type(getattr(changed, field)) is type(value)
    assert len(settings) > 1 or dataclasses.replace(changed, **{field: getattr(start, field)}) == start


def test_settings_reach_inside_the_augmentation():
    changed = with_settings(Recipe(), ["augmentation.mirror=False", "augmentation.area=(0.5, 1)"])
    assert changed.augmentation == dataclasses.replace(Recipe().augmentation, mirror=False, area=(0.5, 1))


@pytest.mark.parametrize(
    "setting, message",
    [
        ("epoch=3", r"one of architecture, variant, stem, .*; Received: epoch$"),
        ("epochs", "expected --set field=value; Received: --set epochs"),
        ("epochs=many", "epochs to be of type .*int.*; Received: epochs='many'"),
        ("epochs=2.5", "epochs to be of type"),
        ("epochs=True", "epochs to be of type"),
        ("epochs=None", "epochs to be of type"),
        ("epochs=0", "epochs to be above 0; Received: epochs=0"),
        ("dropout=1.5", "dropout to be 0 or more, and below 1"),
        ("warmup_epochs=251", "warmup_epochs to be from 0 to the 250 epochs; Received: warmup_epochs=251.0"),
        ("weights_seed=-1", "weights_seed to be None, or 0 or more"),
        ("batch_norm_momentum=1", "batch_norm_momentum to be None, or 0 or more, and below 1"),
        ("schedule=linear", "one of exponential, polynomial, cosine, constant; Received: schedule='linear'"),
        ("augmentation=None", "a field inside augmentation, one of augmentation.crop"),
        ("augmentation.crop=round", "crop"),
        ("augmentation.blur=1", "a field of Augmentation"),
        ("variant=v3", "variant to be one of paper"),
        ("sizes=(16,24,32)", "one size, or one for each of the 250 epochs"),
        ("sizes=(16.5,)", "sizes to be of type"),
        ("eval_size=0", "eval_size to be None, or above 0; Received: eval_size=0"),
        ("eval_size=300", "resize_to to be at least the size; Received: resize_to=256"),
        ("average=1", "average to be None, or between 0 and 1"),
        ("epochs.x=1", "as a whole"),
        ("architecture=VGG", "architecture to be one of GoogLeNet, NetworkInNetwork; Received: architecture='VGG'"),
        ("architecture=NetworkInNetwork", "aux_heads=False and no widths with architecture='NetworkInNetwork'"),
        ("widths=(('3a', (8, 8)),)", "widths to be modules, each with six counts"),
        ("widths=(('3a', 8, 8),)", "widths to be of type"),
        ("widths=((3, (8, 8, 8)),)", "widths to be of type"),
    ],
)
def test_settings_that_are_wrong(setting, message):
    with pytest.raises(ValueError, match=message) as raised:
        with_settings(Recipe(), [setting])
    assert "\n" not in str(raised.value)


def test_networks_that_cannot_be_trained_so():
    with pytest.raises(ValueError, match="a variant for colour images; Received: variant='mnist'"):
        Recipe(architecture="NetworkInNetwork", variant="mnist", aux_heads=False)
    with pytest.raises(ValueError, match="no widths where training begins with weights"):
        Recipe(weights="cifar10", widths=(("3a", (8, 8, 8)),))


def test_growing_images_and_heads_exclude_each_other():
    with pytest.raises(ValueError, match="one size with aux_heads=True"):
        Recipe(sizes=(32, 64), epochs=2)
    with pytest.raises(ValueError, match="one size with aux_heads=True.* eval_size=256"):
        Recipe(eval_size=256)
    recipe = Recipe(sizes=(32, 64), epochs=2, aux_heads=False)
    assert [recipe.size(epoch) for epoch in range(2)] == [32, 64] and recipe.evaluated_size == 64


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_recipes_of_the_repository(path):
    names = load_config(path, DetectionRecipe if path.stem in DETECTORS else Recipe)
    assert f"training/configs/{path.name}" in names["__doc__"], "the command stands in the docstring"
    data = names["recipe"].to_dict()
    assert json.loads(json.dumps(data)) == data and data.get("classifier", data)["augmentation"]["crop"]
    if "imagenet" in path.stem:
        assert "ot measured here" in names["__doc__"], "what nobody ran here must say so"


def test_there_is_a_recipe_for_every_purpose():
    assert {path.stem for path in CONFIGS} >= {
        "paper_imagenet",
        "caffe_quick_imagenet",
        "batch_norm_imagenet",
        "cifar10",
        "finetune",
        "smoke",
    }
    paper = load_config(CONFIGS[0].with_name("paper_imagenet.py"))["recipe"]
    defaults = Recipe()
    different = {f.name for f in dataclasses.fields(Recipe) if getattr(paper, f.name) != getattr(defaults, f.name)}
    assert different <= {"labels", "checkpoint_every"}


def test_configs_that_are_none(tmp_path):
    with pytest.raises(ValueError, match=r"smoke\.py.*; Received: .*nowhere\.py"):
        load_config(tmp_path / "nowhere.py")
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match="to define recipe = Recipe"):
        load_config(tmp_path / "empty.py")
