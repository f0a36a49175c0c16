"""Worker processes behind the server: one request at a time each, replaced when they die or take too long."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

from samplers.errors import InputError
from samplers.server import worker

log = logging.getLogger("samplers.server")

#: Seconds that a worker may take to import its backend and to compile what it needs.
START_SECONDS = 600.0


class PoolError(Exception):
    """A request that the pool could not serve; `status` is the HTTP status that says why."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


class Pool:
    """Worker processes that draw.

    Parameters
    ----------
    spec
        The sampler, as `samplers.get` takes it.
    workers
        How many processes.
    max_seconds
        Seconds of one draw; a worker that takes longer is killed and replaced.
    max_pending
        Requests that may wait or run at once; more are turned away.
    max_pending_bytes
        Bytes of bodies that are held at once, arriving ones included.
    limits
        "max_spins" and "max_reads", for the workers.
    """

    def __init__(
        self,
        spec: str,
        *,
        workers: int,
        max_seconds: float,
        max_pending: int,
        max_pending_bytes: int,
        limits: dict[str, int],
    ):
        self.spec, self.max_seconds, self.limits = spec, max_seconds, limits
        self.max_pending, self.max_pending_bytes = max_pending, max_pending_bytes
        self.pending = self.pending_bytes = self.restarts = 0
        self.facts: dict[str, Any] = {}
        self._size = workers
        self._jobs: asyncio.Queue[tuple[bytes, asyncio.Future[bytes]]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._processes: set[asyncio.subprocess.Process] = set()

    @property
    def alive(self) -> int:
        """Worker processes that run."""
        return sum(process.returncode is None for process in self._processes)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that run."""
        return sorted(process.pid for process in self._processes if process.returncode is None)

    async def start(self) -> None:
        """Start the workers; raise `InputError` where the backend refuses its options."""
        processes = [await self._spawn()]
        processes += await asyncio.gather(*(self._spawn() for _ in range(self._size - 1)))
        self._tasks = [asyncio.create_task(self._serve(process)) for process in processes]

    async def stop(self) -> None:
        """Stop the workers; requests that still wait fail with 503."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while not self._jobs.empty():
            _, future = self._jobs.get_nowait()
            if not future.done():
                future.set_exception(PoolError(503, "the server is shutting down"))

    @contextlib.contextmanager
    def room(self) -> Iterator[Callable[[int], None]]:
        """Hold room for one request's bytes until it is answered; the body calls the function as they arrive.

        Raises
        ------
        PoolError
            Where the bodies that are held leave no room.
        """
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            if self.pending_bytes + size > self.max_pending_bytes:
                raise PoolError(503, "the server is busy: try again later")
            held += size
            self.pending_bytes += size

        try:
            yield hold
        finally:
            self.pending_bytes -= held

    async def submit(self, body: bytes) -> bytes:
        """Return the answer to a request's bytes; a cancelled submission that still waits is never drawn.

        Raises
        ------
        PoolError
            Where too many requests wait, or the draw fails.
        """
        if self.pending >= self.max_pending:
            raise PoolError(503, "the server is busy: try again later")
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.pending += 1
        try:
            self._jobs.put_nowait((body, future))
            return await future
        finally:
            self.pending -= 1

    async def _serve(self, process: asyncio.subprocess.Process) -> None:
        try:
            while True:
                job = await self._next(process)
                if job is None:
                    process = await self._replace(process)
                    continue
                body, future = job
                if future.done():
                    continue
                for attempt in (1, 2):
                    try:
                        status, data = await asyncio.wait_for(_roundtrip(process, body), self.max_seconds)
                    except TimeoutError:
                        process = await self._replace(process)
                        _fail(future, 504, f"the draw took longer than {self.max_seconds:g} s, this server's limit")
                    except (OSError, EOFError):
                        # died under this request or before it: a draw can be done again, but not without end
                        process = await self._replace(process)
                        if attempt == 1 and not future.done():
                            continue
                        _fail(future, 500, "the worker died twice under this request")
                    else:
                        if future.done():
                            pass
                        elif status == worker.OK:
                            future.set_result(data)
                        else:
                            _fail(future, 422 if status == worker.REFUSED else 500, data.decode("utf-8", "replace"))
                    break
                del job, body, future
        finally:
            await self._end(process)

    async def _next(self, process: asyncio.subprocess.Process) -> tuple[bytes, asyncio.Future[bytes]] | None:
        """Return the next job, or None where the idle worker dies before there is one."""
        job, death = asyncio.ensure_future(self._jobs.get()), asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait({job, death}, return_when=asyncio.FIRST_COMPLETED)
            return job.result() if job.done() else None
        finally:
            job.cancel()
            death.cancel()

    async def _spawn(self) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "samplers.server.worker", self.spec, json.dumps(self.limits), stdin=pipe, stdout=pipe
        )
        self._processes.add(process)
        try:
            status, data = await asyncio.wait_for(_receive(process), START_SECONDS)
        except (TimeoutError, EOFError, asyncio.CancelledError) as error:
            await self._end(process)
            if isinstance(error, asyncio.CancelledError):
                raise
            raise RuntimeError("a worker did not start") from error
        if status != worker.READY:
            await self._end(process)
            raise InputError(data.decode("utf-8", "replace"))
        self.facts = json.loads(data)
        return process

    async def _replace(self, process: asyncio.subprocess.Process) -> asyncio.subprocess.Process:
        await self._end(process)
        self.restarts += 1
        pause = 0.1
        while True:
            try:
                return await self._spawn()
            except Exception as error:  # noqa: BLE001 - a machine short of memory may refuse for a while; keep trying
                log.warning("a worker did not start again: %s", error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 10.0)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        self._processes.discard(process)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _roundtrip(process: asyncio.subprocess.Process, body: bytes) -> tuple[int, bytes]:
    assert process.stdin is not None
    process.stdin.writelines([worker.start(worker.OK, len(body)), body])
    await process.stdin.drain()
    return await _receive(process)


async def _receive(process: asyncio.subprocess.Process) -> tuple[int, bytes]:
    assert process.stdout is not None
    status, length = worker.parse(await process.stdout.readexactly(worker.HEADER_SIZE))
    return status, await process.stdout.readexactly(length)


def _fail(future: asyncio.Future[bytes], status: int, message: str) -> None:
    if not future.done():
        future.set_exception(PoolError(status, message))
