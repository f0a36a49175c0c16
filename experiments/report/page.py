"""Self-contained HTML reports of a training and of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from anndata import AnnData


def page(title: str, subtitle: str, sections: Sequence[dict[str, Any]]) -> str:
    """Return an HTML page.

    Parameters
    ----------
    title, subtitle
        Its head.
    sections
        Mappings with "title" and any of "texts", "cards" (name to value), "tables" (see `table`), "figures"
        (see `figure`), "details" with "details_title".
    """
    from jinja2 import Environment, FileSystemLoader

    import qbmvae

    loader = FileSystemLoader(Path(__file__).parent / "templates")
    template = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True).get_template(
        "page.html"
    )
    time = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return template.render(title=title, subtitle=subtitle, sections=sections, time=time, version=qbmvae.__version__)


def table(frame: pd.DataFrame, caption: str = "", best: Mapping[str, str] | str | None = "max") -> dict[str, Any]:
    """Return a table for `page`; the best value of each column is marked.

    Parameters
    ----------
    frame
        The rows; the index is the first column.
    caption
        What it shows.
    best
        "max", "min", None, or column name to one of these.
    """
    marks: dict[str, Any] = {}
    for column in frame.columns:
        rule = best.get(column) if isinstance(best, Mapping) else best
        values = pd.to_numeric(frame[column], errors="coerce")
        if rule and len(frame) > 1 and values.notna().any():
            marks[column] = values.max() if rule == "max" else values.min()
    rows = []
    for name, row in frame.iterrows():
        cells = [{"text": str(name), "best": False}]
        for column in frame.columns:
            cells.append({"text": number(row[column]), "best": column in marks and row[column] == marks[column]})
        rows.append(cells)
    return {"caption": caption, "columns": [frame.index.name or "", *map(str, frame.columns)], "rows": rows}


def number(value: Any) -> str:
    """Return a value as a reader wants it: three decimals, a dash for what is not defined."""
    if isinstance(value, float | np.floating):
        if not np.isfinite(value):
            return "–"
        return f"{value:.3f}" if abs(float(value)) < 100 else f"{value:,.1f}"
    if value is None:
        return "–"
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return f"{int(value):,}" if whole else str(value)


def figure(image: str, caption: str) -> list[dict[str, str]]:
    """Return a figure for `page`, or nothing for an empty image."""
    return [{"png": image, "caption": caption}] if image else []


def colourings(adata: AnnData, keys: Sequence[str | None]) -> dict[str, Any]:
    """Return the obs columns among `keys` that exist, as what `plots.scatters` colours by."""
    found: dict[str, Any] = {}
    for key in keys:
        if key is not None and key in adata.obs and key not in found:
            values = adata.obs[key]
            found[key] = values.to_numpy() if pd.api.types.is_float_dtype(values) else values.astype(str).to_numpy()
    return found


def some_cells(n: int, n_max: int = 4000) -> np.ndarray:
    """Return the rows that a plane shows: all, or a seeded choice."""
    return np.arange(n) if n <= n_max else np.sort(np.random.default_rng(0).choice(n, n_max, replace=False))
