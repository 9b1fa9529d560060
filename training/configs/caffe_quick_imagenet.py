"""BVLC's quick_solver.prototxt on ImageNet 2012, which the public `bvlc` weights were trained by.

    python -m training.train training/configs/caffe_quick_imagenet.py --data-dir DATASETS --work-dir RUN

2.4M iterations at batch 32 are 60 epochs: learning rate 0.01 * (1 - step / steps) ** 0.5, momentum 0.9, weight decay
2e-4 of kernels, biases at twice the rate and without decay, Xavier initialization, heads at 0.3, no averaging. Images
are cropped and mirrored only; BVLC's were warped to 256 x 256 first, here the short side is 256.

Hardware and time: not run here. BVLC's readme: 1,689 ms per 128 images on a K40, which makes 11.7 days.
Accuracy: not measured here. Published: top-1 68.7 %, top-5 88.9 % (BVLC's readme, centre crop).
Known trouble: at 0.01 the deeper classifiers can stay at chance (BVLC pull request 1598, NVIDIA DIGITS issue 82); 0.005
has helped.
"""

from training.options import Augmentation
from training.recipe import Recipe

recipe = Recipe(
    labels="imagenet",
    epochs=60,
    learning_rate=0.01,
    schedule="polynomial",
    power=0.5,
    weight_decay=2e-4,
    bias_multiplier=2.0,
    average=None,
    augmentation=Augmentation(crop="window", interpolations=("bilinear",), photometric=0.0, lighting=0.0),
    checkpoint_every=2000,
)
