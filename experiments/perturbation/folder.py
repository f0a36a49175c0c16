"""The run folder: resolved config, versions, and files that are replaced in one move."""

from __future__ import annotations

import base64
import html
import json
import math
import os
import platform
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from samplers.errors import InputError

PACKAGES = ("qbmvae", "torch", "numpy", "scipy", "numba", "anndata", "pandas", "scvi-tools", "safetensors")
STYLE = """body{font-family:system-ui,sans-serif;max-width:72em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:.25em .6em;text-align:right}
th{background:#f3f3f3}td:first-child,th:first-child{text-align:left}img{max-width:100%}pre{background:#f6f6f6;padding:1em}"""


def create(folder: Path, config: dict[str, Any]) -> None:
    """Make the folder and write config.yaml and versions.json; a folder of another configuration is refused."""
    path = folder / "config.yaml"
    if path.is_file():
        before = yaml.safe_load(path.read_text())
        changed = sorted(k for k in {*before, *config} if before.get(k) != config.get(k))
        if changed:
            key = changed[0]
            raise InputError(
                f"{folder} holds a run with another {key!r} ({before.get(key)!r}, now {config.get(key)!r}): choose another --out"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "versions.json", versions())
    write_text(path, yaml.safe_dump(config, sort_keys=False))


def read_config(folder: Path) -> dict[str, Any]:
    """Return the resolved configuration of a run folder."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise InputError(f"{folder} is not a run folder: it has no config.yaml")
    return yaml.safe_load(path.read_text())


def versions() -> dict[str, str]:
    """Return the versions of what produces numbers."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; numbers that are not finite become null."""
    write_text(path, json.dumps(finite(value), indent=1))


def write_text(path: Path, text: str) -> None:
    """Write text to a temporary file in the same folder, then move it over `path`."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as out:
        out.write(text)
    os.replace(temporary, path)


def finite(value: Any) -> Any:
    """Return a JSON-able value: numpy scalars and arrays as numbers and lists, numbers that are not finite as None."""
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def page(out: Path, title: str, sections: Sequence[str]) -> None:
    """Write a self-contained report.html from sections of HTML, with configuration and versions at its end."""
    parts = [f"<h1>{html.escape(title)}</h1>", *sections]
    for name in ("config.yaml", "versions.json"):
        if (out / name).is_file():
            parts.append(f"<h2>{name}</h2><pre>{html.escape((out / name).read_text())}</pre>")
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title><style>{STYLE}</style>"
    write_text(out / "report.html", f"{head}<body>{chr(10).join(parts)}</body></html>")


def table(frame: pd.DataFrame) -> str:
    """Return a table as HTML, four significant digits."""
    return frame.to_html(index=False, float_format=lambda v: f"{v:.4g}", na_rep="", border=0)


def image(path: Path) -> str:
    """Return a PNG as an inline image."""
    encoded = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{html.escape(path.stem)}" src="data:image/png;base64,{encoded}">'
