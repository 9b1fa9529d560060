"""Loads weights with one Keras backend, tensorflow blocked unless it is the backend, and saves what the network answers."""

import importlib.abc
import os
import sys


class Blocked(importlib.abc.MetaPathFinder):
    """Makes tensorflow look as if it were not installed."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def main():
    weights, images, output = sys.argv[1:]
    if os.environ["KERAS_BACKEND"] != "tensorflow":
        sys.meta_path.insert(0, Blocked())
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
    assert ("tensorflow" in sys.modules) == (keras.backend.backend() == "tensorflow")
    np.savez(output, **answers, **{name.replace("/", "_"): value for name, value in activations.items()})


if __name__ == "__main__":
    main()
