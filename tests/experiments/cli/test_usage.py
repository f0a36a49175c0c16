"""Every way to call a command wrongly is one line on stderr and exit code 2; every help text teaches by example."""

from __future__ import annotations

import pytest
import typer

from experiments.cli.main import build


def commands(command=None, path: tuple[str, ...] = ()):
    """Return every command below one, with the words that lead to it: (words, command, whether it is a group)."""
    command = command or typer.main.get_command(build())
    below = getattr(command, "commands", {})
    found = [(path, command, bool(below))]
    for name, child in below.items():
        found += commands(child, (*path, name))
    return found


TREE = commands()
LEAVES = [(words, command) for words, command, group in TREE if not group]
GROUPS = [words for words, _, group in TREE if group]


def is_number(parameter) -> bool:
    # typer has left click behind: newer versions have "bare_type", older ones click's "type"
    if hasattr(parameter, "bare_type"):
        return str(parameter.bare_type()) in ("int", "float")
    return parameter.type.name.split()[0] in ("integer", "float")


def name(value) -> str | None:
    return " ".join(value) or "qbmvae" if isinstance(value, tuple) else ""


def wrong(code: int, out: str, err: str) -> bool:
    return code == 2 and not out and err.startswith("qbmvae: error: ") and err.count("\n") == 1


def test_every_family_is_there():
    families = set("train embed generate evaluate compare report samplers simulate drug perturb".split())
    assert {words[0] for words, _, _ in TREE if len(words) == 1} == families
    assert GROUPS == [(), ("samplers",), ("drug",), ("perturb",)]
    assert sum(is_number(p) for _, command in LEAVES for p in command.params) > 30


@pytest.mark.parametrize("words", GROUPS, ids=name)
def test_a_group_wants_one_of_its_commands(qbmvae, words):
    answer = qbmvae(*words)
    assert wrong(*answer) and ("train" in answer[2] or "serve" in answer[2])
    assert wrong(*(answer := qbmvae(*words, "reports"))) and "'reports'" in answer[2]
    assert wrong(*(answer := qbmvae(*words, "--nonsense"))) and "--nonsense" in answer[2]


@pytest.mark.parametrize(("words", "command"), LEAVES, ids=name)
def test_wrong_words_are_one_line(qbmvae, monkeypatch, tmp_path, words, command):
    monkeypatch.chdir(tmp_path)
    answer = qbmvae(*words, "--nonsense", "3")
    assert wrong(*answer) and "--nonsense" in answer[2], answer
    if any(p.required for p in command.params):
        answer = qbmvae(*words)
        assert wrong(*answer) and f"`{' '.join(('qbmvae', *words))} --help`" in answer[2], answer
    for option in (p for p in command.params if p.opts[0][0] == "-" and is_number(p)):
        answer = qbmvae(*words, option.opts[0], "many")
        assert wrong(*answer) and option.opts[0] in answer[2] and "many" in answer[2], answer
    for option in (p for p in command.params if p.opts[0][0] == "-" and not p.is_flag):
        answer = qbmvae(*words, option.opts[0])
        assert wrong(*answer) and option.opts[0] in answer[2], answer
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [words for words, _, _ in TREE], ids=name)
def test_help_goes_to_stdout_and_teaches(qbmvae, words):
    code, out, err = qbmvae(*words, "--help")
    assert code == 0 and not err and "Example: qbmvae" in " ".join(out.split())


@pytest.mark.parametrize(
    "words",
    [
        "train none.h5ad --out o",
        "train",
        "train --out o",
        "train --resume none",
        "train none.h5ad --out o --config none.yaml",
        "train none.h5ad --out o --threads 0",
        "embed none none.h5ad --out e.h5ad",
        "embed none none.h5ad --out e.txt",
        "generate none --out g.h5ad",
        "evaluate none none.h5ad --label-key type --out o",
        "compare none.yaml --out o",
        "compare . --out o",
        "report none",
        "report .",
        "samplers check none",
        "samplers check gibbs --problem none.json",
        "samplers check gibbs --problem .",
        "samplers bench --sizes many",
        "samplers bench --backend none --sizes 8",
        "samplers serve --backend none",
        "samplers serve --token-file none",
        "simulate none --out s.h5ad",
        "simulate paper-notebook --out none/s.h5ad",
        "drug train --ic50 none --features none --drugs none --out o",
        "drug train --resume none",
        "drug predict none --out p.csv",
        "drug compare none.yaml --out o",
        "drug sweep none.yaml --out o",
        "drug compare --out o --set seeds",
        "drug report none",
        "perturb train none.h5ad --out o",
        "perturb train --resume none",
        "perturb train --config none.yaml --out o",
        "perturb predict none --perturbations none.csv --out p.h5ad",
        "perturb evaluate none.h5ad none.h5ad",
        "perturb table none.yaml --out o",
        "perturb table ablation seeds --out o",
        "perturb table",
        "perturb seeds none.yaml --out o",
    ],
)
def test_missing_files_are_one_line_and_leave_nothing(qbmvae, monkeypatch, tmp_path, words):
    monkeypatch.chdir(tmp_path)
    answer = qbmvae(*words.split())
    assert wrong(*answer), answer
    assert not list(tmp_path.iterdir())
