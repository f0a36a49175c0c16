"""The run folder: what went in, what came out, written so that a kill or a full disk leaves nothing half-made."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from experiments.config import read_yaml as read_yaml
from samplers.errors import InputError
from samplers.files import plain as plain
from samplers.files import write_atomically as write_atomically
from samplers.files import write_json as write_json
from samplers.files import write_text as write_text

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from anndata import AnnData

CONFIG, VERSIONS, STATUS, METRICS, HISTORY, EMBEDDING = (
    "config.yaml",
    "versions.json",
    "status.json",
    "metrics.json",
    "history.csv",
    "embedding.parquet",
)

#: Seconds that need no announcement.
SOON = 5.0

PACKAGES = (
    "qbmvae", "torch", "numpy", "scipy", "pandas", "numba", "anndata", "scanpy", "scvi-tools", "safetensors",
    "scikit-learn", "scib-metrics", "xgboost", "rdkit",
)  # fmt: skip


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file; a missing or damaged one is the user's to mend, and named.

    Raises
    ------
    InputError
        Where it is missing or damaged.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is damaged: {error}") from None


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def names_hash(names: Any) -> str:
    """Return a short hash of names: whether they are the same, in the same order."""
    return hashlib.sha256("\x00".join(map(str, names)).encode()).hexdigest()[:16]


def absolute(data: str | Path | Sequence[str | Path]) -> str | list[str]:
    """Return paths as they are found from any folder; URLs stay as they are."""
    if isinstance(data, str | Path):
        return str(data) if "://" in str(data) else os.path.abspath(data)
    made = [str(absolute(one)) for one in data]
    return made[0] if len(made) == 1 else made


class Remaining:
    """Says how long work of equal parts will still take, from the time that the parts so far took.

    Parameters
    ----------
    total
        Parts in all.
    done
        Parts done when the clock starts, now; by default it starts when a number of parts is first told.
    """

    def __init__(self, total: int, done: int | None = None):
        self._total, self._since = total, None if done is None else (done, time.monotonic())

    def after(self, done: int) -> str:
        """Return ", about 3 min left"; nothing while there is nothing to tell it from, or where only seconds are left."""
        now = time.monotonic()
        first, start = self._since = self._since or (done, now)
        left = (now - start) * (self._total - done) / (done - first) if done > first else 0.0
        return f", about {duration(left)} left" if left >= SOON else ""


def duration(seconds: float) -> str:
    """Return a length of time in the unit that suits it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


@contextmanager
def stages(names: Sequence[str], show: bool) -> Iterator[Callable[[str], None]]:
    """Show a bar over named stages on stderr while this lasts; what it yields is called as a stage begins."""
    from tqdm.auto import tqdm

    with tqdm(total=len(names), disable=not show, bar_format="{desc}: {n_fmt}/{total_fmt} [{elapsed}]") as bar:

        def begin(name: str) -> None:
            bar.n = list(names).index(name)
            bar.set_description_str(name)
            bar.refresh()

        yield begin
        bar.n = len(names)
        bar.set_description_str("done")


def fresh_folder(path: str | os.PathLike[str]) -> Path:
    """Return a folder that is new or empty, made where missing.

    Raises
    ------
    InputError
        Where the path is a file, or a folder with something in it.
    """
    path = Path(path)
    require_empty(path)
    path.mkdir(parents=True, exist_ok=True)
    return path


def require_empty(path: Path) -> None:
    """Refuse a path that is a file, or a folder with something in it; an unfinished run is named as such.

    Raises
    ------
    InputError
        Says what is there, and how an unfinished run goes on.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file: --out names a folder")
    if path.is_dir() and any(path.iterdir()):
        if (path / STATUS).is_file() and read_json(path / STATUS).get("state") == "training":
            raise InputError(f"{path} holds an unfinished run: go on with `qbmvae train --resume {path}`")
        raise InputError(f"{path} is not empty: choose another folder, or delete it first")


@contextmanager
def undo_on_error(path: Path, keep_if: Callable[[], bool]) -> Iterator[None]:
    """Empty a folder that an error left without anything worth keeping; the folder goes too."""
    try:
        yield
    except BaseException:
        if not keep_if():
            shutil.rmtree(path, ignore_errors=True)
        raise


def start(path: Path, config: dict[str, Any]) -> None:
    """Write what a run is made of before it trains."""
    write_text(path / CONFIG, yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True))
    write_json(path / VERSIONS, versions())
    write_status(path, "training")


def create(path: Path, config: dict[str, Any], *, started: bool = True) -> None:
    """Make the folder of an experiment and write its configuration and versions, or go on with one of the same.

    Parameters
    ----------
    path
        The folder.
    config
        Plain values.
    started
        Whether a folder with a configuration holds work to go on with (a checkpoint, finished cells); it is begun anew
        where it does not.

    Raises
    ------
    InputError
        Where the folder holds the work of another configuration.
    """
    if started and (path / CONFIG).is_file():
        before, now = read_yaml(path / CONFIG), yaml.safe_load(yaml.safe_dump(plain(config)))
        changed = sorted(k for k in {*before, *now} if before.get(k) != now.get(k))
        if changed:
            key = changed[0]
            raise InputError(
                f"{path} holds a run with another {key!r} ({before.get(key)!r}, now {now.get(key)!r}): choose another --out"
            )
        return
    write_json(path / VERSIONS, versions())
    write_text(path / CONFIG, yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True))


def read_config(path: Path) -> dict[str, Any]:
    """Return the resolved configuration of an experiment's folder.

    Raises
    ------
    InputError
        Where it is no run folder.
    """
    if not (path / CONFIG).is_file():
        raise InputError(f"{path} is not a run folder: it has no {CONFIG}")
    return read_yaml(path / CONFIG)


def write_status(path: Path, state: str, **details: Any) -> None:
    """Write how far a run is."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(path / STATUS, {"state": state, "time": now, "command": " ".join(sys.argv), **details})


def open_run(path: str | os.PathLike[str], complete: bool = True) -> dict[str, Any]:
    """Return the configuration of a run folder.

    Parameters
    ----------
    path
        The folder.
    complete
        Whether the run must have ended.

    Raises
    ------
    InputError
        For no folder, a folder that is no run, a damaged or unfinished run.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"there is no run folder {path}")
    missing = [name for name in (CONFIG, STATUS) if not (path / name).is_file()]
    if missing:
        raise InputError(f"{path} is not a run folder or is damaged: {', '.join(missing)} is missing")
    config, status = read_yaml(path / CONFIG), read_json(path / STATUS)
    if not isinstance(status, dict) or "state" not in status or not {"data", "setup", "model", "train"} <= set(config):
        raise InputError(f"{path} is damaged: {CONFIG} or {STATUS} lacks entries; train again")
    if complete and status["state"] != "complete":
        raise InputError(f"{path} is not finished: go on with `qbmvae train --resume {path}`")
    if complete and not (path / "model" / "model.pt").is_file():
        raise InputError(f"{path} is damaged: model/model.pt is missing; train again")
    return {**config, "status": status}


def load_model(path: str | os.PathLike[str], adata: AnnData | None = None) -> Any:
    """Return the trained model of a run folder, with data attached where given."""
    from qbmvae import QBMVAE

    open_run(path)
    return QBMVAE.load(Path(path) / "model", adata=False if adata is None else adata)


def write_table(path: str | os.PathLike[str], table: pd.DataFrame) -> Path:
    """Write a table atomically, as .csv or .parquet by its suffix, index kept."""
    if Path(path).suffix == ".parquet":
        return write_atomically(path, table.to_parquet)
    return write_atomically(path, table.to_csv)


def embedding_table(obs_names: Any, embedding: np.ndarray) -> pd.DataFrame:
    """Return an embedding as a table keyed by cell name."""
    import pandas as pd

    from qbmvae.data.embedding_writer import columns

    index = pd.Index(list(map(str, obs_names)), name="obs_names")
    return pd.DataFrame(embedding, index=index, columns=columns(embedding.shape[1]))


def history_table(history: Any) -> pd.DataFrame:
    """Return a history of one-column frames as one table by epoch."""
    import pandas as pd

    columns = {}
    for name, frame in (history or {}).items():
        values = pd.to_numeric(frame.iloc[:, 0], errors="coerce")
        if name.endswith("_step") or len(values) == 0:
            continue
        columns[name] = values[~values.index.duplicated(keep="last")]
    table = pd.DataFrame(columns)
    table.index.name = "epoch"
    return table


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the libraries' chatter for a while; errors still raise."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
