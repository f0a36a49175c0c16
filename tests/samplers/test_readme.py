"""The python blocks of the package's page run, one after the other."""

from __future__ import annotations

import re
from pathlib import Path

import samplers
from samplers import registry


def test_the_blocks_of_the_page_run(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTERED", {})
    text = (Path(samplers.__file__).parent / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) >= 2
    names: dict = {}
    for block in blocks:
        exec(compile(block, "samplers/README.md", "exec"), names)


def test_the_table_names_every_backend():
    text = (Path(samplers.__file__).parent / "README.md").read_text()
    listed = set(re.findall(r"^\| `([a-z-]+)`", text, flags=re.MULTILINE))
    assert listed == set(registry._BUILTIN)
