"""A recipe of a detector: everything that decides the result of its training, as data."""

import dataclasses
import json

from keras_inception.detection.regions import CONTEXT, checked_context
from keras_inception.detection.selective_search import SelectiveSearch
from training.recipe import PRECISIONS, Recipe


def _check(name, value, holds, expected):
    if not holds:
        raise ValueError(f"expected {name} to be {expected}; Received: {name}={value!r}")


@dataclasses.dataclass(frozen=True)
class MultiBoxOptions:
    """How MultiBox is trained, and what it proposes.

    Args:
        weights: what `GoogLeNet(weights=...)` takes, of which the trunk begins.
        height_width: of the images that it sees, in pixels.
        priors: how many boxes it predicts; as many as the objects to train on have different boxes, if those are fewer.
        epochs, batch_size, learning_rate, alpha, mirrored: as of `training.detection.multibox.train`.
        precision: Keras' dtype policy of the training.
        limit: boxes of an image, at most (section 8: 200).
        threshold: of the overlap from which on the surer of two boxes suppresses the other.

    Raises:
        ValueError: a field is not what it should be.
    """

    weights: str = "cifar10"
    height_width: tuple[int, int] = (96, 128)
    priors: int = 200
    epochs: int = 60
    batch_size: int = 8
    learning_rate: float = 1e-3
    alpha: float = 250.0
    mirrored: bool = False
    precision: str = "float32"
    limit: int = 200
    threshold: float = 0.8

    def __post_init__(self):
        for name in ("priors", "epochs", "batch_size", "limit", "learning_rate", "alpha"):
            _check(name, getattr(self, name), getattr(self, name) > 0, "above 0")
        _check("height_width", self.height_width, min(self.height_width) > 0, "two sides above 0")
        _check("threshold", self.threshold, 0 <= self.threshold <= 1, "in 0..1")
        _check("precision", self.precision, self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")


@dataclasses.dataclass(frozen=True)
class MapOptions:
    """How the detector is trained that looks at an image once.

    Args:
        layer: the last layer that sees the whole image; those above it see pooled regions.
        scale: of the image, before.
        epochs, batch_size, learning_rate: of the layers above; the others stay as they are.

    Raises:
        ValueError: a field is not what it should be.
    """

    layer: str = "inception_4e_output"
    scale: float = 0.3
    epochs: int = 4
    batch_size: int = 128
    learning_rate: float = 0.01

    def __post_init__(self):
        for name in ("scale", "epochs", "batch_size", "learning_rate"):
            _check(name, getattr(self, name), getattr(self, name) > 0, "above 0")


@dataclasses.dataclass(frozen=True)
class DetectionRecipe:
    """How a detector is trained (section 8 of the paper, and R-CNN where it is silent), and what is compared.

    Args:
        classifier: how a classifier of regions is trained; its data set, `"arrays"`, is made of the photos.
        classifiers: how many, of seeds that are counted up from the recipe's; section 8 averages six.
        search: selective search; section 8 has the mode `"paper"`.
        search_alone: another one, to compare with: nothing is trained on its proposals, and one classifier looks at
            them, alone and with MultiBox's; None for none.
        multibox: of MultiBox.
        maps: of the detector that looks once; None for none.
        train_split, val_split, test_split: the first is trained on, everything is chosen on the second, and each row of
            the result is measured on the third, once.
        regions_per_photo: that the classifiers are trained on, drawn once (R-CNN: 128, anew for each step).
        validation_regions_per_photo: that they are evaluated on.
        context: share of a region's sides, at each, that shows what is around the box.
        suppressions: overlaps of two boxes, of which one is chosen on the second split.
        threshold: the score from which on something counts as found.
        regression: whether detectors with box regression are compared too.
        penalty: of it (R-CNN: 1000).
        precision: Keras' dtype policy of networks that are not trained.
        regression_regions_per_photo: that box regression is fit on, at most, of those that overlap an object by 0.6.
        timed: photos that time is measured on.
        seed: of all that is drawn.

    Raises:
        ValueError: a field is not what it should be.
    """

    classifier: Recipe
    classifiers: int = 3
    search: SelectiveSearch = SelectiveSearch()
    search_alone: SelectiveSearch | None = None
    multibox: MultiBoxOptions = MultiBoxOptions()
    maps: MapOptions | None = MapOptions()
    train_split: str = "train"
    val_split: str = "val"
    test_split: str = "test"
    regions_per_photo: int = 128
    validation_regions_per_photo: int = 32
    context: float = CONTEXT
    suppressions: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5, 0.6)
    threshold: float = 0.01
    regression: bool = True
    penalty: float = 1000.0
    regression_regions_per_photo: int = 64
    precision: str = "float32"
    timed: int = 5
    seed: int = 0

    def __post_init__(self):
        positive = ("classifiers", "regions_per_photo", "validation_regions_per_photo", "penalty", "timed")
        for name in (*positive, "regression_regions_per_photo"):
            _check(name, getattr(self, name), getattr(self, name) > 0, "above 0")
        _check("seed", self.seed, self.seed >= 0, "0 or more")
        _check("precision", self.precision, self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")
        _check("threshold", self.threshold, 0 <= self.threshold <= 1, "in 0..1")
        suppressions = self.suppressions
        known = bool(suppressions) and all(0 <= value <= 1 for value in suppressions)
        _check("suppressions", suppressions, known, "at least one value in 0..1")
        checked_context(self.context)
        classifier = self.classifier
        _check("classifier.dataset", classifier.dataset, classifier.dataset == "arrays", "'arrays'")
        splits = (classifier.train_split, classifier.eval_split)
        _check(
            "classifier.train_split and eval_split", splits, splits == ("train", "validation"), "train and validation"
        )
        _check("classifier.aux_heads", classifier.aux_heads, not classifier.aux_heads, "False, for sizes are small")

    @property
    def size(self) -> int:
        """Height and width of a region, in pixels."""
        return self.classifier.evaluated_size

    def nth(self, number: int) -> Recipe:
        """The recipe of a classifier, which are counted from 1."""
        return dataclasses.replace(self.classifier, seed=self.classifier.seed + number - 1)

    def to_dict(self) -> dict:
        """The recipe as JSON data."""
        return json.loads(json.dumps(dataclasses.asdict(self)))
