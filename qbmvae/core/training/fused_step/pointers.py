"""Arrays by their address: a call with one table of addresses costs far less than one with a hundred arrays.

Whoever keeps an address keeps a `Held` of the module next to it.
"""

from __future__ import annotations

from typing import Any

import numba
from numba.core import types
from numba.extending import intrinsic
from torch import Tensor, nn


@intrinsic
def _pointer(typingctx: Any, address: Any):
    signature = types.CPointer(types.float32)(types.int64)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return signature, codegen


@numba.njit
def floats(address, n):
    """Return the `n` float32 values at an address, in numba: of `tensor.data_ptr()`, whose tensor must stay alive."""
    return numba.carray(_pointer(address), (n,))


class Held:
    """The memory of a module's parameters and buffers, kept alive, and whether the module still uses it.

    Parameters
    ----------
    module
        The module.
    """

    def __init__(self, module: nn.Module):
        self._module = module
        # detached tensors own the memory too: it stays where it is when a parameter is given other data
        self._kept = {name: (tensor, tensor.data_ptr(), tensor.detach()) for name, tensor in _tensors(module)}

    def moved(self) -> list[str]:
        """Return the names of parameters and buffers that are new, gone, or somewhere else in memory."""
        now = dict(_tensors(self._module))
        changed = set(now) ^ set(self._kept)
        for name, (tensor, address, _) in self._kept.items():
            if name in now and (now[name] is not tensor or tensor.data_ptr() != address):
                changed.add(name)
        return sorted(changed)


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]
