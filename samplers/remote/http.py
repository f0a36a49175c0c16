"""The client of a server of `qbmvae samplers serve`."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np

from samplers import wire
from samplers.checks import positive
from samplers.draws import Draws
from samplers.errors import BadAnswerError, InputError, RemoteError, RemoteTimeoutError, WireError, needs
from samplers.remote.answers import check_answer
from samplers.remote.secrets import Secret, redact
from samplers.request import Request
from samplers.sampler import Sampler

#: The environment variable from which the token is taken where none is given.
TOKEN_VARIABLE = "QBMVAE_SAMPLERS_TOKEN"
_BUSY = (429, 503)


class Http(Sampler):
    """Reads from a server of `qbmvae samplers serve`, checked before they are believed.

    Parameters
    ----------
    url
        Where the server is, such as "http://127.0.0.1:8765".
    token
        The server's token; by default what the environment variable `QBMVAE_SAMPLERS_TOKEN` holds. It is never shown,
        logged or pickled.
    timeout
        Seconds for one draw, waiting in the server's queue included. A busy server (429, 503) is asked again within
        that time; any other failure is raised at once: wrap the client in `samplers.wrappers.resilience.Retry`.

    Raises
    ------
    RemoteError
        From `draw`: no connection, no answer in time, a failure of the server.
    BadAnswerError
        From `draw`: an answer that is cut off, changed, or to another question.
    InputError
        For a URL that is none, or that holds credentials.
    MissingExtraError
        Where httpx is not installed.
    """

    name = "http"
    remote = True
    takes_initial_states = takes_clamped = True

    def __init__(self, url: str = "http://127.0.0.1:8765", token: str | None = None, timeout: float = 60.0):
        with needs("httpx", "http"):
            import httpx
        parts = urlsplit(str(url))
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError("url must be http://HOST:PORT or https://HOST:PORT of a samplers server")
        if parts.username or parts.password:
            raise InputError(f"url must not hold credentials: give token=, or set {TOKEN_VARIABLE}")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")
        self.timeout = positive("timeout", timeout)
        self._token = Secret(str(token) if token is not None else os.environ.get(TOKEN_VARIABLE, ""), TOKEN_VARIABLE)
        self._connect_to(httpx)

    def __repr__(self) -> str:
        return f"Http(url={self.url!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "timeout": self.timeout, "_token": self._token}

    def __setstate__(self, state: dict[str, Any]) -> None:
        import httpx

        self.__dict__.update(state)
        self._connect_to(httpx)

    def _connect_to(self, httpx: Any) -> None:
        self._httpx, self._lock, self._shared, self._pid = httpx, threading.Lock(), None, -1
        self._facts: dict[str, Any] | None = None

    @property
    def kind(self) -> Literal["sampler", "optimiser"]:  # type: ignore[override]
        """What the served backend is; "sampler" until the server was reached."""
        try:
            return "optimiser" if self._served().get("kind") == "optimiser" else "sampler"
        except (RemoteError, InputError):
            return "sampler"

    @property
    def properties(self) -> dict[str, Any]:
        """Our own properties, and the server's where it answers."""
        own = {"kind": "sampler", "remote": True, "url": self.url}
        try:
            return {**own, **self._served()}
        except (RemoteError, InputError) as error:
            return {**own, "error": str(error)}

    def _served(self) -> dict[str, Any]:
        if self._facts is None:
            try:
                self._facts = dict(self._get("/v1/properties").json())
            except (ValueError, TypeError):
                raise RemoteError(f"{self.url} does not say what it serves") from None
        return self._facts

    def _draw(self, request: Request) -> Draws:
        problem, seed = request.problem, request.seed
        header, arrays = wire.problem_arrays(problem)
        nonce = secrets.token_hex(16)
        number = int(seed.integers(2**63)) if isinstance(seed, np.random.Generator) else seed
        header |= {"reads": request.num_reads, "beta": request.beta, "seed": number, "nonce": nonce}
        if request.initial_states is not None:
            arrays["initial_states"] = wire.pack_spins(request.initial_states)
        if request.clamped:
            arrays["clamped"] = np.array(list(request.clamped), dtype=np.int32)
            arrays["clamped_values"] = np.array(list(request.clamped.values()), dtype=np.int8)
        answer = self._post(wire.pack(wire.REQUEST, header, arrays), request.num_reads, problem.n)
        try:
            draws, echoed = wire.unpack_draws(answer)
        except WireError as error:
            raise BadAnswerError(f"{self.url} answered with bytes that cannot be trusted: {error}") from None
        if echoed.get("nonce") != nonce or echoed.get("hash") != problem.content_hash:
            raise BadAnswerError(f"{self.url} answered another request than ours")
        independent = draws.info.get("kind") == "sampler" and request.initial_states is None
        check_answer(
            draws, problem, request.num_reads, request.beta,
            clamped=request.clamped, source=self.url, independent=independent,
        )  # fmt: skip
        return Draws(draws.states, draws.log_weights, info={**draws.info, "remote": self.url})

    def _client(self) -> Any:
        # httpx clients are shared by threads, never by processes: a forked copy would read another's answers
        with self._lock:
            if self._pid != os.getpid():
                limits = self._httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=5.0)
                self._shared, self._pid = self._httpx.Client(timeout=self.timeout, limits=limits), os.getpid()
            return self._shared

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token.reveal()}"} if self._token else {}

    def _get(self, path: str) -> Any:
        with self._named_errors():
            response = self._client().get(self.url + path, headers=self._headers(), timeout=min(5.0, self.timeout))
        self._raise_for(response.status_code, response.text, response.headers)
        return response

    def _post(self, body: bytes, num_reads: int, n: int) -> bytes:
        deadline = time.monotonic() + self.timeout
        # spins, weights and energies, and what a server may say in `info`
        most = num_reads * ((n + 7) // 8 + 16) + (4 << 20)
        headers = {**self._headers(), "Content-Type": "application/octet-stream"}
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise RemoteTimeoutError(f"{self.url} did not answer within {self.timeout:g} s")
            with self._named_errors():
                request = self._client().stream(
                    "POST", self.url + "/v1/draw", content=body, headers=headers, timeout=left
                )
                with request as response:
                    answer = self._read(response, most, deadline)
            if response.status_code not in _BUSY or time.monotonic() + _wait(response.headers) >= deadline:
                self._raise_for(response.status_code, answer[:500].decode("utf-8", "replace"), response.headers)
                return answer
            time.sleep(_wait(response.headers))

    def _read(self, response: Any, most: int, deadline: float) -> bytes:
        blocks, size = [], 0
        for block in response.iter_raw():
            blocks.append(block)
            size += len(block)
            if size > most:
                raise BadAnswerError(f"{self.url} answered with more than {most} bytes")
            if time.monotonic() > deadline:
                raise RemoteTimeoutError(f"{self.url} did not finish its answer within {self.timeout:g} s")
        return b"".join(blocks)

    def _raise_for(self, status: int, text: str, headers: Mapping[str, str]) -> None:
        if status == 200:
            return
        text = redact(" ".join(text.split())[:300])
        if status in (401, 403):
            raise InputError(f"{self.url} refuses the token: give token=, or set {TOKEN_VARIABLE}")
        if status in (404, 405, 413, 422):
            raise InputError(f"{self.url} refuses the request ({status}): {text}")
        raise RemoteError(
            f"{self.url} answered {status}: {text}", retry_after=_wait(headers) if status in _BUSY else None
        )

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except self._httpx.TimeoutException:
            raise RemoteTimeoutError(f"{self.url} did not answer within {self.timeout:g} s") from None
        except self._httpx.HTTPError as error:
            raise RemoteError(f"{self.url}: {type(error).__name__}: {redact(str(error))}") from None


def _wait(headers: Mapping[str, str]) -> float:
    """Seconds that a busy server asks to be left alone, with jitter so that clients do not come back together."""
    try:
        asked = float(headers.get("Retry-After", "1"))
    except ValueError:
        asked = 1.0
    return min(max(asked, 0.05), 10.0) * (0.5 + secrets.randbelow(1000) / 1000)
