"""Circuits to OpenQASM 3, and from OpenQASM 2 and 3 (gates, gate definitions, inputs; no control flow)."""

from __future__ import annotations

import re

from qbmvae.circuits.engines import per_gate
from qbmvae.circuits.gate_list import GateList
from qbmvae.circuits.gates import GATES
from qbmvae.circuits.interop import check
from qbmvae.circuits.interop.qasm_angles import Affine, evaluate
from qbmvae.circuits.operations import Angle
from samplers.errors import InputError

RENAMED = {"cnot": "cx"}
GATE_OF = {RENAMED.get(name, name): name for name in GATES} | {
    "CX": "cnot",
    "u": "u3",
    "U": "u3",
    "phase": "p",
    "u1": "p",
}
GATE_OF |= {"cphase": "cp", "cu1": "cp"}
# gates of ours that stdgates.inc does not define
DEFINITIONS = {
    "sxdg": "gate sxdg a { h a; sdg a; h a; }",
    "iswap": "gate iswap a, b { s a; s b; h a; cx a, b; cx b, a; h b; }",
    "rzz": "gate rzz(t) a, b { cx a, b; rz(t) b; cx a, b; }",
    "rxx": "gate rxx(t) a, b { h a; h b; cx a, b; rz(t) b; cx a, b; h a; h b; }",
    "ryy": "gate ryy(t) a, b { rx(pi/2) a; rx(pi/2) b; cx a, b; rz(t) b; cx a, b; rx(-pi/2) a; rx(-pi/2) b; }",
}
# gates of qelib1.inc and stdgates.inc that are not ours by name
LIBRARY = "gate u2(a, b) x { u3(pi/2, a, b) x; } gate cu3(t, p, l) c, x { u1((l+p)/2) c; u1((l-p)/2) x; cx c, x; \
u3(-t/2, 0, -(p+l)/2) x; cx c, x; u3(t/2, p, 0) x; } gate cu(t, p, l, g) c, x { p(g) c; cu3(t, p, l) c, x; }"
# inverses of gates without angles
INVERSE = {"s": "sdg", "t": "tdg", "sx": "sxdg"}
INVERSE |= {b: a for a, b in INVERSE.items()} | {
    n: n for n in ("h", "x", "y", "z", "cx", "cy", "cz", "ch", "swap", "ccx")
}
GATE = re.compile(r"\bgate\s+(\w+)\s*(?:\(([^)]*)\))?\s*([^{]*)\{([^}]*)\}")
MEASURE = re.compile(
    r"(?:(?:bit(?:\[\d+\])? )?\w+(?:\[\d+\])? ?= ?)?measure (\w+(?:\[\d+\])?)(?: ?-> ?\w+(?:\[\d+\])?)?"
)


def to_qasm(circuit: GateList) -> str:
    """Return OpenQASM 3; see `Circuit.to_qasm`."""
    lines = ["OPENQASM 3.0;", 'include "stdgates.inc";']
    lines += [DEFINITIONS[name] for name in sorted({op.name for op in circuit.operations} & set(DEFINITIONS))]
    lines += [f"input float[64] params_{k};" for k in range(circuit.n_params)]
    lines += [f"input float[64] features_{k};" for k in range(circuit.n_features)]
    lines.append(f"qubit[{circuit.n_qubits}] q;")
    for op in circuit.operations:
        angles = f"({', '.join(_write(a) for a in op.angles)})" if op.angles else ""
        wires = ", ".join(f"q[{q}]" for q in op.qubits)
        lines.append(f"{RENAMED.get(op.name, op.name)}{angles} {wires};")
    return "\n".join(lines) + "\n"


def _write(angle: Angle) -> str:
    if angle.source == "constant":
        return repr(float(angle.offset))
    text = f"{angle.source}s_{angle.index}"
    text = text if angle.scale == 1 else f"{angle.scale!r} * {text}"
    return text if angle.offset == 0 else f"{text} + {angle.offset!r}"


def from_qasm(text: str) -> GateList:
    """Read OpenQASM; see `Circuit.from_qasm`."""
    return _Reader(text).circuit


class _Reader:
    def __init__(self, text: str):
        text = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)
        version = re.search(r"OPENQASM\s+(\d)", text)
        self.version = int(version[1]) if version else 2
        self.definitions: dict[str, tuple[list[str], list[str], list[str]]] = {}
        self.inputs: list[str] = []
        GATE.sub(self._define, LIBRARY)
        own: list[str] = []

        def define(match: re.Match[str]) -> str:
            own.append(match[1])
            return self._define(match)

        text = GATE.sub(define, text)
        self._drop_known(own)
        statements = [" ".join(s.split()) for s in text.split(";")]
        self.registers: dict[str, tuple[int, int]] = {}
        self.measured: set[int] = set()
        gates = [s for s in statements if s and not self._declare(s)]
        size = sum(count for _, count in self.registers.values())
        if not size:
            raise InputError("OpenQASM: no qubits are declared (qubit[n] q; or qreg q[n];)")
        self.circuit = GateList(size)
        self.places = self._places()
        for statement in gates:
            if match := MEASURE.fullmatch(statement):
                self.measured |= {qubit for row in self._operands([match[1]], None) for qubit in row}
            else:
                self._call(statement, {}, None, 0)

    def _define(self, match: re.Match[str]) -> str:
        name, angles, qubits, body = match.groups()
        parts = [" ".join(s.split()) for s in body.split(";") if s.strip()]
        self.definitions[name] = (_split(angles or ""), _split(qubits), parts)
        return ""

    def _drop_known(self, names: list[str]) -> None:
        """Read a gate that the text defines under a name of ours as ours where it is the same, else by its definition."""
        for name in names:
            if name not in GATE_OF:
                continue
            formals, qubits, body = self.definitions[name]
            spec = GATES[GATE_OF[name]]
            same = (len(formals), len(qubits)) == (spec.n_angles, spec.n_qubits)
            if same and not any(part.split("(")[0].split(" ")[0] == name for part in body):
                for values in check.random_angles(len(formals)):
                    inner = _Reader.__new__(_Reader)
                    inner.version, inner.definitions, inner.places = self.version, self.definitions, {}
                    inner.measured, inner.registers = set(), {}
                    inner.circuit = GateList(len(qubits))
                    wires = {q: k for k, q in enumerate(qubits)}
                    for part in body:
                        inner._call(part, {f: (v, {}) for f, v in zip(formals, values, strict=True)}, wires, 1)
                    order = list(range(len(qubits)))
                    matrix = per_gate.unitary(inner.circuit)
                    same &= check.same_up_to_phase(matrix, [(GATE_OF[name], order, values)], len(qubits))
            if same:
                del self.definitions[name]

    def _declare(self, statement: str) -> bool:
        """Take a declaration; whether the statement was one (or one that changes no state)."""
        if re.match(r"(OPENQASM|include|creg|barrier|id|output|gphase)\b", statement):
            return True
        if re.fullmatch(r"bit(?:\[\d+\])? \w+", statement):
            return True
        if match := re.fullmatch(r"input (?:float|angle)(?:\[\d+\])? (\w+)", statement):
            if match[1] in self.inputs:
                raise InputError(f"OpenQASM: the input {match[1]!r} is declared twice")
            self.inputs.append(match[1])
            return True
        match = re.fullmatch(r"qreg (\w+) ?\[(\d+)\]", statement)
        if match:
            name, count = match[1], int(match[2])
        elif match := re.fullmatch(r"qubit(?:\[(\d+)\])? (\w+)", statement):
            name, count = match[2], int(match[1] or 1)
        else:
            return False
        if name in self.registers:
            raise InputError(f"OpenQASM: the register {name!r} is declared twice")
        self.registers[name] = (sum(c for _, c in self.registers.values()), count)
        return True

    def _places(self) -> dict[str, tuple[str, int]]:
        named = {n: m for n in self.inputs if (m := re.fullmatch(r"(param|feature)s_(\d+)", n))}
        places = {n: (m[1], int(m[2])) for n, m in named.items()}
        first = 1 + max((k for source, k in places.values() if source == "param"), default=-1)
        return places | {n: ("param", first + k) for k, n in enumerate(n for n in self.inputs if n not in named)}

    def _call(self, statement: str, values: dict[str, Affine], wires: dict[str, int] | None, depth: int) -> None:
        inverse = re.match(r"inv ?@ ?(\w+)", statement)
        if inverse and inverse[1] in INVERSE:
            statement = INVERSE[inverse[1]] + statement[inverse.end() :]
        match = re.fullmatch(r"(\w+) ?(?:\((.*)\))? ?([\w\[\], ]+)", statement)
        if match is None or depth > 20:
            raise InputError(f"OpenQASM: cannot read {statement!r} (gates, gate definitions and inputs are understood)")
        name, angles, operands = match[1], _split(match[2] or ""), _split(match[3])
        if name in ("reset", "measure", "if", "for", "while", "switch"):
            raise InputError(f"OpenQASM: cannot read {statement!r}: resets, conditions and loops are not gates")
        affine = [evaluate(a, values, self.places, self.version) for a in angles]
        rows = self._operands(operands, wires)
        for qubit in self.measured & {q for row in rows for q in row}:
            raise InputError(
                f"OpenQASM: {statement!r} acts on qubit {qubit} after its measurement; a circuit of ours measures at its "
                "end only"
            )
        if name == "id" or name == "gphase":
            return
        if name in GATE_OF and name not in self.definitions:
            for row in rows:
                self.circuit.append(GATE_OF[name], row, [self._angle(statement, a) for a in affine])
            return
        if name not in self.definitions:
            raise InputError(f"OpenQASM: unknown gate {name!r} in {statement!r}")
        formals, qubits, body = self.definitions[name]
        if (len(formals), len(qubits)) != (len(affine), len(rows[0])):
            raise InputError(
                f"OpenQASM: {name} takes {len(formals)} angles and {len(qubits)} qubits, {statement!r} gives "
                f"{len(affine)} and {len(rows[0])}"
            )
        for row in rows:
            for part in body:
                self._call(
                    part, dict(zip(formals, affine, strict=True)), dict(zip(qubits, row, strict=True)), depth + 1
                )

    def _operands(self, operands: list[str], wires: dict[str, int] | None) -> list[tuple[int, ...]]:
        """Return the qubits of each application: registers without an index are walked through together."""
        columns: list[list[int]] = []
        for operand in operands:
            match = re.fullmatch(r"(\w+)(?:\[(\d+)\])?", operand)
            known = wires if wires is not None else self.registers
            if match is None or match[1] not in known:
                raise InputError(f"OpenQASM: unknown qubit {operand!r}")
            if wires is not None:
                columns.append([wires[match[1]]])
                continue
            first, count = self.registers[match[1]]
            if match[2] is not None and int(match[2]) >= count:
                raise InputError(f"OpenQASM: {operand} is outside {match[1]}[{count}]")
            columns.append([first + int(match[2])] if match[2] is not None else list(range(first, first + count)))
        rows = max(len(c) for c in columns)
        if any(len(c) not in (1, rows) for c in columns):
            raise InputError(f"OpenQASM: {', '.join(operands)} are registers of different sizes")
        return [tuple(c[0] if len(c) == 1 else c[row] for c in columns) for row in range(rows)]

    def _angle(self, statement: str, value: Affine) -> Angle:
        constant, names = value
        names = {n: c for n, c in names.items() if c}
        if not names:
            return Angle("constant", offset=constant)
        if len(names) > 1:
            raise InputError(f"OpenQASM: the angle of {statement!r} depends on {len(names)} inputs, not on one")
        ((name, coefficient),) = names.items()
        source, index = self.places[name]
        return Angle(source, index, coefficient, constant)  # type: ignore[arg-type]


def _split(text: str) -> list[str]:
    """Split at commas outside parentheses."""
    out, depth, start = [], 0, 0
    for k, letter in enumerate(text + ","):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            out.append(text[start:k].strip())
            start = k + 1
    return [part for part in out if part]
