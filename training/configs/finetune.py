"""Fine-tuning with a few hundred images: folders of images by class, first the classifiers, then everything.

    python -m training.train training/configs/finetune.py --data-dir PHOTOS --work-dir RUN

`PHOTOS` holds one folder of images for each class, or `train` and `validation` with such folders each; without a
validation folder every fifth image of a class is kept for it. `--set weights=...` takes whatever `GoogLeNet(weights=)`
takes, with `--set variant=...` and `--set stem=...` where they are not the paper's; the default downloads the public
BVLC weights.

Hardware and time: not measured here with the public weights, which the training downloads once.
Accuracy: not measured here; it depends on the photos.
"""

from training.options import Augmentation
from training.recipe import Recipe

recipe = Recipe(
    weights="imagenet",
    aux_heads=False,
    dataset="folder",
    epochs=30,
    frozen_epochs=5,
    batch_size=16,
    learning_rate=0.002,
    schedule="cosine",
    warmup_epochs=0.0,
    weight_decay=2e-4,
    average=None,
    augmentation=Augmentation(area=(0.3, 1.0), photometric=0.3),
    checkpoint_every=50,
    evaluate_every=5,
)
