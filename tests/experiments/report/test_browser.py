"""The page in a real browser; runs where Playwright and a Chromium are installed (`make browser`)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.report.explorer import explorer
from experiments.report.page import page
from experiments.report.tables import table
from experiments.report.values import Spread

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def chromium() -> str | None:
    """Return the path of an installed Chromium; the variable CHROMIUM names another."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("Playwright is not installed: make browser")
    path = chromium()
    if path is None:
        pytest.skip("there is no Chromium on the path")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    rng = np.random.default_rng(0)
    names = [f"cell-{i}" for i in range(60)]
    obs = pd.DataFrame({"type": np.repeat(["left", "right"], 30), "age": rng.normal(size=60)}, index=names)
    plane = np.column_stack([np.repeat([0.0, 10.0], 30), np.tile(np.arange(30.0), 2)])
    genes = pd.DataFrame({"GAPDH": rng.poisson(2, 60).astype(float)}, index=names)
    views = explorer({"ours": plane, "other": -plane}, obs, genes, ["type"], "sixty cells")
    frame = pd.DataFrame(
        {"Total": [0.5, 0.7, 0.6], "KMeans NMI": [Spread.around(v, 0.1) for v in (0.3, 0.1, 0.2)]},
        index=pd.Index(["a", "b", "c"], name="model"),
    )
    wide = pd.DataFrame(np.ones((2, 40)), columns=[f"a long name {i}" for i in range(40)])
    sections = [{"title": "Scores", "tables": [table(frame, task="integration"), table(wide, best=None)]}]
    path = tmp_path_factory.mktemp("browser") / "report.html"
    path.write_text(page("A report", "of a test", sections, {"texts": ["An answer."], "explorer": [views]}))
    return path


@pytest.fixture(params=[1300, 420])
def opened(request, browser, file):
    tab = browser.new_page(viewport={"width": request.param, "height": 900}, accept_downloads=True)
    problems: list[str] = []
    tab.on("console", lambda m: problems.append(m.text) if m.type in ("error", "warning") else None)
    tab.on("pageerror", lambda e: problems.append(str(e)))
    requests: list[str] = []
    tab.on("request", lambda r: requests.append(r.url))
    tab.goto(file.as_uri())
    tab.wait_for_selector(".explorer .points path.point")
    yield tab
    assert problems == []
    # the file itself, and nothing from elsewhere
    assert [r for r in requests if not r.startswith(("file:", "data:", "blob:"))] == []
    tab.close()


def points(tab) -> int:
    return tab.locator(".explorer .points path.point").count()


def test_the_page_fits_its_window(opened):
    across, window = opened.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert across <= window
    # the wide table scrolls inside its box
    assert opened.evaluate("[...document.querySelectorAll('.scroll')].some(b => b.scrollWidth > b.clientWidth)")
    plot = opened.locator(".explorer .plot").bounding_box()
    assert plot["width"] > 0.8 * min(window, 1000) - 60 and plot["x"] + plot["width"] <= window


def test_a_hover_names_the_cell_and_the_legend_hides_a_group(opened):
    assert points(opened) == 120
    opened.locator(".explorer .plot").scroll_into_view_if_needed()
    box = opened.locator(".explorer .points path.point").nth(3).bounding_box()
    opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    opened.wait_for_selector(".hovertext")
    text = opened.locator(".hovertext").first.text_content()
    assert "cell-3" in text and "type: left" in text
    opened.locator(".legendtoggle").first.click()
    opened.wait_for_function("document.querySelectorAll('.explorer .points path.point').length === 60")


def test_colours_come_from_columns_and_genes(opened):
    choices = opened.locator(".explorer select option").all_text_contents()
    assert choices == ["type", "age", "GAPDH"]
    opened.locator(".explorer select").select_option("genes:GAPDH")
    opened.wait_for_selector(".colorbar")
    assert points(opened) == 120


def test_selected_cells_are_downloaded_as_a_list(opened, tmp_path):
    opened.evaluate(
        """() => {
          const plot = document.querySelector('.explorer .plot');
          const points = plot.data[0].customdata.slice(0, 4).map((i) => ({customdata: i}));
          plot.emit('plotly_selected', {points});
        }"""
    )
    assert "4 cells selected" in opened.locator(".explorer .chosen").text_content()
    with opened.expect_download() as waiting:
        opened.get_by_text("Download the selected cells").click()
    waiting.value.save_as(tmp_path / "cells.txt")
    assert (tmp_path / "cells.txt").read_text().split() == ["cell-0", "cell-1", "cell-2", "cell-3"]


def test_a_lasso_drawn_with_the_mouse_selects(browser, file):
    tab = browser.new_page(viewport={"width": 1300, "height": 900})
    tab.goto(file.as_uri())
    tab.wait_for_selector(".explorer .points path.point")
    boxes = [tab.locator(".explorer .points path.point").nth(i).bounding_box() for i in (0, 29)]
    x, top, bottom = boxes[0]["x"], min(b["y"] for b in boxes), max(b["y"] for b in boxes)
    start = (x + 40, (top + bottom) / 2)
    path = [start, (x + 40, top - 20), (x - 30, top - 20), (x - 30, bottom + 20), (x + 40, bottom + 20), start]
    tab.mouse.move(*path[0])
    tab.mouse.down()
    for corner in path[1:]:
        tab.mouse.move(*corner, steps=6)
    tab.mouse.up()
    tab.wait_for_function("document.querySelector('.explorer .chosen').textContent.includes('selected')")
    assert "30 cells selected" in tab.locator(".explorer .chosen").text_content()
    tab.close()


def test_tables_sort_and_explain(opened):
    head = opened.locator("table").first.get_by_role("button", name="KMeans NMI")
    assert "k-means" in head.get_attribute("title")
    first = opened.locator("table").first.locator("tbody tr td:first-child")
    head.click()
    assert first.all_text_contents() == ["a", "c", "b"]
    head.click()
    assert first.all_text_contents() == ["b", "c", "a"]
    # every range reaches the best one's
    assert opened.locator("table").first.locator("td.best").count() == 4


def test_print_shows_the_picture(opened):
    assert not opened.locator(".explorer .picture").is_visible()
    opened.emulate_media(media="print")
    assert opened.locator(".explorer .picture").is_visible()
    assert not opened.locator(".explorer .plot").is_visible()


def test_without_scripts_the_picture_is_there(browser, file):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(file.as_uri())
    assert tab.locator(".explorer .picture img").is_visible() and not tab.locator(".explorer .tools").is_visible()
    context.close()
