"""Photos with annotated objects: the folders of Pascal VOC and COCO, and what is neither."""

import json
import logging
import pathlib
import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_inception.detection.annotations import read_annotated, read_voc_objects

BCCD = pathlib.Path(__file__).parent.parent.parent / "shared" / "data" / "bccd"


def voc_object(name, box, difficult=0) -> str:
    sides = "".join(
        f"<{side}>{value}</{side}>" for side, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{sides}</bndbox></object>"


def voc_annotation(*objects) -> str:
    return f"<annotation>{''.join(voc_object(*each) for each in objects)}</annotation>"


def photo(path, height=60, width=80):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), 128, np.uint8)).save(path)


@pytest.fixture
def voc(tmp_path):
    """A photo with a cat, a difficult dog and a dog without extent; one with nothing; one with boxes that go beyond."""
    root = tmp_path / "voc"
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "Annotations").mkdir()
    (root / "ImageSets" / "Main" / "train.txt").write_text("a\nb  1\n\nc\n")
    texts = {
        "a": [("dog", (1, 1, 10, 20), 1), ("cat", (11, 21, 40, 50)), ("dog", (5, 5, 5, 5))],
        "b": [],
        "c": [("cat", (61, 41, 120, 90)), ("cat", (101, 1, 120, 20))],
    }
    for stem, objects in texts.items():
        (root / "Annotations" / f"{stem}.xml").write_text(voc_annotation(*objects))
        photo(root / "JPEGImages" / (f"{stem}.jpg" if stem != "b" else "b.png"))
    return root


def test_pascal_voc(voc, caplog):
    with caplog.at_level(logging.WARNING, "keras_inception"):
        photos = read_annotated(voc, "train")
    assert photos.classes == ("cat", "dog") and len(photos) == 3
    assert [path.path.name for path in photos] == ["a.jpg", "b.png", "c.jpg"]
    first = photos[0].objects
    assert first.boxes.tolist() == [[0, 0, 10, 20], [10, 20, 40, 50]], (
        "pixels are counted from 0, and the last is not in"
    )
    assert first.labels.tolist() == [1, 0] and first.difficult.tolist() == [True, False] and not first.crowd.any()
    assert len(photos[1].objects) == 0
    assert photos.skipped == ("a.xml has dog without extent at 5, 5, 5, 5.",)
    assert caplog.messages == [photos.skipped[0], f"{voc} train: 1 objects without extent were left out."]


def test_names_as_cameras_and_people_give_them(tmp_path):
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("IMG_0001\nmy cat 1  \nIMG_0003 -1\n")
    for stem, suffix in (("IMG_0001", ".JPG"), ("my cat 1", ".jpeg"), ("IMG_0003", ".png")):
        (tmp_path / "Annotations" / f"{stem}.xml").write_text(voc_annotation(("cat", (1, 1, 9, 9))))
        photo(tmp_path / "JPEGImages" / f"{stem}{suffix}")
    photo(tmp_path / "JPEGImages" / "IMG_0003.jpg")
    photo(tmp_path / "JPEGImages" / "my cat 1.png")
    (tmp_path / "JPEGImages" / "IMG_0001.jpg").mkdir()
    photos = read_annotated(tmp_path, "train")
    assert [path.path.name for path in photos] == ["IMG_0001.JPG", "my cat 1.jpeg", "IMG_0003.jpg"]
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("IMG_0001 " + 300 * "a")
    assert len(read_annotated(tmp_path, "train")) == 1


def test_what_goes_beyond_the_photo_is_clipped_and_what_is_outside_left_out(voc):
    pixels, objects = read_annotated(voc, "train")[2].open()
    assert pixels.shape == (60, 80, 3) and pixels.dtype == np.uint8
    assert objects.boxes.tolist() == [[60, 40, 80, 60]] and objects.areas.tolist() == [400]


def coco_data():
    return {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 3, "file_name": "deeper/b.jpg"}],
        "categories": [{"id": 18, "name": "dog"}, {"id": 4, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 18, "bbox": [1, 2.5, 10, 20], "area": 77, "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 4, "bbox": [0, 0, 30, 40], "iscrowd": 1},
            {"id": 3, "image_id": 3, "category_id": 4, "bbox": [5, 5, 0, 9], "area": 0, "iscrowd": 0},
        ],
    }


def write_coco(root, data):
    (root / "annotations").mkdir(parents=True)
    (root / "annotations" / "instances_val2017.json").write_bytes(data)
    photo(root / "val2017" / "a.jpg")
    photo(root / "val2017" / "deeper" / "b.jpg")
    return root


def test_coco(tmp_path):
    photos = read_annotated(write_coco(tmp_path, json.dumps(coco_data()).encode()), "val2017")
    assert photos.classes == ("cat", "dog"), "by their numbers"
    first = photos[0].objects
    assert first.boxes.tolist() == [[1, 2.5, 11, 22.5], [0, 0, 30, 40]] and first.labels.tolist() == [1, 0]
    assert first.areas.tolist() == [77, 1200] and first.crowd.tolist() == [False, True] and not first.difficult.any()
    assert len(photos[1].objects) == 0 and photos.skipped == ("deeper/b.jpg has cat without extent at 5, 5, 5, 14.",)
    assert photos[1].open()[0].shape == (60, 80, 3)


@pytest.mark.parametrize("field, value", [("category_id", 99), ("image_id", 8)])
def test_what_an_annotation_of_coco_is_of_but_the_file_has_not(tmp_path, field, value):
    data = coco_data()
    data["annotations"][1][field] = value
    with pytest.raises(ValueError, match=rf"val2017\.json .*an annotation of {field} {value}, which there is none of"):
        read_annotated(write_coco(tmp_path, json.dumps(data).encode()), "val2017")


def sized(width, height):
    return f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"


@pytest.mark.parametrize(
    "size, outcome",
    [
        (sized(80, 60), "right"),
        ("", "right"),
        ("<size/>", "right"),
        (sized(0, 0), "right"),
        (sized(" ", "60px"), "right"),
        (sized("nan", "1e999"), "right"),
        (sized(160, 120), "resized"),  # though the boxes have room
        (sized(41, 31), "resized"),
        (sized(60, 80), "warning"),  # the boxes, up to 40 x 50, have room in either
        (sized(300, 200), "warning"),
    ],
)
def test_a_photo_of_another_size_than_its_annotation(voc, size, outcome, caplog):
    path = voc / "Annotations" / "a.xml"
    path.write_text(path.read_text().replace("<annotation>", f"<annotation>{size}"))
    first = read_annotated(voc, "train")[0]
    caplog.clear()
    if outcome == "resized":
        with pytest.raises(ValueError, match=r"boxes in the photo as it is, .*: .*a\.jpg is of 80 x 60 pixels, "):
            first.open()
    else:
        assert first.open()[0].shape == (60, 80, 3) and len(first.open()[1]) == 2
    assert ("its boxes are taken as they are" in caplog.text) == (outcome == "warning")


def test_boxes_of_a_photo_that_exif_turns(tmp_path, caplog):
    """Some programs annotate it as it is stored, some as it is shown."""
    data = coco_data()
    data["images"][0] |= {"height": 60, "width": 80}
    root = write_coco(tmp_path / "stored", json.dumps(data).encode())
    assert read_annotated(root, "val2017")[0].open()[0].shape == (60, 80, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.full((60, 80, 3), 128, np.uint8)).save(root / "val2017" / "a.jpg", exif=exif)
    pixels, objects = read_annotated(root, "val2017")[0].open()
    assert pixels.shape == (80, 60, 3) and len(objects) == 2
    assert "a.jpg is of 60 x 80 pixels, and annotated as of 80 x 60; its boxes are taken as they are." in caplog.text
    data["annotations"][0]["bbox"] = [60, 2, 15, 20]
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"photo as it is, turned as its EXIF orientation says; Received: .*a\.jpg"):
        read_annotated(root, "val2017")[0].open()
    data["annotations"][0]["bbox"] = [2, 60, 15, 20]
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(data))
    assert read_annotated(root, "val2017")[0].open()[1].boxes[0].tolist() == [2, 60, 17, 80]


def test_classes_that_were_given(voc):
    assert read_annotated(voc, "train", ["emu", "dog", "cat"])[0].objects.labels.tolist() == [1, 2]
    with pytest.raises(ValueError, match=r"expected the classes cat, emu; Received: 'dog' in .*a\.xml"):
        read_annotated(voc, "train", ["cat", "emu"])


def test_bccd():
    if not BCCD.is_dir():
        pytest.skip("the photos of BCCD are not there")
    splits = {split: read_annotated(BCCD, split) for split in ("train", "val", "test")}
    assert [len(photos) for photos in splits.values()] == [205, 87, 72]
    assert {photos.classes for photos in splits.values()} == {("Platelets", "RBC", "WBC")}
    skipped = [sentence for photos in splits.values() for sentence in photos.skipped]
    assert [sentence.split()[0] for sentence in sorted(skipped)] == ["BloodImage_00338.xml", "BloodImage_00343.xml"]
    assert sum(len(photo.objects) for photos in splits.values() for photo in photos) == 4888 - 2


def test_a_folder_that_is_neither(tmp_path):
    with pytest.raises(ValueError, match=r"expected a folder of Pascal VOC, with ImageSets/Main/val\.txt, or of COCO"):
        read_annotated(tmp_path, "val")


def test_files_that_are_missing_or_elsewhere(voc):
    (voc / "JPEGImages" / "a.jpg").unlink()
    with pytest.raises(ValueError, match="expected a photo for a in .*JPEGImages; Received: none"):
        read_annotated(voc, "train")
    for text in ("../a", "a\0b"):
        (voc / "ImageSets" / "Main" / "train.txt").write_text(text)
        with pytest.raises(ValueError, match="expected the names of photos in"):
            read_annotated(voc, "train")
    (voc / "ImageSets" / "Main" / "train.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ValueError, match="which is no text"):
        read_annotated(voc, "train")
    (voc / "ImageSets" / "Main" / "train.txt").write_text("elsewhere")
    with pytest.raises(OSError, match=r"elsewhere\.xml"):
        read_annotated(voc, "train")


@pytest.mark.parametrize("file", ["/etc/hostname", "../a.jpg", "a\0.jpg"])
def test_a_photo_outside_of_cocos_folder(tmp_path, file):
    data = coco_data()
    data["images"][0]["file_name"] = file
    with pytest.raises(ValueError, match="expected the names of photos in"):
        read_annotated(write_coco(tmp_path, json.dumps(data).encode()), "val2017")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<annotation>",
        "no xml",
        "<a><object><name>x</name></object></a>",
        "<html><body>404</body></html>",
        voc_annotation(("x", (1, "a", 3, 4))),
        voc_annotation(("", (1, 2, 3, 4))),
        voc_annotation(("x", (1, 2, "nan", 4))),
    ],
)
def test_what_is_no_annotation_of_voc(tmp_path, text):
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(ValueError, match=r"expected .*; Received: .*a\.xml"):
        read_voc_objects(tmp_path / "a.xml")


def mutations(good: bytes):
    """Other bytes, the beginning of a file, and a file of which one byte is another."""
    return st.one_of(
        st.binary(max_size=100),
        st.integers(0, len(good)).map(lambda end: good[:end]),
        st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)).map(
            lambda change: good[: change[0]] + bytes([change[1]]) + good[change[0] + 1 :]
        ),
    )


@given(mutations(voc_annotation(("red", (10, 20, 30, 40), 1)).encode()))
@settings(deadline=None)
def test_any_bytes_are_objects_or_a_value_error(data):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "a.xml"
        path.write_bytes(data)
        try:
            objects = read_voc_objects(path)
        except ValueError as error:
            assert "Received: " in str(error)
        else:
            assert all(isinstance(name, str) and len(box) == 4 for name, box, _ in objects)


@given(
    st.one_of(
        mutations(json.dumps(coco_data()).encode()),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["images", "categories", "annotations", "id", "bbox"]), inner, max_size=4
                )
            ),
        ).map(lambda value: json.dumps(value).encode()),
    )
)
@settings(deadline=None)
def test_any_json_is_photos_or_a_value_error(data):
    with tempfile.TemporaryDirectory() as folder:
        try:
            photos = read_annotated(write_coco(pathlib.Path(folder), data), "val2017")
        except ValueError as error:
            assert "Received: " in str(error)
        else:
            assert all(photo.objects.labels.max(initial=-1) < len(photos.classes) for photo in photos)
