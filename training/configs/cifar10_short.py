"""A short run on CIFAR-10, to compare networks by: three epochs, two of them at 20 pixels.

    python -m training.train training/configs/cifar10_short.py --data-dir DATASETS --work-dir RUN

As it stands, Table 1's modules with batch norm. The others of the README's comparison are this recipe with

    --set stem=small_gabor                                          fixed Gabor filters of several sizes first
    --set architecture=NetworkInNetwork --set variant=cifar10       no batch norm; its rate: --set learning_rate=0.02
    --set 'widths=...'                                              what `python -m training.topology grow` prints

`cifar10_naive` has naive modules instead, and with `--set seed=N` each begins anew. Patches and schedule are those of
`cifar10`.
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
    sizes=(20, 20, 28),
    eval_size=32,
    resize_to=32,
    dropout=0.2,
    augmentation=Augmentation(area=(0.4, 1.0), interpolations=("bilinear", "bicubic"), photometric=0.0, lighting=0.0),
    shuffle_buffer=50_000,
    epochs=3,
    batch_size=128,
    learning_rate=0.1,
    schedule="polynomial",
    power=1.0,
    warmup_epochs=0.5,
    nesterov=True,
    weight_decay=5e-4,
    label_smoothing=0.1,
    average=None,
    checkpoint_every=200,
    half=True,
)
