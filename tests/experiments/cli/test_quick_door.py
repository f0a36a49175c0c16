"""Help pages and the errors of wrong paths, keys and options answer before any heavy library is imported."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

HEAVY = ("torch", "scvi", "numba", "scanpy", "anndata", "sklearn", "xgboost", "rdkit", "matplotlib", "jax", "lightning")

#: Reads cases from stdin, runs them one after another in this process, and tells what each said and what it loaded first.
SCRIPT = f"""
import contextlib, io, json, sys
from experiments.cli.main import run
answers = []
for words in json.load(sys.stdin):
    before = set(sys.modules)
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run(words)
        except SystemExit as stop:
            code = stop.code or 0
    loaded = [m for m in {HEAVY!r} if m in sys.modules and m not in before]
    answers.append([words, code, err.getvalue(), loaded])
print(json.dumps(answers))
"""


def answers(cases, cwd):
    import experiments

    root = experiments.__path__[0].rsplit("/", 1)[0]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=json.dumps(cases), capture_output=True, text=True, cwd=cwd, check=True,
        env={**__import__("os").environ, "PYTHONPATH": root},
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A file of cells, a run folder whose model is never read, tables."""
    import anndata as ad
    import pandas as pd

    path = tmp_path_factory.mktemp("door")
    cells = ad.AnnData(np.ones((4, 3), dtype=np.float32), obs=pd.DataFrame({"batch": list("abab")}, index=list("wxyz")))
    cells.layers["counts"] = cells.X.copy()
    cells.write_h5ad(path / "cells.h5ad")
    (path / "broken.h5ad").write_bytes(b"no HDF5")
    (path / "full").mkdir()
    (path / "full" / "x").write_text("x")
    for name, state in (("run", "complete"), ("half", "training")):
        (path / name / "model").mkdir(parents=True)
        (path / name / "model" / "model.pt").write_bytes(b"never read")
        config = {
            "data": "gone.h5ad",
            "n_top_genes": None,
            "setup": {"batch_key": "batch"},
            "model": {},
            "train": {},
            "seed": 0,
        }
        (path / name / "config.yaml").write_text(json.dumps(config))
        (path / name / "status.json").write_text(json.dumps({"state": state}))
    (path / "typo.yaml").write_text("n_latnet: 3\n")
    (path / "gene.yaml").write_text("model: {dispersion: batch}\n")
    (path / "grid.yaml").write_text("name: g\nmodels: [pca, qbmvea]\ndatasets: []\n")
    (path / "table.csv").write_text("drug_id,cosmic_id\n")
    return path


def test_help(folder):
    from experiments.cli.main import build

    def leaves(app, path=()):
        yield path
        for name in app:
            if not name.startswith("-"):
                yield from leaves(app[name], (*path, name))

    for words, code, err, loaded in answers([[*w, "--help"] for w in leaves(build())], folder):
        assert code == 0 and not err and not loaded, (words, loaded, err)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train none.h5ad --out o", "none.h5ad"),
        ("train broken.h5ad --out o", "broken.h5ad is damaged"),
        ("train cells.h5ad --out full", "not empty"),
        ("train cells.h5ad --out full/x", "is a file"),
        ("train cells.h5ad --out half", "--resume half"),
        ("train cells.h5ad --out o --batch-key bach", "nearest: 'batch'"),
        ("train cells.h5ad --out o --layer count", "nearest: 'counts'"),
        ("train cells.h5ad --out o --categorical-covariate-keys batch,donor", "'donor'"),
        ("train cells.h5ad --out o --sampler gibs", "nearest: 'gibbs'"),
        ("train cells.h5ad --out o --sampler gibbs?num_sweep=3", "nearest: 'num_sweeps'"),
        ("train cells.h5ad --out o --sampler persistent?num_sweeps=0", "num_sweeps"),
        ("train cells.h5ad --out o --topology pegasos", "nearest: 'pegasus'"),
        ("train cells.h5ad --out o --n-hidden-units 8", "bipartite"),
        ("train cells.h5ad --out o --n-latent 0", "n_latent"),
        ("generate run --out g.h5ad --sampler gibbs?num_sweep=3", "nearest: 'num_sweeps'"),
        ("samplers check gibbs?num_sweep=3", "nearest: 'num_sweeps'"),
        ("train cells.h5ad --out o --n-latnet 3", "--n-latent"),
        ("train cells.h5ad --out o --n-latent many", "many"),
        ("train cells.h5ad --out o --max-epochs 0", "max_epochs"),
        ("train cells.h5ad --out o --prior boltzman", "boltzmann"),
        ("train cells.h5ad --out o --gene-likelihood nbb", "zinb"),
        ("train cells.h5ad --out o --estimator gumbel", "gumbolt"),
        ("train cells.h5ad --out o --config gene.yaml", "gene-batch"),
        ("train cells.h5ad --out o --config typo.yaml", "nearest: 'n_latent'"),
        ("train cells.h5ad --out o --set n_latnet=3", "nearest: 'n_latent'"),
        ("train --resume run --seed 3 --n-latent 8", "--n-latent"),
        ("train --resume half", "gone.h5ad"),
        ("embed run none.h5ad --out e.h5ad", "none.h5ad"),
        ("embed run cells.h5ad --out e.csv", "e.csv"),
        ("embed half cells.h5ad --out e.h5ad", "--resume half"),
        ("embed full cells.h5ad --out e.h5ad", "not a run folder"),
        ("embed run cells.h5ad --out e.h5ad --representation bit", "bits"),
        ("generate run --out g.csv", "g.csv"),
        ("generate run --out g.h5ad --clamp 3", "BIT=0"),
        ("generate run --out g.h5ad --sampler gibs", "nearest: 'gibbs'"),
        ("evaluate run cells.h5ad --label-key cell_type --out e", "'cell_type'"),
        ("evaluate run cells.h5ad --label-key batch --out e --against scvl", "nearest: 'scvi'"),
        ("evaluate run cells.h5ad --label-key batch --out full", "not empty"),
        ("evaluate run cells.h5ad --label-key batch --out e --pair A", "two types"),
        ("evaluate run cells.h5ad --label-key batch --out e --tasks integratoin", "none of integration"),
        ("compare cells.h5ad --out o", "--label-key"),
        ("compare cells.h5ad --out o --label-key batch --models qbmvae,scvl", "nearest: 'scvi'"),
        ("compare cells.h5ad --out o --label-key batch --batch-key bach", "nearest: 'batch'"),
        ("compare papr --out o", "'paper'"),
        ("compare grid.yaml --out o", "nearest: 'qbmvae'"),
        ("compare paper --out o --set seds=[1]", "nearest: 'seeds'"),
        ("compare paper --out o --set seeds=[a]", "seeds"),
        ("compare paper --out full/x", "is a file"),
        ("report none", "none"),
        ("report full", "not a run folder"),
        ("samplers check gibs", "nearest: 'gibbs'"),
        ("samplers check gibbs --problem none.json", "none.json"),
        ("samplers bench --sizes 3,x", "'x'"),
        ("samplers serve --token-file none", "none"),
        ("simulate paper-notebok --out s.h5ad", "nearest: 'paper-notebook'"),
        ("simulate paper-notebook --out s.csv", "s.csv"),
        ("simulate paper-notebook --out s.h5ad --set count.mean=3", "'counts'"),
        ("drug train --ic50 none.csv --features table.csv --drugs table.csv --out d", "none.csv"),
        ("drug train --ic50 table.csv --features table.csv --drugs table.csv --out d --head quantm", "quantum"),
        ("drug train --ic50 table.csv --features table.csv --out d", "--drugs"),
        ("drug train --resume full", "config.yaml"),
        ("drug predict full --out p.csv --smiles table.csv", "model.safetensors"),
        ("drug compare --out c", "--ic50"),
        ("drug compare --out c --set heads=[quantm]", "quantum"),
        ("drug sweep drug-swep --out c", "drug-sweep"),
        ("drug report full", "no finished"),
        ("perturb train none.h5ad --out p", "none.h5ad"),
        ("perturb train cells.h5ad --out p --pert-key bach", "nearest: 'batch'"),
        ("perturb train cells.h5ad --out p --pert-key batch --preset protoype", "nearest: 'prototype'"),
        ("perturb train cells.h5ad --out p --pert-key batch --set n_quits=3", "nearest: 'n_qubits'"),
        ("perturb predict full --perturbations table.csv --out p.h5ad", "model.json"),
        ("perturb evaluate cells.h5ad none.h5ad", "none.h5ad"),
        ("perturb table ablaton --out t", "perturb-ablation"),
        ("perturb table ablation --out t --set sead=3", "'sead'"),
        ("perturb seeds perturb-real --out t", "papalexi"),
    ],
    ids=str,
)
def test_errors(folder, words, said, collected={}):  # noqa: B006 - filled once for all cases
    if not collected:
        cases = [p.args[0] if hasattr(p, "args") else p[0] for p in test_errors.pytestmark[0].args[1]]
        collected |= {" ".join(a[0]): a[1:] for a in answers([c.split() for c in cases], folder)}
    code, err, loaded = collected[words]
    assert code == 2 and err.startswith("qbmvae: error: ") and err.count("\n") == 1, err
    assert said in err, err
    # the options of a sampler are those of its class, which numba compiles kernels for; .2 s of CPU
    loaded = [m for m in loaded if not (m == "numba" and "?" in words)]
    assert not loaded, f"{words} loaded {loaded} before it failed"
