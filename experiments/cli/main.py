"""The entry point of the `qbmvae` command: collects the families of subcommands and turns errors into exit codes."""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import cyclopts
from cyclopts import App, Group

from experiments.cli import drug, evaluate, models, perturb, queries, samplers, simulate
from experiments.cli.settings import FillOptions
from samplers.errors import InputError, SamplerError

#: Each family is a module whose `register(app)` adds its commands.
FAMILIES = (models, queries, evaluate, samplers, simulate, drug, perturb)

OURS = ("samplers", "qbmvae", "experiments")


def build() -> App:
    """Return the application with every family of commands registered."""
    from qbmvae import __version__

    app = App(
        name="qbmvae",
        help="Train, embed, evaluate and generate with Boltzmann-prior VAEs; check samplers; run quantum circuits.\n\n"
        "Example: qbmvae train pbmc.h5ad --batch-key batch --out run1",
        help_flags=["--help", "-h"],
        version=__version__,
        version_flags=["--version"],
        help_format="markdown",
        group_parameters=Group("Options", sort_key=1),
        result_action="return_value",
    )
    for family in FAMILIES:
        family.register(app)
    return app


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command; exit 0 when done, 2 when the user's input was wrong (one line on stderr), 1 for anything else.

    Parameters
    ----------
    arguments
        The words of the command line; this process's by default.

    Raises
    ------
    SystemExit
        With the exit code, where the command fails.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    with _libraries_silent():
        try:
            _call(build(), words)
        except InputError as error:
            _fail(str(error), 2)
        except cyclopts.CycloptsError as error:
            _fail(_what(error), 2)
        except SamplerError as error:
            # a machine failed; some of these are errors of the system by birth
            _fail(f"{type(error).__name__}: {error}", 1)
        except BrokenPipeError:
            # the reader of our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(1) from None
        except OSError as error:
            # a path that cannot be read or written, or a full disk, is the user's to mend
            _fail(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), 2)
        except KeyboardInterrupt as stop:
            _fail("; ".join(["interrupted", *getattr(stop, "__notes__", ())]), 1)
        except Exception as error:  # noqa: BLE001
            if os.environ.get("QBMVAE_TRACEBACK"):
                traceback.print_exc()
            _fail(f"{type(error).__name__}: {error} (set QBMVAE_TRACEBACK=1 to see where)", 1)


def _call(app: App, words: list[str]) -> None:
    """Parse the words and run the command that they name."""
    fill = FillOptions()
    app.config = fill
    names, inner, rest = app.parse_commands(words)
    if inner is not None and not rest and list(inner[-1]) and inner[-1].default_command is None:
        command = " ".join(("qbmvae", *names))
        below = ", ".join(n for n in inner[-1] if not n.startswith("-"))
        raise InputError(f"{command} takes a command: {below} (see `{command} --help`)")
    function, bound, injected = app.parse_args(words, exit_on_error=False, print_error=False)
    if "settings" in injected:
        bound.arguments["settings"] = fill.rest
    common = bound.arguments.get("common")
    if common is None or common.shows_progress:
        function(*bound.args, **bound.kwargs)
        return
    from qbmvae.data.notes import silenced

    with silenced():
        function(*bound.args, **bound.kwargs)


@contextmanager
def _libraries_silent() -> Iterator[None]:
    """Keep what libraries log and warn of from the user: stderr belongs to our lines, stdout to the results.

    Warnings that our own packages raise become one line each. With QBMVAE_TRACEBACK set everything is shown as it comes.
    """
    if os.environ.get("QBMVAE_TRACEBACK"):
        yield
        return
    before, inherited = logging.root.manager.disable, os.environ.get("PYTHONWARNINGS")
    logging.disable(max(before, logging.WARNING))
    # for processes that the command starts
    os.environ["PYTHONWARNINGS"] = "ignore"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = _show
            yield
    finally:
        logging.disable(before)
        if inherited is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = inherited


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning of ours as one line; the frame that warns names the package, not the frame that it blames."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") == "warnings":
        frame = frame.f_back  # type: ignore[assignment]
    package = "" if frame is None else str(frame.f_globals.get("__name__")).partition(".")[0]
    if package in OURS and issubclass(category, UserWarning):
        print("qbmvae: warning: " + " ".join(str(message).split()), file=sys.stderr)


def _what(error: cyclopts.CycloptsError) -> str:
    """Return what a usage error says, in one line, and where there is help."""
    words = error.command_chain or ()
    message = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, cyclopts.MissingArgumentError) and error.argument is not None:
        name = error.keyword or error.argument.name
        if error.keyword is not None:
            message = f"{name} wants a value"
        else:
            message = f"missing {'option' if name.startswith('-') else 'argument'} {name}"
    elif isinstance(error, cyclopts.UnusedCliTokensError):
        message = f"too many arguments: {' '.join(error.unused_tokens or ())}"
    return f"{message} (see `{' '.join(('qbmvae', *words))} --help`)"


def _fail(message: str, code: int) -> Any:
    print("qbmvae: error: " + " ".join(message.split()), file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    run()
