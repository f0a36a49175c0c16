"""Where the cells of a grid are computed: here, in processes, or on a Ray cluster."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

from samplers.errors import InputError, MissingExtraError

# one thread a process, or they slow each other down
THREADS = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    # XLA's pool
    "NPROC": "1",
}


def each(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], workers: int = 1, ray: str | None = None
) -> Iterator[Any]:
    """Yield the results of a function in the order in which they are ready.

    Parameters
    ----------
    function
        Importable by name; its arguments and results are pickled where it runs elsewhere.
    calls
        The arguments of each call.
    workers
        Processes on this machine; 1 computes in this one.
    ray
        Address of a Ray cluster ("auto", "ray://host:10001"), or "local" to start one here with `workers` slots. What
        the function reads and writes must lie on storage that every node sees.

    Raises
    ------
    InputError
        No cluster answers at the address.
    MissingExtraError
        Ray is not installed.
    """
    if ray is not None:
        yield from _on_ray(function, calls, workers, ray)
    elif workers == 1 or len(calls) < 2:
        for call in calls:
            yield function(*call)
    else:
        # what the user has set stays
        os.environ.update({k: v for k, v in THREADS.items() if k not in os.environ})
        # fork copies threads' locks
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for future in as_completed([pool.submit(function, *call) for call in calls]):
                yield future.result()


def _on_ray(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], workers: int, address: str
) -> Iterator[Any]:
    try:
        import ray
    except ImportError:
        raise MissingExtraError("ray", "tune") from None
    here: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(
            address=address, runtime_env={"env_vars": THREADS}, log_to_driver=False, logging_level=logging.ERROR, **here
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"no Ray cluster at {address!r}: {str(error).splitlines()[0]}") from None
    try:
        # Ray wants a plain function; a node that dies is no reason to lose the cell
        def call(*arguments: Any) -> Any:
            return function(*arguments)

        remote = ray.remote(num_cpus=1, max_retries=2)(call)
        waiting = [remote.remote(*arguments) for arguments in calls]
        while waiting:
            ready, waiting = ray.wait(waiting)
            yield from ray.get(ready)
    finally:
        ray.shutdown()
