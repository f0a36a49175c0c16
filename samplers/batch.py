"""Many problems that share couplings, each with fields or clamped spins of its own, drawn in one call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from samplers.checks import integer, number, seed_of
from samplers.couplings import numbers
from samplers.draws import Draws, Seed
from samplers.errors import InputError
from samplers.problem import Ising
from samplers.states import check_states, clamped_spins


@dataclass(frozen=True)
class BatchRequest:
    """The checked arguments of a draw of k problems that share couplings.

    Attributes
    ----------
    problem
        The problem that holds the couplings and the labels.
    fields, offsets
        Of each problem, `(k, n)` and `(k,)`.
    num_reads
        Reads of each problem.
    beta
        Inverse temperature.
    initial_states
        `(k, rows, n)` int8, or None.
    clamped
        For each problem, spin index to -1 or +1.
    seed
        An integer, a generator, or None.
    """

    problem: Ising
    fields: np.ndarray
    offsets: np.ndarray
    num_reads: int = 1
    beta: float = 1.0
    initial_states: np.ndarray | None = None
    clamped: Sequence[Mapping[int, int]] = ()
    seed: Seed = None

    def __len__(self) -> int:
        return len(self.fields)

    @classmethod
    def checked(
        cls, problem: Any, fields: Any, num_reads: Any, beta: Any, initial_states: Any, clamped: Any, seed: Any
    ) -> BatchRequest:
        """Return the request for a caller's arguments.

        Parameters
        ----------
        problem, fields, num_reads, beta, initial_states, clamped, seed
            As in `Sampler.draw_batch`.

        Raises
        ------
        InputError
            For an argument out of range or of a kind that cannot be used.
        """
        if not isinstance(problem, Ising):
            raise InputError(
                f"draw_batch takes a samplers.Ising, not {type(problem).__name__}: use samplers.Ising(h, J)"
            )
        each = None if clamped is None or hasattr(clamped, "items") else list(clamped)
        if fields is None and each is None:
            raise InputError("draw_batch needs fields (k, n), or clamped spins for each of k problems")
        table = np.tile(problem.h, (len(each), 1)) if fields is None and each is not None else numbers("fields", fields)
        if table.ndim != 2 or table.shape[1] != problem.n or not len(table):
            raise InputError(f"fields have shape {table.shape}: give one row a problem, (k, {problem.n})")
        if not np.isfinite(table).all():
            k, i = np.argwhere(~np.isfinite(table))[0]
            raise InputError(f"field {i} of problem {k} is {table[k, i]}: fields must be finite")
        if each is None:
            each = [clamped or {}] * len(table)
        if len(each) != len(table):
            raise InputError(
                f"clamped holds {len(each)} mappings for {len(table)} problems: give one a problem, or one"
            )
        held = [clamped_spins(one or {}, problem.labels) for one in each]
        if initial_states is not None:
            if len(initial_states) != len(table):
                raise InputError(f"initial_states hold {len(initial_states)} problems' states, not {len(table)}")
            rows = [check_states(one, problem.labels) for one in initial_states]
            num = {len(one) for one in rows}
            if len(num) > 1 or num - {1, num_reads}:
                raise InputError("initial_states need one row a problem, or one a read, (k, num_reads, n)")
            initial_states = np.stack(rows)
        return cls(
            problem, table, np.full(len(table), problem.offset), integer("num_reads", num_reads),
            number("beta", beta, least=0, words="a finite number >= 0"), initial_states, held, seed_of(seed),
        )  # fmt: skip

    @property
    def rng(self) -> np.random.Generator:
        """The generator of the seed: the caller's own, or a new one at every access."""
        return np.random.default_rng(self.seed)

    @property
    def couplings(self) -> Ising:
        """The couplings alone: the problem without fields and offset."""
        return self.problem.with_fields(np.zeros(self.problem.n), 0.0)

    def one(self, k: int) -> Ising:
        """Return problem k."""
        return self.problem.with_fields(self.fields[k], float(self.offsets[k]))

    def starts(self) -> np.ndarray | None:
        """Return the initial states as one row a read, `(k * num_reads, n)`, or None."""
        if self.initial_states is None:
            return None
        shape = (len(self), self.num_reads, self.problem.n)
        return np.ascontiguousarray(np.broadcast_to(self.initial_states, shape)).reshape(-1, self.problem.n)

    def conditioned(self) -> Iterator[tuple[np.ndarray, np.ndarray, BatchRequest]]:
        """Yield requests without clamped spins, one for each set of them: (problems, free spins, request)."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for k, held in enumerate(self.clamped):
            groups.setdefault(tuple(sorted(held)), []).append(k)
        # one generator for all groups: their reads are independent
        rng = self.rng if len(groups) > 1 else self.seed
        for spins, members in groups.items():
            rows = np.array(members)
            fixed = np.zeros((len(rows), self.problem.n))
            fixed[:, list(spins)] = [[self.clamped[k][s] for s in spins] for k in members]
            free = np.setdiff1d(np.arange(self.problem.n), spins)
            push = self.problem.couple(fixed)
            offsets = self.offsets[rows] + ((self.fields[rows] + 0.5 * push) * fixed).sum(axis=1)
            start = None if self.initial_states is None else self.initial_states[rows][:, :, free]
            rest = self.problem if not spins else self.problem.restricted(free)
            fields = (self.fields[rows] + push)[:, free]
            yield rows, free, BatchRequest(rest, fields, offsets, self.num_reads, self.beta, start, (), rng)


@dataclass
class DrawsBatch:
    """Reads of k problems that share couplings; `batch[i]` are the `Draws` of problem i.

    Attributes
    ----------
    states
        `(k, num_reads, n)` int8 in {-1, +1}.
    log_weights
        `(k, num_reads)` float64, or None where all reads of a problem weigh the same.
    beta
        The inverse temperature that was asked for.
    info
        What the sampler reports; lists of k values hold one value a problem ("log_z", "ess").
    request
        What was asked for.
    """

    states: np.ndarray
    log_weights: np.ndarray | None = None
    beta: float = 1.0
    info: dict[str, Any] = field(default_factory=dict)
    request: BatchRequest | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.states)

    def __getitem__(self, k: int) -> Draws:
        if not -len(self) <= k < len(self):
            raise IndexError(f"there are {len(self)} problems, not {k + 1}")
        weights = None if self.log_weights is None else self.log_weights[k]
        own = {name: v[k] if isinstance(v, list) and len(v) == len(self) else v for name, v in self.info.items()}
        draws = Draws(self.states[k], weights, beta=self.beta, info=own)
        return draws if self.request is None else draws.of(self.request.one(k))

    def __iter__(self) -> Iterator[Draws]:
        return (self[k] for k in range(len(self)))

    @property
    def weights(self) -> np.ndarray:
        """Normalised weights, `(k, num_reads)`, each row summing to 1."""
        if self.log_weights is None:
            return np.full(self.states.shape[:2], 1.0 / self.states.shape[1])
        weights = np.exp(self.log_weights - self.log_weights.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    @property
    def energies(self) -> np.ndarray:
        """The energy of each read under its own problem, `(k, num_reads)`."""
        return np.stack([self[k].energies for k in range(len(self))])

    def mean(self) -> np.ndarray:
        """Return the weighted mean of each spin, `(k, n)`."""
        return np.einsum("kr,krn->kn", self.weights, self.states)

    def second_moments(self) -> np.ndarray:
        """Return the weighted E[s_i s_j] of each problem, `(k, n, n)`."""
        spins = self.states.astype(np.float64)
        return np.einsum("krn,krm->knm", spins * self.weights[:, :, None], spins, optimize=True)

    @classmethod
    def joined(cls, request: BatchRequest, parts: Sequence[tuple[np.ndarray, np.ndarray, DrawsBatch]]) -> DrawsBatch:
        """Return the draws of a request from those of its parts: (problems, free spins, draws)."""
        shape = (len(request), request.num_reads, request.problem.n)
        states, weights = np.empty(shape, dtype=np.int8), np.zeros(shape[:2])
        for k, held in enumerate(request.clamped):
            states[k][:, list(held)] = list(held.values())
        info: dict[str, Any] = {}
        for rows, free, part in parts:
            states[np.ix_(rows, np.arange(shape[1]), free)] = part.states
            weights[rows] = 0.0 if part.log_weights is None else part.log_weights
            for name, value in part.info.items():
                if isinstance(value, list) and len(value) == len(rows):
                    kept = info.setdefault(name, [None] * len(request))
                    for k, v in zip(rows, value, strict=True):
                        kept[k] = v
                else:
                    info[name] = value
        weighted = any(part.log_weights is not None for _, _, part in parts)
        return cls(states, weights if weighted else None, request.beta, info, request)
