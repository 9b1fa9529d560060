"""A page of what the network will see: examples as evaluation has them, and beside each several views of training."""

import os
import pathlib

import numpy as np
from PIL import Image, ImageDraw

from keras_inception.contact_sheet import FAINT, FIRST, GAP, INK, PADDING, PAGE, PAPER, RADIUS, _fit, _font, _rounded
from keras_inception.preprocessing import RATIO

CELL = 280  # pixels; as on the contact sheet, twice what is meant to be seen
SPACE = 16  # between the pictures of a row
CAPTION = 84
HEADING = 130


def preview(
    source,
    augmentation,
    size: int,
    path,
    *,
    seed: int = 0,
    epoch: int = 0,
    rows: int = 6,
    columns: int = 7,
    resize_to: int | None = None,
) -> None:
    """Draws examples of a source as a PNG: on the left as evaluated, then random views like those of training.

    What cannot be decoded is left out.

    Args:
        source: as from `keras_inception.datasets.open_source`.
        augmentation: a `training.options.Augmentation`.
        size: height and width of the network's input in pixels.
        path: of the PNG; its folder is made where there is none.
        seed: decides the choice of examples and, with `epoch`, the views.
        epoch: any whole number.
        rows: how many examples; fewer where there are no more.
        columns: pictures in a row: the evaluation's and `columns - 1` views.
        resize_to: short side before the evaluation's crop; None: `size` times 256/224.

    Raises:
        ValueError: there is no example, or no row or column.
    """
    if rows < 1 or columns < 2:
        raise ValueError(f"expected at least 1 row and 2 columns; Received: rows={rows!r}, columns={columns!r}")
    resize_to = round(size * RATIO) if resize_to is None else resize_to
    examples = _examples(source, augmentation, size, resize_to, (seed, epoch), rows, columns - 1)
    if not examples:
        raise ValueError(f"expected a source with at least one readable example; Received: {source.name}")
    title = f"{source.name}, {size} x {size}"
    sheet = _page(examples, title, _describe(augmentation), columns)
    path = pathlib.Path(os.fspath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, "PNG")


def _examples(source, augmentation, size, resize_to, seeds, rows, views):
    """A list of (class name, id, uint8 pictures), the evaluation's picture first."""
    import tensorflow as tf

    from training.augmentation import augment, center

    examples = []
    for example in source.examples(seed=seeds[0]):
        state = np.random.SeedSequence((*seeds, len(examples))).generate_state(2 * views)
        view_seeds = tf.constant((state >> 1).astype(np.int32).reshape(views, 2))
        try:
            pictures = [center(example["image"], size, resize_to)]
            pictures += [augment(example["image"], view_seed, size, augmentation) for view_seed in view_seeds]
        except tf.errors.InvalidArgumentError:
            continue
        label = int(example["label"])
        name = source.classes[label] if 0 <= label < len(source.classes) else f"class {label}"
        shown = [picture.numpy() for picture in pictures]
        examples.append((name, example["id"].numpy().decode(errors="replace"), shown))
        if len(examples) == rows:
            break
    return examples


def _describe(augmentation) -> str:
    """The settings in a line."""
    crops = {
        "area": "patches of {:.0%} to {:.0%} of the area".format(*augmentation.area),
        "shift": f"shifts of up to {augmentation.shift} pixels",
        "window": f"squares of {augmentation.window:.0%} of the short side",
        "none": "central crops",
    }
    parts = [crops[augmentation.crop]]
    if augmentation.crop == "area":
        parts.append("aspect ratio {:.2f} to {:.2f}".format(*augmentation.aspect))
    if augmentation.mirror:
        parts.append("mirrored")
    if augmentation.photometric:
        parts.append(f"contrast, brightness and colour by up to {augmentation.photometric:.0%}")
    if augmentation.lighting:
        parts.append(f"lighting {augmentation.lighting:g}")
    return ", ".join(parts)


def _page(examples, title, subtitle, columns):
    inner = columns * CELL + (columns - 1) * SPACE
    card = (inner + 2 * PADDING, CELL + 2 * PADDING + CAPTION)
    top = GAP + HEADING
    sheet = Image.new("RGB", (card[0] + 2 * GAP, top + len(examples) * (card[1] + GAP)), PAGE)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP - 4), _fit(draw, title, _font(50), card[0]), INK, _font(50))
    draw.text((GAP, GAP + 64), _fit(draw, subtitle, _font(26), card[0]), FAINT, _font(26))
    for row, example in enumerate(examples):
        sheet.paste(_card(*example, card), (GAP, top + row * (card[1] + GAP)), _rounded(card, RADIUS))
    return sheet


def _card(name, identifier, pictures, size):
    card = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(card)
    for column, pixels in enumerate(pictures):
        left = PADDING + column * (CELL + SPACE)
        # The pixels of a small input stay squares: that is what the network is given.
        resample = Image.Resampling.NEAREST if len(pixels) < CELL else Image.Resampling.LANCZOS
        card.paste(Image.fromarray(pixels).resize((CELL, CELL), resample), (left, PADDING))
        text, colour = ("as evaluated", FIRST) if column == 0 else (f"view {column}", FAINT)
        draw.text((left, PADDING + CELL + 12), text, colour, _font(22))
    y = PADDING + CELL + 50
    shown = _fit(draw, name, _font(28), size[0] // 2)
    draw.text((PADDING, y), shown, INK, _font(28))
    left = PADDING + draw.textlength(shown, _font(28)) + 24
    draw.text((left, y + 5), _fit(draw, identifier, _font(22), size[0] - PADDING - left), FAINT, _font(22))
    return card
