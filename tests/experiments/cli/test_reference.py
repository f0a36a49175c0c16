"""The page about the command line describes every command and option as it is, and its examples can be parsed."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "command-line.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
JOURNEYS = [
    "train pbmc.h5ad --batch-key batch --sampler gibbs --max-epochs 100 --seed 0 --out run1",
    "train --resume run1",
    "train atlas.zarr --batch-key batch --out run2",
    "embed run1 other.h5ad --out emb.h5ad",
    "predict run1 query.h5ad --out labels.csv",
    "evaluate run1 pbmc.h5ad --label-key cell_type --out eval1",
    "generate run1 --n-cells 1000 --out synthetic.h5ad",
    "compare experiments/configs/paper.yaml --out cmp --set seeds=[0,1]",
    "compare pbmc.h5ad --batch-key batch --label-key cell_type --models qbmvae,scvi,harmony --out cmp2",
    "compare paper --out cmp",
    "report cmp",
    "simulate paper-notebook --out sim.h5ad --n-cells 2000 --seed 0",
    "drug train --ic50 ic50.parquet --features features.parquet --drugs drugs.csv --head quantum --out drug1",
    "perturb train papalexi.h5ad --pert-key perturbation --control control --out pert1",
    "perturb train papalexi.h5ad --pert-key p --control c --out pert1 --backbone DIR --features FILE --preset prototype",
    "perturb train papalexi.h5ad --pert-key perturbation --control control --out pert1 --preset boltzmann",
    "perturb evaluate PRED OBS --scorer cell-eval2",
    "samplers list",
    "samplers check gibbs --problem problem.json",
    "samplers serve --backend gibbs --host 127.0.0.1 --port 8765 --token-file token.txt",
]


def commands_in(text: str) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    whole = [block.replace("\\\n", " ") for block in blocks]
    lines = [line.partition("  #")[0].strip() for block in whole for line in block.splitlines()]
    return [line.removeprefix("qbmvae ") for line in lines if line.startswith("qbmvae ")]


def test_the_reference_is_that_of_the_commands():
    spec = importlib.util.spec_from_file_location("command_reference", ROOT / ".ci" / "command_reference.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.rewritten() == PAGE.read_text(encoding="utf-8"), "run make signatures"
    assert "### qbmvae train" in tool.reference() and "`--n-latent`" in tool.reference()


@pytest.mark.parametrize(
    "words",
    sorted(
        {*JOURNEYS, *(c for page in PAGES for c in commands_in(page.read_text(encoding="utf-8")) if "..." not in c)}
    ),
)
def test_examples_can_be_parsed(words, monkeypatch, tmp_path):
    from experiments.cli.main import build
    from experiments.cli.settings import FillOptions

    monkeypatch.chdir(tmp_path)
    (tmp_path / "options.yaml").write_text("setup: {batch_key: batch}\nmodel: {n_latent: 8}\ntrain: {max_epochs: 3}\n")
    (tmp_path / "runs.yaml").write_text("runs: {}\n")
    if "configs/paper.yaml" in words:
        monkeypatch.chdir(ROOT)
    app = build()
    app.config = FillOptions()
    command, bound, _ = app.parse_args(shlex.split(words), exit_on_error=False, print_error=False)
    assert command.__doc__ and bound is not None


def test_a_command_written_from_the_page_alone_works(monkeypatch, tmp_path, qbmvae):
    """The page about developing shows a whole command: it is registered and called as it stands there."""
    import anndata as ad
    import numpy as np

    from experiments.cli import main

    block = re.search(
        r"^```python\n(# experiments/cli/shuffle.py.*?)^```", (ROOT / "docs" / "developing.md").read_text(), re.M | re.S
    )
    (tmp_path / "shuffle.py").write_text(block.group(1))
    spec = importlib.util.spec_from_file_location("shuffle", tmp_path / "shuffle.py")
    shuffle = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shuffle)
    monkeypatch.setattr(main, "FAMILIES", (*main.FAMILIES, shuffle))
    cells = ad.AnnData(np.arange(20, dtype=np.float32).reshape(10, 2))
    cells.write_h5ad(tmp_path / "a.h5ad")
    code, out, err = qbmvae("shuffle", tmp_path / "a.h5ad", "--out", tmp_path / "b.h5ad")
    assert code == 0 and "10 cells" in out and "shuffling" in err
    mixed = ad.read_h5ad(tmp_path / "b.h5ad")
    assert list(mixed.obs_names) != list(cells.obs_names) and set(mixed.obs_names) == set(cells.obs_names)
    assert qbmvae("shuffle", tmp_path / "none.h5ad", "--out", tmp_path / "c.h5ad")[0] == 2
    assert "Example: qbmvae shuffle" in " ".join(qbmvae("shuffle", "--help")[1].split())
