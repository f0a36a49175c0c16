"""Cache: the same question is asked of a machine once."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from samplers import wire
from samplers.errors import InputError
from samplers.files import plain, write_atomically
from samplers.machines.options import whole
from samplers.problem import Ising
from samplers.sampler import Draws, Sampler, Seed
from samplers.wrappers.base import Wrapper


class Cache(Wrapper):
    """A sampler that remembers its answers by the content of the problem, the number of reads, beta, start and seed.

    Requests with a generator as their seed, which have no name, share the answer of requests without a seed.

    Parameters
    ----------
    sampler
        A sampler, or the name of one.
    size
        Answers kept in memory; the one unused for longest goes first.
    folder
        Where answers are kept as `.npz` files too, to outlive the process; made if it does not exist.
    """

    name = "cache"

    def __init__(self, sampler: Sampler | str, size: int = 64, folder: str | Path | None = None):
        super().__init__(sampler)
        self.size = whole("size", size)
        self.folder = None if folder is None else Path(folder)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        self.hits = self.misses = 0
        self._answers: OrderedDict[str, Draws] = OrderedDict()

    def draw(
        self,
        problem: Ising,
        num_reads: int = 1,
        beta: float = 1.0,
        *,
        initial_states: np.ndarray | None = None,
        seed: Seed = None,
    ) -> Draws:
        """Answer from memory or the folder, or else from the child; `info["cached"]` tells which."""
        name = self._name(problem, num_reads, beta, initial_states, seed)
        known = self._answers.get(name) or self._read(name)
        if known is None:
            self.misses += 1
            known = self.child.draw(problem, num_reads, beta, initial_states=initial_states, seed=seed)
            self._write(name, known)
            cached = False
        else:
            self.hits += 1
            cached = True
        self._answers[name] = known
        self._answers.move_to_end(name)
        if len(self._answers) > self.size:
            self._answers.popitem(last=False)
        weights = None if known.log_weights is None else known.log_weights.copy()
        return Draws(known.states.copy(), weights, known.energies.copy(), beta, {**known.info, "cached": cached})

    def _state(self) -> dict[str, Any]:
        packed = {name: np.frombuffer(wire.pack_draws(d, {}), np.uint8) for name, d in self._answers.items()}
        return {"answers": packed} if packed else {}

    def _restore(self, state: Mapping[str, Any]) -> None:
        kept = state.get("answers", {})
        self._answers = OrderedDict((name, wire.unpack_draws(data.tobytes())[0]) for name, data in kept.items())

    def _name(self, problem: Ising, num_reads: int, beta: float, start: np.ndarray | None, seed: Seed) -> str:
        digest = hashlib.sha256(problem.content_hash.encode())
        named_seed = int(seed) if isinstance(seed, int | np.integer) else None
        digest.update(json.dumps([num_reads, beta, named_seed]).encode())
        if start is not None:
            digest.update(np.ascontiguousarray(start).tobytes())
        return digest.hexdigest()

    def _read(self, name: str) -> Draws | None:
        if self.folder is None or not (self.folder / f"{name}.npz").exists():
            return None
        path = self.folder / f"{name}.npz"
        try:
            with np.load(path, allow_pickle=False) as kept:
                weights = kept["log_weights"] if "log_weights" in kept else None
                return Draws(
                    kept["states"], weights, kept["energies"], float(kept["beta"]), json.loads(str(kept["info"]))
                )
        except (ValueError, KeyError, OSError) as error:
            raise InputError(f"the cached answer {path} is damaged: delete it") from error

    def _write(self, name: str, draws: Draws) -> None:
        if self.folder is None:
            return
        arrays: dict[str, Any] = {"states": draws.states, "energies": draws.energies, "beta": draws.beta}
        if draws.log_weights is not None:
            arrays["log_weights"] = draws.log_weights
        arrays["info"] = json.dumps(plain(draws.info))
        write_atomically(self.folder / f"{name}.npz", lambda p: np.savez_compressed(p, **arrays), durable=False)
