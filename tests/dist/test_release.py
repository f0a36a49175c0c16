"""What a release says of itself in several places."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

import qbmvae
from experiments.config import shipped

ROOT = Path(__file__).resolve().parents[2]


def test_one_version_and_one_date():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## \[([\d.]+)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest.groups() == (qbmvae.__version__, str(citation["date-released"]))
    assert citation["version"] == qbmvae.__version__


def test_the_command_reference_names_every_shipped_comparison():
    page = (ROOT / "docs" / "command-line.md").read_text()
    comparisons = [
        name for name in shipped() if "qbmvae compare" in (ROOT / "experiments" / "configs" / f"{name}.yaml").read_text()
    ]
    assert len(comparisons) > 5
    assert [name for name in comparisons if f"`{name}`" not in page] == []
