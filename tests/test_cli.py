"""The command line: what it prints where, its exit codes, and that it answers fast where no model is needed."""

import errno
import functools
import io
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
from PIL import Image

import keras_inception
import keras_inception_cli as cli
from keras_inception import checkpoints, pretrained
from keras_inception.convert.checkpoint import Checkpoint
from keras_inception.hub import download, manifest, serialization
from keras_inception.hub import folder as folders

CLI = pathlib.Path(cli.__file__)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A model of random weights that calls itself a CIFAR-10 classifier."""
    model = keras_inception.GoogLeNet(weights=None, stem="small", classes=10)
    checkpoint = checkpoints.to_checkpoint(model)
    spec = {**checkpoint.spec, "labels": "cifar10", "preprocessing": {"size": 32, "resize_to": 32}}
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    return str(serialization.write(path, Checkpoint(spec, checkpoint.tensors)))


# Building and tracing a network takes seconds: one serves all tests.
load_once = functools.cache(pretrained.network_of)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Two photos and a broken one, in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("keras_inception.cli.loading.network_of", load_once)
    monkeypatch.setenv("KERAS_INCEPTION_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    (tmp_path / "album").mkdir()
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).save("album/b.png")
    Image.fromarray(rng.integers(0, 256, (60, 40), np.uint8)).save("a.jpg")
    (tmp_path / "album" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a photo")
    return tmp_path


def run(capsys, *argv):
    code = cli.main([str(word) for word in argv])
    out, err = capsys.readouterr()
    return code, out, err


# classify


def test_table(photos, weights, capsys):
    code, out, err = run(capsys, "classify", "a.jpg", "--weights", weights, "--top", 3)
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0] == "a.jpg" and len(lines) == 4
    assert all(re.fullmatch(r"   [ \d]\d\.\d%  [a-z]+", line) for line in lines[1:])
    scores = [float(line.split("%")[0]) for line in lines[1:]]
    assert scores == sorted(scores, reverse=True)


def test_json_lines_and_a_broken_photo(photos, weights, capsys):
    code, out, err = run(capsys, "classify", "a.jpg", "album", "--weights", weights, "--json", "--top", 99)
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert [photo["path"] for photo in found] == ["a.jpg", os.path.join("album", "b.png")]
    for photo in found:
        assert list(photo) == ["path", "predictions"] and len(photo["predictions"]) == 10
        assert all(list(prediction) == ["id", "label", "score"] for prediction in photo["predictions"])
        assert sum(prediction["score"] for prediction in photo["predictions"]) == pytest.approx(1, abs=1e-4)
    assert err.startswith("keras-inception: ") and "broken.jpg" in err and err.count("\n") == 1


def test_the_scores_are_the_models(photos, weights, capsys):
    _, out, _ = run(capsys, "classify", "a.jpg", "album/b.png", "--weights", weights, "--json", "--batch-size", 1)
    model = keras_inception.GoogLeNet(weights=weights, allow_unverified=False)
    pixels = keras_inception.preprocess_input(["a.jpg", "album/b.png"], model=model)
    expected = keras_inception.decode_predictions(model(pixels), labels=model)
    for line, predictions in zip(out.splitlines(), expected, strict=True):
        found = [(p["id"], p["label"], p["score"]) for p in json.loads(line)["predictions"]]
        assert [f[:2] for f in found] == [p[:2] for p in predictions]
        np.testing.assert_allclose([f[2] for f in found], [p[2] for p in predictions], atol=2e-6)


def test_patterns_and_folders_that_hold_nothing(photos, weights, capsys):
    code, out, err = run(capsys, "classify", "**/*.png", "*.gif", "--weights", weights, "--json")
    assert code == 1 and json.loads(out)["path"] == os.path.join("album", "b.png")
    assert err == "keras-inception: expected image files; Received: *.gif, with none\n"
    (photos / "empty").mkdir()
    # No model is loaded for nothing: the weights do not exist either.
    code, out, err = run(capsys, "classify", "empty", "absent.jpg", "--weights", "absent.safetensors")
    assert (code, out, err.count("\n")) == (1, "", 2) and "which does not exist" in err


def test_picture(photos, weights, capsys):
    code, out, err = run(capsys, "classify", "a.jpg", "album/b.png", "--weights", weights, "--picture", "page.png")
    assert (code, err) == (0, "") and out.startswith("a.jpg\n")
    with Image.open("page.png") as page:
        assert page.format == "PNG" and page.width > 1000
    code, _, err = run(capsys, "classify", "a.jpg", "--weights", weights, "--picture", "nowhere/page.png")
    assert code == 1 and "existing folder" in err


def test_many_photos_make_a_page_of_the_first(photos, weights, capsys, monkeypatch):
    monkeypatch.setattr("keras_inception.cli.classify.MAX_CARDS", 1)
    pages = []
    monkeypatch.setattr(
        "keras_inception.cli.classify.contact_sheet", lambda *args: pages.append(args) or Image.new("L", (1, 1))
    )
    run(capsys, "classify", "a.jpg", "album/b.png", "--weights", weights, "--picture", "page.png", "--top", 2)
    ((cards, title, subtitle),) = pages
    assert (title, subtitle) == ("GoogLeNet", "tiny.safetensors weights, 1 of 2 photos")
    assert [(caption, len(predictions)) for _, caption, predictions in cards] == [("a.jpg", 2)]


def test_a_model_without_labels_gets_numbers(photos, weights, capsys, tmp_path):
    checkpoint = serialization.read(weights)
    serialization.write(
        tmp_path / "own.safetensors", Checkpoint({**checkpoint.spec, "labels": None}, checkpoint.tensors)
    )
    _, out, _ = run(capsys, "classify", "a.jpg", "--weights", tmp_path / "own.safetensors", "--top", 10)
    assert {line.split("%")[1].strip() for line in out.splitlines()[1:]} == {f"class {index}" for index in range(10)}


def test_scores_that_are_no_numbers(photos, weights, capsys, monkeypatch):
    def broken(batch):
        return np.full((len(batch), 10), [np.nan] * 9 + [np.inf])

    monkeypatch.setattr(load_once(weights, allow_unverified=False), "predict_on_batch", broken)
    argv = ("classify", "a.jpg", "--weights", weights, "--top", 10)
    code, out, err = run(capsys, *argv, "--json", "--picture", "page.png")
    assert (code, err) == (0, "") and os.path.exists("page.png")
    found = json.loads(out, parse_constant=pytest.fail)["predictions"]
    assert len(found) == 10 and all(prediction["score"] is None for prediction in found)
    assert "nan%" in run(capsys, *argv)[1]


def damage_exif(path):
    """Saves a photo of which one EXIF entry claims to be longer than the file, and which is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    Image.new("RGB", (60, 40)).save(path, exif=exif)
    data = path.read_bytes()
    entry, damaged = (struct.pack(">HHL", 0x010F, 2, length) for length in (6, 60000))
    assert data.count(entry) == 1
    path.write_bytes(data.replace(entry, damaged))


def test_damaged_exif_data_is_no_news(photos, weights, capsys):
    damage_exif(photos / "a.jpg")
    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        code, out, err = run(capsys, "classify", "a.jpg", "--weights", weights)
        assert (code, err) == (0, "") and out.startswith("a.jpg\n")
        assert not [warning for warning in caught if "PIL" in warning.filename]
        run(capsys, "classify", "a.jpg", "--weights", weights, "--debug")
        assert [warning for warning in caught if "PIL" in warning.filename]
    assert warnings.filters == before


def test_a_folder_that_cannot_be_read(photos, weights, capsys, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if os.path.basename(path) == "album":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    code, out, err = run(capsys, "classify", ".", "--weights", weights, "--json")
    assert code == 1 and json.loads(out)["path"] == os.path.join(".", "a.jpg")
    album = os.path.join(".", "album")
    assert err == f"keras-inception: expected a readable folder; Received: {album} (Permission denied)\n"


def test_names_of_files_that_no_encoding_knows(photos, weights, capsys):
    os.rename("a.jpg", b"caf\xe9.jpg")
    code, out, _ = run(capsys, "classify", ".", "--weights", weights)
    assert code == 1 and "caf\\udce9.jpg" in out  # 1 for broken.jpg


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_goes_to_a_terminal_and_never_to_stdout(photos, weights, capsys, monkeypatch, terminal):
    for index in range(9):
        Image.new("RGB", (20, 20)).save(f"{index}.png")
    stderr = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    assert cli.main(["classify", *(f"{index}.png" for index in range(9)), "--weights", weights, "--json"]) == 0
    assert [json.loads(line)["path"] for line in capsys.readouterr().out.splitlines()] == [f"{i}.png" for i in range(9)]
    assert ("photos" in stderr.getvalue()) == terminal


def test_public_weights_that_cannot_be_had_point_at_the_embedded(photos, capsys, monkeypatch):
    def refuse(*args, **kwargs):
        raise download.DownloadError("could not download the weights 'bvlc'\n  http://mirror: dead")

    monkeypatch.setattr(pretrained, "load_checkpoint", refuse)
    monkeypatch.setattr(checkpoints, "embedded", lambda: {"cifar10": pathlib.Path("weights/cifar10")})
    code, _, err = run(capsys, "classify", "a.jpg")
    expected = "could not download the weights 'bvlc'; what needs no download is --weights cifar10"
    assert (code, err) == (1, f"keras-inception: {expected}\n")


def test_ctrl_c(photos, weights, capsys, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("keras_inception.classify._classified", interrupted)
    assert run(capsys, "classify", "a.jpg", "--weights", weights) == (130, "", "keras-inception: interrupted\n")


# The other commands


# evaluate


@pytest.fixture
def classes(photos):
    """Three of CIFAR-10's classes as folders of one or two photos; and a TFDS folder without anything."""
    rng = np.random.default_rng(1)
    for name in ("ship/1.png", "ship/2.jpg", "cat/1.png", "deer/1.png"):
        path = photos / "animals" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).save(path)
    return photos


def test_evaluate(classes, weights, capsys):
    arguments = ("evaluate", "--weights", weights, "--data", "animals", "--json", "out.json", "--picture", "out.png")
    code, out, _ = run(capsys, *arguments, "--protocol", "10")
    assert code == 0 and "4 images, 1 model, 10 crops (10)" in out
    found = json.loads((classes / "out.json").read_text())
    assert found["images"] == 4 and [entry["images"] for entry in found["classes"]] == [0, 0, 0, 1, 1, 0, 0, 0, 2, 0]
    with Image.open("out.png") as picture:
        assert picture.size[0] > 1000
    model = load_once(weights, allow_unverified=False)
    source = keras_inception.datasets.open_source("folder", "all", "animals")
    expected = keras_inception.evaluate(model, source, "10", progress=False)
    assert found["confusion"] == expected.confusion.tolist()


def test_evaluate_in_half_precision(classes, weights, capsys, monkeypatch):
    monkeypatch.setattr("keras_inception.cli.loading.network_of", pretrained.network_of)
    arguments = ("evaluate", "--weights", weights, "--data", "animals", "--json", "out.json")
    for precision, expected in ((), "float32"), (("--precision", "mixed_bfloat16"), "bfloat16"):
        assert run(capsys, *arguments, *precision)[0] == 0
        assert json.loads((classes / "out.json").read_text())["precisions"] == [expected]


def test_evaluate_an_ensemble_as_a_table(classes, weights, capsys):
    both = ("--weights", weights, "--weights", "cifar10")
    code, out, _ = run(capsys, "evaluate", *both, "--data", "animals", "--table", "--limit", 2, "--json", "out.json")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines()]
    assert code == 0 and [row[:3] for row in rows[2:]] == [
        ["1", "1", "1"],
        ["1", "10", "10"],
        ["1", "144", "144"],
        ["2", "1", "2"],
        ["2", "10", "20"],
        ["2", "144", "288"],
    ]
    found = json.loads((classes / "out.json").read_text())
    assert [entry["images"] for entry in found["evaluations"]] == [2] * 6
    assert [single["model"] for single in found["singles"]] == [str(weights), "cifar10"]


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--data", "no_such_data"], "expected no_such_data as TFDS prepares it"),
        (["--data", "animals", "--json", "nowhere/out.json"], "expected an existing folder for nowhere/out.json"),
        (["--data", "animals", "--json", "animals"], "expected the name of a file; Received: animals, a folder"),
        (
            ["--data", "animals", "--weights", "cifar10", "--weights", "cifar10"],
            "expected different weights; Received: ",
        ),
        (["--data", "animals", "--split", "third"], "expected the split train, validation or all of a folder"),
    ],
)
def test_evaluate_errors(classes, weights, capsys, arguments, said):
    code, out, err = run(capsys, "evaluate", "--weights", weights, *arguments)
    assert (code, out) == (1, "") and said in err and len(err.splitlines()) == 1


def test_evaluate_goes_on_where_it_was(classes, weights, capsys):
    arguments = ("evaluate", "--weights", weights, "--data", "animals", "--resume", "state", "--batch-size", 3)
    assert run(capsys, *arguments)[:2] == run(capsys, *arguments)[:2]
    code, _, err = run(capsys, *arguments, "--protocol", "10")
    assert code == 1 and "expected the file of this evaluation" in err and "Received: state, of another" in err


def test_evaluate_says_which_image_is_broken(classes, weights, capsys):
    broken = classes / "animals" / "cat" / "broken.png"
    broken.write_bytes(b"no image")
    code, out, err = run(capsys, "evaluate", "--weights", weights, "--data", "animals")
    assert (code, out) == (1, "") and "expected images that can be decoded; Received: cat/broken.png" in err


def test_evaluate_images_that_need_no_file(weights, capsys):
    code, _, err = run(capsys, "evaluate", "--weights", weights, "--data", "synthetic")
    assert code == 1 and "expected classes that the model has" in err, "validation, without a word about it"


def test_evaluate_takes_what_is_held_out(classes, weights, capsys):
    os.makedirs("split")
    os.rename("animals", "split/train")
    for name in ("ship", "cat", "deer"):
        os.makedirs(f"split/val/{name}")
        Image.new("RGB", (32, 32)).save(f"split/val/{name}/1.png")
    code, out, _ = run(capsys, "evaluate", "--weights", weights, "--data", "split")
    assert code == 0 and "3 images" in out


# list, info, fetch, convert


@pytest.fixture
def embedded(weights, tmp_path, monkeypatch):
    """The tiny model as weights that come with the package."""
    folder = tmp_path / "weights" / "tiny"
    folders.write(folder, serialization.read(weights), metrics={"accuracy": 0.915, "top5": 99.5})
    monkeypatch.setattr(checkpoints, "embedded", lambda: {"tiny": folder})
    monkeypatch.setenv("KERAS_INCEPTION_CACHE", str(tmp_path / "cache"))
    return folder


def test_list(embedded, capsys, tmp_path):
    code, out, err = run(capsys, "list")
    header, *rows = out.splitlines()
    assert (code, err) == (0, "")
    assert header.split() == ["TAG", "NETWORK", "CLASSES", "SIZE", "TOP-1", "TOP-5", "HERE"]
    by_tag = {row.split()[0]: row.split()[1:] for row in rows}
    assert by_tag["tiny"] == ["paper", "10", "23.9", "MB", "91.5", "99.5", "embedded"]
    assert by_tag["bvlc"] == ["paper", "1000", "53.5", "MB", "68.7", "88.9", "-"]
    converted = download.converted_path(manifest.entries()["bvlc"])
    converted.parent.mkdir()
    converted.touch()
    assert re.search("^bvlc .* cached$", run(capsys, "list")[1], re.MULTILINE)


def test_info(embedded, capsys):
    code, out, err = run(capsys, "info", "imagenet")
    assert (code, err) == (0, "")
    assert re.search("^tag +bvlc$", out, re.MULTILINE) and re.search("^accuracy top1 +68.7$", out, re.MULTILINE)
    entry = json.loads(run(capsys, "info", "slim", "--json")[1])
    assert entry["tag"] == "slim" and entry["file"]["urls"] and entry["here"] is None
    ours = json.loads(run(capsys, "info", "tiny", "--json")[1])
    assert ours["path"] == str(embedded) and ours["classes"] == 10 and len(ours["file"]["sha256"]) == 64
    assert "cifar10" in run(capsys, "info", "tiny")[1]
    code, out, err = run(capsys, "info", "resnet")
    assert (code, out) == (1, "") and "imagenet, tiny, bvlc" in err


def test_fetch(embedded, capsys, monkeypatch):
    asked = []

    def fetch(tag, **options):
        asked.append((tag, options))
        return pathlib.Path("cache/bvlc.safetensors")

    monkeypatch.setattr(checkpoints, "fetch", fetch)
    assert run(capsys, "fetch", "bvlc") == (0, f"{pathlib.Path('cache/bvlc.safetensors')}\n", "")
    run(capsys, "fetch", "places365", "--allow-unverified")
    assert asked == [("bvlc", {"allow_unverified": False}), ("places365", {"allow_unverified": True})]
    assert run(capsys, "fetch", "tiny")[1] == f"{embedded}\n"


@pytest.mark.parametrize("argv", [["classify", "a.jpg", "--weights"], ["fetch"], ["convert"]])
def test_weights_without_a_checksum(argv, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_INCEPTION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    Image.new("RGB", (40, 40)).save("a.jpg")
    tag = next(tag for tag, entry in manifest.entries().items() if entry.file.checksum is None)
    argv = [*argv, tag, *(["out.safetensors"] if argv == ["convert"] else [])]
    code, out, err = run(capsys, *argv)
    assert (code, out) == (1, "")
    assert err.startswith(f"keras-inception: expected --allow-unverified for {tag!r}, because no checksum of ")
    assert err.endswith(" was published\n") and err.count("\n") == 1
    code, out, err = run(capsys, *argv, "--allow-unverified")
    assert (code, out) == (1, "") and f"could not download the weights {tag!r}" in err


def test_fetch_without_a_network(embedded, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, out, err = run(capsys, "fetch", "torchvision")
    assert (code, out, err.count("\n")) == (1, "", 1) and "HF_HUB_OFFLINE" in err
    code, out, err = run(capsys, "fetch", "nothing")
    assert (code, out, err.count("\n")) == (1, "", 1) and "torchvision" in err


@pytest.mark.parametrize("name", ["out.safetensors", "out.keras", "out"])
def test_convert(embedded, capsys, tmp_path, name):
    code, out, err = run(capsys, "convert", embedded, tmp_path / name)
    assert (code, out, err) == (0, f"{tmp_path / name}\n", "")
    again = checkpoints.load_checkpoint(tmp_path / name)
    original = folders.read(embedded).checkpoint()
    assert all(np.array_equal(array, original.tensors[key]) for key, array in again.tensors.items())
    assert again.spec["labels"] == "cifar10"


def test_convert_errors(weights, capsys, tmp_path):
    for source, destination in ((weights, "out.h5"), (tmp_path / "absent.pth", "out.keras")):
        code, out, err = run(capsys, "convert", source, tmp_path / destination)
        assert (code, out, err.count("\n")) == (1, "", 1) and "Received" in err
        assert not (tmp_path / destination).exists()


# The program


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["classify"],
        ["paint"],
        ["classify", "a.jpg", "--top", "0"],
        ["classify", "a.jpg", "--top", "x"],
        ["classify", "a.jpg", "--batch-size", "-1"],
        ["classify", "a.jpg", "--picture", "page.jpg"],
        ["info"],
        ["convert", "in"],
    ],
)
def test_wrong_usage(argv, capsys):
    with pytest.raises(SystemExit) as exit:
        cli.main(argv)
    assert exit.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and "usage: keras-inception" in err


def test_debug_shows_where_an_error_is_from(tmp_path):
    with pytest.raises(ValueError, match="Received"):
        cli.main(["info", "nothing", "--debug"])


def test_a_long_error_is_cut(capsys, monkeypatch):
    def fail(*args, **kwargs):
        raise ValueError("one\n" * 2000)

    monkeypatch.setattr(pretrained, "convert", fail)
    code, _, err = run(capsys, "convert", "a", "b")
    assert code == 1 and err.count("\n") == 1 and len(err) < 900 and err.endswith("(--debug shows all of it)\n")


def test_a_reader_that_has_gone(capsys, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert cli.main(["list"]) == 1
        monkeypatch.undo()
    assert capsys.readouterr().err == ""


def alone(code, *argv):
    """Runs code in a process of its own, with the command line as `cli`, loaded without the package around it."""
    start = "import os, runpy, sys, types; cli = types.SimpleNamespace(**runpy.run_path(sys.argv[1]))\n"
    return subprocess.run([sys.executable, "-c", start + code, CLI, *argv], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("argv", [["--help"], ["classify", "--help"], ["convert", "--help"]])
def test_help_needs_neither_keras_nor_anything_slow(argv):
    code = """
try:
    cli.main(sys.argv[2:])
finally:
    heavy = {"keras", "tensorflow", "numpy", "PIL", "huggingface_hub", "keras_inception"} & set(sys.modules)
    print(sorted(heavy), file=sys.stderr)
"""
    process = alone(code, *argv)
    assert process.returncode == 0 and process.stderr == "[]\n"
    assert process.stdout.startswith(f"usage: keras-inception {'' if argv == ['--help'] else argv[0]}")


def test_the_log_of_tensorflow_is_hidden_and_ours_is_not():
    code = """
with cli._quiet_tensorflow():
    os.write(2, b"I0000 noise from C++\\n")
    print("ours", file=sys.stderr)
    print("result")
os.write(2, b"afterwards\\n")
"""
    process = alone(code)
    assert (process.returncode, process.stdout, process.stderr) == (0, "result\n", "ours\nafterwards\n")


def test_as_a_program(photos, weights):
    """Real processes: stdout holds JSON alone, whatever TensorFlow and the progress bar say."""
    command = [sys.executable, "-m", "keras_inception_cli", "classify", "a.jpg", "--json", "--weights", weights]
    process = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(CLI.parents[1])}
    )
    assert process.returncode == 0
    assert json.loads(process.stdout)["path"] == "a.jpg"


# publish, verify, and hubs


@pytest.fixture
def client_of(hub, hub_client, monkeypatch):
    """The hub on this machine is the one that HF_ENDPOINT names."""
    monkeypatch.setattr(hub_client, "ENDPOINT", hub.url)
    template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(hub_client, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("HF_TOKEN", "hf_me")
    return hub


def test_publish_fetch_info_and_verify_on_a_hub(embedded, client_of, capsys):
    arguments = ["--version", "v1", "--license", "mit", "--metric", "top1=91.5", "--metric", "protocol=one crop"]
    code, out, err = run(capsys, "publish", str(embedded), "me/tiny", "--private", "--tag", "fun", *arguments)
    assert code == 0, err
    commit = out.strip().splitlines()[-1]
    repository = client_of.repositories["me/tiny"]
    assert repository.refs["tags"] == {"v1": commit} and repository.settings["private"] is True
    code, out, _ = run(capsys, "info", "hf://me/tiny@v1", "--json")
    facts = json.loads(out)
    assert (code, facts["commit"], facts["accuracy"]["top1"], facts["classes"]) == (0, commit, 91.5, 10)
    assert facts["here"] is None and not any(
        e.path.endswith(".safetensors") for e in client_of.log if e.method == "GET"
    )
    code, out, _ = run(capsys, "fetch", "hf://me/tiny")
    assert code == 0 and out.strip().endswith(commit)
    assert json.loads(run(capsys, "info", "hf://me/tiny", "--json")[1])["here"] == "cached"
    code, out, _ = run(capsys, "verify", "hf://me/tiny")
    assert code == 0 and out.strip().endswith(f"{commit}: as published")
    run(capsys, "publish", str(embedded), "me/tiny", "--create-pr", "--message", "Better", "--metric", "top1=92")
    assert set(repository.refs["requests"]) == {"refs/pr/1"}
    assert run(capsys, "publish", str(embedded), "me/tiny", "--version", "v1")[0] == 1


def test_a_hub_on_disk(embedded, capsys, tmp_path):
    hub = tmp_path / "hub"
    for name, half in (("one", []), ("two", ["--half"])):
        code, out, err = run(capsys, "publish", str(embedded), str(hub / name), *half)
        assert code == 0 and out.startswith("sha256:"), err
    code, out, _ = run(capsys, "list", "--hub", str(hub))
    by_tag = {row.split()[0]: row.split()[1:] for row in out.splitlines()[1:]}
    assert code == 0 and by_tag["one"][2:4] == ["23.9", "MB"] and by_tag["two"][2] == "12.0"
    assert run(capsys, "verify", str(hub))[:2] == (0, f"{hub / 'one'}: as published\n{hub / 'two'}: as published\n")
    assert run(capsys, "publish", str(hub / "two"), str(hub / "three"))[0] == 0  # half of itself
    assert (hub / "three" / "model.safetensors").stat().st_size == (hub / "two" / "model.safetensors").stat().st_size
    weights = hub / "two" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    (hub / "one" / "README.md").write_text("# no numbers\n")
    code, out, _ = run(capsys, "verify", str(hub))
    assert code == 1 and "expected sha256" in out and "in its model-index" in out
    (hub / "one" / "keras_inception.json").write_text("{}")
    code, out, err = run(capsys, "list", "--hub", str(hub))
    assert code == 0 and "two" in out and "expected a format" in err
    assert run(capsys, "verify", str(tmp_path / "nothing"))[0] == 1


def test_a_network_that_is_built_upon_one_classifies_photos(tmp_path, capsys, photos, client_of):
    base = keras_inception.GoogLeNet(weights=None, stem="small", include_top=False, pooling="avg")
    base = keras.Sequential([keras.Input((32, 32, 3)), base, keras.layers.Dense(2, activation="softmax")])
    for destination in (tmp_path / "net", "me/net"):
        keras_inception.push_to_hub(base, destination, labels=["rose", "tulip"], endpoint=client_of.url)
    for weights in (str(tmp_path / "net"), "hf://me/net"):
        code, out, err = run(capsys, "classify", "a.jpg", "--weights", weights, "--json")
        assert code == 0, err
        assert {row["label"] for row in json.loads(out)["predictions"]} == {"rose", "tulip"}


def test_a_network_that_takes_no_pixels_classifies_photos(tmp_path, capsys, photos, weights):
    usual = keras_inception.GoogLeNet(weights=weights, allow_unverified=True)
    bare = keras_inception.GoogLeNet(
        weights=weights, allow_unverified=True, include_preprocessing=False, classifier_activation=None
    )
    for name, each in (("usual", usual), ("bare", bare)):
        keras_inception.push_to_hub(each, tmp_path / name)
    base = keras_inception.GoogLeNet(
        weights=weights, allow_unverified=True, include_preprocessing=False, include_top=False, pooling="avg"
    )
    head = keras.Sequential([base, keras.layers.Dense(10, activation="softmax", name="own")])
    head.layers[-1].set_weights(usual.get_layer("loss3_classifier").get_weights())
    keras_inception.push_to_hub(head, tmp_path / "head", labels="cifar10")
    scores = []
    for name in ("usual", "bare", "head"):
        code, out, err = run(capsys, "classify", "a.jpg", "--weights", tmp_path / name, "--json")
        assert code == 0, err
        scores.append([row["score"] for row in json.loads(out)["predictions"]])
    np.testing.assert_allclose(scores[1:], scores[:1] * 2, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        lambda data, card: data["files"]["model.safetensors"].update(bytes=10**400),
        lambda data, card: data["files"]["model.safetensors"].update(bytes=1 << 42),
        lambda data, card: data["metrics"].update(top1=10**400),
        lambda data, card: data["spec"].pop("mean"),
        lambda data, card: data["spec"].update(source="\x1b]0;pwned\x07\x1b[2J\ud800"),
        lambda data, card: data["spec"].update(preprocessing={"evil": 1}),
        lambda data, card: data["spec"].update(preprocessing={"size": 10**9}),
        lambda data, card: card.write_text("---\nmodel-index: 5\n---\n"),
        lambda data, card: card.write_text("---\nx: " + "[" * 5000 + "\n---\n"),
        lambda data, card: card.write_text("---\nx: !!timestamp foo\n---\n"),
    ],
)
def test_a_strangers_folder_is_one_line_and_never_a_traceback(embedded, tmp_path, capsys, change):
    place = tmp_path / "hub" / "net"
    shutil.copytree(embedded, place)
    data = json.loads((place / "keras_inception.json").read_text())
    change(data, place / "README.md")
    (place / "keras_inception.json").write_text(json.dumps(data))
    for command in (("verify", place), ("list", "--hub", place.parent), ("info", place), ("info", place, "--json")):
        code, out, err = run(capsys, *command)
        assert code in (0, 1) and len(err.splitlines()) <= 1, (command, err)
        assert all(line.isprintable() for line in (out + err).splitlines())
        assert command[0] != "verify" or len(out.splitlines()) == 1


def test_publishing_what_is_embedded_or_on_the_hub_keeps_what_is_known_of_it(embedded, client_of, capsys, tmp_path):
    assert run(capsys, "publish", str(embedded), "me/tiny", "--metric", "top1=91.5", "--license", "mit")[0] == 0
    assert run(capsys, "publish", "hf://me/tiny", str(tmp_path / "one"))[0] == 0
    assert run(capsys, "publish", "tiny", str(tmp_path / "two"))[0] == 0
    first, second = (folders.read_published(tmp_path / name) for name in ("one", "two"))
    assert "license: mit" in (tmp_path / "one" / "README.md").read_text()
    assert second.metrics == {"accuracy": 0.915, "top5": 99.5} and first.metrics == {**second.metrics, "top1": 91.5}


@pytest.mark.parametrize("kind", ["plain", "heads", "sequential"])
def test_what_is_published_without_a_softmax_is_shown_with_one(tmp_path, capsys, photos, kind):
    options = {"weights": None, "stem": "small", "input_shape": (64, 64, 3)}
    if kind == "sequential":
        base = keras_inception.GoogLeNet(**options, include_top=False, pooling="avg")
        logits = keras.Sequential([keras.Input((64, 64, 3)), base, keras.layers.Dense(3, name="own")])
    else:
        logits = keras_inception.GoogLeNet(**options, classes=3, classifier_activation=None, aux_heads=kind == "heads")
    last = logits.layers[-1] if kind == "sequential" else logits.get_layer("loss3_classifier")
    last.bias.assign([5.0, -5.0, 1.0])
    keras_inception.push_to_hub(logits, tmp_path / "logits", labels=["cat", "dog", "fox"])
    code, out, err = run(capsys, "classify", "a.jpg", "--weights", tmp_path / "logits", "--json")
    rows = json.loads(out)["predictions"]
    assert code == 0 and sum(row["score"] for row in rows) == pytest.approx(1, abs=1e-5), err
    assert all(0 <= row["score"] <= 1 for row in rows) and rows[0]["label"] == "cat"


def test_the_shipped_models_are_as_published(capsys):
    code, out, _ = run(capsys, "verify", str(pathlib.Path(__file__).parent.parent / "weights"))
    assert code == 0 and "as published" in out
