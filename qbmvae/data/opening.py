"""Cells from any source, in memory where they fit and out of core where they do not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from anndata import AnnData

from qbmvae.data import audit, categories
from qbmvae.data.atlas import Atlas, open_atlas
from qbmvae.data.gene_selection import highly_variable_genes
from qbmvae.data.notes import note
from qbmvae.data.scan import survey
from qbmvae.data.sources import expand, single_file
from qbmvae.data.stores import is_sparse, matrix_key, open_group
from samplers.errors import InputError, nearest

InMemory = Literal["auto", "yes", "no"]
#: Share of the free memory that counts may take before they are left on disk.
MEMORY_SHARE = 0.5


def open_cells(
    sources: str | Path | Sequence[str | Path],
    *,
    in_memory: InMemory = "auto",
    layer: str | None = None,
    genes: Sequence[str] | None = None,
    obs_columns: Sequence[str] | None = None,
    memory_share: float = MEMORY_SHARE,
) -> AnnData:
    """Open cells of one file or many, in memory or out of core.

    Parameters
    ----------
    sources
        See `sources.expand`: `.h5ad`, `.zarr`, several of either, a pattern, a folder of shards, a list, a URL.
    in_memory
        "yes" reads everything; "no" reads counts in blocks as they are needed; "auto" reads everything where the counts
        take less than `memory_share` of the free memory, and says so on stderr where they do not.
    layer
        Layer with the counts; X by default, "raw" for `.raw.X`.
    genes
        Genes to use; all that the files share by default.
    obs_columns
        Columns of `obs` to keep, of several files; those that they share by default.
    memory_share
        See `in_memory`.

    Returns
    -------
    An AnnData as it was written, for one file in memory; otherwise one of counts, `obs` and `var` (in memory), or an `Atlas`.

    Raises
    ------
    InputError
        For sources that cannot be opened, and counts stored by columns that are to stay on disk.
    """
    if in_memory not in get_args(InMemory):
        raise InputError(
            f"in_memory is 'auto', 'yes' or 'no', not {in_memory!r}{nearest(in_memory, get_args(InMemory))}"
        )
    if not 0 < memory_share <= 1:
        raise InputError(f"memory_share is a share of the free memory, in (0, 1], not {memory_share}")
    files = expand(sources)
    if in_memory == "auto":
        sizes = [_size(file, layer) for file in files]
        needed, free = sum(size for size, _ in sizes), free_memory()
        fits = needed <= memory_share * free
        if not fits and any(by_columns for _, by_columns in sizes):
            note(f"counts are stored by columns (CSC) and cannot be read in blocks: {_gb(needed)} are read into memory")
            fits = True
        elif not fits:
            note(f"counts take {_gb(needed)} in memory and {_gb(free)} are free: they are read from disk in blocks")
    else:
        fits = in_memory == "yes"
    if not fits:
        return open_atlas(files, layer=layer, genes=genes, obs_columns=obs_columns)
    one = single_file(files)
    if one is not None and one.suffix in (".h5ad", ".zarr") and genes is None:
        return _whole(one)
    return open_atlas(files, layer=layer, genes=genes, obs_columns=obs_columns, by_columns=True).to_memory(layer=layer)


def select_genes(atlas: Atlas, n_top_genes: int, batch_key: str | None = None, name: str = "X") -> Atlas:
    """Return cells on disk with the genes that vary most, chosen in one pass that also checks the counts.

    Parameters
    ----------
    atlas
        The cells.
    n_top_genes
        How many genes.
    batch_key
        Column of `obs` within whose categories genes are ranked.
    name
        What messages call the counts.

    Raises
    ------
    InputError
        For counts that cannot be used, a column that is not there, or genes that cannot be ranked.
    """
    codes = None
    if batch_key is not None:
        audit.keys(atlas, [batch_key], "batch_key")
        codes = categories.learn(atlas.obs[batch_key], batch_key)[0]
    found = survey(atlas.store, atlas.obs_names, atlas.var_names, codes, histograms=True, name=name)
    assert found.histograms is not None
    return atlas.with_genes(list(highly_variable_genes(found.histograms, atlas.var_names, n_top_genes)))


def _whole(path: Path) -> AnnData:
    """Return all that one file holds."""
    import anndata as ad

    try:
        return ad.read_h5ad(path) if path.suffix == ".h5ad" else ad.read_zarr(path)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except Exception as error:
        raise InputError(
            f"{path} is damaged or no {path.suffix} file ({' '.join(str(error).split())[:200]})"
        ) from error


def _size(path: str | Path, layer: str | None) -> tuple[int, bool]:
    """Return the bytes that a file's counts take in memory, and whether they are stored by columns."""
    group = open_group(path)
    element = group[matrix_key(group, layer, path)]
    if not is_sparse(element):
        n, m = element.shape
        return 8 * n * m, False
    # values, columns of four bytes, and a copy while genes are selected
    stored = element["data"].shape[0]
    return stored * (element["data"].dtype.itemsize + 8), element.attrs["encoding-type"] == "csc_matrix"


def free_memory() -> int:
    """Return the bytes that this process may still take: of the machine, and of its control group."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit != "max":
            found.append(int(limit) - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    except (OSError, ValueError):
        pass
    return max(min(found), 0)


def _gb(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.1f} GB"
