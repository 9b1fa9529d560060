"""`cifar10` for three epochs, two of them at 20 pixels: a short run, to compare networks by.

    python -m training.train training/configs/cifar10_short.py --data-dir DATASETS --work-dir RUN

As it stands, Table 1's modules with batch norm. Other networks by this recipe:

    --set stem=small_gabor                                          fixed Gabor filters of several sizes first
    --set architecture=NetworkInNetwork --set variant=cifar10       Network in Network, which has no batch norm, and
        --set dropout=0.5 --set learning_rate=0.1                   has its authors' dropout
    --set 'widths=...'                                              what `python -m training.topology grow` prints

`cifar10_naive` has naive modules instead, and with `--set seed=N` each begins anew.

Hardware and time: one of two cores of an AMD EPYC that knows bfloat16 (AVX-512), 29 to 41 minutes, behind
Gabor filters 14, Network in Network 10.
Accuracy: 74.43, 74.56 and 72.30 % with the seeds 0, 1 and 2; grown by section 3, 74.19, 74.00 and 73.35 %; behind Gabor
filters 64.52 %; Network in Network 47.62 % (`training/results/comparison.json`).
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
