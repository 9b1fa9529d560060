"""Detections drawn on their photo, with PIL alone."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from keras_inception.detection.objects import Detections

# Of the classes, in their order, and then again; far apart also for those who see red and green alike (Okabe and Ito).
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442")
# Of a page, in pixels: the width of a picture, the line of text under it, and the space between two.
WIDTH, CAPTION, GAP = 640, 34, 16
SHORT = 640  # pixels of the shorter side that a photo is drawn with at least, or else the text would cover it
LONG = 4096  # and of the longer side at most, or else a strip would have no end


def draw(photo: Image.Image, found: Detections, classes, *, threshold: float = 0.0, captions: bool = True):
    """Draws boxes, each with its class and score.

    Args:
        photo: of mode RGB.
        found: what was found in it.
        classes: the names of the classes.
        threshold: the score from which on something is drawn.
        captions: whether class and score are written; the colours of the classes are the same in all pictures.

    Returns:
        A new PIL image of mode RGB, a multiple of the photo's size if that is small.
    """
    times = max(1, min(math.ceil(SHORT / min(photo.size)), LONG // max(photo.size)))
    picture = photo.resize((photo.width * times, photo.height * times), Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(picture)
    line = max(2, round(min(picture.size) / 240))
    font = ImageFont.load_default(max(12, round(min(picture.size) / 40)))
    # The surest last, on top of the others.
    for number in np.argsort(found.scores, kind="stable"):
        if found.scores[number] < threshold:
            continue
        colour = COLOURS[found.labels[number] % len(COLOURS)]
        left, top, right, bottom = (found.boxes[number] * times).round().tolist()
        pen.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=line)
        if captions:
            text = f"{classes[found.labels[number]]} {found.scores[number]:.0%}"
            _write(pen, text, (left, top), colour, font, picture.size)
    return picture


def page(pictures, captions, *, width: int = WIDTH, columns: int | None = None) -> Image.Image:
    """Pictures side by side, each as a whole, with a line of text under it.

    Args:
        pictures: PIL images of mode RGB.
        captions: a short text for each.
        width: of each on the page, in pixels.
        columns: pictures in a row; None: about as many as there are rows, and four at most.

    Returns:
        A PIL image of mode RGB.

    Raises:
        ValueError: there are none.
    """
    if not pictures:
        raise ValueError("expected at least one picture; Received: none")
    columns = columns or min(4, math.ceil(math.sqrt(len(pictures))))
    sizes = [(width, max(1, min(4 * width, round(each.height * width / each.width)))) for each in pictures]
    scaled = [
        ImageOps.contain(each, size, Image.Resampling.LANCZOS) for each, size in zip(pictures, sizes, strict=True)
    ]
    rows = [range(start, min(start + columns, len(scaled))) for start in range(0, len(scaled), columns)]
    heights = [max(scaled[number].height for number in row) + CAPTION for row in rows]
    size = (columns * (width + GAP) + GAP, sum(heights) + GAP * (len(rows) + 1))
    sheet, font, top = Image.new("RGB", size, "#ffffff"), ImageFont.load_default(CAPTION * 0.6), GAP
    pen = ImageDraw.Draw(sheet)
    for row, height in zip(rows, heights, strict=True):
        for column, number in enumerate(row):
            left = GAP + column * (width + GAP)
            sheet.paste(scaled[number], (left, top))
            text = captions[number]
            while text and pen.textlength(text, font) > width:
                text = text[:-1]
            pen.text((left, top + scaled[number].height + 4), text, "#1c2330", font)
        top += height + GAP
    return sheet


def _write(pen, text, corner, colour, font, size):
    """A caption above its box, or inside of it where there is no room above."""
    _, _, width, height = pen.textbbox((0, 0), text, font)
    width, height = width + 6, height + 6
    left = max(0, min(corner[0], size[0] - width))
    top = corner[1] - height if corner[1] >= height else corner[1]
    pen.rectangle((left, top, left + width, top + height), fill=colour)
    light = sum(value * int(colour[place : place + 2], 16) for value, place in ((0.3, 1), (0.6, 3), (0.1, 5))) > 150
    pen.text((left + 3, top + 1), text, "#000000" if light else "#ffffff", font)
