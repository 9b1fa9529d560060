"""Finds objects with a published detector, on one Keras backend, and saves what was found."""

import sys


def main():
    folder, images, out = sys.argv[1:]
    import keras
    import numpy as np

    import keras_inception
    from keras_inception.detection import RCNN, MapScorer

    detector = keras_inception.from_hub(folder)
    pictures = np.load(images)
    options = {"classes": detector.classes, "threshold": 0.1, "regression": detector.regression}
    scorer = MapScorer(detector.scorer.models[0], "inception_3b_output", scale=0.5)
    once = RCNN(scorer, detector.proposals, **options)
    found = {}
    for name, each in (("regions", detector), ("maps", once)):
        for number, (image, objects) in enumerate(zip(pictures, each(pictures), strict=True)):
            found[f"{name} {number} proposals"] = each.propose(image)
            found[f"{name} {number} boxes"] = np.column_stack([objects.boxes, objects.labels, objects.scores])
    np.savez(out, backend=keras.backend.backend(), **found)


if __name__ == "__main__":
    main()
