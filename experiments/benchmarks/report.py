"""What the benchmarks share: options, clocks, processes of their own, and the table that is printed and written."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks.cells import Cells
from samplers.files import write_json


def machine() -> str:
    """Return processor, cores and versions in one line."""
    import numpy as np

    name = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        name = next((ln.split(":", 1)[1].strip() for ln in info.read_text().splitlines() if "model name" in ln), name)
    return f"{name}, {os.cpu_count()} cores, python {platform.python_version()}, numpy {np.__version__}"


def arguments(description: str | None, given: Sequence[str] | None = None, **options: Any) -> argparse.Namespace:
    """Return the options of a benchmark: `--out` and `--only`, which all of them take, and its own.

    Parameters
    ----------
    description
        The docstring of its module; the first line is shown.
    given
        Words of the command line; those of this process by default.
    **options
        Name to default, whose type is the option's; a list takes several values, a pair (default, text) has a help text.
    """
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    for name, default in options.items():
        default, text = default if isinstance(default, tuple) else (default, None)
        several = isinstance(default, list)
        one = (default or [""])[0] if several else default
        parser.add_argument(
            f"--{name.replace('_', '-')}", default=default, help=text, nargs="+" if several else None,
            type=type(one),
        )  # fmt: skip
    parser.add_argument("--out", type=Path, help="write the rows as JSON")
    parser.add_argument("--only", nargs="*", default=[], help="rows whose name starts with one of these")
    return parser.parse_args(given)


def selected(options: argparse.Namespace, name: str) -> bool:
    """Return whether `--only` asks for a row."""
    return not options.only or any(name.startswith(start) for start in options.only)


def one_quiet_thread() -> None:
    """Let this process compute on one thread, without warnings and without what libraries log."""
    import logging
    import warnings

    import torch

    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)


def cpu_seconds(call: Callable[[], Any]) -> float:
    """Return the CPU seconds of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def best_of(call: Callable[[], Any], repeats: int = 3) -> float:
    """Return the least CPU seconds of `repeats` calls, after one that compiles."""
    call()
    return min(cpu_seconds(call) for _ in range(repeats))


def in_turn(calls: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[Any]]:
    """Return what each call gives, called in turn, so that a machine that changes its pace changes it for all."""
    found: dict[str, list[Any]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            found[name].append(call())
    return found


def ratios(seconds: Sequence[float], others: Sequence[float], name: str = "ratio") -> dict[str, float]:
    """Return how many times faster calls were than those that they took turns with: median, least, largest.

    Parameters
    ----------
    seconds, others
        Seconds of ours and of the others, call by call.
    name
        Column of the median.
    """
    found = [theirs / ours for ours, theirs in zip(seconds, others, strict=True)]
    return {f"{name} (median)": statistics.median(found), "least": min(found), "largest": max(found)}


def peak_gb() -> float:
    """Return the most memory that this process has held, GB; what it inherited from its parent does not count."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e9


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function of a module returns in a process of its own, for its own peak of memory."""
    with Cells(24 * 3600) as cells:
        return cells.call(function, *arguments)


def finish(title: str, rows: list[dict[str, Any]], out: Path | None) -> None:
    """Print the rows as a table under the machine's name, and write them to `out`.

    Parameters
    ----------
    title
        What was measured, and how.
    rows
        Column to value; a row may lack columns.
    out
        A JSON file, or None.
    """
    print(f"\n{title}\n{machine()}\n")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_cell(row.get(c, "")) for c in columns] for row in rows]
    widths = [max(len(c), *(len(line[k]) for line in cells)) for k, c in enumerate(columns)]
    for line in [columns, ["-" * w for w in widths], *cells]:
        print("| " + " | ".join(v.ljust(w) for v, w in zip(line, widths, strict=True)) + " |", flush=True)
    if out:
        write_json(out, {"title": title, "machine": machine(), "rows": rows})


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(_cell(v) for v in value)
    return (
        f"{value:.4g}"
        if isinstance(value, float) and abs(value) < 1e4
        else f"{value:,.0f}"
        if isinstance(value, float)
        else str(value)
    )
