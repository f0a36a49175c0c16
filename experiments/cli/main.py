"""The entry point of the `qbmvae` command: collects the families of subcommands and turns errors into exit codes."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import typer

from samplers.errors import InputError, SamplerError

app = typer.Typer(
    name="qbmvae",
    help="Train, embed, evaluate and generate with Boltzmann-prior VAEs; check samplers; run quantum circuits.\n\n"
    "Example: qbmvae train pbmc.h5ad --batch-key batch --out run1",
    add_completion=False,
    pretty_exceptions_enable=False,
)

# Each family module defines `register(app)`, which adds its commands.
FAMILIES = ("models", "evaluate", "samplers", "simulate", "drug", "perturb")

# typer carries its own copy of click in newer versions: its public exception leads to the base that both share
_USAGE_ERROR: Any = typer.BadParameter.__mro__[1]


def build() -> typer.Typer:
    """Return the application with every family of commands registered."""
    if not app.registered_commands and not app.registered_groups:
        for family in FAMILIES:
            importlib.import_module(f"experiments.cli.{family}").register(app)
    return app


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command; exit 0 when done, 2 when the user's input was wrong (one line on stderr), 1 for anything else."""
    before = logging.root.manager.disable
    # scvi-tools tells of its doings on stdout, which belongs to the results
    logging.disable(max(before, logging.INFO))
    try:
        code = build()(args=arguments, standalone_mode=False, prog_name="qbmvae")
    except InputError as error:
        _fail(str(error), 2)
    except _USAGE_ERROR as error:
        command = getattr(error.ctx, "command_path", "qbmvae") if error.ctx else "qbmvae"
        _fail(f"{_what(error, command)} (see `{command} --help`)", 2)
    except SamplerError as error:
        # a machine's fault: one of these is a TimeoutError, which is an OSError
        _fail(f"{type(error).__name__}: {error}", 1)
    except OSError as error:
        # a path that cannot be read or written, or a full disk, is the user's to mend
        _fail(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), 2)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", 1)
    except Exception as error:  # noqa: BLE001
        if os.environ.get("QBMVAE_TRACEBACK"):
            traceback.print_exc()
        _fail(f"{type(error).__name__}: {error} (set QBMVAE_TRACEBACK=1 to see where)", 1)
    finally:
        logging.disable(before)
    if code == 130:
        # how typer answers Ctrl-C
        _fail("interrupted (a training goes on with `qbmvae train --resume RUN`)", 1)
    if isinstance(code, int) and code:
        raise SystemExit(code)


def _what(error: Any, command: str) -> str:
    """Return what a usage error says, with what was given, and what there is instead."""
    message = error.format_message().rstrip(".")
    if message.startswith("Missing command"):
        return f"{command} takes a command: {', '.join(error.ctx.command.commands)}"
    # newer versions of typer leave the value out
    for cause in getattr(error.__cause__, "errors", list)():
        wanted = cause["msg"].split(",")[0].replace("Input should", "it must")
        message = f"{message.partition(': ')[0]}: {wanted}, not {cause['input']!r}"
    return message


def _fail(message: str, code: int) -> None:
    print("qbmvae: error: " + " ".join(message.split()), file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    run()
