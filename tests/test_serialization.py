"""Our file format: strict by name, whole or not at all, and clear about what is wrong."""

import functools
import json
import pathlib
import tempfile
import tracemalloc

import keras
import numpy as np
import pytest
from hostile import mutations
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_inception.convert.checkpoint import Checkpoint, CheckpointError
from keras_inception.hub import serialization


def tiny(units=3, name="tiny"):
    inputs = keras.Input((2,))
    x = keras.layers.Dense(4, name="trunk")(inputs)
    return keras.Model(inputs, keras.layers.Dense(units, name="head")(x), name=name)


def tensors_of(model):
    return {
        name: np.asarray(keras.ops.convert_to_numpy(v.value))
        for name, v in serialization.model_variables(model).items()
    }


def checkpoint(model=None):
    return Checkpoint({"variant": "paper"}, tensors_of(model or tiny()))


def test_round_trip(tmp_path):
    model, other = tiny(), tiny()
    path = serialization.write(tmp_path / "model.safetensors", checkpoint(model))
    read = serialization.read(path)
    assert read.spec == {"variant": "paper"}
    serialization.assign(serialization.model_variables(other), read.tensors)
    for expected, received in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(received, expected)
    assert list(tmp_path.iterdir()) == [path]


def test_half_precision_is_for_kernels(tmp_path):
    from safetensors.numpy import load_file

    path = serialization.write(tmp_path / "model.safetensors", checkpoint(), half=True)
    kinds = {name: str(array.dtype) for name, array in load_file(path).items()}
    assert kinds == {
        "trunk/kernel": "float16",
        "trunk/bias": "float32",
        "head/kernel": "float16",
        "head/bias": "float32",
    }
    assert {str(array.dtype) for array in serialization.read(path).tensors.values()} == {"float32"}


def test_every_difference_is_listed_and_nothing_is_changed():
    model = tiny()
    before = model.get_weights()
    tensors = tensors_of(tiny(units=5))
    del tensors["trunk/bias"]
    tensors["stranger/kernel"] = np.zeros((1, 1), "float32")
    with pytest.raises(ValueError) as caught:
        serialization.assign(serialization.model_variables(model), tensors)
    message = str(caught.value)
    assert "missing: trunk/bias (4,)" in message
    assert "unexpected: stranger/kernel (1, 1)" in message
    assert "shape: head/kernel expected (4, 3), received (4, 5)" in message
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_fresh_and_ignored_layers():
    model = tiny()
    head = model.get_layer("head").get_weights()
    source = tiny(units=5)
    tensors = tensors_of(source) | {"aux/kernel": np.zeros((1, 1), "float32")}
    serialization.assign(serialization.model_variables(model), tensors, fresh=["head"], ignored=["aux"])
    np.testing.assert_array_equal(model.get_layer("trunk").kernel.numpy(), source.get_layer("trunk").kernel.numpy())
    np.testing.assert_array_equal(model.get_layer("head").get_weights()[0], head[0])


def test_two_variables_of_one_name():
    class Twice(keras.layers.Layer):
        def build(self, shape):
            self.first = self.add_weight(name="kernel", shape=(1,))
            self.second = self.add_weight(name="kernel", shape=(1,))

        def call(self, x):
            return x

    inputs = keras.Input((2,))
    with pytest.raises(ValueError, match="Received: twice/kernel twice"):
        serialization.model_variables(keras.Model(inputs, Twice(name="twice")(inputs)))


def test_nan_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="NaN or infinity in trunk/bias"):
        Checkpoint({}, {"trunk/bias": np.array([1, np.nan], "float32")})


def test_a_safetensors_file_of_something_else(tmp_path):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(2, "float32")}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="other.safetensors.*metadata 'spec'"):
        serialization.read(tmp_path / "other.safetensors")
    save_file({"a": np.zeros(2, "int8")}, tmp_path / "ints.safetensors", metadata={"spec": "{}"})
    with pytest.raises(CheckpointError, match="float16, bfloat16, float32, float64; Received: int8 in a"):
        serialization.read(tmp_path / "ints.safetensors")


@pytest.mark.parametrize("spec", ["[" * 200_000, "9" * 5000, "[]", "null", "{"])
def test_a_spec_that_is_no_json_object(tmp_path, spec):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(2, "float32")}, tmp_path / "odd.safetensors", metadata={"spec": spec})
    with pytest.raises(CheckpointError, match="odd.safetensors"):
        serialization.read(tmp_path / "odd.safetensors")


def test_numbers_that_numpy_does_not_have(tmp_path):
    header = json.dumps(
        {"__metadata__": {"spec": "{}"}, "a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}
    ).encode()
    path = tmp_path / "float8.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(CheckpointError, match="float8.safetensors"):
        serialization.read(path)


def test_a_negative_variance_is_refused():
    with pytest.raises(CheckpointError, match="variances of 0 or more; Received: -1.0 in a_bn/moving_variance"):
        Checkpoint({}, {"a_bn/moving_variance": np.array([1, -1], "float32")})


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_broken_bytes(data):
    valid = _written()
    header = 8 + int.from_bytes(valid[:8], "little")
    broken = data.draw(mutations(valid, [0, 7, 8, header - 1, header, header + 1]))
    tracemalloc.start()
    try:
        tensors = serialization.parse(broken, {}, "broken", integers=data.draw(st.booleans())).tensors
    except CheckpointError as error:
        assert str(error).startswith("broken: ")
        return
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 20, f"{peak} bytes for a file of {len(valid)}"
    assert all(np.isfinite(array).all() for array in tensors.values() if array.dtype.kind == "f")


@functools.cache
def _written() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return serialization.write(pathlib.Path(folder) / "valid.safetensors", checkpoint()).read_bytes()


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_broken_files(tmp_path, data):
    valid = _written()
    header = 8 + int.from_bytes(valid[:8], "little")
    path = tmp_path / "broken.safetensors"
    path.write_bytes(data.draw(mutations(valid, [0, 7, 8, header - 1, header, header + 1])))
    tracemalloc.start()
    try:
        result = serialization.read(path)
    except CheckpointError as error:
        assert "broken.safetensors" in str(error)
        return
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 20, f"{peak} bytes for a file of {len(valid)}"  # its header may claim petabytes
    assert isinstance(result.spec, dict)
    assert all(
        array.dtype.name in ("float32", "float64") and np.isfinite(array).all() for array in result.tensors.values()
    )
    json.dumps(result.spec)
