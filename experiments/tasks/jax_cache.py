"""What XLA compiles for the metrics of scib-metrics: kept between processes, and dropped before it fills a process.

Compilation takes half a minute in a new process. Each compiled function holds memory maps, of which Linux gives a process
65,530: a grid of a hundred fits on sets of many sizes would end in "Cannot allocate memory".
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def remember_compilations() -> None:
    """Point JAX at a cache in the user's cache folder; what the user has set stays, and a loaded JAX as it is."""
    if "jax" in sys.modules:
        return
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(home / "qbmvae" / "jax"))
    # the defaults keep only what took a second: the metrics are hundreds of small functions
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def drop_compilations(most_maps: int = 30_000) -> bool:
    """Make JAX forget what it compiled if this process holds many memory maps; return whether it did.

    Parameters
    ----------
    most_maps
        Maps that are left alone; 0 forgets always. Where the system does not list them (not Linux), nothing is done.
    """
    try:
        with open("/proc/self/maps", "rb") as maps:
            full = sum(1 for _ in maps) > most_maps
    except OSError:
        return False
    if full and "jax" in sys.modules:
        import jax

        jax.clear_caches()
    return full
