"""`cifar10_short` with naive modules (figure 2a of the paper): no reductions, and a quarter of Table 1's filters.

    python -m training.train training/configs/cifar10_naive.py --data-dir DATASETS --work-dir RUN

So the whole network costs what `cifar10_short`'s does, 475 million multiply-adds for an image of 32 pixels against 480.
As wide as Table 1 it would cost 4,066, for a naive module pools all the channels that came in on to the next.

Hardware and time: one of two cores of an AMD EPYC that knows bfloat16, 39 minutes.
Accuracy: 67.96 % (`training/results/comparison.json`).
"""

import dataclasses

from training.configs.cifar10_short import recipe as short

recipe = dataclasses.replace(
    short,
    widths=(
        ("3a", (16, 32, 8)),
        ("3b", (32, 48, 24)),
        ("4a", (48, 48, 8)),
        ("4b", (40, 56, 16)),
        ("4c", (32, 64, 16)),
        ("4d", (24, 72, 16)),
        ("4e", (64, 80, 32)),
        ("5a", (64, 80, 32)),
        ("5b", (96, 96, 32)),
    ),
)
