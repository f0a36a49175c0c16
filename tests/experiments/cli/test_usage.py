"""Every way to call a command wrongly is one line on stderr and exit code 2; every help text teaches by example."""

from __future__ import annotations

from typing import get_args

import pytest
from cyclopts import App

from experiments.cli.main import build
from samplers.errors import BadAnswerError, InputError, MissingExtraError, RemoteTimeoutError, SamplerError


def commands(app: App, path: tuple[str, ...] = ()):
    """Return every command below one, with the words that lead to it: (words, command)."""
    found = [(path, app)]
    for name in app:
        if not name.startswith("-"):
            found += commands(app[name], (*path, name))
    return found


TREE = commands(build())
GROUPS = [words for words, app in TREE if app.default_command is None]
#: (words, the options and arguments of a command)
LEAVES = [
    (words, app.assemble_argument_collection(parse_docstring=True))
    for words, app in TREE
    if app.default_command is not None
]


def options(arguments):
    return [a for a in arguments if a.name.startswith("--") and not a.children and a.parse]


def is_number(argument) -> bool:
    return bool({argument.hint, *get_args(argument.hint)} & {int, float})


def name(value) -> str:
    return (" ".join(value) or "qbmvae") if isinstance(value, tuple) else ""


def wrong(code: int, out: str, err: str) -> bool:
    return code == 2 and not out and err.startswith("qbmvae: error: ") and err.count("\n") == 1


def test_every_family_is_there():
    families = set("train embed generate evaluate compare report samplers simulate drug perturb".split())
    assert families <= {words[0] for words, _ in TREE if len(words) == 1}
    assert set(GROUPS) == {(), ("samplers",), ("drug",), ("perturb",)}
    assert sum(is_number(a) for _, arguments in LEAVES for a in options(arguments)) > 30


@pytest.mark.parametrize(("words", "arguments"), LEAVES, ids=name)
def test_every_command_speaks_one_grammar(words, arguments):
    names = {n for a in arguments for n in a.names}
    assert {"--config", "--set", "--quiet", "-q", "--json"} <= names
    for argument in (a for a in arguments if a.parse and not a.children):
        assert argument.parameter.help, f"{argument.name} of {words} has no help"
    # one word for one thing
    assert not names & {"--epochs", "--output", "--random-state"} - {"--epochs"}
    assert "--epochs" not in names or "--max-epochs" in names
    # no function takes more than a reader can hold
    app = dict(TREE)[words]
    assert app.default_command.__code__.co_argcount + app.default_command.__code__.co_kwonlyargcount <= 10


@pytest.mark.parametrize("words", GROUPS, ids=name)
def test_a_group_wants_one_of_its_commands(qbmvae, words):
    answer = qbmvae(*words)
    assert wrong(*answer) and ("train" in answer[2] or "serve" in answer[2])
    assert wrong(*(answer := qbmvae(*words, "reports"))) and '"reports"' in answer[2]
    assert wrong(*(answer := qbmvae(*words, "--nonsense"))) and "--nonsense" in answer[2]


@pytest.mark.parametrize(("words", "arguments"), LEAVES, ids=name)
def test_wrong_words_are_one_line(qbmvae, monkeypatch, tmp_path, words, arguments):
    monkeypatch.chdir(tmp_path)
    answer = qbmvae(*words, "--nonsense", "3")
    assert wrong(*answer) and "--nonsense" in answer[2], answer
    for given in (("--set", "nonsense=3"), ("--set", "nonsense")):
        answer = qbmvae(*words, *given)
        assert wrong(*answer), answer
    if any(a.required for a in arguments):
        answer = qbmvae(*words)
        assert wrong(*answer) and f"`{' '.join(('qbmvae', *words))} --help`" in answer[2], answer
    required = [w for a in arguments if a.required for w in ([a.name, "x"] if a.name[0] == "-" else ["x"])]
    for option in options(arguments):
        if is_number(option):
            answer = qbmvae(*words, *required, option.name, "many")
            assert wrong(*answer) and option.name in answer[2] and "many" in answer[2], answer
        if bool not in (option.hint, *get_args(option.hint)):
            answer = qbmvae(*words, option.name)
            assert wrong(*answer) and option.name in answer[2], answer
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [words for words, _ in TREE], ids=name)
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
        "compare nonsense --out o",
        "compare none.h5ad --label-key type --out o",
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
        "simulate paper-notebook --out s.csv",
        "simulate",
        "drug train --ic50 none --features none --drugs none --out o",
        "drug train --resume none",
        "drug predict none --out p.csv",
        "drug compare none.yaml --out o",
        "drug compare --out o",
        "drug sweep none.yaml --out o",
        "drug compare --out o --set seeds",
        "drug report none",
        "perturb train none.h5ad --out o",
        "perturb train --resume none",
        "perturb train --config none.yaml --out o",
        "perturb predict none --perturbations none.csv --out p.h5ad",
        "perturb evaluate none.h5ad none.h5ad",
        "perturb table none.yaml --out o",
        "perturb table ablation --out o --set seds=[3]",
        "perturb table",
        "perturb seeds none.yaml --out o",
        "perturb seeds perturb-real --out o",
    ],
)
def test_missing_files_are_one_line_and_leave_nothing(qbmvae, monkeypatch, tmp_path, words):
    monkeypatch.chdir(tmp_path)
    answer = qbmvae(*words.split())
    assert wrong(*answer), answer
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("a"), 2),
        (MissingExtraError("httpx", "http"), 2),
        (SamplerError("b"), 1),
        (RemoteTimeoutError("c"), 1),
        (BadAnswerError("d"), 1),
        (FileNotFoundError(2, "No such file", "f"), 2),
        (RuntimeError("two\nlines"), 1),
        (KeyboardInterrupt(), 1),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, BaseException) else "",
)
def test_exit_codes_tell_the_users_faults_from_others(qbmvae, monkeypatch, error, code):
    import samplers

    def fails():
        raise error

    monkeypatch.setattr(samplers, "available", fails)
    found, out, err = qbmvae("samplers", "list")
    assert found == code and not out and err.startswith("qbmvae: error: ") and err.count("\n") == 1


def test_warnings_of_libraries_are_silent_and_ours_are_one_line(qbmvae, monkeypatch):
    import logging
    import warnings

    import samplers

    def warns():
        warnings.warn("a library's", UserWarning, stacklevel=1)
        logging.getLogger("scvi").warning("a library's")
        namespace = {"__name__": "samplers.somewhere"}
        exec("import warnings; warnings.warn('this\\nmatters', stacklevel=2)", namespace)
        return available()

    available = samplers.available
    monkeypatch.setattr(samplers, "available", warns)
    code, _, err = qbmvae("samplers", "list")
    assert code == 0 and err == "qbmvae: warning: this matters\n"
