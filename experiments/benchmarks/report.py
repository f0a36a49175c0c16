"""What every benchmark prints and writes: a table, the machine, JSON."""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from samplers.files import write_json


def machine() -> str:
    """Return processor, cores and versions in one line."""
    import numpy as np

    name = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        name = next((ln.split(":", 1)[1].strip() for ln in info.read_text().splitlines() if "model name" in ln), name)
    return f"{name}, {os.cpu_count()} cores, python {platform.python_version()}, numpy {np.__version__}"


def one_quiet_thread() -> None:
    """Let this process compute on one thread, without warnings and without what libraries log."""
    import logging
    import warnings

    import torch

    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)


def best_of(call: Callable[[], Any], repeats: int = 3) -> float:
    """Return the least CPU seconds of `repeats` calls, after one that compiles."""
    call()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def arguments(description: str) -> argparse.Namespace:
    """Return the options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the rows as JSON")
    parser.add_argument("--only", nargs="*", default=[], help="rows whose name starts with one of these")
    return parser.parse_args()


def selected(options: argparse.Namespace, name: str) -> bool:
    """Return whether `--only` asks for a row."""
    return not options.only or any(name.startswith(start) for start in options.only)


def finish(title: str, rows: list[dict[str, Any]], out: Path | None) -> None:
    """Print the rows as a table under the machine's name, and write them to `out`."""
    print(f"\n{title}\n{machine()}\n")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_cell(row.get(c, "")) for c in columns] for row in rows]
    widths = [max(len(c), *(len(line[k]) for line in cells)) for k, c in enumerate(columns)]
    for line in [columns, ["-" * w for w in widths], *cells]:
        print("| " + " | ".join(v.ljust(w) for v, w in zip(line, widths, strict=True)) + " |")
    if out:
        write_json(out, {"title": title, "machine": machine(), "rows": rows})


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(_cell(v) for v in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)
