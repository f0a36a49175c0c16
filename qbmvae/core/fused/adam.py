"""Adam in one pass over each parameter on the CPU; elsewhere torch's own."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

#: Values that are updated together.
_BLOCK = 1024

_FAST = {"contract", "nnan", "ninf", "nsz", "arcp"}


class Adam(torch.optim.Adam):
    """`torch.optim.Adam` with the same state and parameter groups, so that either loads the other's checkpoints.

    Parameters
    ----------
    groups
        Parameter groups, each with `lr` and `weight_decay`.
    """

    def __init__(self, groups: list[dict[str, Any]]):
        super().__init__(groups, fused=True)
        every = [p for group in self.param_groups for p in group["params"]]
        self._plain = any(p.device.type != "cpu" or p.dtype != torch.float32 for p in every)
        self._open: list[list[_Parameter]] | None = None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what either class's `state_dict` returned."""
        super().load_state_dict(state_dict)
        # the averages are new tensors now
        self._open = None

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update every parameter that has a gradient."""
        if self._plain or closure is not None:
            return super().step(closure)
        if self._open is None:
            # a look-up by tensor costs as much as a small parameter's update
            self._open = [[_Parameter(p, self.state[p]) for p in group["params"]] for group in self.param_groups]
        for group, parameters in zip(self.param_groups, self._open, strict=True):
            beta1, beta2 = group["betas"]
            shares = np.float32(1.0) - np.float32(beta1), np.float32(1.0) - np.float32(beta2)
            eps, decay = np.float32(group["eps"]), np.float32(group["weight_decay"])
            count, rate, inverse_root = 0.0, np.float32(0), np.float32(0)
            for p in parameters:
                gradient = p.tensor.grad
                if gradient is None:
                    continue
                p.step += 1.0
                if p.step[()] != count:
                    count = float(p.step[()])
                    rate = np.float32(group["lr"] / (1.0 - beta1**count))
                    inverse_root = np.float32((1.0 - beta2**count) ** -0.5)
                _update(
                    p.values,
                    gradient.numpy().reshape(-1),
                    p.average,
                    p.squares,
                    *shares,
                    rate,
                    inverse_root,
                    eps,
                    decay,
                )
        return None


class _Parameter:
    """Arrays over a parameter's step count, values and both averages, which are made where there are none."""

    def __init__(self, tensor: Tensor, state: dict[str, Any]):
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(tensor), torch.zeros_like(tensor)
        self.tensor, self.step, self.values = tensor, state["step"].numpy(), _flat(tensor)
        self.average, self.squares = _flat(state["exp_avg"]), _flat(state["exp_avg_sq"])


def _flat(tensor: Tensor) -> np.ndarray:
    # a view, or an error: what is written must be the tensor
    return tensor.detach().view(-1).numpy()


@numba.njit(error_model="numpy", fastmath=_FAST, cache=True)
def _average(average, values, share):
    for k in range(len(average)):
        average[k] += share * (values[k] - average[k])


@numba.njit(error_model="numpy", fastmath=_FAST, cache=True)
def _average_squares(average, values, share):
    for k in range(len(average)):
        average[k] += share * (values[k] * values[k] - average[k])


@numba.njit(error_model="numpy", fastmath=_FAST, cache=True)
def _descend(p, first, second, rate, inverse_root, eps):
    for k in range(len(p)):
        p[k] -= rate * first[k] / (np.sqrt(second[k]) * inverse_root + eps)


@numba.njit(error_model="numpy", fastmath=_FAST, cache=True)
def _update(p, gradient, first, second, share1, share2, rate, inverse_root, eps, decay):
    # loops that write one array each vectorise; a block stays in the first cache between them
    for start in range(0, len(p), _BLOCK):
        part = slice(start, min(start + _BLOCK, len(p)))
        g = gradient[part]
        if decay > 0:
            g = g + decay * p[part]
        _average(first[part], g, share1)
        _average_squares(second[part], g, share2)
        _descend(p[part], first[part], second[part], rate, inverse_root, eps)
