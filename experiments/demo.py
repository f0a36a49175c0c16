"""The demo: train QBM-VAE and scVI on data that need no download, print a table, leave a report.

Run `python -m experiments.demo --out demo-run`, or `make demo`.
"""

from experiments.evaluation.demo import main

if __name__ == "__main__":
    raise SystemExit(main())
