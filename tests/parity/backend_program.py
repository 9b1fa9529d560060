"""Loads weights with one Keras backend, tensorflow blocked unless it is the backend, and saves the answers."""

import os
import sys


def train(keras, np):
    """A stand-in of our layers with auxiliary heads learns its labels: what the heads need of a backend is in it."""
    from keras_inception import LocalResponseNormalization, auxiliary_losses, inception_module
    from keras_inception.layers import BATCH_NORM_STYLE, CeilAveragePooling2D
    from keras_inception.models.auxiliary import GoogLeNetWithHeads

    inputs = keras.Input((8, 8, 3))
    x = LocalResponseNormalization()(inputs)
    x = inception_module(x, (4, 4, 4, 4, 4, 4), name="inception_3a", style=BATCH_NORM_STYLE)
    pooled = {"predictions": keras.layers.GlobalAveragePooling2D()(x)}
    for name in ("aux_4a", "aux_4d"):
        pooled[name] = keras.layers.Flatten()(CeilAveragePooling2D()(x))
    outputs = {name: keras.layers.Dense(2, activation="softmax", name=name)(y) for name, y in pooled.items()}
    model = GoogLeNetWithHeads(inputs, outputs)
    model.compile("adam", **auxiliary_losses("sparse_categorical_crossentropy", metrics=["accuracy"]))
    labels = np.arange(16) % 2
    images = np.random.default_rng(0).uniform(size=(16, 8, 8, 3)).astype("float32") + labels[:, None, None, None]
    losses = model.fit(
        images, labels, sample_weight=np.ones(16), validation_data=(images, labels), epochs=5, verbose=0
    ).history
    assert losses["loss"][-1] < losses["loss"][0] and "val_predictions_accuracy" in losses


def main():
    images, *files = sys.argv[1:]
    if os.environ["KERAS_BACKEND"] != "tensorflow":
        sys.modules["tensorflow"] = None  # looks as if it were not installed
    import keras
    import numpy as np

    import keras_inception
    from keras_inception.models.hmax import HMAX, imprint

    pixels = np.load(images)
    for weights in files:
        options = {"weights": weights, "classifier_activation": None, "input_shape": pixels.shape[1:]}
        if "network_in_network" in weights:
            model = keras_inception.NetworkInNetwork(**options)
            outputs = {"predictions": model.output, "pool2": model.get_layer("pool2").output}
        else:
            model = keras_inception.GoogLeNet(aux_heads=True, **options)
            outputs = {**model.output, "pool1": model.get_layer("pool1_3x3_s2").output}
        np.savez(
            f"{weights}.{keras.backend.backend()}.npz", **keras.Model(model.input, outputs).predict(pixels, verbose=0)
        )
    hmax = HMAX(8, patch_sizes=(2, 4), bands=(1, 2), input_shape=pixels.shape[1:], beta=50.0)
    imprint(hmax, pixels)
    np.save(
        os.path.join(os.path.dirname(images), f"hmax.{keras.backend.backend()}.npy"), hmax.predict(pixels, verbose=0)
    )
    train(keras, np)
    assert (sys.modules["tensorflow"] is not None) == (keras.backend.backend() == "tensorflow")


if __name__ == "__main__":
    main()
