"""Loads weights with one Keras backend, tensorflow blocked unless it is the backend, and saves the answers."""

import os
import sys


def main():
    weights, images, output = sys.argv[1:]
    if os.environ["KERAS_BACKEND"] != "tensorflow":
        sys.modules["tensorflow"] = None  # looks as if it were not installed
    import keras
    import numpy as np

    import keras_inception

    model = keras_inception.GoogLeNet(
        weights=weights, aux_heads=True, classifier_activation=None, input_shape=(112, 96, 3)
    )
    answers = model.predict(np.load(images), verbose=0)
    activations = keras_inception.features(model, ["inception_3a/output", "pool1/3x3_s2"]).predict(
        np.load(images), verbose=0
    )
    assert (sys.modules["tensorflow"] is not None) == (keras.backend.backend() == "tensorflow")
    np.savez(output, **answers, **{name.replace("/", "_"): value for name, value in activations.items()})


if __name__ == "__main__":
    main()
