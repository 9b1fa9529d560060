"""What modules cost: weights and multiply-adds, of the Inception module and of what it was made from."""

from typing import NamedTuple

from keras_inception.layers.inception import InceptionWidths


class Cost(NamedTuple):
    """What a part of a network costs.

    Args:
        weights: of the kernels.
        biases: one per filter.
        operations: multiply-adds for one image.
    """

    weights: int = 0
    biases: int = 0
    operations: int = 0

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.weights + self.biases

    def __add__(self, other):
        return Cost(*(a + b for a, b in zip(self, other, strict=True)))


def convolution(inputs: int, filters: int, size: int, height: int, width: int) -> Cost:
    """Of a convolution of size x size with a map of height x width as its output."""
    weights = inputs * filters * size * size
    return Cost(weights, filters, weights * height * width)


def reduced_module(inputs: int, widths: InceptionWidths, height: int, width: int, large_kernel: int = 5) -> Cost:
    """Of the Inception module with dimension reductions (figure 2b) on a map of height x width x inputs."""
    w, at = InceptionWidths(*widths), (height, width)
    return sum(
        (
            convolution(inputs, w.n3x3_reduce, 1, *at),
            convolution(w.n3x3_reduce, w.n3x3, 3, *at),
            convolution(inputs, w.n5x5_reduce, 1, *at),
            convolution(w.n5x5_reduce, w.n5x5, large_kernel, *at),
            convolution(inputs, w.pool_proj, 1, *at),
        ),
        convolution(inputs, w.n1x1, 1, *at),
    )


def naive_module(inputs: int, widths, height: int, width: int, large_kernel: int = 5) -> Cost:
    """Of the module without reductions (figure 2a), whose pooling passes all of its inputs on.

    Args:
        widths: filters of 1x1, 3x3 and 5x5.
    """
    sizes = (1, 3, large_kernel)
    parts = (convolution(inputs, n, size, height, width) for n, size in zip(widths, sizes, strict=True))
    return sum(parts, Cost())


def pointwise_stack(inputs: int, outputs: int, height: int, width: int, depth: int = 2) -> Cost:
    """Of 1x1 convolutions upon each other, as many filters each as there are outputs: Network in Network's `cccp`."""
    first = convolution(inputs, outputs, 1, height, width)
    return sum((convolution(outputs, outputs, 1, height, width) for _ in range(depth - 1)), first)
