"""The paper's section 6 on ImageNet 2012: momentum 0.9, -4 % every 8 epochs, Polyak averaging, heads at 0.3.

    python -m training.train training/configs/paper_imagenet.py --data-dir DATASETS --work-dir RUN

Hardware and time: 250 epochs of 1.28M images; not run here. The paper estimates "few high-end GPUs within a week" for
its own training, which ran on CPUs.
Accuracy: not measured here. Published: top-5 error 10.07 % with one model and one crop (the paper's table 3). BVLC's
own run of this schedule without the augmentation reached 59 / 83 % top-1 / top-5 for a user (caffe issue 6256).

The paper names no learning rate, batch, weight decay or averaging constant; `training.recipe.Recipe` says where each
default comes from. A network without batch norm may stay at chance for its first epochs, or for good: if the loss of
the main classifier is still 6.9 after two, try half the learning rate or another seed.
"""

from training.recipe import Recipe

recipe = Recipe(labels="imagenet", checkpoint_every=2000)
