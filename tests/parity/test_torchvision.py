"""Our network with a state dict of torchvision against torchvision's own GoogLeNet, with random weights."""

import numpy as np
import pytest
import torch
from torchvision_import import torchvision

import keras_inception

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


@pytest.fixture(scope="module", params=["zip", "legacy"])
def path(request, network, tmp_path_factory):
    path = tmp_path_factory.mktemp("torchvision") / f"{request.param}.pth"
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=request.param == "zip")
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
        print(f"{name} at {size}: {difference:.1e} of the range of the logits")
        assert difference < 1e-4
        assert np.ptp(wanted) > 0.1 and np.abs(wanted[0] - wanted[1]).max() > 1e-3  # the weights are not degenerate


def test_without_heads(network, path):
    pixels = np.random.default_rng(2).uniform(0, 255, (1, 224, 224, 3)).astype(np.float32)
    model = keras_inception.GoogLeNet(weights=str(path))
    theirs = torch.softmax(torch.from_numpy(their_logits(network, pixels)["predictions"]), -1).numpy()
    np.testing.assert_allclose(model.predict(pixels, verbose=0), theirs, atol=1e-5)
