"""What a backend does to the process that it runs in."""

import os
import subprocess
import sys

import tensorflow as tf

from training import backends

# Each term has another consumer, which takes longer than the others' by chance: TensorFlow would begin now with the one
# and now with the other, and find more than one sum in nearly every case.
SUMS = """
import numpy as np
from training.backends import find_backend
from training.distribution import Cluster
from training.recipe import Recipe

find_backend(Recipe(deterministic=True), "one", Cluster())
import tensorflow as tf

terms = [tf.constant(part) for part in np.random.default_rng(0).normal(size=(3, 1000, 1000)).astype("f4")]

@tf.function
def total(terms):
    sums = []
    for number in range(10):
        a, b, c = (term * factor for term, factor in zip(terms, (1.1 + number, 1.3, 1.7)))
        others = [tf.linalg.matmul(a[:300, :300], a[:300, :300]), b, tf.exp(a), tf.sin(c)]
        sums += [tf.raw_ops.AddN(inputs=[a, b, c]), *(tf.reduce_sum(other) for other in others)]
    return sums[::5], sums

print(len({b"".join(part.numpy().tobytes() for part in total(terms)[0]) for _ in range(50)}))
"""


def test_a_deterministic_run_adds_in_one_order():
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.run([sys.executable, "-c", SUMS], env=environment, capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["1"]


def test_too_late_for_one_operation_at_a_time(caplog):
    tf.constant(1.0) + 1.0
    backends._one_operation_at_a_time()
    assert "two runs may differ" in caplog.text
