"""TF-slim's own Inception v1 with random weights: saves checkpoints of both formats, inputs and logits.

TF-slim needs Keras 2 (tf-keras), which a process has to choose before it imports TensorFlow; so this is a program:

    TF_USE_LEGACY_KERAS=1 python tests/parity/slim_reference.py FOLDER
"""

import os
import pathlib
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tf_slim
from tf_keras.src import legacy_tf_layers
from tf_keras.src.legacy_tf_layers import normalization
from tf_slim.nets import inception

# TensorFlow looks for its old layers where tf-keras no longer shows them.
sys.modules["tf_keras.legacy_tf_layers"] = legacy_tf_layers
sys.modules["tf_keras.legacy_tf_layers.normalization"] = normalization

# The last average pooling is 7x7 valid and the result is squeezed, so the last map must be 7x7: 193 to 224 pixels.
SIZES = ((224, 224), (197, 210))


def random_weights(variable, generator):
    """Weights and statistics of batch norm that keep the signal alive through all layers."""
    shape, name = variable.shape.as_list(), variable.op.name
    if name.endswith("weights"):
        return generator.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape)
    if name.endswith("moving_variance"):
        return generator.uniform(0.5, 2, shape)
    return generator.normal(0, 0.3, shape)


def main(folder: pathlib.Path) -> None:
    v1 = tf.compat.v1
    generator = np.random.default_rng(0)
    with tf.Graph().as_default(), v1.Session() as session:
        tf_slim.create_global_step()
        outputs = []
        for height, width in SIZES:
            inputs = v1.placeholder(tf.float32, (None, height, width, 3))
            with tf_slim.arg_scope(inception.inception_v1_arg_scope()):
                logits, _ = inception.inception_v1(inputs, num_classes=1001, is_training=False, reuse=v1.AUTO_REUSE)
            outputs.append((inputs, logits))
        session.run(v1.global_variables_initializer())
        for variable in tf_slim.get_model_variables():
            variable.load(random_weights(variable, generator), session)
        version = v1.train.SaverDef
        v1.train.Saver(write_version=version.V1).save(session, str(folder / "first.ckpt"), write_meta_graph=False)
        v1.train.Saver(write_version=version.V2).save(session, str(folder / "second.ckpt"), write_meta_graph=False)
        results = {}
        for (height, width), (inputs, logits) in zip(SIZES, outputs, strict=True):
            pixels = generator.uniform(0, 255, (2, height, width, 3)).astype(np.float32)
            results[f"pixels_{height}x{width}"] = pixels
            results[f"logits_{height}x{width}"] = session.run(logits, {inputs: (pixels - 127.5) / 127.5})
    np.savez(folder / "results.npz", **results)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
