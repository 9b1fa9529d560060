"""Our network with a checkpoint of TF-slim against TF-slim's own Inception v1, with random weights."""

import os
import pathlib
import subprocess
import sys
import tarfile

import numpy as np
import pytest

import keras_inception
from keras_inception import convert

REFERENCE = pathlib.Path(__file__).with_name("slim_reference.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What TF-slim made: two checkpoints of the same weights, inputs and logits; and the archive as it is published."""
    folder = tmp_path_factory.mktemp("slim")
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, REFERENCE, folder], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with tarfile.open(folder / "inception_v1.tar.gz", "w:gz", compresslevel=1) as archive:
        archive.add(folder / "first.ckpt", "inception_v1.ckpt")
    return folder


@pytest.mark.parametrize("size", [(224, 224), (197, 210)])
def test_logits(folder, size):
    height, width = size
    with np.load(folder / "results.npz") as results:
        pixels, theirs = results[f"pixels_{height}x{width}"], results[f"logits_{height}x{width}"]
    model = keras_inception.GoogLeNet(
        weights=str(folder / "first.ckpt"), classes=1001, input_shape=(*size, 3), classifier_activation=None
    )
    ours = model.predict(pixels, verbose=0)
    assert ours.shape == theirs.shape == (2, 1001)
    difference = np.abs(ours - theirs).max() / np.ptp(theirs)
    assert difference < 1e-4
    assert np.ptp(theirs) > 0.1 and np.abs(theirs[0] - theirs[1]).max() > 1e-3  # the weights are not degenerate


@pytest.mark.parametrize(
    "file", ["second.ckpt", "second.ckpt.index", "second.ckpt.data-00000-of-00001", "inception_v1.tar.gz"]
)
def test_every_form_of_the_file_reads_alike(folder, file):
    from keras_inception.convert import tensorflow_checkpoint

    first, other = convert.read(folder / "first.ckpt"), tensorflow_checkpoint.read(folder / file)
    assert first.spec == other.spec
    assert set(first.tensors) == set(other.tensors)
    for name, array in first.tensors.items():
        np.testing.assert_array_equal(array, other.tensors[name])
