"""Loads weights with one Keras backend, tensorflow blocked unless it is the backend, and saves the answers."""

import os
import sys


def main():
    images, *files = sys.argv[1:]
    if os.environ["KERAS_BACKEND"] != "tensorflow":
        sys.modules["tensorflow"] = None  # looks as if it were not installed
    import keras
    import numpy as np

    import keras_inception

    pixels = np.load(images)
    for weights in files:
        model = keras_inception.GoogLeNet(
            weights=weights, aux_heads=True, classifier_activation=None, input_shape=pixels.shape[1:]
        )
        outputs = {**model.output, "pool1": model.get_layer("pool1_3x3_s2").output}
        np.savez(
            f"{weights}.{keras.backend.backend()}.npz", **keras.Model(model.input, outputs).predict(pixels, verbose=0)
        )
    assert (sys.modules["tensorflow"] is not None) == (keras.backend.backend() == "tensorflow")


if __name__ == "__main__":
    main()
