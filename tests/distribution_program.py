"""Trains a small GoogLeNet with heads under MirroredStrategy on two logical CPUs; prints what came of it as JSON.

Run in a process of its own: logical devices can be made only before TensorFlow has looked at any.
"""

import json
import sys

import keras
import numpy as np
import tensorflow as tf

from keras_inception import GoogLeNet, auxiliary_losses


def main():
    replicas = int(sys.argv[1])
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    devices = [f"CPU:{i}" for i in range(replicas)]
    strategy = tf.distribute.MirroredStrategy(devices)
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = GoogLeNet(weights=None, input_shape=(32, 32, 3), stem="small", classes=3, aux_heads=True, dropout=0.0)
        for layer in model.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = 0.0  # so that one and two replicas compute the same
        model.compile(
            keras.optimizers.SGD(0.01, momentum=0.9),
            **auxiliary_losses("sparse_categorical_crossentropy", metrics=["accuracy"]),
        )
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 255, (16, 32, 32, 3)).astype("float32"), rng.integers(0, 3, 16)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    history = model.fit(data, epochs=1, validation_data=data, verbose=0, shuffle=False).history
    predictions = model.predict(x, verbose=0, batch_size=8)["predictions"]
    print(json.dumps({"history": history, "predictions": predictions.tolist()}))


if __name__ == "__main__":
    main()
