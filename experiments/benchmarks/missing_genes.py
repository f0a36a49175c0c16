"""What genes that a query lacks do to its embedding: the price of filling them with zeros, by their share.

`python -m experiments.benchmarks.missing_genes` trains on a random half of the cells and embeds the other half with a share of
the genes taken out at random, several times. Per share: how many of each cell's 15 nearest reference cells stay the same, and
how well 15 neighbours predict labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.benchmarks.report import arguments, finish, one_quiet_thread

SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)


def measure(name: str, shares: tuple[float, ...], repeats: int, epochs: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return a row for each share of missing genes.

    Parameters
    ----------
    name
        A data set of `experiments.data.datasets`.
    shares
        Of the genes that are missing.
    repeats
        Draws of the missing genes for each.
    epochs
        Of the training.
    seed
        Of the split, the training and the draws.
    """
    from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

    from experiments.data.datasets import NAMED, load
    from qbmvae import QBMVAE
    from qbmvae.model import cells

    adata, rng = load(name), np.random.default_rng(seed)
    order = rng.permutation(adata.n_obs)
    reference, query = adata[order[: len(order) // 2]].copy(), adata[order[len(order) // 2 :]].copy()
    QBMVAE.setup_anndata(reference, batch_key=NAMED[name].batch_key)
    model = QBMVAE(reference, n_latent=32)
    model.train(max_epochs=epochs, seed=seed, progress_bar=False)
    at, labels = model.get_latent_representation(), reference.obs[NAMED[name].label_key].astype(str)
    near = NearestNeighbors(n_neighbors=15).fit(at)
    votes = KNeighborsClassifier(15).fit(at, labels)
    n_genes = cells.enter(model, query).n_vars
    whole = near.kneighbors(model.get_latent_representation(query), return_distance=False)
    rows = []
    for share in shares:
        kept, right = [], []
        for _ in range(repeats if share else 1):
            gone = rng.choice(n_genes, round(share * n_genes), replace=False)
            lacking = query[:, ~query.var_names.isin(np.asarray(model.get_var_names())[gone])].copy()
            # above the share that a query may lack it is filled by hand
            if share > 0.2:
                lacking = query.copy()
                x = lacking.X.toarray()
                x[:, lacking.var_names.isin(np.asarray(model.get_var_names())[gone])] = 0
                lacking.X = x
            z = model.get_latent_representation(lacking)
            found = near.kneighbors(z, return_distance=False)
            kept.append(np.mean([len(set(a) & set(b)) / 15 for a, b in zip(whole, found, strict=True)]))
            right.append(np.mean(votes.predict(z) == query.obs[NAMED[name].label_key].astype(str)))
        rows.append({"data": name, "missing": share, "neighbours kept": np.mean(kept), "labels right": np.mean(right)})
    return rows


def main() -> None:
    """Run the measurement and print a table."""
    options = arguments(__doc__, data=["synthetic", "pbmc68k"], repeats=5, epochs=60)
    one_quiet_thread()
    rows = [row for name in options.data for row in measure(name, SHARES, options.repeats, options.epochs)]
    finish(f"missing genes, {options.epochs} epochs, {options.repeats} draws", rows, options.out)


if __name__ == "__main__":
    main()
