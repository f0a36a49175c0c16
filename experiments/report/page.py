"""The one HTML page of all reports: self-contained, works without a network, prints."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments import run_folder

HERE = Path(__file__).parent
#: Figures of more pixels across stand alone in their row.
WIDE = 760


def page(title: str, subtitle: str, sections: Sequence[Mapping[str, Any]], answer: Mapping[str, Any] | str = "") -> str:
    """Return an HTML page.

    Parameters
    ----------
    title, subtitle
        Its head.
    sections
        Mappings with "title" and any of "texts", "list", "cards" (name to value), "explorer" (see `explorer.explorer`),
        "tables" (see `tables.table`), "figures" (see `figure`), "details" with "details_title". A section that holds
        nothing else than its title is left out.
    answer
        What the reader wants to know, in a sentence; or a section without a title that leads the page.
    """
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup, escape

    import qbmvae

    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["code"] = lambda text: Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
    shown = [s for s in sections if any(s.get(k) for k in s if k not in ("title", "details_title"))]
    lead = {"texts": [answer]} if isinstance(answer, str) and answer else answer or None
    interactive = [s for s in (lead, *shown) if s and s.get("explorer")]
    scripts = [Markup((HERE / "templates" / "tables.js").read_text(encoding="utf-8"))]
    if interactive:
        scripts.insert(0, Markup((HERE / "assets" / "plotly-basic.min.js").read_text(encoding="utf-8")))
        scripts.append(Markup((HERE / "templates" / "explorer.js").read_text(encoding="utf-8")))
    style = Markup((HERE / "templates" / "page.css").read_text(encoding="utf-8"))
    return environment.get_template("page.html").render(
        title=title, subtitle=subtitle, lead=lead, sections=shown, scripts=scripts, style=style,
        time=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), version=qbmvae.__version__,
    )  # fmt: skip


def figure(image: str, caption: str) -> list[dict[str, Any]]:
    """Return a figure for `page` from a PNG in base64, or nothing for an empty one."""
    if not image:
        return []
    # a PNG's header holds its width, eight bytes into its first chunk
    width = int.from_bytes(base64.b64decode(image[:32])[16:20], "big")
    return [{"png": image, "caption": caption, "wide": width > WIDE}]


def figure_of(path: Path, caption: str) -> list[dict[str, Any]]:
    """Return a figure for `page` from a PNG file."""
    return figure(base64.b64encode(path.read_bytes()).decode(), caption)


def settings_sections(folder: Path) -> list[dict[str, str]]:
    """Return a folder's configuration and versions as folded sections."""
    return [
        {"title": title, "details_title": name, "details": (folder / name).read_text(encoding="utf-8")}
        for title, name in (("Configuration", run_folder.CONFIG), ("Versions", run_folder.VERSIONS))
        if (folder / name).is_file()
    ]
