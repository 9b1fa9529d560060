"""The paper's network on CIFAR-10: local response normalization, biases, no batch norm; the small-image stem.

    python -m training.train training/configs/cifar10_paper.py --data-dir DATASETS --work-dir RUN

The sibling of `cifar10`, and a short run: ten epochs, eight of them at 20 pixels. Without batch norm the learning rate
is a fifth, the batch half; the patches and the final size are those of `cifar10`, for the same reasons. No auxiliary
heads, which need one size from the first epoch to the last.

Hardware and time: two cores of an Intel Xeon without AMX, 113 minutes beside other work.
Accuracy: 81.24 %, the float16 file in one crop (`keras-inception evaluate --weights weights/cifar10_paper --data
cifar10 --data-dir DATASETS`); 81.23 % as trained (`training/results/cifar10_paper`).
"""

from training.options import Augmentation
from training.recipe import Recipe

recipe = Recipe(
    variant="paper",
    stem="small",
    aux_heads=False,
    dataset="cifar10",
    eval_split="test",
    labels="cifar10",
    sizes=(20,) * 8 + (28,) * 2,
    eval_size=32,
    dropout=0.2,
    resize_to=32,
    augmentation=Augmentation(area=(0.4, 1.0), interpolations=("bilinear", "bicubic"), photometric=0.0, lighting=0.0),
    shuffle_buffer=50_000,
    epochs=10,
    batch_size=64,
    learning_rate=0.02,
    schedule="polynomial",
    power=1.0,
    warmup_epochs=1.0,
    nesterov=True,
    weight_decay=5e-4,
    bias_multiplier=2.0,
    average=None,
    checkpoint_every=200,
    evaluate_every=2,
    half=True,
)
