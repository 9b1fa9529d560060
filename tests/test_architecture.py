"""The import rules of the design: who may import whom, and what `import keras_inception` may load."""

import ast
import pathlib
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).parent.parent / "keras_inception"
BOTTOM = {"layers", "preprocessing", "labels"}
# Which of the package's own parts each part may import, beside itself.
ALLOWED = {
    "layers": set(),
    "preprocessing": set(),
    "labels": set(),
    "datasets": {"preprocessing"},  # what counts as a photo
    "models": BOTTOM,
    "convert": set(),
    "hub": {"convert"},  # only the Checkpoint that both speak of
    "evaluation": {"datasets", *BOTTOM},
    "features": {"convert", "layers"},  # the table of names
    "classify": BOTTOM,
    "contact_sheet": BOTTOM,
    "detection": {"datasets", "evaluation", *BOTTOM},  # an ensemble of classifiers is what it is there
    "visualize": {"layers"},
    "topology": {"features", "layers"},
    "checkpoints": {"models", "convert", "hub", *BOTTOM},
    "model_folder": {"detection", "checkpoints", "models", "convert", "hub", *BOTTOM},
    "publishing": {"model_folder", "hub"},
    "pretrained": {"checkpoints", "models", "convert", "hub", *BOTTOM},
    "cli": {path.name.removesuffix(".py") for path in PACKAGE.iterdir()},
}
# What may be imported on top of a module; everything else inside the function that uses it.
REQUIRED = {"keras", "numpy", "PIL", "safetensors", "huggingface_hub", "keras_inception_cli"}


def imports(path, *, top_level_only):
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "keras_inception")


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part == "__init__":
        return
    assert part in ALLOWED, f"{part}: say in this test what it may import"
    parts = {name.split(".")[1] for name in imports(path, top_level_only=False) if name.startswith("keras_inception.")}
    assert parts - {part} <= ALLOWED[part]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_optional_packages_are_imported_where_they_are_used(path):
    allowed = REQUIRED | set(sys.stdlib_module_names) | {"keras_inception"}
    assert {name.split(".")[0] for name in imports(path, top_level_only=True)} <= allowed


def test_convert_needs_neither_keras_nor_a_framework():
    for path in (PACKAGE / "convert").glob("*.py"):
        found = {name.split(".")[0] for name in imports(path, top_level_only=False)}
        assert found <= set(sys.stdlib_module_names) | {"numpy", "keras_inception"}


def test_importing_the_package_loads_no_optional_package():
    code = (
        "import keras, sys; before = set(sys.modules); import keras_inception; new = set(sys.modules) - before;"
        "print(sorted({name.split('.')[0] for name in new} & {'torch', 'jax', 'onnx', 'cv2', 'matplotlib', 'tqdm',"
        " 'tensorflow_datasets', 'huggingface_hub', 'safetensors', 'httpx'}))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip().splitlines()[-1] == "[]"


def test_nothing_imports_training_or_tests():
    for path in FILES:
        assert not {name.split(".")[0] for name in imports(path, top_level_only=False)} & {"training", "tests"}


def test_detection_is_imported_when_it_is_asked_for():
    code = (
        "import sys, keras_inception; before = 'keras_inception.detection' in sys.modules;"
        "print(before, keras_inception.detection.RCNN.__name__, hasattr(keras_inception, 'nothing'))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip().splitlines()[-1] == "False RCNN False"
