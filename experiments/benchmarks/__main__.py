"""Run every benchmark, or those named: `python -m experiments.benchmarks [name ...]`."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

#: What takes minutes or needs a GPU and is asked for by name, and helpers without a table of their own.
NOT_BY_DEFAULT = {"gpu", "kill_resume", "large_priors", "overfitting", "soak"}
HELPERS = {"__main__", "cells", "equal_time", "report"}


def names() -> list[str]:
    """Return the benchmarks there are."""
    found = (m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return sorted(name for name in found if name not in HELPERS)


def main() -> int:
    known, asked = names(), sys.argv[1:]
    unknown = [name for name in asked if name not in known]
    if unknown:
        print(f"there is no benchmark {unknown[0]!r}: there are {', '.join(known)}", file=sys.stderr)
        return 2
    failed = []
    for name in asked or [n for n in known if n not in NOT_BY_DEFAULT]:
        print(f"\n== {name}", flush=True)
        # a process each: one benchmark's threads and caches must not touch another's figures
        if subprocess.run([sys.executable, "-m", f"experiments.benchmarks.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
