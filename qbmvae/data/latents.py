"""Codes written while they are computed, keyed by `obs_names`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from samplers.errors import InputError

KEY = "X_qbmvae"
Write = Callable[[np.ndarray], None]


@contextmanager
def writer(path: Path, obs_names: pd.Index, n_columns: int) -> Iterator[Write]:
    """Yield a function that appends rows; the file appears under its name once all rows are there.

    Parameters
    ----------
    path
        Ends in `.h5ad`, `.parquet` or `.npz`.
    obs_names
        Names of all cells, in the order in which rows will come.
    n_columns
        Width of the code.
    """
    kinds = {".h5ad": _h5ad, ".parquet": _parquet, ".npz": _npz}
    if path.suffix not in kinds:
        raise InputError(f"cannot write {path.name}: the name must end in {', '.join(kinds)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        with kinds[path.suffix](temporary, obs_names, n_columns) as append:
            done = 0

            def write(rows: np.ndarray) -> None:
                nonlocal done
                append(rows, done)
                done += len(rows)

            yield write
        if done != len(obs_names):
            raise InputError(f"{path}: {done} rows for {len(obs_names)} cells")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _h5ad(path: Path, obs_names: pd.Index, n_columns: int) -> Iterator[Callable[[np.ndarray, int], None]]:
    import anndata as ad
    import h5py

    ad.AnnData(obs=pd.DataFrame(index=obs_names.astype(str))).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        table = file["obsm"].create_dataset(KEY, (len(obs_names), n_columns), dtype=np.float32)
        # what anndata writes for an array
        table.attrs["encoding-type"], table.attrs["encoding-version"] = "array", "0.2.0"

        def append(rows: np.ndarray, start: int) -> None:
            table[start : start + len(rows)] = rows

        yield append


@contextmanager
def _parquet(path: Path, obs_names: pd.Index, n_columns: int) -> Iterator[Callable[[np.ndarray, int], None]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [f"bit{j}" for j in range(n_columns)]
    sample = pd.DataFrame(
        np.zeros((1, n_columns), dtype=np.float32), columns=names, index=pd.Index(["x"], name="obs_names")
    )
    # carries what pandas needs to read obs_names back as the index
    schema = pa.Schema.from_pandas(sample)
    with pq.ParquetWriter(path, schema) as file:

        def append(rows: np.ndarray, start: int) -> None:
            columns = [pa.array(np.ascontiguousarray(rows[:, j], dtype=np.float32)) for j in range(n_columns)]
            keys = pa.array(obs_names[start : start + len(rows)].astype(str))
            file.write_table(pa.table([*columns, keys], schema=file.schema))

        yield append


@contextmanager
def _npz(path: Path, obs_names: pd.Index, n_columns: int) -> Iterator[Callable[[np.ndarray, int], None]]:
    # a zip member is written in one piece: .npz is the one format that holds all codes in memory
    whole = np.empty((len(obs_names), n_columns), dtype=np.float32)

    def append(rows: np.ndarray, start: int) -> None:
        whole[start : start + len(rows)] = rows

    yield append
    with open(path, "wb") as file:
        np.savez(file, obs_names=np.asarray(obs_names.astype(str), dtype=str), **{KEY: whole})
