"""What a detector does, for eyes: precision over recall, and photos with what was found in them."""

import pathlib

import numpy as np
from PIL import Image

from keras_inception.detection.picture import draw, page
from training.curves import empty_figure


def draw_curves(path, found: dict, title: str = "") -> None:
    """Draws precision over recall of each class, a panel each, a line for each detector.

    Args:
        path: the picture.
        found: the `Scores` of each detector, by its name.
        title: above it.

    Raises:
        ImportError: matplotlib is not installed; the message says what to install.
    """
    classes = next(iter(found.values())).classes
    columns = min(len(classes), 4)
    lines = -(-len(classes) // columns)
    figure = empty_figure(max(11, 4.2 * columns), 1.2 + 4 * lines)
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    for axis in panels[len(classes) :]:
        axis.set_axis_off()
    for number, (name, axis) in enumerate(zip(classes, panels[: len(classes)], strict=True)):
        for detector, scores in found.items():
            (curve,) = scores.curves[number]
            axis.plot(*steps(curve), linewidth=1.3, label=detector)
        axis.set(title=name, xlabel="recall", xlim=(0, 1), ylim=(0, 1.02))
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(color="#e6e6e6", linewidth=0.8)
    for axis in panels[::columns]:
        axis.set_ylabel("precision")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(title, fontsize=13)
    figure.savefig(path, dpi=110)


def steps(curve) -> tuple[list, list]:
    """A `Curve` as a line of recall and precision, from recall 0; a precision is that of a step that ends there."""
    recall, precision = np.repeat([0, *curve.recall], 2)[1:-1], np.repeat(curve.precision, 2)
    return recall.tolist(), precision.tolist()


def contact_sheet(path, photos, detections, classes, *, threshold: float) -> None:
    """Draws photos with what was found in them.

    Args:
        path: the picture.
        photos: `AnnotatedPhoto`s.
        detections: of each.
        classes: names.
        threshold: the score from which on something is drawn.
    """
    pictures, captions = [], []
    for photo, found in zip(photos, detections, strict=True):
        shown = found.above(threshold)
        pictures.append(draw(Image.fromarray(photo.open()[0]), shown, classes))
        captions.append(f"{pathlib.Path(photo.path).name}: {len(shown)} found, {len(photo.objects)} annotated")
    page(pictures, captions).save(path)
