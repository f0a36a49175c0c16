"""Plain HTML reports of a folder: sections, then its configuration and versions, in one file without network."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from experiments.run_folder import CONFIG, VERSIONS, write_text

STYLE = """body{font-family:system-ui,sans-serif;max-width:72em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:.25em .6em;text-align:right}
th{background:#f3f3f3}td:first-child,th:first-child{text-align:left}img{max-width:100%}pre{background:#f6f6f6;padding:1em}"""


def page(out: Path, title: str, sections: Sequence[str]) -> None:
    """Write `report.html` from sections of HTML, with configuration and versions at its end."""
    parts = [f"<h1>{html.escape(title)}</h1>", *sections]
    for name in (CONFIG, VERSIONS):
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
