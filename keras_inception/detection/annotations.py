"""Photos with annotated objects: the folders of Pascal VOC and of COCO."""

import dataclasses
import json
import logging
import math
import pathlib
import xml.etree.ElementTree as ElementTree

import numpy as np

from keras_inception.detection.boxes import area, clip
from keras_inception.detection.objects import Objects
from keras_inception.preprocessing import IMAGE_SUFFIXES, open_image

logger = logging.getLogger(__name__)

SIDES = ("xmin", "ymin", "xmax", "ymax")
TRUE = ("1", "true")


@dataclasses.dataclass(frozen=True)
class AnnotatedPhoto:
    """A photo and what is on it.

    Args:
        path: the photo.
        objects: as annotated; a box may go beyond the photo.
        height_width: of the photo as annotated, in pixels; None where that is not said.
    """

    path: pathlib.Path
    objects: Objects
    height_width: tuple[int, int] | None = None

    def open(self) -> tuple[np.ndarray, Objects]:
        """The photo, RGB, uint8 (h, w, 3), and its objects, boxes clipped to it; without those that are outside.

        Raises:
            ValueError: the photo cannot be decoded, or is not of the size that its boxes were annotated at.
            OSError: it cannot be read.
        """
        photo = np.asarray(open_image(self.path))
        self._compare(photo.shape[:2])
        boxes = clip(self.objects.boxes, photo.shape[:2])
        inside = area(boxes) > 0
        known = self.objects
        columns = (known.labels, known.difficult, known.crowd, np.minimum(known.areas, area(boxes)))
        return photo, Objects(boxes[inside], *(column[inside] for column in columns))

    def _compare(self, height_width) -> None:
        """Raises ValueError where the boxes are of another size than the photo's, and warns where they may be."""
        if self.height_width is None or tuple(self.height_width) == height_width:
            return
        (height, width), (known_height, known_width) = height_width, self.height_width
        furthest = self.objects.boxes[:, 2:].max(0, initial=0)
        beyond = (furthest > (width + 1, height + 1)).any() and (furthest <= (known_width + 1, known_height + 1)).all()
        resized = abs(known_height / height - known_width / width) < 0.01 * known_width / width
        sizes = f"{self.path} is of {width} x {height} pixels, and annotated as of {known_width} x {known_height}"
        if beyond or resized:
            raise ValueError(
                "expected boxes in the photo as it is, turned as its EXIF orientation says; Received: "
                f"{sizes}. Correct the annotation, or take the size out of it"
            )
        logger.warning("%s; its boxes are taken as they are.", sizes)


@dataclasses.dataclass(frozen=True)
class AnnotatedPhotos:
    """A split of a data set of annotated photos.

    Args:
        name: for messages.
        classes: the names of the classes, in the order of the labels.
        photos: the photos.
        skipped: what was left out for having no extent, a sentence each.
    """

    name: str
    classes: tuple[str, ...]
    photos: tuple[AnnotatedPhoto, ...]
    skipped: tuple[str, ...] = ()

    def __len__(self):
        return len(self.photos)

    def __iter__(self):
        return iter(self.photos)

    def __getitem__(self, number):
        return self.photos[number]


def read_annotated(folder, split: str, classes=None) -> AnnotatedPhotos:
    """Reads a split of a folder of Pascal VOC or of COCO.

    Args:
        folder: holds `ImageSets/Main/SPLIT.txt`, `Annotations` and `JPEGImages`, as Pascal VOC's do, or
            `annotations/instances_SPLIT.json` and the photos in `SPLIT`, as COCO's do.
        split: which, such as `"train"`, `"val"`, or `"val2017"`.
        classes: the names of the classes; None: those that the split has, in the order of their names or, in COCO, of
            their numbers.

    Returns:
        The photos; objects without extent are left out, which the log says, and `skipped`.

    Raises:
        ValueError: the folder is neither, a file in it is not what it should be, or has a class that is not among those
            that were given.
        OSError: a file cannot be read.
    """
    folder = pathlib.Path(folder)
    voc, coco = folder / "ImageSets" / "Main" / f"{split}.txt", folder / "annotations" / f"instances_{split}.json"
    if voc.is_file():
        photos = _read_voc(folder, voc, split, classes)
    elif coco.is_file():
        photos = _read_coco(coco, folder / split, classes)
    else:
        raise ValueError(
            f"expected a folder of Pascal VOC, with {voc.relative_to(folder)}, or of COCO, with "
            f"{coco.relative_to(folder)}; Received: {folder}, with neither"
        )
    for sentence in photos.skipped:
        logger.warning("%s", sentence)
    if photos.skipped:
        logger.warning("%s: %d objects without extent were left out.", photos.name, len(photos.skipped))
    return photos


def _read_voc(folder, listed, split, classes):
    try:
        lines = [line.strip() for line in listed.read_text().splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ValueError(f"expected a list of photos; Received: {listed}, which is no text") from error
    # A list of one class says of each photo whether it shows that; but a name may have spaces.
    stems = [line if _is_annotated(folder, line) else line.split()[0] for line in lines]
    for stem in stems:
        if pathlib.PurePath(stem).name != stem or "\0" in stem:
            raise ValueError(f"expected the names of photos in {listed}; Received: {stem!r}")
    read = [_read_annotation(folder / "Annotations" / f"{stem}.xml") for stem in stems]
    if classes is None:
        classes = sorted({name for objects, _ in read for name, *_ in objects})
    images = _images(folder / "JPEGImages")
    photos, skipped = [], []
    for stem, (objects, size) in zip(stems, read, strict=True):
        if (path := images.get(stem)) is None:
            raise ValueError(f"expected a photo for {stem} in {folder / 'JPEGImages'}; Received: none")
        annotation = folder / "Annotations" / f"{stem}.xml"
        kept, without = _by_extent(objects)
        skipped += [f"{annotation.name} has {sentence}" for sentence in without]
        labels = _labels([name for name, *_ in kept], classes, annotation)
        # VOC counts pixels from 1, and includes the last.
        boxes = np.array([box for _, box, _ in kept], float).reshape(-1, 4) - [1, 1, 0, 0]
        photos.append(AnnotatedPhoto(path, Objects(boxes, labels, [difficult for *_, difficult in kept]), size))
    return AnnotatedPhotos(f"{folder} {split}", tuple(classes), tuple(photos), tuple(skipped))


def _is_annotated(folder, stem) -> bool:
    try:
        return "\0" not in stem and (folder / "Annotations" / f"{stem}.xml").is_file()
    except OSError:  # too long to be the name of a file
        return False


def _images(folder) -> dict[str, pathlib.Path]:
    """The photos of a folder by their names without suffixes, however these are written; of several the JPEG file."""
    found = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES] if folder.is_dir() else []
    found.sort(key=lambda path: (path.suffix.lower() != ".jpg", path.suffix.lower(), path.name))
    return {path.stem: path for path in reversed(found) if path.is_file()}


def read_voc_objects(annotation) -> list[tuple[str, tuple[float, float, float, float], bool]]:
    """The objects of an annotation of Pascal VOC, as it has them.

    Args:
        annotation: the file.

    Returns:
        For each the class name, the box, and whether it is difficult. The box is xmin, ymin, xmax, ymax as in the
        file: pixels are counted from 1, and the last is included.

    Raises:
        ValueError: the file is no such annotation.
        OSError: it cannot be read.
    """
    return _read_annotation(annotation)[0]


def _read_annotation(annotation):
    """The objects, and height and width of the photo; None where that is not said."""
    objects = []
    try:
        root = ElementTree.parse(annotation).getroot()
        if root.tag != "annotation":
            raise ValueError(f"it begins with <{root.tag}>, not with <annotation>")
        for found in root.iter("object"):
            box = tuple(float(found.findtext(f"bndbox/{side}")) for side in SIDES)
            difficult = (found.findtext("difficult") or "").strip().lower() in TRUE
            objects.append(((found.findtext("name") or "").strip(), box, difficult))
        size = _size(root.findtext("size/height"), root.findtext("size/width"))
    # LookupError: an encoding that nobody knows; TypeError: a side is missing.
    except (ElementTree.ParseError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"expected an annotation of Pascal VOC; Received: {annotation} ({error})") from error
    for name, box, _ in objects:
        if not name or not all(map(math.isfinite, box)):
            raise ValueError(f"expected a class and a box of numbers; Received: {annotation}, with {name!r} at {box}")
    return objects, size


def _size(height, width) -> tuple[int, int] | None:
    """Height and width in pixels; None where they are not said, or what cannot be, as some programs have them."""
    try:
        size = int(float(height)), int(float(width))
    except (TypeError, ValueError, OverflowError):
        return None
    return size if min(size) > 0 else None


def _read_coco(path, images, classes):
    try:
        data = json.loads(path.read_bytes())
        categories = {int(each["id"]): str(each["name"]) for each in data["categories"]}
        files = {int(each["id"]): str(each["file_name"]) for each in data["images"]}
        sizes = {int(each["id"]): _size(each.get("height"), each.get("width")) for each in data["images"]}
        rows = {number: [] for number in files}
        for each in data.get("annotations", ()):
            for field, known in (("category_id", categories), ("image_id", files)):
                if int(each[field]) not in known:
                    raise ValueError(f"an annotation of {field} {each[field]}, which there is none of")
            x, y, width, height = map(float, each["bbox"])
            extent = float(each.get("area", width * height))
            if not all(map(math.isfinite, (x, y, width, height, extent))):
                raise ValueError(f"a box of {each['bbox']}")
            name, crowd = categories[int(each["category_id"])], bool(each.get("iscrowd", False))
            rows[int(each["image_id"])].append((name, (x, y, x + width, y + height), crowd, extent))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"expected annotations of COCO; Received: {path} ({type(error).__name__}: {error})") from error
    if classes is None:
        classes = [name for _, name in sorted(categories.items())]
    photos, skipped = [], []
    for number, file in files.items():
        relative = pathlib.PurePath(file)
        if relative.is_absolute() or ".." in relative.parts or "\0" in file:
            raise ValueError(f"expected the names of photos in {path}; Received: {file!r}")
        kept, without = _by_extent(rows[number])
        skipped += [f"{file} has {sentence}" for sentence in without]
        labels = _labels([name for name, *_ in kept], classes, f"{path}, {file}")
        boxes = np.array([box for _, box, *_ in kept], float).reshape(-1, 4)
        crowd, areas = ([row[place] for row in kept] for place in (2, 3))
        photos.append(AnnotatedPhoto(images / file, Objects(boxes, labels, None, crowd, areas), sizes[number]))
    return AnnotatedPhotos(str(path), tuple(classes), tuple(photos), tuple(skipped))


def _by_extent(rows):
    """Rows that begin with a class and a box: those whose box has an extent, and what is to be said of the others."""
    kept = [row for row in rows if row[1][2] > row[1][0] and row[1][3] > row[1][1]]
    without = [
        f"{name} without extent at {', '.join(f'{side:g}' for side in box)}."
        for name, box, *_ in rows
        if not (box[2] > box[0] and box[3] > box[1])
    ]
    return kept, without


def _labels(names, classes, where):
    known = {name: number for number, name in enumerate(classes)}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"expected the classes {', '.join(classes)}; Received: {unknown[0]!r} in {where}")
    return np.array([known[name] for name in names], np.int64)
