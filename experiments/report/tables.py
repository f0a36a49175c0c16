"""Tables of the reports: sorted by a click, explained by a hover, the best marked with everything that may equal it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from experiments.report.values import Spread, ends, number
from experiments.tasks.metrics import Metric, find

NOTE = "Bold: the best of a column, and everything whose range (±) reaches the best one's."


def table(
    frame: pd.DataFrame,
    caption: str = "",
    best: Mapping[str, str] | str | None = "auto",
    task: str = "",
    explain: Mapping[str, str] | None = None,
    decimals: int | None = None,
) -> dict[str, Any]:
    """Return a table for `page`.

    Parameters
    ----------
    frame
        The rows; the index is the first column. Columns are names or `Metric`s; values are numbers, `Spread`s or text.
        A column "NAME +-" holds the half-widths of the column NAME and is shown in it.
    caption
        What it shows.
    best
        What is marked: "max", "min", None, a column name to one of these, or "auto": what the column's `Metric` says,
        nothing for a column that is none.
    task
        The task whose scores the names of columns or rows are.
    explain
        Column name to its meaning, for columns that are no metrics.
    decimals
        Of numbers that are no counts; None: what the column's `Metric` says, else see `number`.

    Returns
    -------
    dict
        "caption", "columns", "rows", "note", "meanings" of columns and rows.
    """
    columns, cells = [], []
    frame = _with_spreads(frame)
    for position, key in enumerate(frame.columns):
        metric = key if isinstance(key, Metric) else find(task, str(key))
        name = str(key) if metric is None else metric.label
        rule = best.get(name) if isinstance(best, Mapping) else best
        if rule == "auto":
            rule = None if metric is None or metric.more is None else "max" if metric.more else "min"
        values = (
            [_as_count(v) for v in frame.iloc[:, position]]
            if _counts(frame.iloc[:, position])
            else list(frame.iloc[:, position])
        )
        text = metric.explain if metric is not None else ""
        if metric is not None and metric.composition != "none":
            text += f"; unequal composition of the batches {metric.composition} it"
        columns.append({"name": name, "explain": (explain or {}).get(name, text), "rule": rule, "kind": _kind(values)})
        cells.append(_column(values, rule, metric.decimals if metric is not None and decimals is None else decimals))
    scores = [find(task, str(label)) for label in frame.index]
    names = [str(label) if m is None else m.label for label, m in zip(frame.index, scores, strict=True)]
    rows = [
        [
            {"text": name, "sort": name, "best": False, "explain": m.explain if m else ""},
            *(column[i] for column in cells),
        ]
        for i, (name, m) in enumerate(zip(names, scores, strict=True))
    ]
    head = {
        "name": frame.index.name or "",
        "explain": "",
        "rule": None,
        "kind": "short" if max(map(len, names), default=0) <= 14 else _kind(names),
    }
    spreads = any(isinstance(v, Spread) and v.high > v.low for column in frame for v in frame[column])
    marked = any(cell["best"] for row in rows for cell in row)
    named = [*((c["name"], c["explain"]) for c in columns), *((row[0]["text"], row[0]["explain"]) for row in rows)]
    return {
        "caption": caption,
        "columns": [head, *columns],
        "rows": rows,
        "note": NOTE if spreads and marked else "",
        "meanings": [(name, text) for name, text in named if text],
    }


def _with_spreads(frame: pd.DataFrame) -> pd.DataFrame:
    halves = [c for c in frame if isinstance(c, str) and c.endswith(" +-") and c.removesuffix(" +-") in frame]
    shown = frame.drop(columns=halves)
    for half in halves:
        pairs = frame[[half.removesuffix(" +-"), half]].astype(float).to_numpy()
        shown[half.removesuffix(" +-")] = [Spread.around(value, width) for value, width in pairs]
    return shown


def _column(values: list[Any], rule: str | None, decimals: int | None) -> list[dict[str, Any]]:
    parts = [ends(v) for v in values]
    marked = [False] * len(values)
    known = [i for i, p in enumerate(parts) if np.isfinite(p[0])]
    if rule and len(known) > 1:
        sign = 1 if rule == "max" else -1
        top = max(known, key=lambda i: sign * parts[i][0])
        _, low, high = parts[top]
        # equal to the digits that are shown counts as equal
        for i in known:
            reaches = parts[i][2] >= low and parts[i][1] <= high
            marked[i] = reaches or number(parts[i][0]) == number(parts[top][0])
        if all(marked[i] for i in known) and len({number(parts[i][0]) for i in known}) == 1:
            marked = [False] * len(values)
    return [
        {"text": number(v, decimals), "sort": p[0] if np.isfinite(p[0]) else "" if _missing(v) else str(v), "best": m}
        for v, p, m in zip(values, parts, marked, strict=True)
    ]


def _missing(value: Any) -> bool:
    return value is None or isinstance(value, Spread) or (isinstance(value, float) and not np.isfinite(value))


def _kind(values: list[Any]) -> str:
    """Return how a column is set: numbers to the right, words on one line, long text wrapped."""
    if any(np.isfinite(ends(v)[0]) for v in values):
        return "number"
    return "long" if any(len(number(v)) > 32 for v in values) else "word"


def _counts(column: pd.Series) -> bool:
    """Return whether a column of floats holds counts: integers only, not all of them 0 or 1."""
    if not pd.api.types.is_float_dtype(column):
        return False
    known = column[np.isfinite(column)]
    return len(known) > 0 and bool((known % 1 == 0).all()) and bool(known.abs().max() > 1)


def _as_count(value: float) -> int | float:
    return int(value) if np.isfinite(value) else value
