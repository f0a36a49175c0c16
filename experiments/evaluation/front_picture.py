"""The picture of the front page: `python -m experiments.evaluation.front_picture --out docs/img/front.png`.

Cells of a synthetic data set before and after integration, and the share of each type's cells in which a bit is on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.data.datasets import unintegrated_pca
from experiments.data.synthetic import synthetic
from experiments.report.plots import COLOURS, plane
from qbmvae import QBMVAE
from samplers.files import write_atomically

BITS = 16


def draw(out: Path, n_cells: int, max_epochs: int, seed: int) -> None:
    """Train a model and write the picture.

    Parameters
    ----------
    out
        The PNG.
    n_cells, max_epochs, seed
        Size of the data set, epochs of the training, seed of both.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    adata = synthetic(n_cells=n_cells, n_genes=400, seed=seed)
    QBMVAE.setup_anndata(adata, batch_key="batch")
    model = QBMVAE(adata)
    model.train(max_epochs=max_epochs, seed=seed)
    before, after = plane(unintegrated_pca(adata), seed), plane(model.get_latent_representation(), seed)
    types, batches = adata.obs["cell_type"], adata.obs["batch"]

    figure = Figure(figsize=(13, 3.6), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 4, width_ratios=(1, 1, 1, 1.15))
    order = np.random.default_rng(0).permutation(adata.n_obs)
    panels = [("before: PCA, by batch", before, batches), ("after: QBM-VAE, by batch", after, batches)]
    panels.append(("after: QBM-VAE, by type", after, types))
    for axis, (title, points, labels) in zip(axes, panels, strict=False):
        codes = pd.Categorical(labels)
        colour = np.asarray(COLOURS)[codes.codes % len(COLOURS)]
        axis.scatter(*points[order].T, c=colour[order], s=3, linewidths=0, rasterized=True)
        for i, name in enumerate(codes.categories):
            axis.scatter([], [], c=COLOURS[i % len(COLOURS)], s=20, label=str(name))
        axis.legend(fontsize=7, frameon=False, loc="best", handletextpad=0.1)
        axis.set(title=title, xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    probabilities = pd.DataFrame(model.get_latent_representation(representation="probabilities"))
    share = probabilities.groupby(types.to_numpy()).mean()
    told = share.std().sort_values(ascending=False).index[:BITS]
    image = axes[3].imshow(share[sorted(told)], cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes[3].set_yticks(range(len(share)), share.index, fontsize=8)
    axes[3].set_xticks([])
    axes[3].set(title="bits that tell types apart", xlabel=f"{len(told)} of {share.shape[1]} bits")
    figure.colorbar(image, ax=axes[3], label="probability that the bit is on")
    write_atomically(out, lambda path: figure.savefig(path, format="png"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the picture of the front page.")
    parser.add_argument("--out", type=Path, default=Path("docs/img/front.png"), help="where the picture goes")
    parser.add_argument("--n-cells", type=int, default=2000, help="cells of the synthetic data set")
    parser.add_argument("--max-epochs", type=int, default=100, help="epochs of the training")
    parser.add_argument("--seed", type=int, default=0, help="of data and training")
    options = parser.parse_args()
    draw(options.out, options.n_cells, options.max_epochs, options.seed)
