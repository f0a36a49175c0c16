"""The Clifford-frame engine in compiled code for registers whose states fit a CPU's caches; samples innermost.

Parameters
----------
program, shared, sample
    As in `frame_torch`.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch

from qbmvae.circuits.engines.frame_torch import TorchProgram, gradient_with_graph
from qbmvae.circuits.engines.walsh import walsh_hadamard
from qbmvae.circuits.frame import START, Program, Step, monomial_arrays, outcomes, parity_sign, step
from qbmvae.circuits.kernels import small
from qbmvae.circuits.kernels.tiles import LANES
from samplers.threads import in_order


class TileProgram:
    """The arrays of a program in one precision, as the kernels take them.

    Parameters
    ----------
    dtype, probabilities
        As in `TorchProgram`.
    """

    def __init__(self, program: Program, dtype: torch.dtype, *, probabilities: bool):
        self.program, self.dtype = program, dtype
        self.n, self.size = program.n_qubits, 2**program.n_qubits
        self._plain: TorchProgram | None = None
        self.real = np.float64 if dtype == torch.float64 else np.float32
        bases = [START, *(g.basis for g in program.groups)]
        moves = [step(a, b) for a, b in itertools.pairwise(bases)]
        moves += [step(bases[-1], r.basis) for r in program.readouts]
        self.n_groups = len(program.groups)
        self._lay_out(moves)
        index = np.arange(self.size, dtype=np.int64)
        self.characters = [
            torch.as_tensor(parity_sign(r.masks, index) * r.signs[:, None], dtype=dtype) for r in program.readouts
        ]
        self.n_outputs = sum(len(c) for c in self.characters)
        self.outcomes = torch.as_tensor(outcomes(program.readouts[0], self.n)) if probabilities else None

    def _lay_out(self, moves: list[Step]) -> None:
        rows, turns, base, entries = [], [], [], []
        sources: list[np.ndarray] = []
        tables: list[tuple[int, int]] = []
        columns: list[slice] = []
        self.factors: list[float] = []
        known: dict[Any, int] = {}
        index = np.arange(self.size, dtype=np.int64)
        for g, move in enumerate(moves):
            monomial = -1
            if move.monomial is not None:
                if move.monomial not in known:
                    known[move.monomial] = len(sources)
                    source, turn = monomial_arrays(self.n, *move.monomial)
                    sources.append(np.arange(self.size, dtype=np.int32) if source is None else source)
                    turns.append(turn)
                monomial = known[move.monomial]
            factor = 2.0 ** (-(move.before.bit_count() + move.after.bit_count()) / 2)
            shared, first = -1, len(tables)
            if g < self.n_groups:
                group = self.program.groups[g]
                if group.shared.stop > group.shared.start:
                    shared = len(columns)
                    columns.append(group.shared)
                    self.factors.append(factor)
                for start, masks in _independent(self.program.sample_masks, group.sample):
                    base.append(factor if shared < 0 and len(tables) == first else 1.0)
                    tables.append((start, len(masks)))
                    entries.append(_entries(masks, index))
            rows.append((move.before, monomial, move.after, shared, first, len(tables)))
        self.steps = np.array(rows, dtype=np.int64).reshape(-1, 6)
        # one row even where no step has a monomial map: the kernels name a row always
        self.sources = np.array(sources or [index], dtype=np.int32).reshape(-1, self.size)
        self.turns = np.array(turns or [index * 0], dtype=np.int8).reshape(-1, self.size)
        self.tables = np.array(tables, dtype=np.int64).reshape(-1, 2)
        self.base = np.array(base, dtype=self.real)
        self.entries = np.array(entries, dtype=np.int32).reshape(-1, self.size)
        self.scale = np.array(
            [2.0 ** -(m.before.bit_count() + m.after.bit_count()) for m in moves[self.n_groups :]], dtype=self.real
        )
        # where the shared angles stand in the (2**n, n_shared_diagonals) array of their Walsh-Hadamard transform
        column = np.concatenate([np.full(s.stop - s.start, k) for k, s in enumerate(columns)] or [np.zeros(0, int)])
        self.n_shared = len(columns)
        self.place = torch.as_tensor(self.program.shared_masks * self.n_shared + column.astype(np.int64))

    def diagonals(self, shared: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return cosines and sines of the shared diagonals, (n_shared_diagonals, 2**n), times their step's factor."""
        if not self.n_shared:
            return np.zeros((0, self.size), self.real), np.zeros((0, self.size), self.real)
        phase = torch.zeros(self.size * self.n_shared, dtype=self.dtype)
        phase[self.place] = shared * (-0.5 * 2 ** (self.n / 2))
        phase = walsh_hadamard(phase.reshape(self.size, self.n_shared), self.size - 1, self.n).T.contiguous()
        factor = torch.tensor(self.factors, dtype=self.dtype)[:, None]
        return (phase.cos() * factor).numpy(), (phase.sin() * factor).numpy()

    def plain(self) -> TorchProgram:
        """Return the same program in torch operations alone, through which autograd can go."""
        if self._plain is None:
            probabilities = self.outcomes is not None
            self._plain = TorchProgram(
                self.program, self.dtype, torch.device("cpu"), keep=False, probabilities=probabilities
            )
        return self._plain

    def tiled(self, array: torch.Tensor) -> torch.Tensor:
        """Reshape (..., batch) to (tiles, ..., LANES), padded with zeros."""
        batch = array.shape[-1]
        n_tiles = -(-batch // LANES)
        if batch < n_tiles * LANES:
            array = torch.nn.functional.pad(array, (0, n_tiles * LANES - batch))
        return array.reshape(*array.shape[:-1], n_tiles, LANES).movedim(-2, 0).contiguous()

    def parts(self, n_tiles: int) -> list[np.ndarray]:
        """Split the tiles over torch's threads."""
        return np.array_split(np.arange(n_tiles), max(1, min(torch.get_num_threads(), n_tiles)))


class TileFunction(torch.autograd.Function):
    """(shared angles (n_shared,), per-sample angles (n_sample, batch)) -> (batch, n_outputs)."""

    @staticmethod
    def forward(ctx: Any, program: TileProgram, shared: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:  # noqa: D102
        p, batch = program, sample.shape[1]
        half = p.tiled(sample.detach() * 0.5)
        n_tiles = len(half)
        arguments: tuple[Any, ...] = (p.steps, p.n_groups, p.sources, p.turns, *p.diagonals(shared.detach()), p.tables)
        arguments += (p.base, p.entries, half.cos().numpy(), half.sin().numpy())
        arguments += (np.empty((n_tiles, 2, p.size, LANES), p.real),)
        squares = np.empty((len(p.scale), n_tiles, p.size, LANES), p.real)
        given = (*arguments, p.scale, squares)
        parts = p.parts(n_tiles)
        list(in_order(lambda part: small.forward(part, *given), parts, len(parts)))
        ctx.program, ctx.arguments, ctx.batch, ctx.n_sample = p, arguments, batch, len(sample)
        ctx.save_for_backward(shared, sample)
        found = torch.from_numpy(squares)  # (readouts, tiles, 2**n, LANES)
        if p.outcomes is not None:
            out = torch.empty(p.size, n_tiles, LANES, dtype=p.dtype)
            out[p.outcomes] = found[0].transpose(0, 1)
        else:
            out = torch.empty(p.n_outputs, n_tiles, LANES, dtype=p.dtype)
            for readout, characters, values in zip(p.program.readouts, p.characters, found, strict=True):
                out[readout.positions] = (characters @ values).transpose(0, 1)
        return out.reshape(len(out), -1)[:, :batch].T

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[None, torch.Tensor, torch.Tensor]:  # noqa: D102
        if torch.is_grad_enabled():
            shared, sample = ctx.saved_tensors
            return None, *gradient_with_graph(ctx.program.plain(), shared, sample, grad)
        p, tiled = ctx.program, ctx.program.tiled(grad.T)  # (tiles, n_outputs, LANES)
        weights = torch.empty(len(p.scale), len(tiled), p.size, LANES, dtype=p.dtype)
        if p.outcomes is not None:
            weights[0] = tiled[:, p.outcomes] * float(p.scale[0])
        else:
            for k, (readout, characters) in enumerate(zip(p.program.readouts, p.characters, strict=True)):
                torch.matmul(characters.T * float(p.scale[k]), tiled[:, readout.positions], out=weights[k])
        parts = p.parts(len(tiled))
        totals = np.zeros((len(parts), p.n_shared, p.size, LANES), p.real)
        by_tile = np.zeros((len(tiled), ctx.n_sample, LANES), p.real)
        arguments = (*ctx.arguments, weights.numpy())
        work = lambda k: small.backward(*(parts[k], *arguments, totals[k], by_tile))  # noqa: E731
        list(in_order(work, range(len(parts)), len(parts)))
        grad_shared = torch.zeros(0, dtype=p.dtype)
        if p.n_shared:
            total = torch.from_numpy(totals).sum((0, 3)).T.contiguous()
            total = walsh_hadamard(total, p.size - 1, p.n) * 2 ** (p.n / 2)
            grad_shared = total.reshape(-1)[p.place]
        grad_sample = torch.from_numpy(by_tile).movedim(0, 1).reshape(ctx.n_sample, len(tiled) * LANES)
        return None, grad_shared, grad_sample[:, : ctx.batch]


def _independent(masks: np.ndarray, part: slice) -> list[tuple[int, list[int]]]:
    """Split neighbouring strings into runs that are independent over GF(2): (position of the first, masks)."""
    runs: list[tuple[int, list[int]]] = []
    basis: list[int] = []
    for k in range(part.start, part.stop):
        reduced = int(masks[k])
        for b in basis:
            reduced = min(reduced, reduced ^ b)
        if not runs or not reduced:
            runs.append((k, []))
            basis, reduced = [], int(masks[k])
        basis.append(reduced)
        runs[-1][1].append(int(masks[k]))
    return runs


def _entries(masks: list[int], index: np.ndarray) -> np.ndarray:
    """Return the table row of every basis state: bit k is the parity of mask k with the index."""
    out = np.zeros(len(index), dtype=np.int32)
    for k, mask in enumerate(masks):
        out |= (np.bitwise_count(index & mask).astype(np.int32) & 1) << k
    return out
