"""GoogLeNet on CIFAR-10: batch norm, the small-image stem, images that grow from 16 to 32 pixels.

    python -m training.train training/configs/cifar10.py --data-dir DATASETS --work-dir RUN

Two cores are enough: the first epochs see the images at 16 and 24 pixels, which costs a third and a half of 32, and
only the last see them whole; convolutions run in bfloat16. The schedule is one cycle: linear warm-up, cosine to zero.

Hardware and time: 57 minutes on two cores of a shared AMD EPYC that did other work too, killed and resumed on the way.
Accuracy: 82.93 % top-1, 99.30 % top-5 on the 10,000 test images (training/results/cifar10). More epochs give more:
84.94 % in eleven, with the same settings otherwise, by the program that made `weights/cifar10`.
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
    sizes=(16,) * 4 + (24,) * 2 + (32,),
    resize_to=32,
    augmentation=Augmentation(crop="shift", shift=4, photometric=0.0, lighting=0.0),
    shuffle_buffer=50_000,
    epochs=7,
    batch_size=128,
    learning_rate=0.1,
    schedule="cosine",
    warmup_epochs=1.4,
    nesterov=True,
    weight_decay=5e-4,
    label_smoothing=0.1,
    average=None,
    precision="mixed_bfloat16",
    checkpoint_every=100,
    evaluate_every=3,
    half=True,
)
