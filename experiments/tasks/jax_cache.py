"""Let XLA keep what it compiles: the metrics of scib-metrics take half a minute to compile, in every new process."""

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
