"""The contract: a `Sampler` draws `Draws` of an `Ising` problem at a stated beta; every `Sampler` is a `dimod.Sampler`."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import dimod
import numpy as np
from numpy.typing import ArrayLike

from samplers.batch import BatchRequest, DrawsBatch
from samplers.draws import Draws, Seed
from samplers.errors import InputError, nearest
from samplers.problem import Couplings, Ising
from samplers.request import Request
from samplers.serving import serve, served_draw
from samplers.states import check_states, clamped_spins


class Sampler(dimod.Sampler):
    """Base of every backend: a subclass writes one method, `_draw`.

    `_draw(self, request)` returns `Draws`, or the states alone. `draw` checks the arguments before, serves what the
    backend does not take itself, and completes energies, timing and provenance after.

    Attributes
    ----------
    name
        The name under which it is registered.
    kind
        "sampler" if the reads follow the Boltzmann distribution at `beta`, "optimiser" if they only seek low energies.
    remote
        Whether reads come from another machine.
    keeps_chains
        Whether a draw goes on from the draw before: then an integer seed starts afresh, a generator or no seed goes on,
        and `state_dict` holds the chains.
    takes_initial_states
        Whether `_draw` uses `request.initial_states`; they are refused otherwise.
    takes_clamped
        Whether `_draw` uses `request.clamped`; otherwise it is given the problem of the free spins.
    takes_seed
        Whether equal seeds give equal reads.

    Notes
    -----
    A subclass may write `draw(self, problem, num_reads=1, beta=1.0, *, initial_states=None, clamped=None, seed=None)`
    instead, without the keyword arguments that it does not take; it is checked and completed in the same way.
    """

    name: str = "sampler"
    kind: Literal["sampler", "optimiser"] = "sampler"
    remote: bool = False
    keeps_chains: bool = False
    takes_initial_states: bool = False
    takes_clamped: bool = False
    takes_seed: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            # a sampler of a user's own is called by its own name, not its parent's
            cls.name = cls.__name__
        if "draw" in cls.__dict__:
            cls.draw = served_draw(cls.__dict__["draw"])  # type: ignore[method-assign]

    def draw(
        self,
        problem: Ising,
        num_reads: int = 1,
        beta: float = 1.0,
        *,
        initial_states: ArrayLike | dimod.SampleSet | Mapping[Any, int] | None = None,
        clamped: Mapping[Any, int] | None = None,
        seed: Seed = None,
    ) -> Draws:
        """Draw reads of exp(-beta E(s)).

        Parameters
        ----------
        problem
            The Ising problem.
        num_reads
            How many reads, >= 1.
        beta
            Inverse temperature, >= 0.
        initial_states
            Spins to start from, where the backend takes them: one state `(n,)`, or one a read `(num_reads, n)`; a
            `dimod.SampleSet`, or a mapping by label, whatever its order.
        clamped
            Spin, by index or label, to -1 or +1: these spins keep their value, the rest is drawn given them.
        seed
            Seed or `numpy.random.Generator`; the same seed gives the same reads on the same machine.

        Returns
        -------
        The reads.

        Raises
        ------
        InputError
            For arguments out of range, shapes that do not fit, or an option that the backend does not take.
        SamplerError
            Where the backend fails, or its answer is not what was asked for.
        """
        request = Request.checked(problem, num_reads, beta, initial_states, clamped, seed)
        return serve(self, request, self._flags(), self._draw)

    def _draw(self, request: Request) -> Draws | np.ndarray:
        """Return the reads of a request, `(num_reads, n)` spins, or `Draws`; the one method of a backend."""
        raise TypeError(f"{type(self).__name__} must write the method `_draw(self, request)`")

    def ask(self, request: Request) -> Draws:
        """Draw for a request that another sampler was given; what wrappers call."""
        return self.draw(
            request.problem, request.num_reads, request.beta,
            initial_states=request.initial_states, clamped=request.clamped, seed=request.seed,
        )  # fmt: skip

    def draw_batch(
        self,
        problem: Ising,
        fields: ArrayLike | None = None,
        num_reads: int = 1,
        beta: float = 1.0,
        *,
        initial_states: ArrayLike | None = None,
        clamped: Mapping[Any, int] | Sequence[Mapping[Any, int]] | None = None,
        seed: Seed = None,
    ) -> DrawsBatch:
        """Draw reads of k problems that share couplings.

        Gibbs, persistent chains and population annealing sweep all problems in one kernel call (one for each set of
        clamped spins); every other sampler is asked problem by problem, in order, so that a ledger counts each call.

        Parameters
        ----------
        problem
            Holds the couplings, the labels and the offset.
        fields
            Fields of each problem, `(k, n)`; None takes the problem's own in each, and `clamped` says how many there
            are.
        num_reads
            Reads of each problem.
        beta
            Inverse temperature, >= 0.
        initial_states
            `(k, num_reads, n)` or `(k, 1, n)` spins, where the sampler takes them.
        clamped
            Spin to -1 or +1: one mapping for all problems, or a sequence of k.
        seed
            Seed or generator of the whole batch.

        Returns
        -------
        Reads of all problems: `states` `(k, num_reads, n)`, `mean()` `(k, n)`; `batch[i]` are the draws of problem i.

        Raises
        ------
        InputError, SamplerError
            As `draw`.
        """
        request = BatchRequest.checked(problem, fields, num_reads, beta, initial_states, clamped, seed)
        start = time.perf_counter()
        if not self._draws_batches() or not problem.n:
            batch = self._one_by_one(request)
        else:
            if initial_states is not None and not self.takes_initial_states:
                raise InputError(f"{self.name} takes no initial_states: it chooses its own start")
            parts = []
            for rows, free, part in request.conditioned():
                if len(free):
                    parts.append((rows, free, self._draw_batch(part)))
            batch = DrawsBatch.joined(request, parts)
        batch.info = {"sampler": self.name, "kind": self.kind, **batch.info}
        batch.info.setdefault("timing", {"total": time.perf_counter() - start})
        return batch

    def _draw_batch(self, request: BatchRequest) -> DrawsBatch:
        """Return the reads of problems without clamped spins in one call; written where a backend can do so."""
        raise TypeError(f"{type(self).__name__} draws problems one by one")

    def _draws_batches(self) -> bool:
        """Tell whether the class that defines `draw` or `_draw` also defines `_draw_batch`."""
        writes = {
            name: next(c for c in type(self).__mro__ if name in vars(c)) for name in ("draw", "_draw", "_draw_batch")
        }
        batch = writes["_draw_batch"]
        return batch is not Sampler and issubclass(batch, writes["_draw"]) and issubclass(batch, writes["draw"])

    def _one_by_one(self, request: BatchRequest) -> DrawsBatch:
        rng = request.rng
        answers = []
        for k in range(len(request)):
            # an integer starts chains afresh, in every problem
            seed = int(rng.integers(2**63)) if isinstance(request.seed, int) else rng
            start = None if request.initial_states is None else request.initial_states[k]
            one = Request(request.one(k), request.num_reads, request.beta, start, request.clamped[k] or None)
            answers.append(self.ask(one.replace(seed=None if request.seed is None else seed)))
        weighted = any(a.log_weights is not None for a in answers)
        weights = [np.zeros(len(a)) if a.log_weights is None else a.log_weights for a in answers] if weighted else None
        info: dict[str, Any] = {
            name: [a.info.get(name) for a in answers] for name in answers[0].info if name != "timing"
        }
        info = {name: v[0] if name in ("sampler", "kind") else v for name, v in info.items()}
        info["calls"] = len(answers)
        return DrawsBatch(
            np.stack([a.states for a in answers]),
            None if weights is None else np.stack(weights),
            request.beta,
            info,
            request,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return what the sampler keeps from draw to draw, as arrays and plain values; empty where it keeps nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken.

        Raises
        ------
        InputError
            Where the state is another sampler's.
        """
        if state:
            raise InputError(
                f"{type(self).__name__} keeps nothing from draw to draw, but the state holds {', '.join(map(str, state))}: "
                "resume with the sampler that the state was taken of"
            )

    def _flags(self) -> frozenset[str]:
        """Return which of the optional arguments `_draw` uses."""
        flags = {"initial_states": self.takes_initial_states, "clamped": self.takes_clamped, "seed": self.takes_seed}
        return frozenset(name for name, taken in flags.items() if taken)

    def _taken(self) -> frozenset[str]:
        """Return which of the optional arguments `draw` takes, where a subclass writes it as well."""
        return getattr(type(self).draw, "takes", self._flags())

    @property
    def parameters(self) -> dict[str, list[str]]:
        """Keyword arguments of `sample`, as `dimod` asks."""
        names = ["num_reads", "beta", "clamped", "seed"]
        return {name: [] for name in [*names, *(["initial_states"] if "initial_states" in self._taken() else [])]}

    @property
    def properties(self) -> dict[str, Any]:
        """Facts about the backend; kind, remote, and the limits of the machine where there are any."""
        return {"kind": self.kind, "remote": self.remote}

    def sample(self, bqm: dimod.BinaryQuadraticModel, **parameters: Any) -> dimod.SampleSet:
        """Draw from a `dimod` model of either vartype.

        Parameters
        ----------
        bqm
            The model.
        **parameters
            Those of `draw`; clamped spins and initial states go by the model's labels, and by its values: 0 and 1 for
            a binary model.

        Raises
        ------
        InputError, SamplerError
            As `draw`, and for an unknown parameter.
        """
        return self._sample(Ising.from_bqm(bqm), "SPIN" if bqm.vartype is dimod.SPIN else "BINARY", parameters)

    def sample_ising(self, h: ArrayLike | Mapping[Hashable, float], J: Couplings, **parameters: Any) -> dimod.SampleSet:
        """Draw from fields and couplings, which mean the same as in `Ising(h, J)`.

        Parameters
        ----------
        h, J
            As in `Ising`: a symmetric array holds each coupling once.
        **parameters
            Those of `draw`.
        """
        return self._sample(Ising(h, J), "SPIN", parameters)

    def _sample(
        self, problem: Ising, vartype: Literal["SPIN", "BINARY"], parameters: dict[str, Any]
    ) -> dimod.SampleSet:
        for name in sorted(set(parameters) - set(self.parameters)):
            raise InputError(f"{self.name} takes no option {name!r}{nearest(name, self.parameters)}")
        if parameters.get("clamped"):
            parameters["clamped"] = clamped_spins(parameters["clamped"], problem.labels, vartype, by_label=True)
        if parameters.get("initial_states") is not None:
            parameters["initial_states"] = check_states(parameters["initial_states"], problem.labels, vartype)
        return self.draw(problem, **parameters).to_sampleset(problem, vartype)
