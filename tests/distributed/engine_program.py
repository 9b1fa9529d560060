"""Takes steps with the engine of the Keras backend, on one device or two, and prints what came out, as JSON.

    python engine_program.py OUT.npz DEVICES '{"variant": "paper", ...}'

A process of its own: devices must be made before any other operation, and a failed collective poisons its process.
"""

import json
import os
import sys

import numpy as np

STEPS, BATCH = 4, 8


def main(out, devices, fields):
    devices = int(devices)
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    import keras

    from training.recipe import Recipe

    sizes = {"dropout": 0.0, "head_dropout": 0.0, "sizes": (32,), "batch_size": BATCH, "stem": "small"}
    recipe = Recipe(**{**sizes, "learning_rate": 1e-3, "average": 0.9, "precision": "float64", **json.loads(fields)})
    if recipe.precision == "float64":
        keras.config.set_floatx("float64")
    keras.config.set_dtype_policy(recipe.precision)
    classes = [str(index) for index in range(10)]
    if keras.backend.backend() == "jax":
        import jax

        from training.jax_engine import JaxEngine

        jax.config.update("jax_enable_x64", recipe.precision == "float64")
        engine = JaxEngine(recipe, classes, devices=devices)
    else:
        import tensorflow as tf

        from training.distribution import Cluster, make_strategy
        from training.tensorflow_engine import TensorFlowEngine

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
        names = [f"CPU:{index}" for index in range(devices)]
        strategy = make_strategy("mirrored" if devices > 1 else "one", Cluster(), names)
        engine = TensorFlowEngine(recipe, classes, strategy)

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (STEPS * BATCH, 32, 32, 3), "uint8")
    labels = rng.integers(0, 10, STEPS * BATCH)
    weights = np.ones(STEPS * BATCH, "float32")
    weights[5] = 0  # a broken image
    parts = [slice(start, start + BATCH) for start in range(0, STEPS * BATCH, BATCH)]
    batches = [(images[part], labels[part], weights[part]) for part in parts]
    if keras.backend.backend() == "tensorflow":
        batches = tf.data.Dataset.from_tensor_slices((images, labels, weights)).batch(BATCH, drop_remainder=True)
    steps = [engine.fetch(engine.train_step(batch, 1e-3)) for batch in engine.distribute(batches)]
    metrics = engine.evaluate(batches)
    probabilities = engine.predict(batches, STEPS * BATCH - 1)
    np.savez(
        out,
        losses=[step["loss"] for step in steps],
        metrics=list(metrics.values()),
        probabilities=probabilities,
        **engine.state(),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
