"""The reader of PyTorch state dicts on toy files: both containers, every rule of the conversion, hostile files."""

import io
import pickle
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from keras_inception.convert import names, torch_file, torch_pickle, torchvision
from keras_inception.convert.checkpoint import CheckpointError
from tests import hostile, torch_files
from tests.torch_files import Built, Call, Global, Ordered, Persistent, Raw, described, storage, tensor

WRITERS = {"zip": torch_files.zip_file, "legacy": torch_files.legacy_file}
FORMATS = pytest.mark.parametrize("form", ["zip", "legacy"])
TABLE = names.TABLE


@pytest.fixture(autouse=True)
def few_layers(monkeypatch):
    """A network of nine layers, so that a file has a few KB. The first test has them all."""
    few = ("conv1_7x7_s2", "inception_3a_5x5", "loss1_conv", "loss1_fc", "loss1_classifier", "loss3_classifier")
    few += ("loss2_conv", "loss2_fc", "loss2_classifier")
    monkeypatch.setattr(names, "TABLE", tuple(row for row in TABLE if row.layer in few))


def file_of(tensors: dict, form: str = "zip", shared: bool = False) -> bytes:
    items, storages = described(torch_files.torchvision_arrays(tensors), form == "legacy", shared)
    return WRITERS[form](Ordered(items), storages)


def write(tmp_path, data: bytes):
    path = tmp_path / "toy.pth"
    path.write_bytes(data)
    return path


def refuse(tmp_path, data: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as error:
        torchvision.read(write(tmp_path, data))
    assert "toy.pth" in str(error.value)
    assert len(str(error.value)) < 2000


def equal(found: dict, wanted: dict) -> None:
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
        assert found[name].dtype == np.float32 and found[name].flags.c_contiguous and found[name].flags.writeable


@FORMATS
@pytest.mark.parametrize("heads", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_both_formats(tmp_path, monkeypatch, form, heads, shared):
    monkeypatch.setattr(names, "TABLE", TABLE)
    tensors = torch_files.toy_tensors(heads)
    result = torchvision.read(write(tmp_path, file_of(tensors, form, shared)))
    equal(result.tensors, tensors)
    assert result.spec == {
        "architecture": "GoogLeNet",
        "variant": "torchvision",
        "classes": 3,
        "aux_heads": heads,
        "mean": [127.5, 127.5, 127.5],
        "scale": [1 / 127.5, 1 / 127.5, 1 / 127.5],
        "labels": None,
        "lrn": None,
    }


def test_labels_of_a_thousand_classes(tmp_path):
    assert (
        torchvision.read(write(tmp_path, file_of(torch_files.toy_tensors(classes=1000)))).spec["labels"] == "imagenet"
    )


def test_input_scaling_is_transform_input_after_the_usual_normalization():
    """torchvision normalizes by ImageNet's statistics, and its network takes that back."""
    pixels = np.arange(256.0)
    for mean, deviation in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225)):
        theirs = ((pixels / 255 - mean) / deviation) * (deviation / 0.5) + (mean - 0.5) / 0.5
        np.testing.assert_allclose((pixels - 127.5) / 127.5, theirs, atol=1e-12)


@FORMATS
@pytest.mark.parametrize("dtype", ["<f8", "<f2", "<u2"])
def test_other_floats(tmp_path, form, dtype):
    tensors = torch_files.toy_tensors()
    arrays = torch_files.torchvision_arrays(tensors)
    for name, array in arrays.items():
        if array.dtype == np.float32:
            arrays[name] = (array.view("<u4") >> 16).astype("<u2") if dtype == "<u2" else array.astype(dtype)
    items, storages = described(arrays, form == "legacy")
    found = torchvision.read(write(tmp_path, WRITERS[form](items, storages))).tensors
    for name, array in tensors.items():
        wanted = array.astype(dtype).astype("f") if dtype != "<u2" else (array.view("<u4") >> 16 << 16).view("f")
        np.testing.assert_array_equal(found[name], wanted)


@FORMATS
@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_checkpoint_of_a_training_script(tmp_path, form, wrapper):
    """The state dict is one entry among others, and DataParallel prefixed the names."""
    tensors = torch_files.toy_tensors()
    items, storages = described(torch_files.torchvision_arrays(tensors), form == "legacy")
    root = {
        "epoch": 90,
        "lr": 0.1,
        "done": True,
        "args": None,
        wrapper: Ordered({f"module.{name}": item for name, item in items.items()}),
        "optimizer": {
            "state": {0: {"momentum_buffer": items["conv1.bn.weight"]}},
            "param_groups": [{"params": [0, 1]}],
        },
    }
    equal(torchvision.read(write(tmp_path, WRITERS[form](root, storages))).tensors, tensors)


@pytest.mark.parametrize(
    "parameter", [Global("torch._utils", "_rebuild_parameter"), Global("torch.nn.parameter", "Parameter")]
)
def test_parameters(tmp_path, parameter):
    tensors = torch_files.toy_tensors()
    items, storages = described(torch_files.torchvision_arrays(tensors))
    items = {name: Call(parameter, (item, True, torch_files.ORDERED_DICT)) for name, item in items.items()}
    equal(torchvision.read(write(tmp_path, torch_files.zip_file(Ordered(items), storages))).tensors, tensors)


def test_pickles_of_other_protocols():
    """The same plain data by the standard library's pickler: memo, frames, and the short forms of protocol 4."""
    root = {"a": [1, 70000, 1 << 40, -1, 2.5, "x" * 300, None, True], "b": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4))}
    root["c"] = root["a"]
    for protocol in (2, 3, 4, 5):
        assert torch_pickle.unpickled(io.BytesIO(pickle.dumps(root, protocol)))[0] == root


def test_python_2_wrote_the_items_into_the_call(tmp_path):
    tensors = torch_files.toy_tensors()
    items, storages = described(torch_files.torchvision_arrays(tensors))
    root = Call(Global("collections", "OrderedDict"), ([[name, item] for name, item in items.items()],))
    equal(torchvision.read(write(tmp_path, torch_files.zip_file(root, storages))).tensors, tensors)


@FORMATS
def test_strides_and_offsets(tmp_path, form):
    """A transposed fully connected kernel that begins within its storage."""
    tensors = torch_files.toy_tensors()
    items, storages = described(torch_files.torchvision_arrays(tensors), form == "legacy")
    kernel = tensors["loss3_classifier/kernel"]  # (in, out) is PyTorch's (out, in) by columns
    storages["turned"] = np.concatenate([np.full(5, np.float32(9)), kernel.ravel()])
    source = storage("turned", "FloatStorage", 5 + kernel.size, form == "legacy")
    items["fc.weight"] = tensor(source, 5, kernel.shape[::-1], (1, kernel.shape[1]))
    equal(torchvision.read(write(tmp_path, WRITERS[form](items, storages))).tensors, tensors)


def edited(form="zip", heads=True, **replacements) -> bytes:
    """The toy file with some tensors replaced (or None: left out); `storages` adds storages."""
    items, storages = described(torch_files.torchvision_arrays(torch_files.toy_tensors(heads)), form == "legacy")
    storages.update(replacements.pop("storages", {}))
    for name, item in replacements.items():
        items[name.replace("__", ".")] = item
    return WRITERS[form]({name: item for name, item in items.items() if item is not None}, storages)


ROW = {"storages": {"row": np.ones(6, np.float32)}}


@FORMATS
@pytest.mark.parametrize(
    "offset, shape, strides, message",
    [
        (0, (3, 3), (3, 1), "inside its storage"),  # 9 of 6
        (1, (3, 2), (2, 1), "inside its storage"),
        (6, (1,), (1,), "inside its storage"),
        (0, (2, 2), (5, 1), "inside its storage"),
        (0, (1 << 39, 1 << 39), (0, 0), "inside its storage"),  # an expanded tensor
        (0, (7,), (0,), "inside its storage"),
        (0, (0, 2), (2, 1), "inside its storage"),
        (-1, (3, 2), (2, 1), "none negative"),
        (0, (-3, 2), (2, 1), "none negative"),
        (3, (3, 2), (-1, 1), "none negative"),
        (1 << 70, (3, 2), (2, 1), "none negative"),
        (0, (1 << 70, 2), (2, 1), "none negative"),
        (0, (3, 2), (2,), "as many integers"),
        (0, (1,) * 9, (1,) * 9, "as many integers"),
        (0, (3, "2"), (2, 1), "integers"),
        (0, (3, True), (2, 1), "integers"),
        (0.0, (3, 2), (2, 1), "integers"),
        (0, [3, 2], (2, 1), "expected a tuple"),
        (0, 3, 1, "expected a tuple"),
    ],
)
def test_hostile_windows(tmp_path, form, offset, shape, strides, message):
    item = tensor(storage("row", "FloatStorage", 6, form == "legacy"), offset, shape, strides)
    refuse(tmp_path, edited(form, fc__weight=item, **ROW), message)


@FORMATS
@pytest.mark.parametrize(
    "identity, message",
    [
        (("storage", Global("torch", "FloatStorage"), "row", "cpu", 7), "bytes in|numbers in storage"),
        (("storage", Global("torch", "FloatStorage"), "row", "cpu", 1 << 39), "bytes in|numbers in storage"),
        (("storage", Global("torch", "FloatStorage"), "row", "cpu", 1 << 62), "key of a storage and its size"),
        (("storage", Global("torch", "FloatStorage"), "row", "cpu", -1), "key of a storage and its size"),
        (("storage", Global("torch", "FloatStorage"), "row", "cpu", "6"), "key of a storage and its size"),
        (("storage", Global("torch", "FloatStorage"), 5, "cpu", 6), "key of a storage and its size"),
        (("storage", Global("torch", "FloatStorage"), "../row", "cpu", 6), "bytes in|listed once"),
        (("storage", Global("torch", "FloatStorage"), "none", "cpu", 6), "bytes in|listed once"),
        (("storage", Global("torch", "DoubleStorage"), "row", "cpu", 6), "bytes in|numbers in storage"),
        (("storage", Global("torch._utils", "_rebuild_tensor_v2"), "row", "cpu", 6), "persistent identity"),
        (("storage", "FloatStorage", "row", "cpu", 6), "persistent identity"),
        (("module", Global("torch", "FloatStorage"), "row", "cpu", 6), "persistent identity"),
        (("storage", Global("torch", "FloatStorage"), "row", "cpu", 6, ("view", 0, 3)), "persistent identity"),
        (("storage",), "pickle of a state dict"),
        ("row", "expected a tuple"),
        (("storage", Global("torch", "QInt8Storage"), "row", "cpu", 6), r"refused: torch\.QInt8Storage"),
    ],
)
def test_hostile_storages(tmp_path, form, identity, message):
    refuse(tmp_path, edited(form, fc__weight=tensor(Persistent(identity), 0, (3, 2), (2, 1)), **ROW), message)


@FORMATS
def test_one_storage_described_twice(tmp_path, form):
    legacy = form == "legacy"
    items = {
        "fc__weight": tensor(storage("row", "FloatStorage", 6, legacy), 0, (3, 2), (2, 1)),
        "fc__bias": tensor(storage("row", "HalfStorage", 6, legacy), 0, (3,), (1,)),
    }
    refuse(tmp_path, edited(form, **items, **ROW), "two that differ")


@FORMATS
def test_many_tensors_on_one_storage(tmp_path, form):
    """Each is within its storage, and together they would be a hundred times the file."""
    items, _ = described(torch_files.torchvision_arrays(torch_files.toy_tensors()), form == "legacy")
    whole = tensor(storage("all", "FloatStorage", 1 << 16, form == "legacy"), 0, (1 << 16,), (1,))
    data = WRITERS[form](dict.fromkeys(items, whole), {"all": np.zeros(1 << 16, np.float32)})
    refuse(tmp_path, data, "share their numbers")


@FORMATS
@pytest.mark.parametrize(
    "item, message",
    [
        (Call(Global("posix", "system"), ("echo broken > hostile.txt",)), r"refused: posix\.system"),
        (Call(Global("os", "system"), ("echo broken > hostile.txt",)), r"refused: os\.system"),
        (Call(Global("builtins", "eval"), ("open('hostile.txt', 'w')",)), r"refused: builtins\.eval"),
        (Call(Global("builtins", "getattr"), (Global("torch", "FloatStorage"), "mro")), r"refused: builtins\.getattr"),
        (Call(Global("torch.serialization", "load"), ("x",)), r"refused: torch\.serialization\.load"),
        (Call(Global("torch._utils", "_rebuild_tensor_v2.__globals__"), ()), r"refused: torch\._utils"),
        (Call(Global("torch", "FloatStorage"), (1 << 60,)), "refused: a call of torch FloatStorage"),
        (Call(Global("collections", "OrderedDict"), ([[("a",), 1]],)), "every name once"),
        (Call(Global("collections", "OrderedDict"), (5,)), "expected a list"),
        (Call(Global("torch._utils", "_rebuild_tensor_v2"), (1, 0, (1,), (1,))), "expected a _?Storage"),
        (Call(Global("torch._utils", "_rebuild_tensor_v2"), ()), "pickle of a state dict"),
        (Call(Global("torch._utils", "_rebuild_parameter"), ({},)), "expected a Tensor"),
        (Call("posix.system", ("true",)), "expected a Global"),
        (Built(Ordered({}), {"__class__": 1}), "refused: the operation BUILD"),
        (Built(Ordered({}), {"_metadata": 1, "keys": 2}), "refused: the operation BUILD"),
        (Built(Ordered({}), ("state",)), "expected a dict"),
        (Built(Global("torch", "FloatStorage"), {"_metadata": 1}), "expected a dict"),
        # The same through other operations.
        (Raw(b"X\x05\x00\x00\x00posixX\x06\x00\x00\x00system\x93"), r"refused: posix\.system"),  # STACK_GLOBAL
        (Raw(b"X\x05\x00\x00\x00posixN\x93"), "expected a str"),
        (Raw(b"(S'true'\niposix\nsystem\n"), "refused: the operation"),  # INST
        (Raw(b"(cposix\nsystem\nS'true'\no"), r"refused: posix\.system"),  # OBJ
        (Raw(b"ctorch\nFloatStorage\n)\x81"), "refused: the operation NEWOBJ"),
        (Raw(b"\x82\x01"), "refused: the operation EXT1"),
        (Raw(b"P0\n"), "refused: the operation PERSID"),
        (Raw(b"\x8f"), "refused: the operation EMPTY_SET"),
        (Raw(b"0"), "refused: the operation POP"),
    ],
)
def test_nothing_is_run(tmp_path, monkeypatch, form, item, message):
    monkeypatch.chdir(tmp_path)
    refuse(tmp_path, edited(form, fc__weight=item), message)
    assert not (tmp_path / "hostile.txt").exists()


def test_a_real_attack(tmp_path, monkeypatch):
    """What `pickle` makes of an object with a `__reduce__`, and what `pickle.load` would have done."""

    class Attack:
        def __reduce__(self):
            return exec, ("open('hostile.txt', 'w')",)

    monkeypatch.chdir(tmp_path)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps({"fc.weight": Attack()}, protocol)
        refuse(tmp_path, torch_files.zip_file(Raw(data[2:-1] if protocol > 1 else data[:-1]), {}), "refused|pickle")
        refuse(tmp_path, data, "refused|pickle|magic")
    assert not (tmp_path / "hostile.txt").exists()


@FORMATS
@pytest.mark.parametrize(
    "operations, message",
    [
        (b"", "expected one object"),
        (b"NN", "expected one object"),
        (b"(", "expected one object|another list"),
        (b"t", "pickle of a state dict"),  # a tuple without its mark
        (b"u", "pickle of a state dict"),
        (b"(Nu", "pickle of a state dict"),
        (b"}(Nu", "pickle of a state dict"),  # a key without its value
        (b"}NNs", "every name once"),
        (b"}(tNs", "every name once"),
        (b"](Ne", "expected a state dict"),
        (b"N(Ne", "expected a list"),
        (b"N", "expected a state dict"),
        (b"}", "expected a state dict"),
        (b"J\x01\x00\x00\x00", "expected a state dict"),
        (b"R", "pickle of a state dict"),
        (b"Q", "pickle of a state dict"),
        (b"h\x07", "pickle of a state dict"),  # a memo that was never put
        (b"q\x00", "pickle of a state dict"),  # nothing to put
        (b"}r\xff\xff\xff\xff", "expected a state dict"),  # LONG_BINPUT 4294967295
        (b"}r\xff\xff\xff\x7fj\xff\xff\xff\x7f", "expected one object"),
        (b"X\xff\xff\xff\x7fabc", "pickle of a state dict"),  # declares 2 GiB
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc", "pickle of a state dict"),  # BINUNICODE8, 2 ** 63
        (b"\x8b\xff\xff\xff\x7fabc", "pickle of a state dict"),  # LONG4
        (b"X\x02\x00\x00\x00\xff\xfe", "pickle of a state dict"),  # no UTF-8
        (b"\xff", "pickle of a state dict"),  # no operation
        (b"I" + b"9" * 5000 + b"\n", "pickle of a state dict"),
        (b"ctorch", "pickle of a state dict"),
        (b"c" + b"a" * 9999 + b"\n" + b"b" * 9999 + b"\n", "refused: a"),
    ],
)
def test_hostile_pickles(tmp_path, form, operations, message):
    if form == "zip":
        refuse(tmp_path, torch_files.zip_file(Raw(operations), {}), message)
    else:
        refuse(tmp_path, torch_files.legacy_file(Raw(operations), {}), message)


@pytest.mark.parametrize("root", [b"%b", b"}%bNs", b"}X\x01\0\0\0a%bs", b"]%ba"])
def test_tuples_of_tuples(tmp_path, root):
    """Sixty pairs, each the one before twice: small in memory, 2 ** 60 steps for whoever walks, hashes or prints it."""
    pairs = b"N" + b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(60))
    refuse(
        tmp_path, torch_files.zip_file(Raw(root % pairs), {}), "expected a state dict|every name once|tensors by name"
    )


def test_endless_pickle(tmp_path):
    refuse(tmp_path, torch_files.zip_file(Raw(b"N" * (torch_pickle.MAX_OPERATIONS + 1)), {}), "operations")
    refuse(tmp_path, torch_files.zip_file(Raw(b"X\x00\x00\x60\x00" + bytes(6 << 20)), {}), "pickle of a state dict")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"magic": 7}, "another magic number"),
        ({"version": 1002}, "another magic number or version"),
        ({"system": {"little_endian": False}}, "byte order"),
        ({"system": []}, "byte order"),
    ],
)
def test_legacy_headers(tmp_path, options, message):
    items, storages = described(torch_files.torchvision_arrays(torch_files.toy_tensors()), legacy=True)
    refuse(tmp_path, torch_files.legacy_file(Ordered(items), storages, **options), message)


def legacy_parts() -> list[bytes]:
    items, storages = described(torch_files.torchvision_arrays(torch_files.toy_tensors()), legacy=True)
    return torch_files.legacy_parts(Ordered(items), storages)


def test_legacy_cut_after_every_section(tmp_path):
    parts = legacy_parts()
    for count in range(len(parts)):
        refuse(tmp_path, b"".join(parts[:count]), "expected")
    refuse(tmp_path, b"".join(parts) + b"\0", "1 more bytes")


@pytest.mark.parametrize(
    "place, part, message",
    [
        (4, torch_files.pickled([]), "listed once"),
        (4, torch_files.pickled(["0"] * 42), "listed once"),
        (4, torch_files.pickled({"0": 1}), "listed once"),
        (4, torch_files.pickled([["0"]]), "listed once"),
        (5, struct.pack("<q", 1 << 60), "another count"),
        (5, struct.pack("<q", -1), "another count"),
    ],
)
def test_legacy_storages(tmp_path, place, part, message):
    parts = legacy_parts()
    parts[place] = part
    refuse(tmp_path, b"".join(parts), message)


@pytest.mark.parametrize(
    "extra, message",
    [
        ([("other/data.pkl", b"N.")], "expected one NAME/data.pkl"),
        ([("toy/data/0", b"again")], "twice"),
        ([("../evil", b"x")], "refused: '../evil'"),
        ([("/etc/passwd", b"x")], "refused: '/etc/passwd'"),
        ([("toy/../../evil", b"x")], "refused"),
        ([("C:\\evil", b"x")], "refused"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_members(tmp_path, extra, message):
    items, storages = described(torch_files.torchvision_arrays(torch_files.toy_tensors()))
    refuse(tmp_path, torch_files.zip_file(Ordered(items), storages, extra=extra), message)


def test_deflated_members_are_refused(tmp_path):
    """torch.save stores; a deflated storage could be a bomb."""
    items, storages = described(torch_files.torchvision_arrays(torch_files.toy_tensors()))
    refuse(tmp_path, torch_files.zip_file(Ordered(items), storages, zipfile.ZIP_DEFLATED), "expected stored members")


def test_zip_of_something_else(tmp_path):
    refuse(tmp_path, b"PK\3\4", "no end of its directory")
    refuse(tmp_path, b"", "pickle of a state dict")
    with zipfile.ZipFile(tmp_path / "toy.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match="expected one NAME/data.pkl"):
        torchvision.read(tmp_path / "toy.pth")
    items, storages = described(torch_files.torchvision_arrays(torch_files.toy_tensors()))
    data = torch_files.zip_file(Ordered(items), storages)
    refuse(tmp_path, data.replace(b"little", b"biglit"), "CRC-32")


def test_big_endian(tmp_path):
    items, storages = described(torch_files.torchvision_arrays(torch_files.toy_tensors()))
    data = torch_files.zip_file(Ordered(items), storages)
    crcs = [struct.pack("<L", zlib.crc32(order)) for order in (b"little", b"biglit")]
    refuse(tmp_path, data.replace(b"little", b"biglit").replace(*crcs), "little-endian")


@FORMATS
@pytest.mark.parametrize(
    "replacements, message",
    [
        ({"fc__weight": None}, "missing: 'fc.weight'|missing: fc.weight"),
        ({"conv1__bn__running_var": None}, "missing: conv1.bn.running_var"),
        ({"fc__weight": None, "fc__bias": None}, "missing: loss3_classifier"),
        ({"aux1__fc2__weight": None}, "missing: aux1.fc2.weight"),
        ({"aux1__fc2__weight": None, "aux1__fc2__bias": None}, "missing: loss1_classifier"),
        ({"fc__weight": 5}, "expected tensors by name"),
        ({"extra": {}}, "expected tensors by name"),
    ],
)
def test_incomplete_files(tmp_path, form, replacements, message):
    refuse(tmp_path, edited(form, **replacements), message)


def test_one_head_only(tmp_path):
    items, storages = described(torch_files.torchvision_arrays(torch_files.toy_tensors()))
    items = {name: item for name, item in items.items() if not name.startswith("aux2")}
    refuse(tmp_path, torch_files.zip_file(items, storages), "missing: aux2.conv.conv.weight")


def test_strangers(tmp_path):
    item = tensor(storage("row", "FloatStorage", 6), 0, (3, 2), (2, 1))
    refuse(
        tmp_path, edited(inception6a__branch1__conv__weight=item, **ROW), "Received: 'inception6a.branch1.conv.weight'"
    )
    refuse(tmp_path, edited(conv1__conv__bias=item, **ROW), "Received: 'conv1.conv.bias'")
    refuse(tmp_path, edited(**{f"stranger{n}": item for n in range(20)}, **ROW), "and 12 more")
    refuse(tmp_path, edited(**{"\x1b[2J\n": item}, **ROW), r"\\x1b")


def test_names_twice(tmp_path):
    items, storages = described(torch_files.torchvision_arrays(torch_files.toy_tensors()))
    again = torch_files.encoded("fc.bias") + torch_files.encoded(items["fc.bias"]) + b"s"
    refuse(tmp_path, torch_files.zip_file(Raw(torch_files.encoded(items) + again), storages), "Received: fc.bias")


@pytest.mark.parametrize(
    "name, shape, message",
    [
        ("fc__weight", (6,), "expected 2 dimensions in loss3_classifier/kernel"),
        ("fc__weight", (2, 3), r"expected shape \(2,\) of loss3_classifier/bias"),
        ("conv1__conv__weight", (3, 2), "expected 4 dimensions in conv1_7x7_s2/kernel"),
        ("conv1__conv__weight", (6, 1, 1, 1), r"expected shape \(6,\) of conv1_7x7_s2_bn/gamma"),
        ("conv1__bn__weight", (6,), r"expected shape \(2,\) of conv1_7x7_s2_bn/gamma"),
        ("conv1__bn__weight", (), "inside its storage|expected shape"),
        ("aux1__fc1__weight", (2, 3), "square map of 2 channels"),
    ],
)
def test_shapes_that_do_not_fit(tmp_path, name, shape, message):
    item = tensor(storage("row", "FloatStorage", 6), 0, shape, torch_files.contiguous(shape))
    refuse(tmp_path, edited(**{name: item}, **ROW), message)


def test_integers_as_weights(tmp_path):
    item = tensor(storage("row", "LongStorage", 6), 0, (3, 2), (2, 1))
    refuse(
        tmp_path, edited(fc__weight=item, storages={"row": np.ones(6, np.int64)}), "floating-point numbers in fc.weight"
    )


@FORMATS
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(tmp_path, form, value):
    tensors = torch_files.toy_tensors()
    tensors["inception_3a_5x5/kernel"][0, 0, 1, 1] = value
    refuse(tmp_path, file_of(tensors, form), "NaN or infinity in inception_3a_5x5/kernel")


def test_double_beyond_float32(tmp_path):
    item = tensor(storage("row", "DoubleStorage", 6), 0, (3, 2), (2, 1))
    refuse(tmp_path, edited(fc__weight=item, storages={"row": np.full(6, 1e300)}), "NaN or infinity")


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        torchvision.read(tmp_path / "none.pth")


@FORMATS
def test_fuzz(tmp_path, form):
    tensors = torch_files.toy_tensors()
    items, storages = described(torch_files.torchvision_arrays(tensors), form == "legacy", shared=True)
    data = WRITERS[form](Ordered(items), storages)
    reference = torchvision.read(write(tmp_path, data))
    if form == "legacy":
        parts = torch_files.legacy_parts(Ordered(items), storages)
        boundaries = [sum(map(len, parts[:count])) for count in range(len(parts))]
    else:
        with zipfile.ZipFile(write(tmp_path, data)) as archive:
            starts = [info.header_offset for info in archive.infolist()]
        boundaries = [*starts, data.index(b"PK\1\2"), data.index(b"PK\5\6")]
    place = data.index(b"ccollections")
    boundaries += [place + n for n in range(0, 200, 7)]

    @settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
    @given(hostile.mutations(data, boundaries))
    def run(mutated):
        hostile.check(torchvision.read, mutated, reference, tmp_path / "hostile.pth")

    run()


def test_fuzz_the_pickle(tmp_path):
    """In a zip archive the CRC stops most changes; here it vouches for the changed pickle."""
    items, storages = described(torch_files.torchvision_arrays(torch_files.toy_tensors()), shared=True)
    reference = torchvision.read(write(tmp_path, torch_files.zip_file(Ordered(items), storages)))

    @settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
    @given(hostile.mutations(torch_files.encoded(Ordered(items))))
    def run(mutated):
        data = torch_files.zip_file(Raw(mutated), storages)
        hostile.check(torchvision.read, data, reference, tmp_path / "hostile.pth")

    run()


BFLOAT16 = "BFloat16Storage"


def bfloat16(values) -> np.ndarray:
    return (np.asarray(values, np.float32).view("<u4") >> 16).astype("<u2")


@pytest.mark.parametrize("shape, strides", [((2, 3), (1, 2)), ((2, 3), (3, 1)), ((3,), (2,)), ((), ())])
def test_bfloat16_of_any_strides(shape, strides):
    values = np.array([1.5, -2, 0.25, 3, -0.0, 1e30], np.float32)
    item = tensor(storage("row", BFLOAT16, 6), 0, shape, strides)
    file = torch_files.zip_file({"x": item}, {"row": bfloat16(values)})
    found = torch_file.StateDict(memoryview(file)).array("x")
    widened = (bfloat16(values).astype("<u4") << 16).view("<f4")
    wanted = np.lib.stride_tricks.as_strided(widened, shape, [4 * stride for stride in strides])
    assert isinstance(found, np.ndarray) and found.dtype == np.float32 and found.shape == shape
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("kind, dtype", [("FloatStorage", "<f4"), ("HalfStorage", "<f2"), (BFLOAT16, "<u2")])
def test_memory_of_one_large_tensor(tmp_path, kind, dtype):
    """A tensor is copied once, as float32: with the file, at most three times the file."""
    count = 1 << 22
    edits = {"aux1__fc1__weight": tensor(storage("large", kind, count), 0, (count // 8, 8), (8, 1))}
    edits["aux1__fc1__bias"] = tensor(storage("bias", kind, count // 8), 0, (count // 8,), (1,))
    edits["aux1__fc2__weight"] = tensor(storage("next", kind, count // 8), 0, (1, count // 8), (count // 8, 1))
    edits["aux1__fc2__bias"] = tensor(storage("row", kind, 1), 0, (1,), (1,))
    sizes = {"large": count, "bias": count // 8, "next": count // 8, "row": 1}
    data = edited("zip", **edits, storages={key: np.zeros(size, dtype) for key, size in sizes.items()})
    path = write(tmp_path, data)
    tracemalloc.start()
    tensors = torchvision.read(path).tensors
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert tensors["loss1_fc/kernel"].shape == (8, count // 8)
    assert peak < 3 * len(data) + 4 * hostile.MIB


def test_a_file_is_read_without_copies(tmp_path):
    """An array of the older format is a view of the file until its layout is changed."""
    data = memoryview(file_of(torch_files.toy_tensors(), "legacy"))
    array = torch_file.StateDict(data).array("fc.weight")
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))
