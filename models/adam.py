"""Adam, written out.

`torch.optim.Adam` does the same, but its constructor imports torch's compiler, which takes two seconds; a worker that
forks for every job would pay them in every job.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Adam:
    """Kingma and Ba 2015, algorithm 1, with its own defaults."""

    FIRST_DECAY, SECOND_DECAY, EPSILON = 0.9, 0.999, 1e-8

    def __init__(self, parameters: Sequence[nn.Parameter], *, learning_rate: float) -> None:
        self._parameters = parameters
        self._learning_rate = learning_rate
        self._steps = 0
        self._moments: dict[int, tuple[Tensor, Tensor]] = {}

    def forget_gradients(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        self._steps += 1
        first_bias = 1.0 - self.FIRST_DECAY**self._steps
        second_bias = 1.0 - self.SECOND_DECAY**self._steps
        for index, parameter in enumerate(self._parameters):
            gradient = parameter.grad
            if gradient is None:
                continue
            if index not in self._moments:
                self._moments[index] = (torch.zeros_like(parameter), torch.zeros_like(parameter))
            first, second = self._moments[index]
            first.lerp_(gradient, 1.0 - self.FIRST_DECAY)
            second.mul_(self.SECOND_DECAY).addcmul_(gradient, gradient, value=1.0 - self.SECOND_DECAY)
            spread = (second / second_bias).sqrt_().add_(self.EPSILON)
            parameter.addcdiv_(first, spread, value=-self._learning_rate / first_bias)
