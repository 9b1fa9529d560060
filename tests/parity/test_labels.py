"""`decode_predictions` reads the tensors of JAX and PyTorch, whichever backend Keras has."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from keras_inception.labels import decode_predictions


@pytest.mark.parametrize(
    "tensor",
    [
        jnp.asarray,
        lambda x: jnp.asarray(x, "bfloat16"),
        lambda x: torch.tensor(x, requires_grad=True),
        lambda x: torch.tensor(x, dtype=torch.bfloat16),
    ],
)
def test_tensors_of_other_backends(tensor):
    assert decode_predictions(tensor(np.eye(10)[[3]]), top=1, labels="cifar10") == [[("cat", "cat", 1.0)]]
