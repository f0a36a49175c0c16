"""The server's counters, in Prometheus' text format."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samplers.server.pool import Pool

#: Upper edges of the histogram of seconds.
EDGES = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)


class Metrics:
    """Counts of requests, bytes and seconds, and the state of the pool."""

    def __init__(self, pool: Pool):
        self.requests: Counter[int] = Counter()
        self.bytes_in = self.bytes_out = 0
        self.seconds = 0.0
        self._buckets = [0] * (len(EDGES) + 1)
        self._pool = pool

    @contextmanager
    def timed(self) -> Iterator[Callable[..., None]]:
        """Time one request; the body calls the yielded function with its status and the bytes in and out."""
        start = time.perf_counter()

        def outcome(status: int, received: int = 0, sent: int = 0) -> None:
            seconds = time.perf_counter() - start
            self.requests[status] += 1
            self.bytes_in += received
            self.bytes_out += sent
            self.seconds += seconds
            self._buckets[sum(seconds > edge for edge in EDGES)] += 1

        yield outcome

    def text(self) -> str:
        """Return everything in Prometheus' text format."""
        pool, lines = self._pool, []

        def add(name: str, kind: str, text: str, rows: Sequence[tuple[str, float]]) -> None:
            lines.extend([f"# HELP samplers_{name} {text}", f"# TYPE samplers_{name} {kind}"])
            lines.extend(f"samplers_{name}{labels} {value:g}" for labels, value in rows)

        statuses = sorted(self.requests.items())
        add("requests_total", "counter", "Requests by HTTP status.", [(f'{{status="{s}"}}', c) for s, c in statuses])
        add("received_bytes_total", "counter", "Bytes of drawn requests.", [("", self.bytes_in)])
        add("sent_bytes_total", "counter", "Bytes of answers.", [("", self.bytes_out)])
        add("worker_restarts_total", "counter", "Workers that died or were killed.", [("", pool.restarts)])
        add("workers_alive", "gauge", "Worker processes that run.", [("", pool.alive)])
        add("pending_requests", "gauge", "Requests that wait or run.", [("", pool.pending)])
        add("pending_bytes", "gauge", "Bytes of their bodies.", [("", pool.pending_bytes)])
        total = 0
        rows: list[tuple[str, float]] = []
        for edge, count in zip([*EDGES, float("inf")], self._buckets, strict=True):
            total += count
            label = "+Inf" if edge == float("inf") else f"{edge:g}"
            rows.append((f'_bucket{{le="{label}"}}', total))
        rows += [("_sum", self.seconds), ("_count", total)]
        add("request_seconds", "histogram", "Seconds from the headers to the answer.", rows)
        return "\n".join(lines) + "\n"
