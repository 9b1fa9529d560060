"""Detection as in the paper's section 8, on photos of blood cells: red, white, and platelets.

    python -m training.detect training/configs/bccd.py --data-dir BCCD --work-dir RUN --out training/results/bccd.json

`BCCD` is https://github.com/Shenggan/BCCD_Dataset's folder `BCCD`: 205 photos to train on, 87 to choose by, 72 to be
measured on, of 640 x 480 pixels. All begins with `weights/cifar10`, the classifiers at 32 pixels, MultiBox at 128 x 96.
Selective search has R-CNN's superpixels; the paper's, which are twice as large, are compared with them: platelets are
small. A processor that has no bfloat16 is faster in float32 (`--set precision=float32`, and so on).

Hardware, time and accuracy: mAP at 0.5 of 83.4 % with three classifiers and box regression, 79.1 % with one and without
(platelets 72.2 %, red cells 79.9 %, white cells 97.9 % of the best), in two and a half hours on two x86-64 cores with
AVX-512-BF16 that did a little other work too (`training/results/bccd.json`).
"""

import dataclasses

from keras_inception.detection.selective_search import SelectiveSearch
from training.configs.blood_cells import recipe as blood_cells
from training.detection.recipe import DetectionRecipe, MapOptions, MultiBoxOptions
from training.options import Augmentation

recipe = DetectionRecipe(
    classifier=dataclasses.replace(
        blood_cells,
        dataset="arrays",
        augmentation=Augmentation(crop="none", photometric=0.2, lighting=0.0),
        epochs=3,
        batch_size=128,
        learning_rate=0.02,
        warmup_epochs=0.0,
        evaluate_every=1,
        precision="mixed_bfloat16",
    ),
    classifiers=3,
    search=SelectiveSearch("rcnn", smallest=20),
    search_alone=SelectiveSearch("paper", smallest=20),
    multibox=MultiBoxOptions(mirrored=True, precision="mixed_bfloat16"),
    maps=MapOptions(scale=0.3),
    regions_per_photo=64,
    precision="mixed_bfloat16",
)
