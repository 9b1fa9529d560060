"""Cuts the annotated objects out of the photos of a Pascal VOC folder, into one folder of images for each class.

    python -m training.cut_objects VOC OUT --per-class 10 --validation-per-class 100

`VOC` holds `Annotations/`, `JPEGImages/` and `ImageSets/Main/`. `OUT` gets `train` and `validation`, from the lists
train.txt and val.txt: what `dataset="folder"` reads.
"""

import argparse
import pathlib
import sys

import numpy as np
from PIL import Image

from keras_inception.detection.annotations import read_voc_objects
from keras_inception.preprocessing import open_image

LISTS = {"train": "train.txt", "validation": "val.txt"}


def _objects(annotation):
    """Class and box of each object of an annotation; the classes are names that a folder can have."""
    for name, box, _ in read_voc_objects(annotation):
        if pathlib.PurePath(name).name != name or "\0" in name:
            raise ValueError(f"expected classes whose names a folder can have; Received: {name!r} in {annotation}")
        yield name, box


def cut_object(photo: Image.Image, box, context: float) -> Image.Image:
    """The smallest square around a box, as much larger as `context` says, as far as the photo goes.

    Args:
        photo: the photo.
        box: xmin, ymin, xmax, ymax in pixels.
        context: what is added, in sides of the square.
    """
    left, top, right, bottom = box
    half = max(right - left, bottom - top) * (1 + context) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    sides = (max(0, x - half), max(0, y - half), min(photo.width, x + half), min(photo.height, y + half))
    return photo.crop(tuple(round(side) for side in sides))


def cut_objects(
    voc,
    out,
    *,
    per_class: int,
    validation_per_class: int | None = None,
    smallest: int = 8,
    context: float = 0.1,
    seed: int = 0,
) -> dict:
    """Cuts objects out of photos.

    Args:
        voc: the VOC folder.
        out: where the images go; a folder that is not there yet, or is empty.
        per_class: how many of each class and list, at most; they are drawn by the seed.
        validation_per_class: of the second list, where that is another number.
        smallest: shortest side of a box, in pixels, that is worth cutting.
        context: as in `cut_object`.
        seed: decides which.

    Returns:
        How many there are, by split and class.

    Raises:
        ValueError: the folder is no VOC folder, or the other one is not empty.
    """
    voc, out = pathlib.Path(voc), pathlib.Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"expected a folder that is empty, or not there yet; Received: {out}")
    lists = {split: voc / "ImageSets" / "Main" / name for split, name in LISTS.items()}
    for path in lists.values():
        if not path.is_file():
            raise ValueError(f"expected a Pascal VOC folder, with {path}; Received: {voc}, without it")
    counts, most = {}, dict.fromkeys(LISTS, per_class)
    if validation_per_class is not None:
        most["validation"] = validation_per_class
    for split, path in lists.items():
        objects = [
            (name, stem, number, box)
            for stem in path.read_text().split()
            for number, (name, box) in enumerate(_objects(voc / "Annotations" / f"{stem}.xml"))
            if min(box[2] - box[0], box[3] - box[1]) >= smallest
        ]
        drawn = np.random.default_rng(seed).permutation(len(objects))
        for name, stem, number, box in (objects[place] for place in drawn):
            kept = counts.setdefault(split, {}).setdefault(name, 0)
            if kept < most[split]:
                file = out / split / name / f"{stem}_{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                cut_object(open_image(voc / "JPEGImages" / f"{stem}.jpg"), box, context).save(file)
                counts[split][name] = kept + 1
    return counts


def main(argv=None) -> int:
    """Runs the program; 1 after an error, said in one sentence."""
    parser = argparse.ArgumentParser(prog="python -m training.cut_objects", description=__doc__.splitlines()[0])
    parser.add_argument("voc", help="the Pascal VOC folder")
    parser.add_argument("out", help="a folder for the images, which is made")
    parser.add_argument("--per-class", type=int, default=sys.maxsize, metavar="N", help="at most so many of each")
    parser.add_argument("--validation-per-class", type=int, metavar="N", help="of val.txt, if not as many")
    parser.add_argument("--seed", type=int, default=0, help="decides which (default: 0)")
    arguments = parser.parse_args(argv)
    try:
        most = {"per_class": arguments.per_class, "validation_per_class": arguments.validation_per_class}
        counts = cut_objects(arguments.voc, arguments.out, **most, seed=arguments.seed)
    except (OSError, ValueError) as error:
        print(f"cut_objects: {error}", file=sys.stderr)
        return 1
    for split, classes in counts.items():
        print(f"{split}: {', '.join(f'{count} {name}' for name, count in sorted(classes.items()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
