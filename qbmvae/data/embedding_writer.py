"""Codes written while they are computed, keyed by `obs_names`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from samplers.errors import InputError
from samplers.files import replacing

#: name of the representation in .h5ad (`obsm`) and .npz, and of the hard bits beside it
KEY, CODES = "X_qbmvae", "codes"
#: what the columns of tables are called, numbered from 0
PREFIX = "z"


class Write(Protocol):
    """Appends rows of the representation, and of the hard bits where these were announced."""

    def __call__(self, rows: np.ndarray, codes: np.ndarray | None = None) -> None: ...  # noqa: D102


Append = Callable[[np.ndarray, np.ndarray | None, int], None]


def columns(n: int) -> list[str]:
    """Return the names of a representation's columns."""
    return [f"{PREFIX}{j}" for j in range(n)]


@contextmanager
def writer(path: Path, obs: pd.DataFrame, n_columns: int, n_bits: int = 0) -> Iterator[Write]:
    """Yield a function that appends rows; the file appears under its name once all rows are there.

    Parameters
    ----------
    path
        Ends in `.h5ad` (X and `.obsm["X_qbmvae"]` are the representation, `.obsm["codes"]` the bits, `.obs` is kept),
        `.parquet` (one column a dimension, the index "obs_names") or `.npz` (arrays "obs_names", "X_qbmvae", "codes").
    obs
        Table of all cells, in the order in which rows will come.
    n_columns
        Width of the representation.
    n_bits
        Width of the hard bits that come with the rows; 0 for none. `.parquet` leaves them out.

    Raises
    ------
    InputError
        For a name of no known format, or fewer rows than cells.
    """
    check(path)
    with replacing(path) as temporary:
        with KINDS[path.suffix](temporary, obs, n_columns, n_bits) as append:
            done = 0

            def write(rows: np.ndarray, codes: np.ndarray | None = None) -> None:
                nonlocal done
                append(rows, codes, done)
                done += len(rows)

            yield write
        if done != len(obs):
            raise InputError(f"{path}: {done} rows for {len(obs)} cells")


def read_rows(path: Path, rows: np.ndarray) -> np.ndarray:
    """Return some rows, in ascending order, of a `.parquet` that `writer` wrote; it is read in pieces."""
    import pyarrow.parquet as pq

    parts, start = [], 0
    for piece in pq.ParquetFile(path).iter_batches():
        mine = rows[(rows >= start) & (rows < start + len(piece))] - start
        values = [c for c, name in zip(piece.columns, piece.schema.names, strict=True) if name != "obs_names"]
        parts.append(np.stack([v.to_numpy()[mine] for v in values], axis=1))
        start += len(piece)
    return np.concatenate(parts)


def check(path: Path) -> None:
    """Raise InputError where the file's name ends in no format that can be written.

    Raises
    ------
    InputError
        For any other name.
    """
    if path.suffix not in KINDS:
        raise InputError(f"cannot write {path.name}: the name must end in {', '.join(KINDS)}")


@contextmanager
def _h5ad(path: Path, obs: pd.DataFrame, n_columns: int, n_bits: int) -> Iterator[Append]:
    import anndata as ad
    import h5py

    # scvi-tools' own columns mean nothing outside of its registration
    kept = obs.loc[:, [not str(c).startswith("_scvi") for c in obs.columns]]
    kept.index = kept.index.astype(str)
    ad.AnnData(obs=kept, var=pd.DataFrame(index=columns(n_columns))).write_h5ad(path)
    with h5py.File(path, "r+") as file:

        def table(key: str, width: int, kind: Any) -> Any:
            made = file["obsm"].create_dataset(key, (len(obs), width), dtype=kind)
            # what anndata writes for an array
            made.attrs["encoding-type"], made.attrs["encoding-version"] = "array", "0.2.0"
            return made

        values = table(KEY, n_columns, np.float32)
        bits = table(CODES, n_bits, np.int8) if n_bits else None
        if "X" in file:
            del file["X"]
        # a second name for the same array
        file["X"] = values

        def append(rows: np.ndarray, codes: np.ndarray | None, start: int) -> None:
            values[start : start + len(rows)] = rows
            if bits is not None:
                bits[start : start + len(rows)] = codes

        yield append


@contextmanager
def _parquet(path: Path, obs: pd.DataFrame, n_columns: int, n_bits: int) -> Iterator[Append]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sample = pd.DataFrame(
        np.zeros((1, n_columns), dtype=np.float32), columns=columns(n_columns), index=pd.Index(["x"], name="obs_names")
    )
    # carries what pandas needs to read obs_names back as the index
    schema = pa.Schema.from_pandas(sample)
    with pq.ParquetWriter(path, schema) as file:

        def append(rows: np.ndarray, codes: np.ndarray | None, start: int) -> None:
            parts = [pa.array(np.ascontiguousarray(rows[:, j], dtype=np.float32)) for j in range(n_columns)]
            keys = pa.array(obs.index[start : start + len(rows)].astype(str))
            file.write_table(pa.table([*parts, keys], schema=file.schema))

        yield append


@contextmanager
def _npz(path: Path, obs: pd.DataFrame, n_columns: int, n_bits: int) -> Iterator[Append]:
    # a zip member is written in one piece: .npz is the one format that holds all codes in memory
    arrays: dict[str, Any] = {KEY: np.empty((len(obs), n_columns), dtype=np.float32)}
    if n_bits:
        arrays[CODES] = np.empty((len(obs), n_bits), dtype=np.int8)

    def append(rows: np.ndarray, codes: np.ndarray | None, start: int) -> None:
        arrays[KEY][start : start + len(rows)] = rows
        if n_bits:
            arrays[CODES][start : start + len(rows)] = codes

    yield append
    with open(path, "wb") as file:
        np.savez_compressed(file, obs_names=np.asarray(obs.index.astype(str), dtype=str), **arrays)


KINDS = {".h5ad": _h5ad, ".parquet": _parquet, ".npz": _npz}
