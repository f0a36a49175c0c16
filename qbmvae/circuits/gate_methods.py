"""The gate methods of `Circuit`: one line a gate, each returns the circuit so that calls chain."""

from __future__ import annotations

from typing import Self, TypedDict, Unpack

from qbmvae.circuits.gate_list import GateList
from qbmvae.circuits.operations import make_angles


class Source(TypedDict, total=False):
    """Where the angle of a rotation comes from: exactly one of the first three, and a factor on it."""

    param: int
    feature: int
    angle: float
    scale: float


class Sources(TypedDict, total=False):
    """Where three angles come from."""

    param: tuple[int, int, int]
    feature: tuple[int, int, int]
    angle: tuple[float, float, float]
    scale: float


class GateMethods(GateList):
    """Gate methods; qubits come first (the control before the target), then exactly one source of the angle.

    Every rotation takes `param=` (a position in the trainable parameters), `feature=` (a column of the features) or
    `angle=` (a constant in radians), and `scale=`, a factor on it. `u3` takes three values of one of them as a tuple.
    """

    def _rotate(self, name: str, qubits: tuple[int, ...], angle: Source) -> Self:
        return self.append(name, qubits, make_angles(name, 1, **angle))

    def h(self, qubit: int) -> Self:
        """Hadamard."""
        return self.append("h", (qubit,))

    def x(self, qubit: int) -> Self:
        """Pauli X."""
        return self.append("x", (qubit,))

    def y(self, qubit: int) -> Self:
        """Pauli Y."""
        return self.append("y", (qubit,))

    def z(self, qubit: int) -> Self:
        """Pauli Z."""
        return self.append("z", (qubit,))

    def s(self, qubit: int) -> Self:
        """diag(1, i)."""
        return self.append("s", (qubit,))

    def sdg(self, qubit: int) -> Self:
        """diag(1, -i)."""
        return self.append("sdg", (qubit,))

    def t(self, qubit: int) -> Self:
        """diag(1, exp(i pi/4))."""
        return self.append("t", (qubit,))

    def tdg(self, qubit: int) -> Self:
        """diag(1, exp(-i pi/4))."""
        return self.append("tdg", (qubit,))

    def sx(self, qubit: int) -> Self:
        """Square root of X."""
        return self.append("sx", (qubit,))

    def sxdg(self, qubit: int) -> Self:
        """Inverse of the square root of X."""
        return self.append("sxdg", (qubit,))

    def cnot(self, control: int, target: int) -> Self:
        """Controlled X."""
        return self.append("cnot", (control, target))

    cx = cnot

    def cy(self, control: int, target: int) -> Self:
        """Controlled Y."""
        return self.append("cy", (control, target))

    def cz(self, control: int, target: int) -> Self:
        """Controlled Z."""
        return self.append("cz", (control, target))

    def ch(self, control: int, target: int) -> Self:
        """Controlled Hadamard."""
        return self.append("ch", (control, target))

    def swap(self, first: int, second: int) -> Self:
        """Exchange two qubits."""
        return self.append("swap", (first, second))

    def iswap(self, first: int, second: int) -> Self:
        """Exchange two qubits with a phase i on |01> and |10>."""
        return self.append("iswap", (first, second))

    def ccx(self, first: int, second: int, target: int) -> Self:
        """Toffoli.

        Parameters
        ----------
        first, second
            The controls.
        target
            Flipped where both are 1.
        """
        return self.append("ccx", (first, second, target))

    def cswap(self, control: int, first: int, second: int) -> Self:
        """Fredkin: exchange two qubits where the control is 1.

        Parameters
        ----------
        control
            The control.
        first, second
            The qubits that change places.
        """
        return self.append("cswap", (control, first, second))

    def rx(self, qubit: int, **angle: Unpack[Source]) -> Self:
        """exp(-i angle X / 2)."""
        return self._rotate("rx", (qubit,), angle)

    def ry(self, qubit: int, **angle: Unpack[Source]) -> Self:
        """exp(-i angle Y / 2)."""
        return self._rotate("ry", (qubit,), angle)

    def rz(self, qubit: int, **angle: Unpack[Source]) -> Self:
        """exp(-i angle Z / 2)."""
        return self._rotate("rz", (qubit,), angle)

    def p(self, qubit: int, **angle: Unpack[Source]) -> Self:
        """diag(1, exp(i angle))."""
        return self._rotate("p", (qubit,), angle)

    phase = p

    def u3(self, qubit: int, **angle: Unpack[Sources]) -> Self:
        """RZ(phi) RY(theta) RZ(lambda) up to a global phase, from (theta, phi, lambda)."""
        return self.append("u3", (qubit,), make_angles("u3", 3, **angle))

    def crx(self, control: int, target: int, **angle: Unpack[Source]) -> Self:
        """Controlled RX."""
        return self._rotate("crx", (control, target), angle)

    def cry(self, control: int, target: int, **angle: Unpack[Source]) -> Self:
        """Controlled RY."""
        return self._rotate("cry", (control, target), angle)

    def crz(self, control: int, target: int, **angle: Unpack[Source]) -> Self:
        """Controlled RZ."""
        return self._rotate("crz", (control, target), angle)

    def cp(self, control: int, target: int, **angle: Unpack[Source]) -> Self:
        """Controlled phase: diag(1, 1, 1, exp(i angle))."""
        return self._rotate("cp", (control, target), angle)

    cphase = cp

    def rxx(self, first: int, second: int, **angle: Unpack[Source]) -> Self:
        """Ising coupling exp(-i angle XX / 2)."""
        return self._rotate("rxx", (first, second), angle)

    def ryy(self, first: int, second: int, **angle: Unpack[Source]) -> Self:
        """Ising coupling exp(-i angle YY / 2)."""
        return self._rotate("ryy", (first, second), angle)

    def rzz(self, first: int, second: int, **angle: Unpack[Source]) -> Self:
        """Ising coupling exp(-i angle ZZ / 2)."""
        return self._rotate("rzz", (first, second), angle)

    isingxx, isingyy, isingzz = rxx, ryy, rzz
