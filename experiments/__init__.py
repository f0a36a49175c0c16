"""What produces numbers: datasets, baselines, tasks, runs, reports and the command line."""
