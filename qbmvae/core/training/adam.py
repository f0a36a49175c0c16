"""Adam in one pass over each parameter on the CPU; elsewhere torch's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import torch
from torch import Tensor

from qbmvae.core.training.fused_step.pointers import floats

if TYPE_CHECKING:
    from qbmvae.core.training.config import TrainingConfig
    from qbmvae.core.vae import VAE

#: Values that are updated together.
_BLOCK = 1024

_FAST = {"contract", "nnan", "ninf", "nsz", "arcp"}


def parameter_groups(vae: VAE, config: TrainingConfig) -> list[dict[str, Any]]:
    """Return a model's parameters in groups: those of its networks, and those of its prior where it has any to train."""
    prior = [p for p in vae.prior.parameters() if p.requires_grad]
    of_prior = {id(p) for p in vae.prior.parameters()}
    network = [p for p in vae.parameters() if p.requires_grad and id(p) not in of_prior]
    groups = [{"params": network, "lr": config.learning_rate, "weight_decay": config.weight_decay}]
    return groups + [{"params": prior, "lr": config.prior_learning_rate, "weight_decay": 0.0}] * bool(prior)


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
        self._tables: list[_Table] | None = None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what either class's `state_dict` returned."""
        super().load_state_dict(state_dict)
        self.forget()

    def forget(self) -> None:
        """Look up again where parameters and averages are in memory: their data have been replaced."""
        self._tables = None

    def step(self, closure: Any = None) -> Any:
        """Update every parameter that has a gradient."""
        if self._plain or closure is not None:
            return super().step(closure)
        if self._tables is None:
            self._tables = [_Table(group["params"], self.state) for group in self.param_groups]
        for group, table in zip(self.param_groups, self._tables, strict=True):
            beta1, beta2 = group["betas"]
            _update_all(table.addresses(), group["lr"], beta1, beta2, group["eps"], group["weight_decay"])
        return None

    # torch wraps a step for its profiler, which costs a tenth of a millisecond, unless it finds that done
    step.hooked = True  # type: ignore[attr-defined]


class _Table:
    """Addresses of each parameter's values, gradient, averages and step count, and its size; 0 for no gradient."""

    def __init__(self, parameters: list[Tensor], states: Any):
        self._parameters = parameters
        self._gradients: list[Tensor | None] = [None] * len(parameters)
        # a tensor that is used by its address must stay alive
        self._kept = []
        for p in parameters:
            state = states[p]
            if not state:
                state["step"] = torch.zeros(())
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
            self._kept.append((_flat(p), _flat(state["exp_avg"]), _flat(state["exp_avg_sq"]), state["step"]))
        rows = [(p.data_ptr(), 0, *(t.data_ptr() for t in kept), p.numel()) for p, *kept in self._kept]
        self._addresses = np.array(rows, dtype=np.int64).reshape(-1, 6)

    def addresses(self) -> np.ndarray:
        """Return the table, with the gradients that there are now."""
        for k, (parameter, before) in enumerate(zip(self._parameters, self._gradients, strict=True)):
            gradient = parameter.grad
            if gradient is not before:
                gradient = None if gradient is None else _flat(gradient)
                self._gradients[k] = parameter.grad
                self._addresses[k, 1] = 0 if gradient is None else gradient.data_ptr()
        return self._addresses


def _flat(tensor: Tensor) -> Tensor:
    # a view, or an error: what is written must be the tensor
    return tensor.detach().view(-1)


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


@numba.njit(error_model="numpy", cache=True)
def _update_all(table, rate, beta1, beta2, eps, decay):
    one = np.float32(1.0)
    shares = one - np.float32(beta1), one - np.float32(beta2)
    for k in range(len(table)):
        values, gradient, average, squares, step, n = table[k]
        if gradient == 0:
            continue
        count = floats(step, 1)
        count[0] += one
        t = np.float64(count[0])
        _update(
            floats(values, n), floats(gradient, n), floats(average, n), floats(squares, n), *shares,
            np.float32(rate / (1.0 - beta1**t)), np.float32((1.0 - beta2**t) ** -0.5), np.float32(eps), np.float32(decay),
        )  # fmt: skip
