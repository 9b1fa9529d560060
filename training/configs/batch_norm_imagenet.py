"""A modern recipe, meant to train from scratch reliably: batch norm, a warm-up and a cosine, on ImageNet 2012.

    python -m training.train training/configs/batch_norm_imagenet.py --data-dir DATASETS --work-dir RUN

Hardware and time: 100 epochs; not run here.
Accuracy: not measured here. Published for the nearest relatives: 72.05 % top-1 in 30 epochs (lim0606's GoogLeNet with
batch norm in Caffe), 72.87 % (gluoncv's, with mixup), 69.78 % (torchvision's weights, which are TF-slim's).

The learning rate is the usual 0.1 per 256 images with a linear warm-up of five epochs. Of the
paper's augmentation the photometric distortions and three of the four interpolations are left out.
"""

from training.options import Augmentation
from training.recipe import Recipe

recipe = Recipe(
    variant="batch_norm",
    labels="imagenet",
    dropout=0.2,
    epochs=100,
    batch_size=256,
    learning_rate=0.1,
    schedule="cosine",
    warmup_epochs=5.0,
    nesterov=True,
    weight_decay=5e-5,
    label_smoothing=0.1,
    average=0.9999,
    augmentation=Augmentation(photometric=0.0, lighting=0.1, interpolations=("bilinear",)),
    precision="mixed_bfloat16",
    checkpoint_every=1000,
)
