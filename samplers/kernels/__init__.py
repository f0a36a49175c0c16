"""One sweep over all spins, and nothing else: dense, bipartite and sparse kernels behind `dispatch.compile_problem`."""
