"""Draws written down and played again: a run on a rare machine is repeated without it, bit by bit."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from samplers import wire
from samplers.draws import Draws
from samplers.errors import InputError, WireError
from samplers.files import write_bytes
from samplers.request import Request
from samplers.sampler import Sampler
from samplers.wrappers.base import Wrapper, again, fixed_seed


class Record(Wrapper):
    """A sampler whose draws are kept in a folder, one file a draw.

    Parameters
    ----------
    sampler
        The child.
    folder
        Where the files go, in the binary format of `samplers.wire` (no pickle). Draws of a request that the
        folder knows already are added behind those.
    """

    name = "record"
    takes_clamped = True

    def __init__(self, sampler: Sampler | str, folder: str | Path):
        super().__init__(sampler)
        self.folder = Path(folder)
        self._lock = threading.Lock()
        self._counts = _counts(self.folder)

    def _draw(self, request: Request) -> Draws:
        # drawn from a generator in the recording as in the replay, so that both leave it in the same state
        number = fixed_seed(request.seed)
        key = _key(request.replace(seed=number))
        draws = self.child.ask(request.replace(seed=again(request.seed, number)))
        with self._lock:
            path = self.folder / f"{key}-{self._counts[key]:06d}.qbms"
            self._counts[key] += 1
        write_bytes(path, wire.pack_draws(draws, {"hash": request.problem.content_hash}))
        return draws

    def _state(self) -> dict[str, Any]:
        return {"recorded": dict(self._counts)} if self._counts else {}

    def _restore(self, state: Mapping[str, Any]) -> None:
        # what was drawn after the state was taken is drawn again, and takes its place
        self._counts = Counter(state.get("recorded", {}))


class Replay(Sampler):
    """The draws of a `Record` folder, in their order for each request; nothing is drawn anew.

    Parameters
    ----------
    folder
        Where `Record` kept them.

    Raises
    ------
    InputError
        Where the folder holds no draws; from `draw`, where it holds none, or no further one, of the request.
    """

    name = "replay"
    takes_initial_states = takes_clamped = True

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._lock = threading.Lock()
        self._recorded = _counts(self.folder)
        self._played: Counter[str] = Counter()
        if not self._recorded:
            raise InputError(f"{folder} holds no recorded draws: record some with samplers.wrappers.replay.Record")

    def _draw(self, request: Request) -> Draws:
        problem = request.problem
        key = _key(request.replace(seed=fixed_seed(request.seed)))
        with self._lock:
            turn, held = self._played[key], self._recorded[key]
            if turn >= held:
                raise InputError(
                    f"{self.folder} holds {held} draws of this request ({problem.n} spins, {request.num_reads} reads, "
                    f"beta {request.beta:g}), and {turn} were played: problem, reads, beta, clamped spins and seed must be "
                    "those of the recording"
                )
            self._played[key] += 1
        path = self.folder / f"{key}-{turn:06d}.qbms"
        try:
            draws, header = wire.unpack_draws(path.read_bytes())
        except WireError as error:
            raise InputError(f"{path} cannot be played: {error}") from None
        if header.get("hash") != problem.content_hash:
            raise InputError(f"{path} is the recording of another problem")
        draws.info = {**draws.info, "replayed": str(path)}
        return draws

    def state_dict(self) -> dict[str, Any]:
        """Return how many draws of each request were played."""
        return {"played": dict(self._played)} if self._played else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the draws behind those that were played when `state_dict` was taken."""
        self._played = Counter(state.get("played", {}))


def _key(request: Request) -> str:
    problem, start = request.problem, request.initial_states
    clamped = sorted((request.clamped or {}).items())
    spins = np.array([spin for spin, _ in clamped], dtype=np.int64)
    values = np.array([value for _, value in clamped], dtype=np.int8)
    words = f"{problem.content_hash} {request.num_reads} {float(request.beta)!r} {request.seed}"
    digest = hashlib.sha256(words.encode())
    for part in (spins, values, b"" if start is None else wire.pack_spins(start)):
        digest.update(b"|" + bytes(part))
    return digest.hexdigest()[:32]


def _counts(folder: Path) -> Counter[str]:
    return Counter(path.stem.rpartition("-")[0] for path in folder.glob("*-??????.qbms"))
