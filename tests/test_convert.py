"""The choice of the reader, and that every format leads to a model through the public function."""

import io
import tarfile

import numpy as np
import pytest
from caffe_files import caffemodel, toy_tensors

from keras_inception import CheckpointError, convert


def tar_gz(path, **files):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            header = tarfile.TarInfo(name.replace("__", "."))
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    "name, module",
    [
        ("a.caffemodel", "caffe"),
        ("a.PTH", "torchvision"),
        ("a.onnx", "onnx"),
        ("a.pb", "graph_def"),
        ("a.zip", "graph_def"),
        ("a.ckpt", "tensorflow_checkpoint"),
        ("a.tar.gz", "tensorflow_checkpoint"),
    ],
)
def test_the_ending_chooses_the_reader(name, module):
    assert convert.reader(name).__name__ == f"keras_inception.convert.{module}"


def test_the_prefix_of_a_second_format_checkpoint(tmp_path):
    (tmp_path / "model.index").write_bytes(b"")
    assert convert.reader(tmp_path / "model").__name__.endswith("tensorflow_checkpoint")
    assert convert.reader(tmp_path / "other") is None


def test_a_data_file_of_a_second_format_checkpoint():
    for name in ("m.ckpt.data-00000-of-00001", "model.data-00003-of-00012"):
        assert convert.reader(name).__name__.endswith("tensorflow_checkpoint")
    for name in ("m.data-0-of-1", "m.data-00000-of-00001.txt", "training.data-2016"):
        assert convert.reader(name) is None


def test_a_caffemodel_in_an_archive_as_places205_is_published(tmp_path):
    tensors = toy_tensors()
    path = tar_gz(tmp_path / "googlenet.tar.gz", deploy__protxt=b"name: 1", net__caffemodel=caffemodel(tensors))
    checkpoint = convert.read(path)
    assert set(checkpoint.tensors) == set(tensors)
    for name, expected in tensors.items():
        np.testing.assert_array_equal(checkpoint.tensors[name], expected)
    two = tar_gz(tmp_path / "two.tar.gz", a__caffemodel=caffemodel(tensors), b__caffemodel=caffemodel(tensors))
    with pytest.raises(CheckpointError, match="two.tar.gz.*one .caffemodel in the archive; Received: 2"):
        convert.read(two)


def test_a_caffemodel_in_an_archive_made_on_macos(tmp_path):
    tensors = toy_tensors()
    files = {"._net__caffemodel": b"\0\5\x16\7", "net__caffemodel": caffemodel(tensors)}
    assert set(convert.read(tar_gz(tmp_path / "googlenet.tar.gz", **files)).tensors) == set(tensors)


def test_unknown_endings():
    with pytest.raises(CheckpointError, match=r"ends in .caffemodel.*Received: notes.txt"):
        convert.read("notes.txt")
