"""The README's examples run as they stand; where a download would have put BVLC's weights, there are random ones."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from test_detector_folder import classifier
from test_selective_search import scene

import keras_inception
from keras_inception import GoogLeNetSpec, checkpoints
from keras_inception.detection import RCNN, SelectiveSearch
from keras_inception.hub import download, manifest, serialization
from keras_inception.models.googlenet import build_googlenet

REPOSITORY = pathlib.Path(__file__).parent.parent
EXAMPLES = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
ON_THE_HUB = [block for block in EXAMPLES if "push_to_hub" in block]
BLOCKS = [block for block in EXAMPLES if block not in ON_THE_HUB]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    entry = manifest.resolve("imagenet")
    spec = GoogLeNetSpec(aux_heads=True, labels=entry.labels, preprocessing=entry.preprocessing)
    model = build_googlenet(spec)
    serialization.write(download.converted_path(entry, folder), checkpoints.to_checkpoint(model))
    return folder


@pytest.fixture
def workplace(tmp_path):
    """A folder like a user's, with the example photos and a small data set of photos by class."""
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    rng = np.random.default_rng(0)
    for label in ("daisy", "rose"):
        (tmp_path / "flowers" / label).mkdir(parents=True)
        for index in range(5):
            Image.fromarray(rng.integers(0, 256, (40, 60, 3), "uint8")).save(
                tmp_path / "flowers" / label / f"{index}.jpg"
            )
    for label in ("truck", "ship"):
        (tmp_path / "vehicles" / label).mkdir(parents=True)
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), "uint8")).save(tmp_path / "vehicles" / label / "1.jpg")
    return tmp_path


def test_there_are_examples():
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_example(block, cache, workplace, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_INCEPTION_CACHE", str(cache))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(workplace)
    if "BCCD" in block:
        (workplace / "BCCD" / "JPEGImages").mkdir(parents=True)
        Image.fromarray(scene()).save(workplace / "BCCD" / "JPEGImages" / "BloodImage_00007.jpg")
        detector = RCNN(classifier(), SelectiveSearch("fast", width=240, limit=40), threshold=0.2)
        keras_inception.push_to_hub(detector, workplace / "runs" / "bccd" / "detector")
    names = {}
    exec(compile(block, "README.md", "exec"), names)  # noqa: S102
    if "fit(" in block:
        assert (workplace / "flowers.keras").exists()
        assert names["model"].output_shape == (None, 2)
    else:
        assert len(capsys.readouterr().out.splitlines()) >= 2


def test_publishing_and_loading(workplace):
    """As a new user would: in a process of its own, upon the hub on this machine that the README names."""
    (block,) = ON_THE_HUB
    (workplace / "walk.py").write_text(block)
    command = [sys.executable, str(REPOSITORY / "tests" / "hub_server.py"), "hub", "--port", "0"]
    with subprocess.Popen(command, cwd=workplace, stdout=subprocess.PIPE, text=True) as server:
        try:
            exported = dict(word.split("=") for word in server.stdout.readline().split()[1:])
            # A new user's environment, but for its word to the public Hub.
            environment = {**os.environ, **exported, "HF_HOME": "home", "HF_HUB_DISABLE_TELEMETRY": "1"}
            run = subprocess.run(
                [sys.executable, "walk.py"], cwd=workplace, env=environment, capture_output=True, text=True, check=False
            )
        finally:
            server.kill()
    assert run.returncode == 0, run.stderr[-2000:]
    commit, classes = run.stdout.strip().splitlines()[-2:]
    assert re.fullmatch("[0-9a-f]{40}", commit) and "('cat', 'cat'," in classes
    refs = json.loads((workplace / "hub" / "me" / "googlenet" / "refs.json").read_text())
    assert refs["tags"] == {"v1": commit}


def test_no_placeholder_is_left():
    assert not re.findall(r"[A-Z0-9]+_SECTION", (REPOSITORY / "README.md").read_text())
