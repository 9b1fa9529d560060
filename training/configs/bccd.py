"""Detection as in the paper's section 8, on photos of blood cells: red, white, and platelets.

    python -m training.detect training/configs/bccd.py --data-dir BCCD --work-dir RUN --out training/results/bccd.json

`BCCD` is https://github.com/Shenggan/BCCD_Dataset's folder `BCCD`: 205 photos to train on, 87 to choose by, 72 to be
measured on, of 640 x 480 pixels. All begins with `weights/cifar10`, the classifiers at 32 pixels, MultiBox at 128 x 96.

Hardware, time and accuracy: not measured yet.
"""

from keras_inception.detection.selective_search import SelectiveSearch
from training.detection.recipe import DetectionRecipe, MapOptions, MultiBoxOptions
from training.options import Augmentation
from training.recipe import Recipe

recipe = DetectionRecipe(
    classifier=Recipe(
        variant="batch_norm",
        stem="small",
        weights="cifar10",
        aux_heads=False,
        batch_norm_momentum=0.9,
        dropout=0.2,
        dataset="arrays",
        sizes=(32,),
        resize_to=32,
        augmentation=Augmentation(crop="none", photometric=0.2, lighting=0.0),
        epochs=3,
        batch_size=128,
        learning_rate=0.02,
        schedule="cosine",
        weight_decay=5e-4,
        average=None,
        checkpoint_every=50,
    ),
    classifiers=3,
    search=SelectiveSearch("rcnn", smallest=20),
    multibox=MultiBoxOptions(mirrored=True),
    maps=MapOptions(scale=0.3),
    regions_per_photo=64,
)
