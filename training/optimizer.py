"""Stochastic gradient descent as Caffe does it, and every other trainer of this network's time.

All that this project knows of the inside of Keras' optimizers is here; `tests/test_optimizer.py` fails when it changes.
"""

import contextlib

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_inception")
class CaffeSGD(keras.optimizers.SGD):
    """SGD with momentum whose L2 penalty is part of the gradient, with a learning rate of its own for biases.

    ```
    velocity = momentum * velocity - rate * multiplier * (gradient + l2 * weight)
    weight   = weight + velocity
    ```

    Keras' own `weight_decay` shrinks the weights beside the gradient, so that it never passes through the momentum: for
    the same number it decays ten times less at a momentum of 0.9. BVLC's prototxt decays kernels alone (`decay_mult`
    1 and 0) and moves biases at twice the rate (`lr_mult` 1 and 2).

    Args:
        learning_rate: of kernels.
        momentum, nesterov: as in `keras.optimizers.SGD`.
        l2: the penalty's weight; the gradient of `l2 / 2 * sum(weight ** 2)`, on variables named `kernel` alone.
        bias_multiplier: factor of the learning rate of all other variables: biases, batch norm's gamma and beta.
    """

    def __init__(self, learning_rate=0.01, momentum=0.9, nesterov=False, l2=0.0, bias_multiplier=1.0, **kwargs):
        super().__init__(learning_rate, momentum=momentum, nesterov=nesterov, **kwargs)
        self.l2, self.bias_multiplier = l2, bias_multiplier
        self._rate = None

    @contextlib.contextmanager
    def at(self, rate):
        """Steps have this learning rate, a scalar, whatever the variable says that all asynchronous workers share."""
        self._rate = rate
        try:
            yield
        finally:
            self._rate = None

    @property
    def averages(self) -> list:
        """Pairs of a trainable variable and the variable that holds its average; none without `use_ema`."""
        if not self.use_ema:
            return []
        return list(zip(self._trainable_variables, self._model_variables_moving_average, strict=True))

    @property
    def rate(self) -> keras.Variable:
        """The variable of the learning rate, of which `learning_rate` gives the value."""
        return self._learning_rate

    def build(self, variables):
        if not self.built:
            self._is_kernel = [variable.name == "kernel" for variable in variables]
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        if self._rate is not None:
            learning_rate = ops.cast(self._rate, variable.dtype)
        if self._is_kernel[self._get_variable_index(variable)]:
            gradient = ops.add(gradient, ops.multiply(variable, ops.cast(self.l2, variable.dtype)))
        else:
            learning_rate = ops.multiply(learning_rate, self.bias_multiplier)
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2, "bias_multiplier": self.bias_multiplier}
