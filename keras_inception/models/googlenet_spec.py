"""Which GoogLeNet it is: the published variants as data, and the spec that is stored with every set of weights."""

import dataclasses
from typing import ClassVar

from keras_inception.layers.inception import BATCH_NORM_STYLE, PAPER_STYLE, ConvStyle, InceptionWidths
from keras_inception.models.spec import NetworkSpec, expect, is_count, is_number

_SCALE = 1 / 127.5


@dataclasses.dataclass(frozen=True)
class Variant:
    """How one of the published networks called GoogLeNet or Inception v1 differs from the others.

    Args:
        style: convolutions with biases, or with batch norm (`ConvStyle`).
        lrn: constants of the two local response normalizations, or None for none.
        large_kernel: 5 as in the paper, or 3 in the branch that is called "5x5" all the same.
        last_pool: the window of the pooling before 5a; its stride is 2.
        padding: `"symmetric"`, Caffe's and PyTorch's, with pooling sizes rounded up; or `"same"`, TensorFlow's.
        classes: outputs of the published weights.
        mean: of the pixels, per channel.
        scale: factor after the mean.
        dropout: the rate before the main classifier.
        head_pool: 5x5/3 average pooling with `"ceil"`, Caffe's rounding, or `"valid"`, TensorFlow's, which is the same
            at 224; or `"adaptive"`, always 4 x 4.
        widths: modules whose filter counts are not Table 1's.
    """

    style: ConvStyle = PAPER_STYLE
    lrn: tuple[dict, dict] | None = None
    large_kernel: int = 5
    last_pool: int = 3
    padding: str = "symmetric"
    classes: int = 1000
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    scale: tuple[float, float, float] = (_SCALE, _SCALE, _SCALE)
    dropout: float = 0.4
    head_pool: str = "ceil"
    widths: tuple[tuple[str, InceptionWidths], ...] = ()


# bvlc_googlenet's local_size 5, alpha 1e-4, beta 0.75, k 1, in TensorFlow's convention.
_CAFFE_LRN = {"depth_radius": 2, "bias": 1.0, "alpha": 2e-5, "beta": 0.75}

VARIANTS = {
    "paper": Variant(lrn=(_CAFFE_LRN, _CAFFE_LRN), mean=(123.0, 117.0, 104.0), scale=(1.0, 1.0, 1.0)),
    "batch_norm": Variant(style=BATCH_NORM_STYLE),
    "slim": Variant(
        style=dataclasses.replace(BATCH_NORM_STYLE, scale=False),
        large_kernel=3,
        last_pool=2,
        padding="same",
        dropout=0.2,
    ),
    "torchvision": Variant(style=BATCH_NORM_STYLE, large_kernel=3, last_pool=2, dropout=0.2, head_pool="adaptive"),
    "inception5h": Variant(
        # Two ports of the graph disagree about these numbers; the graph's own are in the spec of its converted weights.
        lrn=({"depth_radius": 5, "bias": 2.0, "alpha": 1e-4, "beta": 0.5},) * 2,
        padding="same",
        head_pool="valid",
        classes=1008,
        mean=(117.0, 117.0, 117.0),
        scale=(1.0, 1.0, 1.0),
        widths=(
            ("4a", InceptionWidths(192, 96, 204, 16, 48, 64)),
            ("5a", InceptionWidths(256, 160, 320, 48, 128, 128)),
        ),
    ),
}
MODULES = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
# The stem and its default input size.
STEMS = {"imagenet": 224, "small": 32, "gabor": 224, "small_gabor": 32}


def _is_lrn(constants) -> bool:
    return isinstance(constants, dict) and set(constants) == set(_CAFFE_LRN) and all(map(is_number, constants.values()))


def _is_module(entry) -> bool:
    pair = isinstance(entry, (tuple, list)) and len(entry) == 2 and entry[0] in MODULES
    return pair and isinstance(entry[1], (tuple, list)) and len(entry[1]) in (3, 6) and all(map(is_count, entry[1]))


@dataclasses.dataclass(frozen=True)
class GoogLeNetSpec(NetworkSpec):
    """Which GoogLeNet a set of weights belongs to, as plain data that is stored with them.

    What is printed in the paper does not agree with itself, so "the paper's network" is a choice. `variant="paper"` is
    the one that every re-implementation made, Table 1's channel columns. Known inconsistencies of the paper:

    * conv1's printed "2.7K, 34M" are those of a separable 7x7 with depth multiplier 8, not of the dense 7x7x3x64
      (9,408 weights, 118M multiply-adds) that the table's other columns describe and that all public weights have.
    * 4a's "364K, 73M" and 4b's "437K" belong to 204 filters in 4a's 3x3 branch, not to the printed 208; 5a's "1072K,
      54M" belong to a 5x5 reduction of 48, not 32. Google's own early release, `variant="inception5h"`, has exactly
      these 204 and 48.
    * The params of 4c, 4d, 4e and 5b are too small for their own channel columns (497.5K, 590.5K, 847K and 1409K,
      printed as 463K, 580K, 840K, 1388K), while their ops are right. Unexplained.
    * "12x fewer parameters" than AlexNet does not hold: it is 8.6x, or 10x without the classifier.
    * Local response normalization is in figure 3 but not in Table 1, and its constants are nowhere in the paper: they
      are bvlc_googlenet's here.
    * The last cell of Table 3 prints -3.45 %, and 10.07 - 6.67 is 3.40; section 8 has the single detection model at 40
      %, Table 5 at 38.02 %.

    Args:
        variant: a name in `VARIANTS`.
        stem: `"imagenet"`, or `"small"` for images of about 32 x 32: conv1 is 3x3/1 and the first pooling is left out;
            `"gabor"` and `"small_gabor"` likewise, with fixed Gabor filters of several sizes in place of conv1: 64 on
            grey as Serre et al. have them (section 2), or those of 7 to 13 pixels on each colour.
        classes: outputs of the classifier; None for the variant's.
        aux_heads: whether the auxiliary classifiers on 4a and 4d are there.
        input_size: height and width that the weights were made for, one number or two; None for the stem's, 224 or 32.
        mean: of the pixels, per channel RGB; None for the variant's.
        scale: factor after the mean, per channel; None for the variant's.
        lrn: constants of the two normalizations, in TensorFlow's convention; None for the variant's.
        widths: modules that are not the variant's, `(("3a", (64, 96, 128, 16, 32, 32)), ...)`: filters in the order of
            Table 1's columns, or three numbers, of 1x1, 3x3 and 5x5, for a module without reductions (figure 2a); None
            for none.
        labels: name of a label set, a list of labels, or None.
        preprocessing: how a photo becomes the input (`Preprocessing.to_dict()`), or None.
        source: where the weights came from, or None.

    Raises:
        ValueError: a field is not what it should be.
    """

    ARCHITECTURE: ClassVar[str] = "GoogLeNet"

    variant: str = "paper"
    stem: str = "imagenet"
    classes: int | None = None
    aux_heads: bool = False
    input_size: int | tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    scale: tuple[float, ...] | None = None
    lrn: tuple[dict, dict] | None = dataclasses.field(default=None, hash=False)
    labels: str | tuple[str, ...] | None = None
    preprocessing: dict | None = dataclasses.field(default=None, hash=False)
    source: str | None = None
    widths: tuple[tuple[str, tuple[int, ...]], ...] | None = None

    def __post_init__(self):
        known = isinstance(self.variant, str) and self.variant in VARIANTS
        expect(known, f"one of {', '.join(VARIANTS)}", variant=self.variant)
        expect(isinstance(self.stem, str) and self.stem in STEMS, f"one of {', '.join(STEMS)}", stem=self.stem)
        variant = VARIANTS[self.variant]
        defaults = {name: getattr(variant, name) for name in ("classes", "mean", "scale", "lrn")}
        if self.stem in ("gabor", "small_gabor"):
            # A response is in terms of the patch's own energy, and so of the pixels as they are.
            defaults |= {"mean": (0.0, 0.0, 0.0), "scale": (1.0, 1.0, 1.0)}
        self.settle({**defaults, "input_size": STEMS[self.stem]})
        expect(isinstance(self.aux_heads, bool), "true or false", aux_heads=self.aux_heads)
        constants = isinstance(self.lrn, tuple) and len(self.lrn) == 2 and all(_is_lrn(layer) for layer in self.lrn)
        expect(self.lrn is None or constants, f"two sets of {', '.join(_CAFFE_LRN)}", lrn=self.lrn)
        if self.widths is not None:
            whole = isinstance(self.widths, tuple) and all(map(_is_module, self.widths))
            expect(whole, "modules, each with six counts of filters, or three", widths=self.widths)
            plain = tuple((name, tuple(counts)) for name, counts in self.widths)
            expect(len(dict(plain)) == len(plain), "modules, each once", widths=plain)
            object.__setattr__(self, "widths", plain)

    def module_widths(self, module: str, usual: InceptionWidths) -> InceptionWidths | tuple[int, int, int]:
        """The widths of a module: this spec's, else the variant's, else `usual`; three numbers without reductions."""
        own = dict(self.widths or ())
        if module in own:
            return InceptionWidths(*own[module]) if len(own[module]) == 6 else own[module]
        return dict(VARIANTS[self.variant].widths).get(module, usual)

    @property
    def min_size(self) -> int:
        """The smallest height and width: five times halved, it is one."""
        return 32
