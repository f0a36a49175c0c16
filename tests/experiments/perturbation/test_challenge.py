from __future__ import annotations

import pytest

from experiments.perturbation.challenge import read_gene_list, read_perturbations
from samplers.errors import InputError


def test_files_of_the_challenge(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("A1BG\nA2M\n")
    assert read_gene_list(path) == ["A1BG", "A2M"]
    path.write_text("gene_name\nA1BG\n")
    assert read_gene_list(path) == ["A1BG"]
    path.write_text("target_gene,n_cells,median_umi_per_cell\nSTAT1,120,5000.0\nJAK2,7,1.0\n")
    assert read_perturbations(path) == {"STAT1": 120, "JAK2": 7}
    path.write_text("STAT1\nJAK2\n")
    assert read_perturbations(path, 9) == {"STAT1": 9, "JAK2": 9}
    path.write_text("STAT1,4\n")
    assert read_perturbations(path) == {"STAT1": 4}
    path.write_text("STAT1,0\n")
    with pytest.raises(InputError, match="give at least 1"):
        read_perturbations(path)
    path.write_text("")
    with pytest.raises(InputError, match="is empty"):
        read_perturbations(path)
