"""How large a joint statevector may become."""

from __future__ import annotations

from collections.abc import Sequence

from samplers.errors import InputError

#: Largest state that an engine allocates, in bytes; a gate holds about twice as much for a moment.
MAX_BYTES = 2 * 2**30


def check_size(n_qubits: int, genes: Sequence[str], n_states: int = 1) -> None:
    """Raise `InputError` where `n_states` statevectors of `n_qubits` do not fit, naming the genes and the memory.

    Parameters
    ----------
    n_qubits
        Of the joint state.
    genes
        Their names.
    n_states
        Statevectors held at once.

    Raises
    ------
    InputError
        Where they do not fit; the message names the genes and the memory.
    """
    needed = 16 * n_states * 2**n_qubits
    if needed > MAX_BYTES:
        named = ", ".join(list(genes)[:8]) + (", ..." if len(genes) > 8 else "")
        raise InputError(
            f"{n_qubits} genes that feed back on one another ({named}) need a joint statevector of "
            f"{readable(needed)}, more than the {readable(MAX_BYTES)} held here: break the cycle, "
            "or move the gates onto a gene before the gates that it controls"
        )


def readable(n_bytes: float) -> str:
    """Return a number of bytes in binary units."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.4g} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.3g} EiB"
