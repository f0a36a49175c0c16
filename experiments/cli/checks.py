"""What can be known to be wrong with paths, keys and names before torch, scvi-tools or scanpy are imported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments import run_folder
from samplers.errors import InputError, nearest


def suffix(path: Path, known: Sequence[str]) -> None:
    """Refuse an output whose name does not say one of the known formats, or whose folder is a file.

    Raises
    ------
    InputError
        Names the formats.
    """
    if path.suffix not in known:
        raise InputError(f"--out {path} must end in {', '.join(known)}")
    if path.is_dir():
        raise InputError(f"--out {path} is a folder: name a file in it")
    folder(path.parent)


def folder(path: Path) -> None:
    """Refuse a folder to write into that is a file, or that lies in one.

    Raises
    ------
    InputError
        Names the file.
    """
    for part in (path, *path.parents):
        if part.exists():
            if not part.is_dir():
                raise InputError(f"{part} is a file: --out needs a folder there")
            return


def new_folder(path: Path) -> None:
    """Refuse a folder that holds something."""
    folder(path)
    run_folder.require_empty(path)


def trained(run: Path) -> dict[str, Any]:
    """Return the configuration of a complete run folder."""
    return run_folder.open_run(run)


def resumable(run: Path) -> dict[str, Any]:
    """Return the configuration of a run folder, complete or not; its data must still be there."""
    config = run_folder.open_run(run, complete=False)
    if config["status"]["state"] != "complete":
        cells(config["data"], **needed(config["setup"]))
    return config


def needed(setup: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the data's keys that cells to embed must have as well."""
    return {k: v for k, v in setup.items() if k not in ("labels_key", "unlabeled_category")}


def cells(
    data: str | Sequence[str],
    *,
    layer: str | None = None,
    batch_key: str | None = None,
    labels_key: str | Sequence[str] | None = None,
    size_factor_key: str | None = None,
    categorical_covariate_keys: Iterable[str] = (),
    continuous_covariate_keys: Iterable[str] = (),
    unlabeled_category: str | None = None,
    keys: Iterable[str | None] = (),
) -> None:
    """Refuse cells that are missing, damaged, or lack a layer or a column of obs; no counts are read.

    Parameters
    ----------
    data
        Whatever `qbmvae.data.open_cells` opens; what lies on other machines is looked at when it is opened.
    layer
        Must be among the layers of each file; "raw" is `.raw`.
    batch_key, labels_key, size_factor_key, categorical_covariate_keys, continuous_covariate_keys, keys
        Must be columns of each file's obs; None is skipped.
    unlabeled_category
        Goes with `labels_key`.

    Raises
    ------
    InputError
        Names the file, and the nearest layer or column.
    """
    labels = [labels_key] if isinstance(labels_key, str) else labels_key or ()
    wanted = [batch_key, *labels, size_factor_key, *(categorical_covariate_keys or ())]
    wanted += [*(continuous_covariate_keys or ()), *keys]
    if unlabeled_category is not None and not labels:
        raise InputError("--unlabeled-category is a word of --labels-key, which is missing")
    from qbmvae.data.sources import expand

    for path in expand(data):
        if "://" in str(path):
            continue
        with _opened(Path(path)) as file:
            if "X" not in file and not len(file.get("layers", ())):
                raise InputError(f"{path} holds no expression matrix: write counts to .X or to a layer")
            layers = [*file.get("layers", ()), *(["raw"] if "raw" in file else [])]
            if layer is not None and layer not in layers:
                raise InputError(f"{path} has no layer {layer!r}{nearest(layer, layers)}")
            known = columns(file)
            for key in wanted:
                if key is not None and key not in known:
                    raise InputError(f"obs of {path} has no column {key!r}{nearest(key, known)}")


def columns(file: Any) -> list[str]:
    """Return the names of obs' columns of an open HDF5 file or zarr group."""
    obs = file["obs"]
    if "column-order" not in obs.attrs:
        # written by anndata before 0.7: one compound data set
        return list(getattr(obs.dtype, "names", ()) or ()) if hasattr(obs, "dtype") else list(obs)
    return [str(name) for name in obs.attrs["column-order"]]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.exists():
        close = nearest(path.name, [p.name for p in path.parent.glob("*.*")]) if path.parent.is_dir() else ""
        raise InputError(f"there is no file {path}{close if close.startswith('; nearest') else ''}")
    if path.is_dir():
        import zarr

        try:
            file = zarr.open_group(str(path), mode="r")
        except Exception as error:  # noqa: BLE001 - zarr fails in many ways on a damaged store
            raise InputError(f"{path} is damaged or not a .zarr store: {str(error).splitlines()[0]}") from None
        if "obs" not in file:
            raise InputError(f"{path} is damaged or not a .zarr store of cells: it has no obs")
        yield file
        return
    import h5py

    try:
        file = h5py.File(path, "r")
    except PermissionError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except OSError as error:
        raise InputError(f"{path} is damaged or not an .h5ad file: {str(error).splitlines()[0]}") from None
    with file:
        if "obs" not in file:
            raise InputError(f"{path} is damaged or not an .h5ad file: it has no obs")
        yield file


def sampler(parts: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a sampler that there is not, and options that it does not take, wherever among the parts of a training.

    Raises
    ------
    InputError
        Names the nearest sampler or option.
    """
    from samplers import registry

    for part in parts.values():
        name = part.get("sampler")
        if not isinstance(name, str):
            continue
        bare, _, options = name.partition("?")
        if bare not in registry.names():
            raise InputError(f"there is no sampler {bare!r}{nearest(bare, registry.names())}")
        if options and not registry.available()[bare].remote:
            registry.get(name)


def model(options: Mapping[str, Any]) -> None:
    """Refuse options of a model that are out of range or unknown words."""
    from dataclasses import fields

    from qbmvae.core.options import ModelOptions

    known = {f.name for f in fields(ModelOptions)}
    ModelOptions(**{k: v for k, v in options.items() if k in known})


def training(options: Mapping[str, Any]) -> None:
    """Refuse settings of a training that are out of range."""
    from dataclasses import fields

    from qbmvae.core.training.config import TrainingConfig

    known = {f.name for f in fields(TrainingConfig)}
    TrainingConfig(**{k: v for k, v in options.items() if k in known})


def files(*paths: Path | None) -> None:
    """Refuse the first file that is not there.

    Raises
    ------
    InputError
        Names the file.
    """
    for path in paths:
        if path is not None and not path.is_file():
            raise InputError(f"{path} is a folder: give a file" if path.is_dir() else f"there is no file {path}")


def unfinished(run: Path, last: str) -> None:
    """Refuse to resume a folder that is no run, or one that holds the file that is written last.

    Raises
    ------
    InputError
        Says which of both.
    """
    if (run / last).is_file():
        raise InputError(f"{run} is finished: there is nothing to resume")
    run_folder.read_config(run)


def finished(run: Path, needed_file: str, command: str) -> None:
    """Refuse a folder that lacks the model of a command's run.

    Parameters
    ----------
    run
        The folder.
    needed_file
        What the command writes last.
    command
        Its name, for the message.

    Raises
    ------
    InputError
        Where the folder or the file is missing.
    """
    if not run.is_dir():
        raise InputError(f"there is no run folder {run}")
    if not (run / needed_file).is_file():
        raise InputError(f"{run} holds no model of `{command}`: {needed_file} is missing")


@contextmanager
def resumes(command: str, folder: Path) -> Iterator[None]:
    """Let an interruption say how to go on, where it leaves something in the folder to go on from."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if folder.is_dir() and any(folder.iterdir()):
            stop.add_note(f"go on with `{command}`")
        raise
