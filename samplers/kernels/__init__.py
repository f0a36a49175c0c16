"""One sweep over all spins, and nothing else: dense, bipartite and sparse kernels behind `dispatch.compile_problem`.

numba's cache looks at the file of the outer function only: after a change of `rng.py`, `update.py` or `int8.py` remove
`__pycache__/*.nbi`, or the old code runs on.
"""
