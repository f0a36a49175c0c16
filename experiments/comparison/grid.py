"""A grid of entries, one result file each, so that a kill costs at most the entries in progress.

Integration, drug response and perturbation all compare on this grid: each says what its entries are and what computes one.
"""

from __future__ import annotations

import json
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import run_folder
from experiments.comparison.executors import each
from samplers.errors import InputError

#: Folder of the result files in a comparison's folder, and its name in folders of version 0.1.
RESULTS, BEFORE = "fits", "cells"


@dataclass(frozen=True)
class Entry:
    """One entry of a grid.

    Attributes
    ----------
    key
        Names its file, and may hold folders: "kang/scvi__0".
    arguments
        What it is computed from; pickled where it is computed in another process.
    hash
        Of everything that its result depends on; a result with another hash is computed anew.
    """

    key: str
    arguments: tuple[Any, ...]
    hash: str = ""


#: Computes an entry: called with the path of its result file (for files of its own next to it) and its arguments.
Compute = Callable[..., dict[str, Any]]


def entry_path(out: Path, key: str) -> Path:
    """Return the result file of an entry."""
    return out / RESULTS / f"{key}.json"


def adopt(out: Path) -> None:
    """Give the results of a comparison of version 0.1 the name that they have now."""
    if (out / BEFORE).is_dir() and not (out / RESULTS).exists():
        (out / BEFORE).rename(out / RESULTS)


def read_entry(out: Path, entry: Entry) -> dict[str, Any] | None:
    """Return an entry's result where it is there, of the same settings, and no failure."""
    try:
        found = json.loads(entry_path(out, entry.key).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return None if found.get("hash", "") != entry.hash or "error" in found else found


def read_all(out: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the path and the content of every readable result file, failures included."""
    for path in sorted((out / RESULTS).rglob("*.json")):
        try:
            yield path, json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue


def read_rows(out: Path) -> list[dict[str, Any]]:
    """Return the rows of all results whose entries compute rows of a table, `{"rows": [...]}`."""
    return [row for _, result in read_all(out) for row in result.get("rows", ())]


def run_entries(
    out: Path,
    entries: Sequence[Entry],
    compute: Compute,
    *,
    workers: int = 1,
    ray: str | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, int]:
    """Compute the entries that have no result yet.

    Parameters
    ----------
    out
        The comparison's folder.
    entries
        The grid, in the order in which it is computed.
    compute
        Computes one entry and returns what its file holds; importable by name where workers are more than one.
    workers, ray
        Where, see `executors.each`.
    say
        Takes a line of progress.

    Returns
    -------
    dict
        "fits" with a result, "ran" now, "failed". A failure is written too, and tried again next time, so that one entry
        cannot stop a grid.

    Raises
    ------
    InputError
        Where the folder is a file, or two entries would share a result file.
    """
    if out.is_file():
        raise InputError(f"{out} is a file: --out names a folder")
    repeated = [key for key, count in Counter(e.key for e in entries).items() if count > 1]
    if repeated:
        raise InputError(f"{repeated[0]} is in the grid twice: give its parts names of their own")
    out.mkdir(parents=True, exist_ok=True)
    adopt(out)
    missing = [e for e in entries if read_entry(out, e) is None]
    say(f"{len(entries)} fits, {len(entries) - len(missing)} done before")
    failed = 0
    calls = [(compute, out, entry) for entry in missing]
    remaining = run_folder.Remaining(len(missing), done=0)
    for done, (key, error) in enumerate(each(_compute_and_write, calls, workers, ray), start=1):
        failed += error is not None
        say(
            f"[{done}/{len(missing)}] {key.replace('/', ', ').replace('__', ', seed ')}: {error or 'done'}{remaining.after(done)}"
        )
    return {"fits": len(entries) - failed, "ran": len(missing) - failed, "failed": failed}


def run_experiment(
    out: Path,
    config: dict[str, Any],
    entries: Sequence[Entry],
    compute: Compute,
    *,
    workers: int = 1,
    ray: str | None = None,
    say: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Make the folder of an experiment, or go on with one of the same configuration, and compute what is missing.

    Parameters
    ----------
    out
        The folder: `config.yaml`, `versions.json`, `fits/*.json`.
    config
        Plain values of the configuration.
    entries, compute, workers, ray, say
        As in `run_entries`.

    Returns
    -------
    list
        The results that are there, in the order of the entries; see `require_all`.

    Raises
    ------
    InputError
        Where the folder holds results of another configuration.
    """
    adopt(out)
    run_folder.create(out, config, started=any(True for _ in read_all(out)))
    run_entries(out, entries, compute, workers=workers, ray=ray, say=say)
    return [result for e in entries if (result := read_entry(out, e)) is not None]


def require_all(out: Path, entries: Sequence[Entry]) -> None:
    """Raise the first failure among the entries; the same command tries the failed ones again.

    Raises
    ------
    InputError
        Where the user's input was wrong for the entry.
    RuntimeError
        Where it failed otherwise.
    """
    failed = [e for e in entries if read_entry(out, e) is None]
    if failed:
        error = json.loads(entry_path(out, failed[0].key).read_text(encoding="utf-8"))["error"]
        text = f"{len(failed)} of {len(entries)} fits failed, the first, {failed[0].key}: {error}"
        raise (InputError if error.startswith(("failed: InputError", "failed: MissingExtraError")) else RuntimeError)(
            text
        )


def _compute_and_write(compute: Compute, out: Path, entry: Entry) -> tuple[str, str | None]:
    path = entry_path(out, entry.key)
    error, result = None, {}
    try:
        result = compute(path, *entry.arguments)
    except MemoryError:
        raise
    except Exception as failure:  # noqa: BLE001 - it may be any library's
        error = f"failed: {type(failure).__name__}: {' '.join(str(failure).split())[:300]}"
        result = {"error": error, "traceback": traceback.format_exc()}
    # last: whoever finds it finds the rest
    run_folder.write_json(path, {"key": entry.key, **result, "hash": entry.hash})
    return entry.key, error
