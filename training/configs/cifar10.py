"""GoogLeNet on CIFAR-10: batch norm, the small-image stem, images that grow from 16 to 32 pixels.

    python -m training.train training/configs/cifar10.py --data-dir DATASETS --work-dir RUN

Two cores are enough: the first six epochs see the images at 24 pixels, which costs half of 32; convolutions run in
bfloat16. The schedule is one cycle: linear warm-up, cosine to zero.

Hardware and time: 113 minutes on two cores of a shared AMD EPYC, beside other work; killed once, and resumed.
Accuracy: 89.72 % top-1, 99.57 % top-5 on the 10,000 test images, as trained; 89.75 % and 99.58 % by the half-precision
file in float32, which is `weights/cifar10` (training/results/cifar10). The training images are at 97 % in the end: more
of the same would give little, and stronger augmentation more.
"""

from training.options import Augmentation
from training.recipe import Recipe

recipe = Recipe(
    variant="batch_norm",
    stem="small",
    aux_heads=False,
    dataset="cifar10",
    eval_split="test",
    labels="cifar10",
    sizes=(24,) * 6 + (32,) * 10,
    dropout=0.2,
    resize_to=32,
    augmentation=Augmentation(crop="shift", shift=4, photometric=0.0, lighting=0.0),
    shuffle_buffer=50_000,
    epochs=16,
    batch_size=128,
    learning_rate=0.1,
    schedule="cosine",
    warmup_epochs=3.0,
    nesterov=True,
    weight_decay=5e-4,
    label_smoothing=0.1,
    average=None,
    precision="mixed_bfloat16",
    checkpoint_every=100,
    evaluate_every=2,
    half=True,
)
