"""The embedded weights are found from a clone, from an installed wheel, and from an editable install."""

import json
import pathlib
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest

REPOSITORY = pathlib.Path(__file__).parent.parent
PROGRAM = """
import json, pathlib, site, sys
for folder in sys.argv[1:]:
    site.addsitedir(folder)  # unlike PYTHONPATH, this obeys the .pth file of an editable install
    sys.path.insert(0, sys.path.pop())
import numpy as np, keras_inception
from keras_inception import checkpoints
model = keras_inception.GoogLeNet(weights="cifar10")
pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3))
answer = {"package": keras_inception.__file__, "weights": str(checkpoints.embedded()["cifar10"])}
print(json.dumps({**answer, "predictions": model.predict(pixels, verbose=0).tolist()}))
"""


def load(folder, site_packages):
    command = [sys.executable, "-c", PROGRAM, str(site_packages)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    return json.loads(result.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """What git would give, without the history."""
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=REPOSITORY, capture_output=True
    )
    files = [REPOSITORY / name for name in listed.stdout.decode().split("\0") if name]
    if not files:  # an unpacked source archive
        files = [p for part in ("keras_inception", "weights") for p in (REPOSITORY / part).rglob("*") if p.is_file()]
        files += [path for path in REPOSITORY.iterdir() if path.is_file()]
    for file in files:
        target = folder / file.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.is_file():
            shutil.copy(file, target)
    return folder


@pytest.fixture(scope="module")
def from_clone(clone):
    return load(clone, clone)


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]


def check(answer, package_folder, weights_folder, from_clone):
    assert pathlib.Path(answer["package"]).parent == package_folder
    assert pathlib.Path(answer["weights"]) == weights_folder
    np.testing.assert_allclose(answer["predictions"], from_clone["predictions"], rtol=1e-5)


def test_clone(clone, from_clone):
    check(from_clone, clone / "keras_inception", clone / "weights" / "cifar10", from_clone)


def test_installed_wheel(clone, from_clone, tmp_path):
    pip("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, clone)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "keras_inception/weights/cifar10/model.safetensors" in names
    assert "keras_inception_cli.py" in names and not any(name.startswith("weights") for name in names)
    assert "keras_inception/hub/manifest.json" in names and "keras_inception/data/labels/imagenet.txt" in names
    assert not any(name.startswith(("tests/", "training/")) for name in names)
    assert wheel.stat().st_size < 16 << 20
    pip("install", "--quiet", "--no-deps", "--target", tmp_path / "site", wheel)
    package = tmp_path / "site" / "keras_inception"
    check(load(tmp_path, tmp_path / "site"), package, package / "weights" / "cifar10", from_clone)


def test_editable_install(clone, from_clone, tmp_path):
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--ignore-installed", "--prefix", tmp_path)
    pip("install", *options, "--editable", clone)
    (site_packages,) = tmp_path.glob("lib*/python*/site-packages")
    assert not list(site_packages.glob("keras_inception/**/*")) + list(site_packages.glob("keras_inception_cli*"))
    check(load(tmp_path, site_packages), clone / "keras_inception", clone / "weights" / "cifar10", from_clone)
