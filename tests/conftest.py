"""What every test shares: a quiet TensorFlow, and a fixed seed."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
    keras.config.set_image_data_format("channels_last")


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory):
    """No test reads or writes what the user has cached."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_INCEPTION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def hub_client(tmp_path, monkeypatch):
    """The Hub's own client, with a cache and a login of its own, and no word to the public Hub."""
    from huggingface_hub import constants

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "hf_home"
    monkeypatch.setenv("KERAS_INCEPTION_CACHE", str(tmp_path / "cache"))
    changes = {
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_HUB_DISABLE_TELEMETRY": True,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DOWNLOAD_TIMEOUT": 10,
        "HF_HUB_ETAG_TIMEOUT": 10,
    }
    for name, value in changes.items():
        monkeypatch.setattr(constants, name, value)
    return constants


@pytest.fixture
def hub(hub_client, tmp_path):
    """A hub on this machine; its users are `hf_me`, `hf_you` and, of me, `hf_reader`, who may not write."""
    from hub_server import Hub

    with Hub(tmp_path / "hub") as hub:
        yield hub
        left = [fault for fault in hub.faults if fault.times]
        assert not left, f"ordered, and never happened: {left}"
