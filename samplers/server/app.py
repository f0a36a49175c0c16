"""Any sampler over HTTP: binary bodies, a token, limits, back-pressure, health and metrics; draws run in worker processes."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from samplers.errors import InputError, needs
from samplers.registry import get
from samplers.server.metrics import Metrics
from samplers.server.pool import Pool, PoolError

if TYPE_CHECKING:
    from starlette.applications import Starlette

#: Seconds that a client may take to send its headers, and then its body, which gets one more second per `SLOW_BYTES`.
SLOW_SECONDS, SLOW_BYTES = 15.0, 1 << 20
#: Requests and bytes that may wait or run at once; more are refused with 503 and a time to come back.
MAX_PENDING, MAX_PENDING_BYTES = 2048, 1 << 30
#: Connections that may be open at once.
MAX_CONNECTIONS = 4096


def serve(
    sampler_spec: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    token: str | None = None,
    max_spins: int = 4096,
    max_reads: int = 100_000,
    max_seconds: float = 60.0,
    workers: int = 1,
) -> None:
    """Serve a sampler until SIGINT or SIGTERM; then finish the requests that run, and stop.

    Parameters
    ----------
    sampler_spec
        The backend, as `samplers.get` takes it: "gibbs", "gibbs?num_sweeps=200".
    host, port
        Where to listen; port 0 takes a free one. Without a token only a loopback address is accepted.
    token
        What clients must send as bearer token.
    max_spins, max_reads
        Of one request.
    max_seconds
        Of one draw; a worker process that takes longer is killed and replaced.
    workers
        Processes that draw, each one request at a time.

    Raises
    ------
    InputError
        For a backend that does not exist or refuses its options, and limits that are not positive.
    MissingExtraError
        Where the server's extra is not installed.
    """
    with needs("uvicorn", "server"):
        import uvicorn
        from uvicorn.protocols.http.h11_impl import H11Protocol
    for name, value in {"max_spins": max_spins, "max_reads": max_reads, "max_seconds": max_seconds, "workers": workers}.items():  # fmt: skip
        if not value > 0:
            raise InputError(f"{name} must be > 0, not {value}")
    if token is not None and not token.strip():
        raise InputError("the token is empty: write one into the token file")
    if token is None and host not in ("127.0.0.1", "::1", "localhost"):
        raise InputError(f"serving on {host} without a token would let anyone in: give a token, or use host 127.0.0.1")
    get(sampler_spec)
    _check_address(host, port)
    _allow_connections()
    app = application(
        sampler_spec, token=token, max_spins=max_spins, max_reads=max_reads, max_seconds=max_seconds, workers=workers
    )

    class Patient(H11Protocol):
        """HTTP/1.1 that hangs up on clients who do not get to the end of their headers."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.loop.call_later(SLOW_SECONDS, self._hang_up_on_silence)

        def _hang_up_on_silence(self) -> None:
            if self.scope is None and not self.transport.is_closing():
                self.transport.close()

    config = uvicorn.Config(
        app, host=host, port=port, http=Patient, log_level="warning", access_log=False, server_header=False,
        limit_concurrency=MAX_CONNECTIONS, timeout_keep_alive=30, timeout_graceful_shutdown=int(max_seconds) + 1,
    )  # fmt: skip

    class Announcing(uvicorn.Server):
        """A server that prints its address once it listens, and that stops without an error."""

        def handle_exit(self, sig: int, frame: Any) -> None:
            self.force_exit = self.should_exit and sig == signal.SIGINT
            self.should_exit = True

        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            if self.started:
                listening = self.servers[0].sockets[0].getsockname()[1]
                print(f"serving {sampler_spec} on http://{host}:{listening}", file=sys.stderr, flush=True)

    Announcing(config).run()


def _allow_connections() -> None:
    # a connection is an open file, of which the soft limit is often 1,024
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 2 * MAX_CONNECTIONS if hard == resource.RLIM_INFINITY else min(hard, 2 * MAX_CONNECTIONS)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _check_address(host: str, port: int) -> None:
    if not 0 <= port <= 65535:
        raise InputError(f"port must be 0 to 65535, not {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise InputError(f"cannot listen on {host}, port {port} ({error}): choose another address or port") from None


def application(
    sampler_spec: str, *, token: str | None, max_spins: int, max_reads: int, max_seconds: float, workers: int
) -> Starlette:
    """Return the ASGI application of `serve`, for users who run a server of their own.

    It is plain Starlette, which FastAPI is made of: bodies are binary, so that FastAPI's models have nothing to check.

    Parameters
    ----------
    sampler_spec, token, max_spins, max_reads, max_seconds, workers
        As in `serve`.

    Raises
    ------
    MissingExtraError
        Where the extra `server` is not installed.
    """
    with needs("fastapi", "server"):
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import JSONResponse, Response
        from starlette.routing import Route
    limits = {"max_spins": int(max_spins), "max_reads": int(max_reads)}
    most_bytes = body_limit(**limits)
    pool = Pool(
        sampler_spec, workers=workers, max_seconds=max_seconds, limits=limits,
        max_pending=MAX_PENDING, max_pending_bytes=max(MAX_PENDING_BYTES, most_bytes),
    )  # fmt: skip
    metrics = Metrics(pool)
    secret = None if token is None else token.strip().encode()

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await pool.start()
        yield
        await pool.stop()

    def text(status: int, message: str) -> Response:
        headers = {"Retry-After": "1"} if status == 503 else {}
        return Response(message + "\n", status, headers=headers, media_type="text/plain")

    def refused(request: Request) -> Response | None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if secret is None or (scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), secret)):
            return None
        metrics.requests[401] += 1
        return Response("a bearer token is needed\n", 401, headers={"WWW-Authenticate": "Bearer"})

    async def health(request: Request) -> Response:
        state = {"status": "ok" if pool.alive else "no worker is alive", "backend": pool.facts.get("backend")}
        return JSONResponse({**state, "workers": pool.alive, "pending": pool.pending}, 200 if pool.alive else 503)

    async def prometheus(request: Request) -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    async def properties(request: Request) -> Response:
        facts = {**pool.facts, **limits, "max_seconds": max_seconds, "workers": workers}
        return refused(request) or JSONResponse(facts)

    async def draw(request: Request) -> Response:
        if (refusal := refused(request)) is not None:
            return refusal
        with metrics.timed() as outcome, pool.room() as hold:
            try:
                patience = SLOW_SECONDS + _declared_size(request, most_bytes) / SLOW_BYTES
                body = await asyncio.wait_for(_body(request, most_bytes, hold), patience)
                answer = await _unless_gone(request, pool.submit(body))
                outcome(200, len(body), len(answer))
                return Response(answer, media_type="application/octet-stream")
            except TimeoutError:
                error = PoolError(408, f"the body did not arrive within {patience:.3g} s")
            except PoolError as caught:
                error = caught
            outcome(error.status)
            response = text(error.status, str(error))
            if error.status in (408, 413):
                # the rest of the body is not wanted
                response.headers["Connection"] = "close"
            return response

    app = Starlette(
        lifespan=lifespan,
        routes=[
            Route("/health", health),
            Route("/metrics", prometheus),
            Route("/v1/properties", properties),
            Route("/v1/draw", draw, methods=["POST"]),
        ],
    )
    app.state.pool = pool
    return app


def body_limit(max_spins: int, max_reads: int) -> int:
    """Return the most bytes that a request within the limits can have: every coupling listed, and initial states."""
    pairs = max_spins * (max_spins - 1) // 2
    return 16 * pairs + 24 * max_spins + max_reads * ((max_spins + 7) // 8) + 4096


def _declared_size(request: Any, most: int) -> int:
    """Return the length that a request's headers give, 0 without; raise 413 beyond `most` bytes."""
    declared = request.headers.get("content-length", "0")
    size = int(declared) if declared.isdecimal() else 0
    if size > most:
        raise PoolError(413, f"the body is larger than this server takes ({most} bytes)")
    return size


async def _body(request: Any, most: int, hold: Callable[[int], None]) -> bytes:
    from starlette.requests import ClientDisconnect

    try:
        blocks, size = [], 0
        async for block in request.stream():
            hold(len(block))
            size += len(block)
            if size > most:
                raise PoolError(413, f"the body is larger than this server takes ({most} bytes)")
            blocks.append(block)
        return b"".join(blocks)
    except ClientDisconnect:
        raise PoolError(400, "the body is incomplete") from None


async def _unless_gone(request: Any, work: Any) -> bytes:
    """Return what `work` returns, and drop it when the client hangs up."""
    drawn = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({drawn, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not drawn.done():
            raise PoolError(499, "the client hung up")
        return drawn.result()
    finally:
        for task in (drawn, gone):
            task.cancel()
        await asyncio.gather(drawn, gone, return_exceptions=True)


async def _disconnected(request: Any) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
