"""Our network with a state dict of torchvision against torchvision's own GoogLeNet, with random weights."""

import numpy as np
import pytest
import torch
from torchvision_import import torchvision

import keras_inception
from keras_inception import convert

HEADS = {"inception4a": "aux1", "inception4d": "aux2"}


@pytest.fixture(scope="module")
def network():
    """torchvision's GoogLeNet, with weights and batch-norm statistics that keep the signal alive through all layers."""
    torch.manual_seed(0)
    model = torchvision.models.GoogLeNet(aux_logits=True, transform_input=False, init_weights=False).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight)
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.bias, std=0.3)
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.3)
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2.0)
    return model


@pytest.fixture(scope="module")
def path(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("torchvision") / "googlenet.pth"
    torch.save(network.state_dict(), path)
    return path


def their_logits(network, pixels):
    """All three outputs; in evaluation torchvision leaves the heads out, so they are fed what their modules gave."""
    seen = {}
    hooks = [
        getattr(network, module).register_forward_hook(
            lambda _, __, output, module=module: seen.update({module: output})
        )
        for module in HEADS
    ]
    with torch.no_grad():
        x = torch.from_numpy((pixels - 127.5) / 127.5).permute(0, 3, 1, 2).contiguous()
        result = {"predictions": network(x)}
        result.update({f"aux_{m[-2:]}": getattr(network, head)(seen[m]) for m, head in HEADS.items()})
    for hook in hooks:
        hook.remove()
    return {name: logits.numpy() for name, logits in result.items()}


@pytest.mark.parametrize("size", [(224, 224), (200, 257), (161, 128)])
def test_logits(network, path, size):
    pixels = np.random.default_rng(1).uniform(0, 255, (2, *size, 3)).astype(np.float32)
    model = keras_inception.GoogLeNet(
        weights=str(path), aux_heads=True, input_shape=(*size, 3), classifier_activation=None
    )
    ours, theirs = model.predict(pixels, verbose=0), their_logits(network, pixels)
    assert set(ours) == set(theirs) == {"predictions", "aux_4a", "aux_4d"}
    for name, wanted in theirs.items():
        difference = np.abs(ours[name] - wanted).max() / np.ptp(wanted)
        assert difference < 1e-4
        assert np.ptp(wanted) > 0.1 and np.abs(wanted[0] - wanted[1]).max() > 1e-3  # the weights are not degenerate


SAVED = {
    "before 1.6": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
    "protocol 4": lambda state, path: torch.save(state, path, pickle_protocol=4),
    "parameters": lambda state, path: torch.save({k: torch.nn.Parameter(v, False) for k, v in state.items()}, path),
    "wrapped": lambda state, path: torch.save({"model": {f"module.{k}": v for k, v in state.items()}, "lr": 0.1}, path),
    "channels last": lambda state, path: torch.save(
        {k: v.to(memory_format=torch.channels_last) if v.ndim == 4 else v for k, v in state.items()}, path
    ),
}


@pytest.mark.parametrize("how", SAVED)
def test_however_it_was_saved(network, path, tmp_path, how):
    SAVED[how](network.state_dict(), tmp_path / "other.pth")
    reference, other = convert.read(path), convert.read(tmp_path / "other.pth")
    assert reference.spec == other.spec
    for name, array in reference.tensors.items():
        np.testing.assert_array_equal(array, other.tensors[name])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_types(network, path, tmp_path, dtype):
    torch.save({k: v.to(dtype) for k, v in network.state_dict().items()}, tmp_path / "other.pth")
    reference, other = convert.read(path).tensors, convert.read(tmp_path / "other.pth").tensors
    for name, array in reference.items():
        np.testing.assert_array_equal(torch.from_numpy(array).to(dtype).float().numpy(), other[name])
