"""The published folder: its JSON, of which nothing is taken for granted, and the files that it vouches for."""

import dataclasses
import json
import os
import pathlib
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_inception.convert.checkpoint import Checkpoint, CheckpointError
from keras_inception.hub import folder as folders

SHA = "0" * 64


def checkpoint(dtype="float32"):
    return Checkpoint({"variant": "paper"}, {"a/kernel": np.arange(6, dtype=dtype).reshape(2, 3)})


def content(**changes):
    data = {"format": 1, "spec": {}, "files": {"model.safetensors": {"sha256": SHA, "bytes": 3}}, **changes}
    return json.dumps({name: value for name, value in data.items() if value is not ...})


def test_round_trip(tmp_path):
    facts = {"metrics": {"top1": np.float32(0.5), "n": np.int64(3)}, "options": {"dropout": 0.2}}
    written = folders.write(tmp_path / "mine", checkpoint(), provenance={"recipe": "r"}, **facts)
    published, read = folders.read_published(tmp_path / "mine"), folders.read(tmp_path / "mine").checkpoint()
    assert published == written and published.metrics == {"top1": 0.5, "n": 3}
    assert published.provenance == {"recipe": "r"} and published.kind == "GoogLeNet"
    np.testing.assert_array_equal(read.tensors["a/kernel"], checkpoint().tensors["a/kernel"])
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [folders.CONFIG, folders.WEIGHTS]


@pytest.mark.parametrize("dtype, read", [("float64", "float64"), ("float32", "float32"), ("float16", "float32")])
def test_numbers_keep_their_precision(tmp_path, dtype, read):
    folders.write(tmp_path / "mine", checkpoint(dtype))
    tensor = folders.read(tmp_path / "mine").checkpoint().tensors["a/kernel"]
    assert tensor.dtype == read and np.array_equal(tensor, checkpoint(dtype).tensors["a/kernel"])


def test_equal_models_are_equal_files(tmp_path):
    spec = {f"key{number}": number for number in range(20)}
    for name in ("one", "two"):
        folders.write(tmp_path / name, Checkpoint(spec, checkpoint().tensors))
    assert all((tmp_path / "one" / p.name).read_bytes() == p.read_bytes() for p in (tmp_path / "two").iterdir())


def test_a_changed_byte_is_noticed(tmp_path):
    folders.write(tmp_path / "mine", checkpoint())
    weights = tmp_path / "mine" / folders.WEIGHTS
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(CheckpointError, match="expected sha256"):
        folders.read(tmp_path / "mine")
    weights.write_bytes(data[:-1])
    with pytest.raises(CheckpointError, match=f"expected {len(data)} bytes; Received: {len(data) - 1}"):
        folders.read(tmp_path / "mine")
    weights.write_bytes(data + b"x")
    with pytest.raises(CheckpointError, match=f"expected at most {len(data)} bytes; Received: more"):
        folders.read(tmp_path / "mine")
    weights.unlink()
    with pytest.raises(CheckpointError, match="Received: none"):
        folders.read(tmp_path / "mine")


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "expected a published model's JSON"),
        ("[]", "expected an object"),
        ("[" * 100_000, "expected a published model's JSON"),
        ('{"format": 1, "format": 1}', "a key that is there twice"),
        (content(metrics={"x": float("nan")}), "NaN, which is no finite number"),
        (content().replace("}}}", '}}, "metrics": {"x": 1e999}}'), "1e999, which is no finite number"),
        ("{}", "expected a format"),
        (content(format=2), "format 1 or earlier, and a newer version of keras_inception reads it; Received: 2"),
        (content(format=True), "expected a format, which is a number"),
        (content(format=0), "expected format 1"),
        (content(spec=...), "expected the fields"),
        (content(other={}), "expected the fields"),
        (content(spec=[]), "expected an object for spec"),
        (content(metrics=1), "expected an object for metrics"),
        (
            content(kind="pickle"),
            "expected a kind, one of GoogLeNet, NetworkInNetwork, functional, detector; Received: 'pickle'",
        ),
        (content(kind="functional"), "expected the file config.json"),
        (content(files={}), "expected the file model.safetensors"),
        (content(files={"../up": {"sha256": SHA, "bytes": 1}}), "expected the names of files in the folder"),
        (content(files={"/etc/passwd": {"sha256": SHA, "bytes": 1}}), "expected the names of files in the folder"),
        (content(files={"a\\b": {"sha256": SHA, "bytes": 1}}), "expected the names of files in the folder"),
        (content(files={"README.md": {"sha256": SHA, "bytes": 1}}), "expected the names of files in the folder"),
        (content(files={"a": {"sha256": SHA}}), "expected sha256 and bytes of a"),
        (content(files={"a": {"sha256": SHA[1:], "bytes": 1}}), "expected the sha256 of a"),
        (content(files={"a": {"sha256": SHA, "bytes": -1}}), "expected the size of a, up to"),
        (content(files={"a": {"sha256": SHA, "bytes": 1.5}}), "expected the size of a, up to"),
        (content(files={"a": {"sha256": SHA, "bytes": 1 << 41}}), "expected the size of a, up to"),
        (content(files={"a": {"sha256": SHA, "bytes": 10**30}}), "which is no number of 64 bits"),
        (content().replace('"bytes": 3', f'"bytes": {"9" * 4000}'), "which is no number of 64 bits"),
    ],
)
def test_json_that_is_refused(tmp_path, text, message):
    with pytest.raises(CheckpointError, match="keras_inception.json: ") as caught:
        folders.parse(text)
    assert message in str(caught.value) and len(str(caught.value)) < 600
    folders.write(tmp_path / "mine", checkpoint())
    (tmp_path / "mine" / folders.CONFIG).write_text(text)
    with pytest.raises(CheckpointError, match="keras_inception.json: "):
        folders.read(tmp_path / "mine")


def test_json_that_is_no_text_or_too_long(tmp_path, monkeypatch):
    folders.write(tmp_path / "mine", checkpoint())
    (tmp_path / "mine" / folders.CONFIG).write_bytes(b"\xff\xfe{")
    with pytest.raises(CheckpointError, match="keras_inception.json: expected UTF-8"):
        folders.read(tmp_path / "mine")
    monkeypatch.setattr(folders, "MAX_TEXT", 2)
    with pytest.raises(CheckpointError, match="expected at most 2 bytes; Received: more"):
        folders.read(tmp_path / "mine")


@pytest.mark.parametrize("name", [folders.CONFIG, folders.WEIGHTS])
def test_links_and_devices_are_not_read(tmp_path, name):
    folders.write(tmp_path / "mine", checkpoint())
    path = tmp_path / "mine" / name
    path.rename(tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    with pytest.raises(CheckpointError, match="expected a file; Received: a link, a folder or a device"):
        folders.read(tmp_path / "mine")
    folders.read(tmp_path / "mine", links=True)  # as the cache of the Hub's client has it
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match="expected a file; Received: a link, a folder or a device"):
        folders.read(tmp_path / "mine")


@pytest.mark.parametrize("size", [100, 3 << 30, 1 << 40])
def test_a_file_of_another_size_than_is_claimed_takes_no_more_memory_than_it_has(tmp_path, size):
    folders.write(tmp_path / "mine", checkpoint())
    path = tmp_path / "mine" / folders.CONFIG
    data = json.loads(path.read_text())
    data["files"][folders.WEIGHTS]["bytes"] = size
    path.write_text(json.dumps(data))
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="model.safetensors: expected .* bytes; Received: "):
        folders.read(tmp_path / "mine")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_what_is_loaded_is_what_was_checked(tmp_path):
    folders.write(tmp_path / "mine", checkpoint())
    content = folders.read(tmp_path / "mine")
    folders.write(tmp_path / "mine", Checkpoint({"variant": "slim"}, {"a/kernel": np.zeros((2, 3), "float32")}))
    loaded = content.checkpoint()
    assert loaded.spec == {"variant": "paper"} and loaded.tensors["a/kernel"].any()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from([field.name for field in dataclasses.fields(folders.Published)])


@settings(max_examples=300, deadline=None)
@given(changes=st.dictionaries(KEYS, JSON, max_size=3), files=st.dictionaries(st.text(max_size=6), JSON, max_size=2))
def test_any_json_is_read_or_refused(changes, files):
    valid = json.loads(content())
    data = {**valid, "files": {**valid["files"], **files}, **changes}
    try:
        published = folders.parse(json.dumps(data))
    except CheckpointError as error:
        assert str(error).startswith("keras_inception.json: expected ")
        return
    assert all("/" not in name and "\\" not in name for name in published.files)
    assert folders.parse(published.to_json()) == published


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / folders.CONFIG
    path.write_bytes(data)
    with pytest.raises(CheckpointError):
        folders.read_published(path.parent)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, None, [1], np.zeros((2, 2))])
def test_metrics_that_are_no_numbers(value):
    with pytest.raises(ValueError, match="expected metrics to be finite numbers and texts by name; Received: top1="):
        folders.check_metrics({"top1": value})


@pytest.mark.parametrize("provenance", [{"recipe": pathlib.Path("x")}, {"seed": 1}, {1: "x"}])
def test_provenance_that_is_no_text(provenance):
    with pytest.raises(ValueError, match="expected provenance to be texts by name; Received: "):
        folders.check_provenance(provenance)


def test_git_knows_the_same_blob(tmp_path):
    (tmp_path / "x").write_bytes(b"hello\n")
    assert folders.git_blob_id(tmp_path / "x") == "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object
