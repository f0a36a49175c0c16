"""Speed, memory and error as ratios to a named peer in the same run."""

import os

# one thread a process, where the user says nothing else: read when numpy and torch load, so before any of the benchmarks
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
