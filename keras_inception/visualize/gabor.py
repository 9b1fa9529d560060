"""A bank of Gabor filters as a picture."""

from keras_inception.layers.gabor import ORIENTATIONS, gabor_bank


def draw_gabor_bank(png, sizes=None, orientations=ORIENTATIONS) -> None:
    """Draws the filters of `GaborFilterBank`, all at one scale of pixels: a column for each size.

    Args:
        png: the file.
        sizes, orientations: see `keras_inception.layers.GaborFilterBank`.

    Raises:
        ImportError: matplotlib is not installed; the message says what to install.
        ValueError: as of the layer.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("expected matplotlib for the picture: pip install 'keras-inception[evaluate]'") from error
    bank = gabor_bank(sizes, orientations)
    widths = [len(filters) for filters in bank]
    tall, inch = max(widths), 1 / 18  # inches per pixel of a filter
    figure = Figure(figsize=(inch * sum(w + 4 for w in widths) + 0.8, inch * (tall + 4) * len(orientations) + 0.6))
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(orientations), len(bank), squeeze=False, width_ratios=widths)
    for column, filters in enumerate(bank):
        for row, angle in enumerate(orientations):
            axes, values = grid[row, column], filters[..., row]
            limit, half = abs(values).max(), len(values) / 2
            axes.imshow(values, cmap="gray", vmin=-limit, vmax=limit, extent=(-half, half, half, -half))
            axes.set(xlim=(-half, half), ylim=(tall / 2, -tall / 2), xticks=[], yticks=[], aspect="equal")
            axes.set_frame_on(False)
            if column == 0:
                axes.set_ylabel(f"{angle:g}°", rotation=0, labelpad=16, va="center")
            if row == 0:
                axes.set_title(f"{len(values)}", fontsize=9)
    figure.subplots_adjust(left=0.05, right=0.995, top=0.92, bottom=0.01, wspace=0.08, hspace=0.02)
    figure.savefig(png, dpi=100)
