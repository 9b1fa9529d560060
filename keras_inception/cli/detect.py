"""`keras-inception detect`: where objects are in photos, as text, as JSON lines, and as a picture."""

import json
import os

from keras_inception.cli.photos import MAX_CARDS, find_photos, progress_bar, quiet_pil
from keras_inception.detection.picture import WIDTH, draw, page
from keras_inception.detection.rcnn import RCNN
from keras_inception.preprocessing import open_image
from keras_inception.publishing import from_hub
from keras_inception_cli import complain, in_one_line, printable


def detect(args) -> int:
    """Prints what is found in each photo; 1 where one could not be read."""
    paths, problems = find_photos(args)
    if not paths:
        return 1
    detector = from_hub(args.weights)
    if not isinstance(detector, RCNN):
        raise ValueError(
            f"expected a detector; Received: {args.weights}, a classifier, which `keras-inception classify` runs"
        )
    pictures, captions, failed = [], [], problems
    with quiet_pil(args.debug), progress_bar(len(paths)) as progress:
        for path in paths:
            try:
                photo = open_image(path)
                found = detector([photo])[0].above(args.threshold)
            except (ValueError, OSError) as error:
                failed += 1
                complain(in_one_line(error), progress)
            else:
                progress.write(_json_line(path, detector, found) if args.json else _table(path, detector, found))
                if args.picture and len(pictures) < MAX_CARDS:
                    picture = draw(photo, found, detector.classes)
                    if len(paths) > 1:
                        picture.thumbnail((WIDTH, 4 * WIDTH))  # as it will be on the page
                    pictures.append(picture)
                    captions.append(printable(f"{os.path.basename(path)}: {len(found)} found"))
            progress.update()
    if pictures:
        (pictures[0] if len(paths) == 1 else page(pictures, captions)).save(args.picture)
        if len(paths) - failed > len(pictures):
            complain(f"{args.picture} shows the first {len(pictures)} photos")
    return 1 if failed else 0


def _json_line(path, detector, found):
    objects = [
        {"label": detector.classes[label], "score": round(score, 6), "box": [round(side, 2) for side in box]}
        for box, label, score in found
    ]
    return json.dumps({"path": str(path), "objects": objects}, allow_nan=False)


def _table(path, detector, found):
    """A line for each object: its score, its class, and its box, xmin, ymin, xmax, ymax in pixels."""
    width = max((len(detector.classes[label]) for _, label, _ in found), default=0)
    rows = [str(path)] + [
        f"  {score:6.1%}  {detector.classes[label]:{width}}  {' '.join(f'{side:.0f}' for side in box)}"
        for box, label, score in found
    ]
    return "\n".join(printable(row) for row in rows)
