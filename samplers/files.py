"""Atomic writes: a file or folder appears under its name complete, or the old one stays, whoever is killed meanwhile."""

from __future__ import annotations

import ctypes
import fcntl
import json
import math
import os
import secrets
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from samplers.errors import InputError

#: Seconds after which a temporary of a dead process is removed by the next write to the same name.
STALE = 600.0
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def write_atomically(
    path: str | os.PathLike[str], write: Callable[[Path], Any], *, durable: bool = True, folder: bool = False
) -> Path:
    """Write a file or folder under a temporary name next to its place, and move it there once it is complete.

    Parameters
    ----------
    path
        Where it goes; missing parent folders are made. What stands there is replaced, and its permissions are kept; a
        symbolic link stays and its target is replaced.
    write
        Called with the temporary path, which has the same suffix. For a folder the path is an empty folder.
    durable
        Wait until the file's content is on the disk, so that a power cut leaves the old file or the new one, never an
        empty one. A cache can do without.
    folder
        Whether `write` fills a folder.

    Returns
    -------
    The path.

    Raises
    ------
    InputError
        Where the place cannot be written to: no permission, a file where a folder is asked for, or the reverse.
    OSError
        Where the disk is full or fails; the old file stays, and the temporary is removed.
    """
    with replacing(path, durable=durable, folder=folder) as temporary:
        write(temporary)
    return Path(path)


@contextmanager
def replacing(path: str | os.PathLike[str], *, durable: bool = True, folder: bool = False) -> Iterator[Path]:
    """Yield a temporary path that takes the place of `path` when the block ends well, and is removed when it does not.

    Parameters
    ----------
    path, durable, folder
        As in `write_atomically`.

    Raises
    ------
    InputError, OSError
        As `write_atomically`.
    """
    given, path = Path(path), Path(os.path.realpath(path))
    if folder and path.exists() and not path.is_dir():
        raise InputError(f"cannot write the folder {given}: a file has this name")
    if not folder and path.is_dir():
        raise InputError(f"cannot write {given}: it is a folder; name a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        temporary = path.with_name(f".{path.stem}.{_host()}-{os.getpid()}-{secrets.token_hex(4)}.part{path.suffix}")
        if folder:
            temporary.mkdir()
        else:
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise InputError(f"cannot write {given}: {error.strerror} ({error.filename})") from error
    # the process's umask decides for a new file, the old file's permissions for a replaced one
    mode = stat.S_IMODE((path if path.exists() else temporary).stat().st_mode)
    try:
        yield temporary
        os.chmod(temporary, mode)
        if durable:
            for file in (p for p in temporary.rglob("*") if p.is_file()) if folder else (temporary,):
                _sync(file)
        if folder and path.exists():
            _exchange(temporary, path)
        else:
            os.replace(temporary, path)
        if durable:
            _sync(path.parent)
    finally:
        if folder:
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], data: bytes, *, durable: bool = True) -> Path:
    """Write bytes atomically.

    Parameters
    ----------
    path, durable
        As in `write_atomically`.
    data
        The content.
    """
    return write_atomically(path, lambda p: p.write_bytes(data), durable=durable)


def write_text(path: str | os.PathLike[str], text: str, *, durable: bool = True) -> Path:
    """Write text as UTF-8 atomically.

    Parameters
    ----------
    path, durable
        As in `write_atomically`.
    text
        The content.
    """
    return write_bytes(path, text.encode(), durable=durable)


def write_json(path: str | os.PathLike[str], value: Any, *, durable: bool = True) -> Path:
    """Write JSON atomically; arrays become lists, and numbers that are not finite become null.

    Parameters
    ----------
    path, durable
        As in `write_atomically`.
    value
        Nested dicts, lists, arrays, numbers and texts.
    """
    return write_text(path, json.dumps(plain(value), indent=2, allow_nan=False) + "\n", durable=durable)


def plain(value: Any) -> Any:
    """Return a value as JSON and YAML hold it: no arrays, no numpy scalars, None for NaN and infinity."""
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    # numpy's scalars and arrays, torch's tensors, pandas' series
    return plain(value.tolist()) if hasattr(value, "tolist") else str(value)


def append_line(path: Path, line: str) -> None:
    """Append a line in one write under a lock, so that lines of several processes never mix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        end = os.lseek(descriptor, 0, os.SEEK_END)
        # a line that a killed process left unfinished must not swallow ours
        torn = end and os.pread(descriptor, 1, end - 1) != b"\n"
        os.write(descriptor, (("\n" if torn else "") + line + "\n").encode())
    finally:
        os.close(descriptor)


def _host() -> str:
    return socket.gethostname().replace("-", "_").replace(".", "_")


def _sweep(path: Path) -> None:
    """Remove temporaries of `path` that killed processes of this machine left behind."""
    start, now = f".{path.stem}.{_host()}-", time.time()
    with os.scandir(path.parent) as entries:
        left = [e.path for e in entries if e.name.startswith(start) and e.name.endswith(f".part{path.suffix}")]
    for name in left:
        process = os.path.basename(name)[len(start) :].split("-")[0]
        try:
            if process.isdigit() and not _alive(int(process)) and now - os.stat(name).st_mtime > STALE:
                shutil.rmtree(name) if os.path.isdir(name) else os.unlink(name)
        except OSError:
            # another process sweeps too, or the file is not ours to remove
            continue


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(new: Path, old: Path) -> None:
    """Swap two folders in one step where the system can, else in two."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename and rename(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old), _RENAME_EXCHANGE) == 0:
        return
    aside = new.with_name(f"{new.name}.old")
    os.replace(old, aside)
    os.replace(new, old)
    os.replace(aside, new)
