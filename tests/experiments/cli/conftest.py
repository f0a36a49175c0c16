from __future__ import annotations

import pytest

from experiments.cli.main import run


@pytest.fixture
def qbmvae(capsys):
    """The command: its words in, exit code, stdout and stderr out."""

    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = 0
        try:
            run([str(w) for w in words])
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call
