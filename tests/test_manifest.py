"""The manifest of public weights: whole, and refused when it is not."""

import copy
import importlib.resources
import json

import pytest

from keras_inception.hub import manifest
from keras_inception.labels import label_set
from keras_inception.preprocessing import Preprocessing

TEXT = importlib.resources.files("keras_inception.hub").joinpath("manifest.json").read_text("utf-8")


@pytest.fixture
def data():
    return json.loads(TEXT)


def test_tags():
    assert sorted(manifest.entries()) == [
        "bvlc",
        "bvlc_onnx",
        "inception5h",
        "nin_imagenet",
        "places205",
        "places365",
        "slim",
        "torchvision",
    ]


@pytest.mark.parametrize("entry", manifest.entries().values(), ids=lambda entry: entry.tag)
def test_entry_fits_the_rest_of_the_package(entry):
    assert len(label_set(entry.labels)) == entry.classes
    made = Preprocessing(**entry.preprocessing)
    assert made.size == 224
    for name, value in entry.preprocessing.items():
        assert getattr(made, name) == value
    assert entry.fallback != entry.tag
    assert (entry.accuracy is None) == (entry.accuracy_unknown is not None)


def test_a_caller_cannot_change_the_manifest():
    manifest.entries().clear()
    assert "bvlc" in manifest.entries()
    with pytest.raises(AttributeError):
        manifest.entries()["bvlc"].file.checksum = None


@pytest.mark.parametrize(
    "weights, variant, tag",
    [
        ("imagenet", "paper", "bvlc"),
        ("imagenet", None, "bvlc"),
        ("imagenet", "torchvision", "torchvision"),
        ("imagenet", "slim", "slim"),
        ("imagenet", "inception5h", "inception5h"),
        ("places365", None, "places365"),
        ("places205", "paper", "places205"),
    ],
)
def test_resolve(weights, variant, tag):
    assert manifest.resolve(weights, variant).tag == tag


def test_resolve_for_a_network():
    assert manifest.resolve("imagenet", None, "NetworkInNetwork").tag == "nin_imagenet"
    assert manifest.resolve("imagenet", "imagenet", "NetworkInNetwork").tag == "nin_imagenet"
    with pytest.raises(ValueError, match=r"one of imagenet \(nin_imagenet\); Received: variant='paper'"):
        manifest.resolve("imagenet", "paper", "NetworkInNetwork")
    with pytest.raises(ValueError, match="expected the weights of a GoogLeNet; Received: weights='nin_imagenet'"):
        manifest.resolve("nin_imagenet", None, "GoogLeNet")


@pytest.mark.parametrize(
    "weights, variant, message",
    [
        ("imagenet", "batch_norm", r"paper \(bvlc\), slim \(slim\).*Received: variant='batch_norm'"),
        ("imagnet", None, "one of bvlc, .*torchvision; Received: weights='imagnet'"),
        ("slim", "paper", "expected variant 'slim'.*Received: variant='paper'"),
    ],
)
def test_resolve_refuses(weights, variant, message):
    with pytest.raises(ValueError, match=message):
        manifest.resolve(weights, variant)


def test_checksums_by_kind():
    assert manifest.entries()["bvlc"].file.algorithm == "sha256"
    assert manifest.entries()["torchvision"].file.algorithm == "sha256"
    assert manifest.entries()["torchvision"].file.digest == "1378be20"
    assert manifest.entries()["places205"].file.digest is None
    assert manifest.File("f", ["http://h/f"], 1, "sha1:" + 40 * "0").algorithm == "sha1"
    assert manifest.File("f", ["http://h/f"], 1, "sha384:" + 96 * "0").algorithm == "sha384"


FILE = {
    "name": ["", "../up", "a/b", ".hidden", None, 3],
    "urls": [[], None, "http://h/f", ["ftp://h/f"], ["file:///etc/passwd"], ["h/f"], [3], ["http://"]],
    "bytes": [0, -1, 1.5, True, "9"],
    "checksum": ["", "sha256:", "sha256:abc", "md5:" + 32 * "0", "sha256:" + 64 * "X", "sha256-prefix:1378", 3],
    "member": ["a/b", "", 3],
}
ENTRY = {
    "tag": ["", "a b", None],
    "description": ["", None],
    "variant": ["", None, "slim"],
    "format": ["pickle", None],
    "classes": [0, "1000", None, True],
    "aux_heads": ["yes"],
    "preprocessing": [None, []],
    "mean": [[1.0, 2.0], 3.0, ["a", "b", "c"], None],
    "scale": [[1.0, 2.0, 3.0, 4.0]],
    "accuracy": [None, {}, {"top1": 90, "top5": 80, "protocol": "p", "source": "s"}],
    "fallback": ["nothing", "slim"],
    "licence": ["", 7],
}


@pytest.mark.parametrize("field, value", [(field, value) for field, values in FILE.items() for value in values])
def test_bad_file(data, field, value):
    data["entries"][0]["file"][field] = value
    with pytest.raises(ValueError, match="Received:"):
        manifest.parse(json.dumps(data))


@pytest.mark.parametrize("field, value", [(field, value) for field, values in ENTRY.items() for value in values])
def test_bad_entry(data, field, value):
    data["entries"][0][field] = value
    with pytest.raises(ValueError, match="Received:"):
        manifest.parse(json.dumps(data))


def test_missing_and_unknown_fields(data):
    bad = copy.deepcopy(data)
    del bad["entries"][2]["licence"]
    with pytest.raises(ValueError, match=r"missing_or_unknown=\['licence'\]"):
        manifest.parse(json.dumps(bad))
    data["entries"][2]["file"]["md5"] = "0"
    with pytest.raises(ValueError, match=r"missing_or_unknown=\['md5'\]"):
        manifest.parse(json.dumps(data))


def test_a_tag_twice(data):
    data["entries"].append(data["entries"][-1])
    with pytest.raises(ValueError, match="every tag once"):
        manifest.parse(json.dumps(data))
