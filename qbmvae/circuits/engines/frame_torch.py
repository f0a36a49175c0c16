"""The Clifford-frame engine in plain torch, on any device: an autograd Function with a hand-written adjoint.

States are (2**n, lanes) complex, lanes innermost; a state that does not depend on the sample yet has one lane. The
adjoint of a rotation about a string that is diagonal is Im(conj(adjoint state) * state), so one Walsh-Hadamard transform
gives the gradients of all rotations of a group.

Parameters
----------
program
    The compiled circuit.
shared
    Angles that all samples share, `(n_shared,)`.
sample
    Angles of each sample, `(n_sample, batch)`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from qbmvae.circuits import memory
from qbmvae.circuits.engines.walsh import walsh_hadamard
from qbmvae.circuits.frame import START, Program, Step, monomial_arrays, outcomes, step

TABLE = 4  # per-sample strings a table: sines and cosines of 16 sums, then look-ups


class Evaluation(NamedTuple):
    """States and diagonals of each step (empty unless kept), the last state, and the state in each readout's basis."""

    kept: list[tuple[torch.Tensor, torch.Tensor]]
    state: torch.Tensor
    finals: list[torch.Tensor]


class TorchProgram:
    """The tensors of a program on one device in one precision.

    Parameters
    ----------
    dtype, device
        Of the states.
    keep
        Whether states on the way are kept for the gradient, instead of computed again.
    probabilities
        Whether the program returns probabilities instead of expectation values.
    """

    def __init__(self, program: Program, dtype: torch.dtype, device: torch.device, *, keep: bool, probabilities: bool):
        self.program, self.dtype, self.device, self.keep = program, dtype, device, keep
        self.complex = torch.complex128 if dtype == torch.float64 else torch.complex64
        self.n, self.size = program.n_qubits, 2**program.n_qubits
        bases = [START, *(g.basis for g in program.groups)]
        self.steps = [step(a, b) for a, b in itertools.pairwise(bases)]
        self.last = [step(bases[-1], r.basis) for r in program.readouts]
        self.outcomes = self._long(outcomes(program.readouts[0], self.n)) if probabilities else None
        self._monomials: dict[Any, Any] = {}

    def plain(self) -> TorchProgram:
        """Return a program of torch operations alone, through which autograd can go."""
        return self

    def _long(self, array: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.long, device=self.device)

    def _monomial(self, key: Any) -> tuple[torch.Tensor | None, torch.Tensor]:
        if key in self._monomials:
            return self._monomials[key]
        source, turns = monomial_arrays(self.n, *key)
        powers = torch.tensor([1, 1j, -1, -1j], dtype=self.complex, device=self.device)
        out = (None if source is None else self._long(source), powers[self._long(turns)][:, None])
        if self.keep:
            self._monomials[key] = out
        return out

    def hadamards(self, array: torch.Tensor, mask: int) -> torch.Tensor:
        """Apply normalised Hadamards to the qubits of `mask` of (2**n, lanes), real or complex."""
        return walsh_hadamard(array, mask, self.n)

    def move(self, state: torch.Tensor, move: Step) -> torch.Tensor:
        """Apply a step."""
        state = self.hadamards(state, move.before)
        if move.monomial is not None:
            source, factor = self._monomial(move.monomial)
            state = (state if source is None else state[source]) * factor
        return self.hadamards(state, move.after)

    def back(self, state: torch.Tensor, move: Step) -> torch.Tensor:
        """Apply the inverse of a step."""
        flipped = None if move.monomial is None else (move.monomial[1], move.monomial[0])
        return self.move(state, Step(move.after, flipped, move.before))

    def start(self) -> torch.Tensor:
        """Return |0...0>, one lane."""
        state = torch.zeros(self.size, 1, dtype=self.complex, device=self.device)
        state[0] = 1
        return state

    def scatter(self, masks: np.ndarray, values: torch.Tensor) -> torch.Tensor:
        """Return sum_k values[k] chi_k(x), (2**n, lanes), from values (n_masks, lanes)."""
        out = torch.zeros(self.size, values.shape[1], dtype=self.dtype, device=self.device)
        out.index_add_(0, self._long(masks), values)
        return self.hadamards(out, self.size - 1) * 2 ** (self.n / 2)

    def gather(self, masks: np.ndarray, values: torch.Tensor) -> torch.Tensor:
        """Return sum_x chi_k(x) values[x], (n_masks, lanes), from values (2**n, lanes)."""
        return self.hadamards(values, self.size - 1)[self._long(masks)] * 2 ** (self.n / 2)

    def diagonal(self, g: int, shared: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        """Return exp(-i/2 sum angle chi) of group g, (2**n, 1) or (2**n, batch).

        Parameters
        ----------
        g
            Position of the group.
        """
        group, program = self.program.groups[g], self.program
        phase = torch.zeros(1, 1, dtype=self.dtype, device=self.device)
        if group.shared.stop > group.shared.start:
            phase = phase + self.scatter(program.shared_masks[group.shared], shared[group.shared, None])
        if group.sample.stop > group.sample.start:
            phase = phase + self.scatter(program.sample_masks[group.sample], sample[group.sample])
        half = phase * -0.5
        return torch.complex(torch.cos(half), torch.sin(half))


def evaluate(program: TorchProgram, shared: torch.Tensor, sample: torch.Tensor) -> tuple[torch.Tensor, Evaluation]:
    """Return (n_outputs, batch) and the states on the way; torch's autograd can go through it, to any order."""
    state, kept = program.start(), []
    for g, move in enumerate(program.steps):
        diagonal = program.diagonal(g, shared, sample)
        state = program.move(state, move) * diagonal
        if program.keep:
            kept.append((state, diagonal))
    finals = [program.move(state, move) for move in program.last]
    batch = sample.shape[1]
    if program.outcomes is not None:
        out = torch.empty(program.size, batch, dtype=program.dtype, device=program.device)
        out[program.outcomes] = _square(finals[0]).expand(-1, batch)
    else:
        count = sum(len(r.positions) for r in program.program.readouts)
        out = torch.empty(count, batch, dtype=program.dtype, device=program.device)
        for readout, final in zip(program.program.readouts, finals, strict=True):
            signs = torch.as_tensor(readout.signs, dtype=program.dtype, device=program.device)[:, None]
            out[readout.positions] = program.gather(readout.masks, _square(final)) * signs
    return out, Evaluation(kept, state, finals)


def gradient_with_graph(
    program: TorchProgram, shared: torch.Tensor, sample: torch.Tensor, grad: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradient as torch's autograd computes it, so that it can be differentiated again.

    The hand-written adjoints run outside autograd: a loss that holds a gradient (`create_graph=True`) comes here.
    Every state of the circuit is kept, whatever the engine.

    Parameters
    ----------
    grad
        Gradient of the outputs, `(n_outputs, batch)`.
    """
    states = 10 + 8 * len(program.steps)
    memory.check(program.n, sample.shape[1], states, program.dtype, program.device)
    # the parts of the graph that lead here stay out of it: the caller's inputs are the leaves
    shared, sample = (t if t.requires_grad else t.detach().requires_grad_() for t in (shared, sample))
    out, _ = evaluate(program, shared, sample)
    found = torch.autograd.grad(
        out, (shared, sample), grad.T, create_graph=True, allow_unused=True, materialize_grads=True
    )
    return found[0], found[1]


class FrameFunction(torch.autograd.Function):
    """(shared angles (n_shared,), per-sample angles (n_sample, batch)) -> (batch, n_outputs)."""

    @staticmethod
    def forward(ctx: Any, program: TorchProgram, shared: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:  # noqa: D102
        out, found = evaluate(program, shared.detach(), sample.detach())
        ctx.program, ctx.kept, ctx.state = program, found.kept, found.state
        ctx.finals = found.finals if program.keep else None
        ctx.save_for_backward(shared, sample)
        return out.T

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[None, torch.Tensor, torch.Tensor]:  # noqa: D102
        program, state = ctx.program, ctx.state
        shared, sample = ctx.saved_tensors
        if torch.is_grad_enabled():
            return None, *gradient_with_graph(program.plain(), shared, sample, grad)
        finals = ctx.finals or [program.move(state, move) for move in program.last]
        adjoint = _seed(program, finals, grad.T)
        grad_shared, grad_sample = torch.zeros_like(shared), torch.zeros_like(sample)
        for g in range(len(program.steps) - 1, -1, -1):
            group = program.program.groups[g]
            state, diagonal = ctx.kept[g] if program.keep else (state, program.diagonal(g, shared, sample))
            if state.shape[1] == 1 < adjoint.shape[1]:
                adjoint = adjoint.sum(1, keepdim=True)  # the samples do not differ yet: their adjoints add up
            weight = (adjoint.conj() * state).imag
            if group.shared.stop > group.shared.start:
                total = weight.sum(1, keepdim=True)
                grad_shared[group.shared] = program.gather(program.program.shared_masks[group.shared], total)[:, 0]
            if group.sample.stop > group.sample.start:
                grad_sample[group.sample] = program.gather(program.program.sample_masks[group.sample], weight)
            adjoint = program.back(adjoint * diagonal.conj(), program.steps[g])
            if not program.keep:
                state = program.back(state * diagonal.conj(), program.steps[g])
        return None, grad_shared, grad_sample


def _square(state: torch.Tensor) -> torch.Tensor:
    return state.real.square() + state.imag.square()


def _seed(program: TorchProgram, finals: list[torch.Tensor], grad: torch.Tensor) -> torch.Tensor:
    """Return the adjoint state after the last group: the gradient-weighted observables applied to the state."""
    if program.outcomes is not None:
        return program.back(finals[0] * grad[program.outcomes], program.last[0])

    def parts() -> Iterator[torch.Tensor]:
        for readout, final, move in zip(program.program.readouts, finals, program.last, strict=True):
            signs = torch.as_tensor(readout.signs, dtype=program.dtype, device=program.device)[:, None]
            weights = program.scatter(readout.masks, grad[readout.positions] * signs)
            yield program.back(final * weights, move)

    return functools.reduce(torch.add, parts())
