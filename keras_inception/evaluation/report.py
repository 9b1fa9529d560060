"""What an evaluation has found: as JSON for machines, as a table and a picture for people."""

import dataclasses
import json
import math
import pathlib

import numpy as np

from keras_inception.evaluation.crops import Protocol
from keras_inception.evaluation.metrics import BINS, Tally

FEW = 30  # classes that have a row of their own in tables and pictures
PAIRS = 5  # of classes, those that are confused most often


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`.

    Attributes:
        protocol: the crops.
        models: what each model is: where its weights come from, or its name.
        precisions: in what each computes, such as `"float32"`.
        classes: the names of the classes, in the order of the models' outputs.
        tally: the counts.
    """

    protocol: Protocol
    models: tuple[str, ...]
    precisions: tuple[str | None, ...]
    classes: tuple[str, ...]
    tally: Tally

    @property
    def images(self) -> int:
        return self.tally.images

    @property
    def top1_accuracy(self) -> float:
        """A fraction, as are all others."""
        return self.tally.top1_accuracy

    @property
    def top5_accuracy(self) -> float:
        return self.tally.top5_accuracy

    @property
    def class_accuracy(self) -> dict[str, float]:
        """Top-1 accuracy by class; NaN for a class without images."""
        return dict(zip(self.classes, self.tally.class_accuracy.tolist(), strict=True))

    @property
    def confusion(self) -> np.ndarray:
        """int64 (classes, classes): images by label and by the class that was found."""
        return self.tally.confusion

    @property
    def calibration_error(self) -> float:
        """Expected calibration error, over 15 bins of equal width."""
        return self.tally.calibration_error

    def to_dict(self) -> dict:
        """Everything, as JSON data."""
        classes = [
            {"name": name, "images": int(images), "top1_accuracy": _number(accuracy), "top5_accuracy": _number(top5)}
            for name, images, accuracy, top5 in zip(
                self.classes, self.confusion.sum(1), self.tally.class_accuracy, self._class_top5(), strict=True
            )
        ]
        return {
            "protocol": dataclasses.asdict(self.protocol) | {"crops": self.protocol.crops},
            "models": list(self.models),
            "precisions": list(self.precisions),
            "images": self.images,
            "top1_accuracy": self.top1_accuracy,
            "top5_accuracy": self.top5_accuracy,
            "expected_calibration_error": self.calibration_error,
            "calibration": [
                {"images": int(images), "confidence": _number(confidence), "accuracy": _number(accuracy)}
                for images, confidence, accuracy in zip(*self._calibration(), strict=True)
            ],
            "classes": classes,
            "confusion": self.confusion.tolist(),
        }

    def _class_top5(self):
        counts = self.confusion.sum(1)
        return np.divide(self.tally.top5, counts, out=np.full(len(counts), np.nan), where=counts > 0)

    def _calibration(self):
        """Images, mean confidence and accuracy of each bin; NaN where it is empty."""
        images, *sums = self.tally.bins.T
        return images, *(np.divide(part, images, out=np.full(BINS, np.nan), where=images > 0) for part in sums)

    def __str__(self) -> str:
        """The table for people."""
        models = "1 model" if len(self.models) == 1 else f"{len(self.models)} models"
        crops = "1 crop" if self.protocol.crops == 1 else f"{self.protocol.crops} crops"
        lines = [
            f"{self.images} images, {models}, {crops} ({self.protocol.name})",
            f"  top-1 accuracy     {self.top1_accuracy:7.2%}",
            f"  top-5 accuracy     {self.top5_accuracy:7.2%}",
            f"  calibration error  {self.calibration_error:7.2%}",
        ]
        worst = sorted((accuracy, name) for name, accuracy in self.class_accuracy.items() if not math.isnan(accuracy))
        shown = worst if len(worst) <= FEW else worst[:10]
        width = max(len(name) for _, name in shown)
        lines += ["", "by class" if len(worst) <= FEW else "the classes that it knows least"]
        lines += [f"  {name:{width}}  {accuracy:7.2%}" for accuracy, name in shown]
        if pairs := self._confused():
            lines += ["", "confused most often"]
            lines += [f"  {count:5} x {label}, taken for {found}" for count, label, found in pairs]
        return "\n".join(lines)

    def _confused(self):
        wrong = self.confusion.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
        places = [np.unravel_index(place, wrong.shape) for place in order]
        return [(wrong[a, b], self.classes[a], self.classes[b]) for a, b in places if wrong[a, b]]

    def save(self, json_file=None, png=None) -> None:
        """Writes the result.

        Args:
            json_file: `to_dict` as a file; None for none.
            png: the picture: confusion matrix, accuracy by class, calibration; None for none.

        Raises:
            ImportError: matplotlib is not installed; the message says what to install.
        """
        if json_file is not None:
            pathlib.Path(json_file).write_text(json.dumps(self.to_dict()) + "\n")
        if png is not None:
            from keras_inception.evaluation.picture import draw

            draw(self, png)


def _number(value):
    return None if math.isnan(value) else float(value)
