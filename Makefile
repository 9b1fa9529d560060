# `make demo` and `make test` are all the set-up there is; each creates the environment in .venv when it is not there.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint distributed parity clean

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

# torchvision's wheel asks for one build of torch; without its dependencies it takes whichever build is there.
.venv/installed-parity: .venv/installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps torchvision==0.28.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[parity]'
	touch $@

demo: .venv/installed  ## classify the photos of examples/ with the weights that the package carries, without a network
	$(BIN)/keras-inception classify examples --weights cifar10 --picture demo.png

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Two at a time, here and below; more would only wait for one another where there are two cores.
test: lint  ## lint, and the tests that need no other framework
	$(BIN)/python -m pytest -n 2 --dist loadfile

distributed: .venv/installed-parity  ## training in several processes and on several devices, killed for real
	$(BIN)/python -m pytest --import-mode=importlib -o addopts= -n 2 --dist worksteal --durations=15 tests/distributed

parity: .venv/installed-parity  ## the tests against torchvision, TF-slim, OpenCV's Caffe importer, ONNX Runtime, JAX and PyTorch
	$(BIN)/python -m pytest --import-mode=importlib -o addopts= -n 2 --dist loadfile tests/parity

clean:
	rm -rf .venv demo.png
