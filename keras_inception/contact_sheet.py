"""A page of photos with what a model says of each: labels and score bars, drawn with PIL alone."""

import math

from PIL import Image, ImageDraw, ImageFont, ImageOps

# Pixels. The page is drawn at twice the size at which it is meant to be seen: text stays sharp on dense screens.
CARD = 560
PHOTO = (CARD, 420)
PADDING = 32
GAP = 40
ROW = 62
RADIUS = 22
SMOOTH = 4  # corners are drawn this much larger, then shrunk: ImageDraw does not antialias

PAGE = "#eef0f3"
PAPER = "#ffffff"
INK = "#1c2330"
FAINT = "#7b8494"
TRACK = "#e6e9ee"
FIRST = "#2563eb"
OTHERS = "#a9bbdc"


def contact_sheet(cards, title: str, subtitle: str = "", columns: int | None = None) -> Image.Image:
    """Draws photos in a grid, each with its most likely classes.

    Args:
        cards: a list of `(photo, caption, predictions)`: a PIL RGB image, a short text, and a list of `(label, score)`,
            the highest score first, scores in 0..1; NaN is written so, and has an empty bar.
        title: the heading.
        subtitle: a line under the heading.
        columns: cards in a row; None for up to four, or up to six where there are more than twelve.

    Returns:
        A PIL image of mode RGB.

    Raises:
        ValueError: there are no cards.
    """
    if not cards:
        raise ValueError("expected at least one card; Received: cards=[]")
    rows_of_text = max(len(predictions) for _, _, predictions in cards)
    height = PHOTO[1] + PADDING + 40 + rows_of_text * ROW + PADDING // 2
    if columns is None:
        # Four in a row, six where there are many, and as few as fill the same number of rows evenly.
        columns = math.ceil(len(cards) / math.ceil(len(cards) / (4 if len(cards) <= 12 else 6)))
    lines = math.ceil(len(cards) / columns)
    top = GAP + 130
    sheet = Image.new("RGB", (GAP + columns * (CARD + GAP), top + lines * (height + GAP)), PAGE)
    draw = ImageDraw.Draw(sheet)
    width = sheet.width - 2 * GAP
    draw.text((GAP, GAP - 4), _fit(draw, title, _font(50), width), INK, _font(50))
    draw.text((GAP, GAP + 64), _fit(draw, subtitle, _font(26), width), FAINT, _font(26))
    for index, (photo, caption, predictions) in enumerate(cards):
        card = _card(photo, caption, predictions, height)
        place = GAP + index % columns * (CARD + GAP), top + index // columns * (height + GAP)
        sheet.paste(card, place, _rounded((CARD, height), RADIUS))
    return sheet


def _card(photo, caption, predictions, height):
    card = Image.new("RGB", (CARD, height), PAPER)
    # Slightly above the middle, where the subject of an upright photo is.
    card.paste(ImageOps.fit(photo, PHOTO, Image.Resampling.LANCZOS, centering=(0.5, 0.4)), (0, 0))
    draw = ImageDraw.Draw(card)
    width = CARD - 2 * PADDING
    y = PHOTO[1] + PADDING - 10
    draw.text((PADDING, y), _fit(draw, caption, _font(22), width), FAINT, _font(22))
    y += 42
    for rank, (label, score) in enumerate(predictions):
        _row(card, y + rank * ROW, label, score, FIRST if rank == 0 else OTHERS, width)
    return card


def _row(card, y, label, score, colour, width):
    draw = ImageDraw.Draw(card)
    font = _font(28)
    percent = f"{score:.1%}"
    draw.text((CARD - PADDING, y), percent, INK, font, anchor="ra")
    draw.text((PADDING, y), _fit(draw, label, font, width - draw.textlength(percent, font) - 24), INK, font)
    bar = Image.new("RGB", (width, 8), TRACK)
    filled = round(width * min(max(0, score), 1))  # in this order, a score of NaN gives 0
    bar.paste(colour, (0, 0, filled, 8))
    mask = _rounded((width, 8), 4)
    if 8 <= filled < width:  # the filled part has a round end too
        end = Image.new("RGB", (width, 8), TRACK)
        end.paste(colour, (0, 0, filled, 8), _rounded((filled, 8), 4))
        bar = end
    card.paste(bar, (PADDING, y + 38), mask)


def _rounded(size, radius):
    mask = Image.new("L", (size[0] * SMOOTH, size[1] * SMOOTH), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, mask.width - 1, mask.height - 1), radius * SMOOTH, 255)
    return mask.resize(size, Image.Resampling.BOX)


def _font(size):
    return ImageFont.load_default(size)


def _fit(draw, text, font, width):
    """`text`, or as much of it as fits with an ellipsis."""
    text = " ".join(text.split())
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(text + "...", font) > width:
        text = text[:-1]
    return text.rstrip() + "..."
