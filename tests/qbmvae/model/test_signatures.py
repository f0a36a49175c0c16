"""Options are written once: signatures and docstrings follow the option classes."""

from __future__ import annotations

import importlib.util
import inspect
import shutil
from dataclasses import fields
from pathlib import Path

import pytest

from qbmvae import QBMVAE
from qbmvae.core.options import ModelOptions
from qbmvae.core.training.config import TrainingConfig
from qbmvae.model.run_options import RunOptions
from samplers import InputError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def tool(tmp_path):
    """Return the tool that writes signatures, at work on a copy of the sources."""
    spec = importlib.util.spec_from_file_location("signatures", ROOT / ".ci" / "signatures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for path in [*module.OPTIONS.values(), *(target[0] for target in module.TARGETS)]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    module.ROOT = tmp_path
    return module


def test_the_signatures_are_those_of_the_option_classes(tool):
    for path, *target in tool.TARGETS:
        assert tool.rewritten(path, *target) == (ROOT / path).read_text(), "run python .ci/signatures.py"


def test_defaults_are_the_same_at_run_time():
    for function, kinds in ((QBMVAE.__init__, [ModelOptions]), (QBMVAE.train, [TrainingConfig, RunOptions])):
        parameters = inspect.signature(function).parameters
        for field in (f for kind in kinds for f in fields(kind)):
            if field.name != "max_epochs":
                assert parameters[field.name].default == field.default, field.name


def test_a_new_option_is_one_edit(tool):
    path = tool.ROOT / tool.OPTIONS["ModelOptions"]
    text = path.read_text()
    text = text.replace("    n_hidden: int = 128\n", '    n_hidden: int = 256\n    colour: str | None = "blue"\n')
    text = text.replace("    n_hidden\n        Width", "    colour\n        Of the bits.\n    n_hidden\n        Width")
    path.write_text(
        text.replace("    n_components: int = 32\n", "").replace(
            "    n_components\n        Components of the mixture and VampPrior.\n", ""
        )
    )
    target = tool.TARGETS[0]
    new = tool.rewritten(*target)
    (tool.ROOT / target[0]).write_text(new)
    assert tool.rewritten(*target) == new, "written twice, it stays as it is"
    assert '        n_hidden: int = 256,\n        colour: str | None = "blue",\n' in new
    assert "    colour\n        Of the bits.\n" in new
    assert "n_components" not in new
    compile(new, target[0], "exec")


def test_a_field_without_a_description_is_refused(tool):
    path = tool.ROOT / tool.OPTIONS["RunOptions"]
    path.write_text(
        path.read_text().replace(
            "    progress_bar: bool = True\n", "    progress_bar: bool = True\n    more: int = 0\n"
        )
    )
    with pytest.raises(SystemExit, match="RunOptions"):
        tool.rewritten(*tool.TARGETS[1])


def test_settings_of_older_checkpoints_are_read():
    assert TrainingConfig.read({"patience": 3, "min_delta": 0.5}).early_stopping_patience == 3
    with pytest.raises(InputError, match="colour"):
        TrainingConfig.read({"colour": "blue"})


def test_no_epochs_are_refused_not_replaced(trained):
    with pytest.raises(InputError, match="max_epochs"):
        QBMVAE(trained.adata, n_latent=4).train(max_epochs=0, progress_bar=False)


def test_the_words_of_options_are_those_that_their_readers_know():
    from typing import get_args

    from qbmvae.core import likelihoods, options, priors, relaxations

    assert get_args(options.GeneLikelihood) == ("auto", *likelihoods.NAMES)
    assert get_args(options.PriorName) == priors.NAMES
    assert set(get_args(options.Estimator)) == set(relaxations.DEFAULTS)
