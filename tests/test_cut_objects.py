"""Objects cut out of the photos of a Pascal VOC folder: which, where, and what is no annotation."""

import numpy as np
import pytest
from PIL import Image

from keras_inception.datasets import FolderSource
from training.cut_objects import cut_object, cut_objects, main

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}


def annotation(*objects) -> str:
    parts = []
    for name, box in objects:
        sides = "".join(
            f"<{side}>{value}</{side}>" for side, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        )
        parts.append(f"<object><name>{name}</name><bndbox>{sides}</bndbox></object>")
    return f"<annotation>{''.join(parts)}</annotation>"


@pytest.fixture
def voc(tmp_path):
    """Six photos for training and two for validation, each with a red and a blue square, and a tiny red one."""
    root = tmp_path / "voc"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for name, stems in (("train", range(6)), ("val", range(6, 8))):
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text("".join(f"photo{stem} \n" for stem in stems))
        for stem in stems:
            pixels = np.zeros((60, 80, 3), np.uint8)
            boxes = {"red": (10, 20, 30, 40), "blue": (50, 5, 74, 29)}
            for colour, (left, top, right, bottom) in boxes.items():
                pixels[top:bottom, left:right] = COLOURS[colour]
            Image.fromarray(pixels).save(root / "JPEGImages" / f"photo{stem}.jpg", quality=95)
            text = annotation(*boxes.items(), ("red", (0, 0, 3, 3)))
            (root / "Annotations" / f"photo{stem}.xml").write_text(text)
    return root


def test_each_object_is_an_image_of_its_class(voc, tmp_path, capsys):
    assert main([str(voc), str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == "train: 6 blue, 6 red\nvalidation: 2 blue, 2 red\n"
    for split, count in (("train", 12), ("validation", 4)):
        source = FolderSource(tmp_path / "out", split)
        assert len(source) == count and source.classes == ("blue", "red")
        for path, label in zip(source.paths, source.labels, strict=True):
            pixels = np.asarray(Image.open(path.decode()).convert("RGB")).astype(int)
            middle = pixels[pixels.shape[0] // 2, pixels.shape[1] // 2]
            assert np.abs(middle - COLOURS[source.classes[label]]).max() < 20
            assert pixels[0, 0].max() < 40, "context around it"


def test_as_many_as_were_asked_for_and_the_same_again(voc, tmp_path):
    names = []
    for number in range(2):
        counts = cut_objects(voc, tmp_path / f"out{number}", per_class=3)
        assert counts == {"train": {"red": 3, "blue": 3}, "validation": {"red": 2, "blue": 2}}
        out = tmp_path / f"out{number}"
        names.append(sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png")))
    assert names[0] == names[1] and len(names[0]) == 10


def test_more_to_validate_with(voc, tmp_path):
    counts = cut_objects(voc, tmp_path / "out", per_class=1, validation_per_class=2)
    assert counts == {"train": {"red": 1, "blue": 1}, "validation": {"red": 2, "blue": 2}}
    assert main([str(voc), str(tmp_path / "other"), "--per-class", "2", "--validation-per-class", "1"]) == 0
    assert len(list((tmp_path / "other").rglob("*.png"))) == 6


def test_a_cut_by_hand():
    photo = Image.fromarray(np.arange(100 * 100 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 100, 3))
    # The longer side, 20, and a tenth of it: 11 pixels to each side of (40, 50).
    assert cut_object(photo, (35, 40, 45, 60), 0.1).tobytes() == photo.crop((29, 39, 51, 61)).tobytes()
    assert cut_object(photo, (0, 0, 10, 10), 1.0).size == (15, 15), "cut off where the photo ends"


def test_a_class_that_no_folder_can_be_called_by(voc, tmp_path):
    (voc / "Annotations" / "photo6.xml").write_text(annotation(("../x", (1, 2, 13, 14))))
    with pytest.raises(ValueError, match=r"expected classes whose names a folder can have; Received: '\.\./x' in .*"):
        cut_objects(voc, tmp_path / "out", per_class=3)


def test_errors_are_one_sentence(voc, tmp_path, capsys):
    assert main([str(tmp_path / "nothing"), str(tmp_path / "out")]) == 1
    assert "expected a Pascal VOC folder, with" in capsys.readouterr().err
    assert main([str(voc), str(voc)]) == 1
    assert f"expected a folder that is empty, or not there yet; Received: {voc}" in capsys.readouterr().err
    (voc / "JPEGImages" / "photo3.jpg").unlink()
    assert main([str(voc), str(tmp_path / "out")]) == 1
    assert "photo3.jpg" in capsys.readouterr().err
