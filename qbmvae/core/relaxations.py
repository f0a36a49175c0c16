"""Gradients through bits: reparametrised samples of Bernoulli(sigmoid(logits)), behind one switch.

`sample(logits, "straight-through")` returns bits (or relaxed bits) with a gradient. DisARM has no such sample: it
evaluates the loss at two antithetic draws, see `antithetic` and `disarm_gradient`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from samplers.errors import InputError, require

#: Estimator to the default of its parameter; a temperature, or the sharpness beta of the smoothing distributions.
DEFAULTS = {
    "straight-through": 0.5,
    "gumbolt": 0.5,
    "spike-exponential": 0.5,
    "overlapping-exponential": 8.0,
    "reinmax": 1.0,
    "disarm": 1.0,
}


def check(estimator: str) -> None:
    """Raise `InputError` for an unknown estimator.

    Raises
    ------
    InputError
        For an unknown estimator.
    """
    require(estimator, DEFAULTS, "there is no gradient estimator")


def sample(logits: Tensor, estimator: str, parameter: float | None = None) -> Tensor:
    """Return reparametrised bits.

    Parameters
    ----------
    logits
        Log odds, any shape.
    estimator
        A key of `DEFAULTS` other than "disarm".
    parameter
        Temperature or sharpness; the estimator's default where None.

    Returns
    -------
    Values in [0, 1], hard for "straight-through" and "reinmax", of the shape of `logits`.

    Raises
    ------
    InputError
        For "disarm", which evaluates the loss at two draws.
    """
    check(estimator)
    value = DEFAULTS[estimator] if parameter is None else parameter
    match estimator:
        case "straight-through":
            soft = concrete(logits, value)
            return soft + ((soft > 0.5).to(soft) - soft).detach()
        case "gumbolt":
            return concrete(logits, value)
        case "spike-exponential":
            return spike_exponential(logits, value)
        case "overlapping-exponential":
            return overlapping_exponential(logits, value)
        case "reinmax":
            return reinmax(logits, value)
    raise InputError("DisARM evaluates the loss at two antithetic draws: use antithetic and disarm_gradient")


def bernoulli(logits: Tensor) -> Tensor:
    """Return hard bits without a gradient."""
    return torch.bernoulli(torch.sigmoid(logits.detach()))


def concrete(logits: Tensor, temperature: float) -> Tensor:
    """Return the binary concrete relaxation (Maddison et al. 2017; GumBolt, Khoshaman and Amin 2018)."""
    uniform = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)
    return torch.sigmoid((logits + torch.logit(uniform)) / temperature)


def spike_exponential(logits: Tensor, beta: float) -> Tensor:
    """Return the spike-and-exponential smoothing (Rolfe 2017, eq. 4 and appendix D): 0, or a rising exponential on [0, 1]."""
    q = torch.sigmoid(logits)
    rho = torch.rand_like(logits)
    # position inside the exponential part, for draws above the spike
    inside = ((rho + q - 1) / q.clamp(min=1e-6)).clamp(0, 1)
    return torch.log1p(inside * torch.expm1(torch.tensor(beta, dtype=logits.dtype, device=logits.device))) / beta


def overlapping_exponential(logits: Tensor, beta: float) -> Tensor:
    r"""Return the overlapping-exponential smoothing (DVAE++, Vahdat et al. 2018).

    The mixture's CDF at zeta is inverted in closed form: :math:`u = e^{-\beta\zeta}` solves
    :math:`(1-q)u^2 + (\rho(1-e^{-\beta}) - (1-q) + q e^{-\beta})u - q e^{-\beta} = 0`.
    """
    q = torch.sigmoid(logits).clamp(1e-6, 1 - 1e-6)
    rho = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)
    low = torch.exp(torch.tensor(-beta, dtype=logits.dtype, device=logits.device))
    linear = rho * (1 - low) - (1 - q) + q * low
    root = torch.sqrt(linear.square() + 4 * (1 - q) * q * low)
    # the root of each branch that does not cancel
    u = torch.where(linear > 0, 2 * q * low / (linear + root), (root - linear) / (2 * (1 - q)))
    return (-u.log() / beta).clamp(0, 1)


def reinmax(logits: Tensor, temperature: float) -> Tensor:
    """Return hard bits with ReinMax's second-order gradient (Liu et al. 2023, algorithm 2, two classes)."""
    bits = bernoulli(logits)
    p = torch.sigmoid(logits.detach())
    middle = (bits + torch.sigmoid(logits.detach() / temperature)) / 2
    slope = 2 * middle * (1 - middle) - 0.5 * p * (1 - p)
    return bits + slope * (logits - logits.detach())


def antithetic(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return two antithetic draws of hard bits, each Bernoulli(sigmoid(logits))."""
    uniform = torch.rand_like(logits)
    p = torch.sigmoid(logits.detach())
    return (uniform > 1 - p).to(logits), (1 - uniform > 1 - p).to(logits)


def disarm_gradient(logits: Tensor, z1: Tensor, z2: Tensor, f1: Tensor, f2: Tensor) -> Tensor:
    """Return the unbiased gradient of E[f(z)] with respect to the logits (Dong, Mnih and Tucker 2020, eq. 8).

    Parameters
    ----------
    logits, z1, z2
        `(..., n)` logits and the two antithetic draws.
    f1, f2
        The loss at each draw, `(...)`.
    """
    difference = (f1 - f2).unsqueeze(-1)
    sign = 1 - 2 * z2
    return 0.5 * difference * sign * (z1 != z2) * torch.sigmoid(logits.detach().abs())
