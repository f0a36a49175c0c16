"""Read and check the parameters and features that a circuit is evaluated on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from samplers.errors import InputError


def read(
    n_params: int, n_features: int, params: Any, features: Any, initial: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return params (n_params,) and features (batch, n_features) as tensors of one floating type on one device.

    Parameters
    ----------
    n_params, n_features
        What the circuit uses: one more than its highest index.
    params
        (n_params,) array, tensor or list (or another shape of as many entries); None where the circuit has none (or carries `initial` values).
    features
        (batch, n_features), or (n_features,) for a batch of one; None where the circuit has none.
    initial
        Parameters to use where `params` is None.

    Raises
    ------
    InputError
        Where a count does not match or a value is not finite; it names the position.
    """
    if params is None and n_params:
        if initial is None:
            raise InputError(f"the circuit has {n_params} parameters: give params of shape ({n_params},)")
        params = initial
    if features is None and n_features:
        raise InputError(f"the circuit has {n_features} features: give features of shape (batch, {n_features})")
    p, x = _tensor("params", params), _tensor("features", features)
    like = [t for t in (p, x) if t is not None]
    dtype = torch.float64 if any(t.dtype == torch.float64 for t in like) else torch.float32
    if not like:
        dtype = torch.get_default_dtype()
    # the features decide where the work is done: they are the data, the parameters follow
    device = x.device if x is not None else p.device if p is not None else torch.device("cpu")
    p = torch.zeros(0, dtype=dtype, device=device) if p is None else p.to(dtype=dtype, device=device)
    x = torch.zeros(1, 0, dtype=dtype, device=device) if x is None else x.to(dtype=dtype, device=device)
    if p.ndim != 1 and p.numel() != n_params:
        raise InputError(f"params has shape {tuple(p.shape)}: it must be ({n_params},), shared by the batch")
    p = p.reshape(-1)
    if len(p) != n_params:
        raise InputError(f"params has {len(p)} values, the circuit uses {n_params or 'none'}")
    if x.ndim == 1 and len(x) == n_features:
        x = x[None]
    if x.ndim != 2:
        raise InputError(f"features has shape {tuple(x.shape)}: it must be (batch, {n_features})")
    if x.shape[1] != n_features:
        raise InputError(f"features has {x.shape[1]} columns, the circuit uses {n_features or 'none'}")
    _finite("params", p)
    _finite("features", x)
    return p, x


def _tensor(name: str, value: Any) -> torch.Tensor | None:
    if value is None:
        return None
    if not isinstance(value, torch.Tensor):
        try:
            value = torch.as_tensor(np.asarray(value) if not isinstance(value, (list, tuple)) else value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{name} cannot be read as numbers: {error}") from None
    if value.is_complex():
        raise InputError(f"{name} is complex: angles are real, in radians")
    if not value.is_floating_point():
        value = value.to(torch.get_default_dtype())
    return value


def _finite(name: str, value: torch.Tensor) -> None:
    # a sum is finite unless an entry is not (or it overflows, which the second look settles)
    if not torch.isfinite(value.detach().sum()):
        bad = (~torch.isfinite(value.detach())).nonzero()
        if len(bad):
            at = tuple(bad[0].tolist())
            where = f"[{at[0]}]" if len(at) == 1 else f"row {at[0]}, column {at[1]}"
            raise InputError(f"{name} {where} is {value[at].item()}: angles must be finite ({len(bad)} are not)")
