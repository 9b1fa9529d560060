"""An evaluation as a picture: the confusion matrix, the accuracy by class, and the calibration."""

import numpy as np

from keras_inception.evaluation.report import FEW

INK, FAINT, BLUE, LIGHT = "#1c2330", "#7b8494", "#2563eb", "#a9bbdc"


def draw(evaluation, png) -> None:
    """Draws an `Evaluation`.

    Raises:
        ImportError: matplotlib is not installed; the message says what to install.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("expected matplotlib for the picture: pip install 'keras-inception[evaluate]'") from error
    figure = Figure(figsize=(13, 7.4), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, width_ratios=(3, 2))
    _confusion(figure.add_subplot(grid[:, 0]), evaluation)
    _by_class(figure.add_subplot(grid[0, 1]), evaluation)
    _calibration(figure.add_subplot(grid[1, 1]), evaluation)
    figure.suptitle(
        f"top-1 {evaluation.top1_accuracy:.2%}, top-5 {evaluation.top5_accuracy:.2%}: {evaluation.images} images, "
        f"{len(evaluation.models)} model{'s' * (len(evaluation.models) > 1)}, "
        f"{evaluation.protocol.crops} crop{'s' * (evaluation.protocol.crops > 1)}",
        color=INK,
    )
    figure.savefig(png, dpi=110)


def _confusion(axes, evaluation):
    counts = evaluation.confusion.sum(1, keepdims=True)
    shares = np.divide(evaluation.confusion, counts, out=np.zeros(evaluation.confusion.shape), where=counts > 0)
    # The root, so that rare confusions can be seen beside the diagonal.
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xlabel("found")
    axes.set_ylabel("label")
    names = evaluation.classes
    if len(names) > FEW:
        return
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8, parse_math=False)
    axes.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
    if len(names) <= 12:
        for (row, column), share in np.ndenumerate(shares):
            if evaluation.confusion[row, column]:
                color = "white" if share > 0.4 else INK
                text = str(evaluation.confusion[row, column])
                axes.text(column, row, text, ha="center", va="center", fontsize=8, color=color)


def _by_class(axes, evaluation):
    accuracy = evaluation.class_accuracy
    axes.set_title("accuracy by class", fontsize=10, color=INK)
    if len(accuracy) <= FEW:
        axes.bar(range(len(accuracy)), accuracy.values(), color=BLUE)
        axes.set_xticks(range(len(accuracy)), accuracy, rotation=45, ha="right", fontsize=8, parse_math=False)
        axes.set_ylim(0, 1)
        axes.axhline(evaluation.top1_accuracy, color=FAINT, linewidth=1, linestyle=":")
        return
    known = [value for value in accuracy.values() if not np.isnan(value)]
    axes.hist(known, bins=np.linspace(0, 1, 21), color=BLUE)
    axes.set_ylabel("classes")


def _calibration(axes, evaluation):
    images, confidence, accuracy = evaluation._calibration()
    axes.set_title(f"calibration: error {evaluation.calibration_error:.2%}", fontsize=10, color=INK)
    left = np.linspace(0, 1, len(images) + 1)[:-1]
    axes.bar(left, np.nan_to_num(accuracy), width=1 / len(images), align="edge", color=LIGHT, edgecolor="white")
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=":")
    seen = images > 0
    axes.scatter(confidence[seen], accuracy[seen], s=8 + 60 * images[seen] / images.max(), color=BLUE, zorder=3)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("confidence")
    axes.set_ylabel("accuracy")
