"""`cifar10` for three epochs, two of them at 20 pixels: a short run, to compare networks by.

    python -m training.train training/configs/cifar10_short.py --data-dir DATASETS --work-dir RUN

As it stands, Table 1's modules with batch norm. Other networks by this recipe:

    --set stem=small_gabor                                          fixed Gabor filters of several sizes first
    --set architecture=NetworkInNetwork --set variant=cifar10       Network in Network, which has no batch norm, and so
        --set learning_rate=0.025                                   learns at a lower rate
    --set 'widths=...'                                              what `python -m training.topology grow` prints

`cifar10_naive` has naive modules instead, and with `--set seed=N` each begins anew.

Hardware and time: two cores of an AMD EPYC that knows bfloat16 (AVX-512), 34 minutes beside other work, and
16 behind Gabor filters.
Accuracy: 74.43 %; behind Gabor filters 64.52 %; Network in Network 37.04 % (`training/results/comparison.json`).
"""

import dataclasses

from training.configs.cifar10 import recipe as cifar10

recipe = dataclasses.replace(
    cifar10,
    sizes=(20, 20, 28),
    epochs=3,
    warmup_epochs=0.5,
    evaluate_every=1,
    checkpoint_every=200,
)
