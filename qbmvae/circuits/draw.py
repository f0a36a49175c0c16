"""Draw a circuit as text or with matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qbmvae.circuits.operations import Angle, Operation

if TYPE_CHECKING:
    from qbmvae.circuits.gate_list import GateList

CONTROLS = {"cnot": 1, "cy": 1, "cz": 1, "ch": 1, "crx": 1, "cry": 1, "crz": 1, "cp": 1, "ccx": 2, "cswap": 1}
TARGET = {"cnot": "X", "ccx": "X", "cswap": "SWAP", "sdg": "S†", "tdg": "T†", "sxdg": "SX†"}


def angle_label(angle: Angle) -> str:
    """Return p3, x0, .25, -2 x1 + .5."""
    if angle.source == "constant":
        return f"{angle.offset:.3g}"
    name = f"{'p' if angle.source == 'param' else 'x'}{angle.index}"
    scaled = {1.0: name, -1.0: f"-{name}"}.get(angle.scale, f"{angle.scale:.3g} {name}")
    return scaled if angle.offset == 0 else f"{scaled} {'+' if angle.offset > 0 else '-'} {abs(angle.offset):.3g}"


def gate_label(op: Operation) -> str:
    """Return what stands in the box of a gate."""
    name = TARGET.get(op.name) or (op.name[1:] if CONTROLS.get(op.name) else op.name).upper()
    return f"{name}({', '.join(angle_label(a) for a in op.angles)})" if op.angles else name


def columns(circuit: GateList) -> list[list[Operation]]:
    """Gather gates into columns: each as early as its qubits, and the wires that it crosses, are free."""
    free = [0] * circuit.n_qubits
    out: list[list[Operation]] = []
    for op in circuit.operations:
        span = range(min(op.qubits), max(op.qubits) + 1)
        column = max(free[q] for q in span)
        if column == len(out):
            out.append([])
        out[column].append(op)
        for q in span:
            free[q] = column + 1
    return out


def text(circuit: GateList, width: int = 100) -> str:
    """Return the circuit as text, one line a qubit, broken into blocks of at most `width` characters."""
    n = circuit.n_qubits
    pieces = []
    for column in columns(circuit):
        cells = ["─"] * n
        for op in column:
            for q in range(min(op.qubits), max(op.qubits) + 1):
                cells[q] = "┼"
            for k, q in enumerate(op.qubits):
                cells[q] = "●" if k < CONTROLS.get(op.name, 0) else gate_label(op)
        size = max(map(len, cells))
        pieces.append([c.center(size, "─") + "─" for c in cells])
    head = [f"{q}: ".rjust(len(str(n - 1)) + 2) + "─" for q in range(n)]
    blocks, rows = [], list(head)
    for piece in pieces:
        if len(rows[0]) > len(head[0]) and len(rows[0]) + len(piece[0]) > width:
            blocks.append("\n".join(rows))
            rows = list(head)
        rows = [row + cell for row, cell in zip(rows, piece, strict=True)]
    return "\n\n".join([*blocks, "\n".join(rows)])


def figure(circuit: GateList) -> Any:
    """Return a matplotlib figure of the circuit."""
    from matplotlib.figure import Figure

    laid = columns(circuit)
    fig = Figure(figsize=(max(2.0, 0.9 * len(laid) + 1), 0.6 * circuit.n_qubits + 0.6), layout="constrained")
    axes = fig.add_subplot()
    for q in range(circuit.n_qubits):
        axes.plot([-0.7, len(laid) - 0.3], [-q, -q], color="0.4", lw=1, zorder=0)
        axes.text(-0.8, -q, f"{q}", ha="right", va="center")
    for x, column in enumerate(laid):
        for op in column:
            if len(op.qubits) > 1:
                axes.plot([x, x], [-min(op.qubits), -max(op.qubits)], color="0.2", lw=1, zorder=1)
            for k, q in enumerate(op.qubits):
                if k < CONTROLS.get(op.name, 0):
                    axes.plot([x], [-q], "o", color="0.2", ms=6)
                else:
                    box = {"boxstyle": "round,pad=0.25", "fc": "white", "ec": "0.2"}
                    axes.text(x, -q, gate_label(op), ha="center", va="center", fontsize=8, bbox=box)
    axes.set(xlim=(-1.2, max(len(laid), 1)), ylim=(-circuit.n_qubits + 0.4, 0.6))
    axes.axis("off")
    return fig
