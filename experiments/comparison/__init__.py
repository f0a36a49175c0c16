"""Compare models on several data sets and seeds: a grid of fits, its results, statistics and report."""
