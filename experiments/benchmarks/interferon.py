"""Is a known programme found without labels, and does clamping it turn control cells into stimulated ones?

    python -m experiments.benchmarks.interferon DIR/integration/kang_pbmc_ifnb_1975.h5ad --seeds 0 1 2

The model is trained on all cells without batches and without labels. Its bits are scored by a list of interferon-stimulated
genes; those that move them more than 3 root mean squares are the programme. Control cells are then decoded with the
programme on and compared with the real stimulated cells. Reference points: the same control cells as they are ("off"), and
stimulated cells decoded from their own codes ("own codes", the ceiling).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.data.datasets import load, select_hvgs
from experiments.tasks.generation import joint_pca, log_normalise, two_sample_knn

GENES = (
    "ISG15", "IFI6", "IFIT1", "IFIT2", "IFIT3", "ISG20", "MX1", "MX2", "OAS1", "LY6E", "IFI44L", "IFI35", "IFITM3", "CXCL10",
    "TNFSF10", "RSAD2",
)  # fmt: skip
THRESHOLD = 3.0


def run(
    path: str, seed: int, max_epochs: int = 100, condition: str = "batch", control: str = "control"
) -> dict[str, Any]:
    """Return the programme, and how near clamped control cells come to the treated ones."""
    from sklearn.metrics import roc_auc_score

    from qbmvae import QBMVAE

    adata = select_hvgs(load(path), 2000, condition)
    QBMVAE.setup_anndata(adata)
    model = QBMVAE(adata)
    model.train(max_epochs=max_epochs, seed=seed, progress_bar=False, accelerator="cpu")
    score = model.score_bits(GENES)
    programme = {int(bit): int(s > 0) for bit, s in score.items() if abs(s) > THRESHOLD}
    model.name_programme("interferon", programme)
    is_control = (adata.obs[condition].astype(str) == control).to_numpy()
    q = model.get_latent_representation(representation="probabilities")
    told = {bit: float(roc_auc_score(~is_control, q[:, bit] if on else -q[:, bit])) for bit, on in programme.items()}
    real, before = adata[~is_control], adata[is_control]
    made = {
        "off": model.clamp_cells(before, clamp={}, seed=seed),
        "on": model.clamp_cells(before, clamp={"interferon": 1}, seed=seed),
        "own codes": model.clamp_cells(real, clamp={}, seed=seed),
    }
    own = joint_pca(real.X, before.X)
    near = {"control cells, real": two_sample_knn(*own, seed=seed)}
    near |= {name: two_sample_knn(*joint_pca(real.X, cells.X), seed=seed) for name, cells in made.items()}
    means = {
        name: log_normalise(cells.X).mean(0) for name, cells in (("treated", real), ("control", before), *made.items())
    }
    true, found = means["treated"] - means["control"], means["on"] - means["off"]
    top = np.argsort(-true)[:20]
    markers = pd.DataFrame({"real": true[top], "clamped": found[top]}, index=adata.var_names[top]).round(2)
    return {
        "seed": seed,
        "programme": programme,
        "auroc": told,
        "two_sample": near,
        "correlation": float(np.corrcoef(true, found)[0, 1]),
        "shared_top_20": len(set(top) & set(np.argsort(-found)[:20])),
        "markers": markers.to_dict("index"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--max-epochs", type=int, default=100)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found = []
    for seed in options.seeds:
        found.append(run(options.path, seed, options.max_epochs))
        shown = {name: value for name, value in found[-1].items() if name != "markers"}
        print(json.dumps(shown))
    print(pd.DataFrame(found[0]["markers"]).T.to_string())
    if options.out is not None:
        options.out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
