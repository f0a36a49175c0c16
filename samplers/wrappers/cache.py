"""Cache: the same question is asked of a machine once."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from samplers import wire
from samplers.checks import integer
from samplers.draws import Draws
from samplers.files import plain, write_atomically
from samplers.request import Request
from samplers.sampler import Sampler
from samplers.wrappers.base import Wrapper


class Cache(Wrapper):
    """A sampler that remembers its answers by the child and its options, the problem, reads, beta, start and seed.

    Requests with a generator as their seed, which have no name, share the answer of requests without a seed.
    `info["cached"]` tells whether the reads were remembered.

    Parameters
    ----------
    sampler
        A sampler, or the name of one.
    size
        Answers kept in memory; the one unused for longest goes first.
    folder
        Where answers are kept as `.npz` files too, to outlive the process; made if it does not exist. Several samplers
        may share it. A file that is damaged is drawn again.
    """

    name = "cache"

    def __init__(self, sampler: Sampler | str, size: int = 64, folder: str | Path | None = None):
        super().__init__(sampler)
        self.size = integer("size", size)
        self.folder = None if folder is None else Path(folder)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        self.hits = self.misses = 0
        self._answers: OrderedDict[str, Draws] = OrderedDict()
        self._made = identity(self.child, private=True)

    def _draw(self, request: Request) -> Draws:
        name = self._name(request)
        known = self._answers.get(name) or self._read(name)
        cached = known is not None
        if known is None:
            self.misses += 1
            known = self.child.ask(request)
            self._write(name, known)
        else:
            self.hits += 1
        self._answers[name] = known
        self._answers.move_to_end(name)
        if len(self._answers) > self.size:
            self._answers.popitem(last=False)
        weights = None if known.log_weights is None else known.log_weights.copy()
        return Draws(known.states.copy(), weights, info={**known.info, "cached": cached})

    def _state(self) -> dict[str, Any]:
        packed = {name: np.frombuffer(wire.pack_draws(d, {}), np.uint8) for name, d in self._answers.items()}
        return {"answers": packed} if packed else {}

    def _restore(self, state: Mapping[str, Any]) -> None:
        kept = state.get("answers", {})
        self._answers = OrderedDict((name, wire.unpack_draws(data.tobytes())[0]) for name, data in kept.items())

    def _name(self, request: Request) -> str:
        seed = request.seed if isinstance(request.seed, int) else None
        words = [self._made, identity(self.child), request.problem.content_hash, request.num_reads, request.beta, seed]
        digest = hashlib.sha256(json.dumps(words).encode())
        if request.initial_states is not None:
            digest.update(np.ascontiguousarray(request.initial_states).tobytes())
        return digest.hexdigest()

    def _read(self, name: str) -> Draws | None:
        if self.folder is None or not (self.folder / f"{name}.npz").exists():
            return None
        try:
            with np.load(self.folder / f"{name}.npz", allow_pickle=False) as kept:
                weights = kept["log_weights"] if "log_weights" in kept else None
                return Draws(kept["states"], weights, info=json.loads(str(kept["info"])))
        except (ValueError, KeyError, OSError, zipfile.BadZipFile):
            return None

    def _write(self, name: str, draws: Draws) -> None:
        if self.folder is None:
            return
        arrays: dict[str, Any] = {"states": draws.states}
        if draws.log_weights is not None:
            arrays["log_weights"] = draws.log_weights
        arrays["info"] = json.dumps(plain(draws.info))
        write_atomically(self.folder / f"{name}.npz", lambda p: np.savez_compressed(p, **arrays), durable=False)


def identity(sampler: Any, private: bool = False) -> str:
    """Return what tells a sampler from others: its class, its options, and its children's.

    Parameters
    ----------
    sampler
        A sampler of ours or of `dimod`.
    private
        Whether plain values of private attributes count: for options, not for what changes from draw to draw.
    """
    words = [f"{type(sampler).__module__}.{type(sampler).__qualname__}"]
    for name, value in sorted(getattr(sampler, "__dict__", {}).items()):
        if name in ("hits", "misses", "failures") or (name.startswith("_") and not private):
            continue
        if isinstance(value, bool | int | float | str | tuple | list | dict | Path | None | np.ndarray):
            words.append(f"{name}={plain(value)!r}")
        elif hasattr(value, "sample") or hasattr(value, "draw"):
            words.append(f"{name}={identity(value, private)}")
        else:
            words.append(f"{name}:{type(value).__qualname__}")
    return f"({', '.join(words)})"
