"""Training with auxiliary heads and plain labels under tf.distribute, in processes of its own."""

import json
import pathlib
import subprocess
import sys

import numpy as np


def run(replicas):
    program = pathlib.Path(__file__).with_name("distribution_program.py")
    result = subprocess.run([sys.executable, str(program), str(replicas)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.strip().splitlines()[-1])


def test_two_replicas_train_as_one():
    one, two = run(1), run(2)
    assert {"predictions_accuracy", "val_predictions_accuracy", "aux_4a_loss", "val_aux_4d_loss"} <= set(two["history"])
    np.testing.assert_allclose(two["history"]["loss"], one["history"]["loss"], rtol=1e-4)
    np.testing.assert_allclose(two["predictions"], one["predictions"], rtol=1e-3, atol=1e-5)
