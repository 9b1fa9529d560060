"""The paper's network on CIFAR-10: local response normalization, biases, no batch norm; the small-image stem.

    python -m training.train training/configs/cifar10_paper.py --data-dir DATASETS --work-dir RUN

The sibling of `cifar10`. Without batch norm the learning rate is a third; the patches and the final size are those of
`cifar10`, for the same reasons. Ten epochs, eight of them at 20 pixels, reached 81.24 %.

Hardware and time: one NVIDIA H100, 2 minutes, on JAX, the data as arrays (`KERAS_BACKEND=jax`, `--set dataset=arrays`,
`keras_inception.datasets.save_arrays`); two cores without a GPU would take hours.
Accuracy: 86.66 %, the float16 file in one crop (`keras-inception evaluate --weights weights/cifar10_paper --data
cifar10 --data-dir DATASETS`); 86.58 % as trained, on the GPU (`training/results/cifar10_paper`).
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
    sizes=(28,),
    eval_size=32,
    dropout=0.2,
    resize_to=32,
    augmentation=Augmentation(area=(0.4, 1.0), interpolations=("bilinear", "bicubic"), photometric=0.0, lighting=0.0),
    shuffle_buffer=50_000,
    epochs=22,
    batch_size=128,
    learning_rate=0.03,
    schedule="polynomial",
    power=1.0,
    warmup_epochs=1.0,
    nesterov=True,
    weight_decay=5e-4,
    bias_multiplier=2.0,
    average=None,
    checkpoint_every=200,
    evaluate_every=8,
    half=True,
)
