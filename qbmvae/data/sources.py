"""Where cells come from: one file or many, named in every way that users name them."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from samplers.errors import InputError, needs

#: Ends of the names of files that hold cells, and of text files that list such files.
CELLS, LISTS = (".h5ad", ".zarr"), (".txt", ".list")
_PATTERN = "*?["


def expand(sources: str | Path | Sequence[str | Path]) -> list[str | Path]:
    """Return the files that sources name, in a fixed order.

    Parameters
    ----------
    sources
        One or several of: an `.h5ad` file, a `.zarr` store, a folder of such shards, a pattern ("shards/*.h5ad"), a text
        file (`.txt`, `.list`) with one of these a line (relative to it; `#` begins a comment), or an fsspec URL of any of
        these ("s3://...", "https://...").

    Raises
    ------
    InputError
        For no source, a path that is not there, a folder or pattern without cells, a file that is named twice.
    """
    given = [sources] if isinstance(sources, str | Path) else list(sources)
    if not given:
        raise InputError("no file is named: give an .h5ad file, a .zarr store, a folder of shards or a pattern")
    files = [file for source in given for file in _expanded(source)]
    names = [str(file) for file in files]
    if len(set(names)) < len(names):
        raise InputError(f"{next(n for n in names if names.count(n) > 1)} is named twice")
    return files


def single_file(files: Sequence[str | Path]) -> Path | None:
    """Return the file where it is one on this machine."""
    return Path(files[0]) if len(files) == 1 and "://" not in str(files[0]) else None


def _expanded(source: Any) -> list[str | Path]:
    if not isinstance(source, str | Path):
        raise InputError(f"a source of cells is a path or a URL, not {type(source).__name__}")
    text = str(source).rstrip("/")
    if "://" in text:
        return _remote(text)
    if any(c in text for c in _PATTERN) and not Path(text).exists():
        found = sorted(p for p in glob.glob(text) if p.endswith(CELLS))
        if not found:
            raise InputError(f"no .h5ad or .zarr matches {text}")
        return [Path(p) for p in found]
    path = Path(text)
    if path.suffix in CELLS:
        # whether it is there and whole is said by who opens it
        return [path]
    if path.is_dir():
        if any((path / name).exists() for name in (".zgroup", "zarr.json")):
            return [path]
        inside: list[str | Path] = sorted(p for p in path.iterdir() if p.name.endswith(CELLS))
        if not inside:
            raise InputError(f"{path} is a folder without .h5ad or .zarr files")
        return inside
    if path.suffix in LISTS:
        return _listed(path)
    if not path.exists():
        raise InputError(f"there is no file {path}")
    raise InputError(f"{path}: cells come from .h5ad files, .zarr stores, folders of them, or a .txt list of paths")


def _listed(path: Path) -> list[str | Path]:
    try:
        lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the list {path} cannot be read: {error}") from None
    named = [line for line in lines if line]
    if not named:
        raise InputError(f"the list {path} names no file")
    relative = [line if "://" in line or Path(line).is_absolute() else str(path.parent / line) for line in named]
    return [file for line in relative for file in _expanded(line)]


def _remote(url: str) -> list[str | Path]:
    """Return the files that a URL names: itself, or what matches a pattern or lies in a folder."""
    if url.endswith(CELLS) and not any(c in url for c in _PATTERN):
        return [url]
    with needs("fsspec", "atlas"):
        import fsspec
    try:
        system, path = fsspec.core.url_to_fs(url)
        if url.endswith(LISTS):
            base = url.rpartition("/")[0]
            lines = [line.partition("#")[0].strip() for line in system.cat_file(path).decode().splitlines()]
            found = [line if "://" in line else f"{base}/{line}" for line in lines if line]
        elif any(c in url for c in _PATTERN):
            found = [system.unstrip_protocol(p) for p in sorted(system.glob(path))]
        else:
            found = [system.unstrip_protocol(p) for p in sorted(system.ls(path, detail=False))]
    except (ImportError, OSError, ValueError) as error:
        raise InputError(f"{url} cannot be opened ({' '.join(str(error).split()) or type(error).__name__})") from None
    cells = [f.rstrip("/") for f in found if f.rstrip("/").endswith(CELLS)]
    if not cells:
        raise InputError(f"{url} names no .h5ad or .zarr")
    return list(cells)
