"""A process that draws: frames of request bytes come in on stdin, frames of answer bytes go out on stdout.

Run by the server as `python -m samplers.server.worker SPEC`. Each request gets a sampler of its own, so that nothing of
one client's draws is left for the next, and the same seed gives the same reads whatever came before.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import traceback
from typing import Any, BinaryIO

import numpy as np

from samplers import wire
from samplers.errors import InputError, WireError
from samplers.problem import Ising
from samplers.registry import get

_FRAME = struct.Struct("<BQ")
READY, OK, REFUSED, FAILED = 0, 1, 2, 3
HEADER_SIZE = _FRAME.size


def start(status: int, length: int) -> bytes:
    """Return the first bytes of a frame."""
    return _FRAME.pack(status, length)


def parse(header: bytes) -> tuple[int, int]:
    """Return status and length from a frame's first bytes."""
    return _FRAME.unpack(header)


def answer(spec: str, data: bytes, limits: dict[str, int]) -> bytes:
    """Return the answer to one request.

    Parameters
    ----------
    spec
        The sampler, as `samplers.get` takes it.
    data
        The request's bytes.
    limits
        "max_spins" and "max_reads".

    Raises
    ------
    InputError
        For a request that is malformed, over a limit, or that the sampler refuses.
    """
    try:
        header, problem, options = _request(data, limits)
    except WireError as error:
        # on this side of the wire damaged bytes are the client's
        raise InputError(f"the request is damaged: {error}") from None
    draws = get(spec).draw(problem, **options)
    return wire.pack_draws(draws, {"hash": problem.content_hash, "nonce": str(header.get("nonce", ""))[:64]})


def _request(data: bytes, limits: dict[str, int]) -> tuple[dict[str, Any], Ising, dict[str, Any]]:
    """Return header, problem and options of `draw` of a request's bytes."""
    header, arrays = wire.unpack(wire.REQUEST, data)
    n, reads, beta, seed = (header.get(key) for key in ("n", "reads", "beta", "seed"))
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= limits["max_spins"]:
        raise InputError(f"this server takes 1 to {limits['max_spins']} spins, not {n!r}")
    if not isinstance(reads, int) or isinstance(reads, bool) or not 1 <= reads <= limits["max_reads"]:
        raise InputError(f"this server takes 1 to {limits['max_reads']} reads a request, not {reads!r}")
    if not isinstance(beta, int | float) or not np.isfinite(beta) or beta < 0:
        raise InputError(f"beta must be a finite number >= 0, not {beta!r}")
    if seed is not None and (not isinstance(seed, int) or not 0 <= seed < 2**128):
        raise InputError("seed must be a whole number from 0 to 2^128 - 1")
    problem = wire.problem_from(header, arrays)
    options: dict[str, Any] = {"num_reads": reads, "beta": float(beta), "seed": seed}
    if "initial_states" in arrays:
        options["initial_states"] = wire.unpack_spins(arrays["initial_states"], n)
    if "clamped" in arrays:
        spins, values = arrays["clamped"].tolist(), arrays.get("clamped_values", np.empty(0)).tolist()
        options["clamped"] = dict(zip(spins, values, strict=False))
        if len(options["clamped"]) != len(spins) or len(spins) != len(values):
            raise InputError("clamped spins and their values do not pair up")
    return header, problem, options


def warm_up(spec: str) -> None:
    """Draw once of every kind of problem, so that what is compiled at its first use is ready before the first request.

    A backend on another machine is left alone: a call may cost something.
    """
    sampler = get(spec)
    if sampler.remote:
        return
    pair, coupling = np.zeros(2), np.array([[0.0, 0.5], [0.0, 0.0]])
    problems = Ising(pair, coupling), Ising.bipartite(pair[:1], pair[:1], coupling[:1, 1:]), Ising(pair, {(0, 1): 0.5})
    for problem in problems:
        for beta in (1.0, 1e3):  # cold problems go to other kernels
            sampler.draw(problem, 2, beta, seed=0)
    if "initial_states" in sampler.parameters:
        sampler.draw(problems[0], 2, initial_states=np.ones((2, 2), dtype=np.int8), seed=0)


def main(spec: str, limits: dict[str, int], inlet: BinaryIO, outlet: BinaryIO) -> None:
    """Answer requests until the inlet closes.

    Parameters
    ----------
    spec
        The sampler, as `samplers.get` takes it.
    limits
        "max_spins" and "max_reads".
    inlet, outlet
        Where requests come from and answers go.
    """

    def send(status: int, data: bytes) -> None:
        outlet.write(start(status, len(data)))
        outlet.write(data)
        outlet.flush()

    try:
        sampler = get(spec)
        try:
            warm_up(spec)
        except Exception:  # noqa: BLE001 - a backend that refuses this problem may take another; requests will tell
            traceback.print_exc(file=sys.stderr)
        facts = {"backend": spec.partition("?")[0], "kind": sampler.kind, "sampler": sampler.name}
        send(READY, json.dumps(facts).encode())
    except InputError as error:
        return send(REFUSED, str(error).encode())
    while len(first := inlet.read(HEADER_SIZE)) == HEADER_SIZE:
        _, length = parse(first)
        data = inlet.read(length)
        if len(data) < length:
            return
        try:
            send(OK, answer(spec, data, limits))
        except InputError as error:
            send(REFUSED, f"{type(error).__name__}: {error}".encode())
        except Exception as error:  # noqa: BLE001 - whatever a backend raises is one failed request, not a dead worker
            traceback.print_exc(file=sys.stderr)
            send(FAILED, f"the backend failed with {type(error).__name__}".encode())


if __name__ == "__main__":
    # Ctrl-C reaches every process of the group; the server decides when a worker goes
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    frames = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # what a backend prints must not end up between the frames
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        main(sys.argv[1], json.loads(sys.argv[2]), sys.stdin.buffer, frames)
    except BrokenPipeError:
        os._exit(0)
