"""Sphinx configuration: Markdown pages, executed tutorials and the API reference from docstrings."""

from __future__ import annotations

import os
import re
from importlib.metadata import version as _version

# the tutorials' kernels: one thread a process, figures without a display
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

project = "qbmvae"
author = "The qbmvae developers"
copyright = "2026, the qbmvae developers. Apache-2.0"
release = _version("qbmvae")
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    # MathJax itself is copied into the build: formulas need no network
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "sphinx_design",
]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True
# progress bars and first-use messages belong to a terminal
nb_output_stderr = "remove"
autodoc_typehints = "none"
napoleon_google_docstring = False
html_theme = "furo"
html_title = "qbmvae"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
exclude_patterns = ["_build", "jupyter_execute"]
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type", "myst-nb.lexer", "mystnb.lexer"]
copybutton_exclude = ".linenos, .gp, .go"


def _errors_stay_with_their_numbers(_app, _page, text):
    """Make a value +- an error one word, so that a table does not break it."""
    text[0] = re.sub(r"(?<=[\d.]) (?:\+-|±) (?=[\d.])", "\u00a0±\u00a0", text[0])


_NO_TYPE = "\\"


def _returns_are_sentences(_app, _what, _name, _object, _options, lines):
    """Write a Returns section of plain sentences under an empty type; numpydoc would take each of its lines for a type."""
    heads = [i for i, line in enumerate(lines[:-1]) if line.strip() == "Returns" and set(lines[i + 1].strip()) == {"-"}]
    for start in heads[::-1]:
        end = next((i for i in range(start + 2, len(lines)) if not lines[i].strip()), len(lines))
        body = lines[start + 2 : end]
        if not any(line.startswith(" ") for line in body):
            lines[start + 2 : end] = [_NO_TYPE, "    " + " ".join(body)]


def _no_empty_types(_app, _what, _name, _object, _options, lines):
    """Leave out the empty types of `_returns_are_sentences`."""
    lines[:] = [line for line in lines if line.strip() != f":rtype: {_NO_TYPE}"]


def setup(app):
    """Connect what the build changes in pages and docstrings."""
    app.connect("source-read", _errors_stay_with_their_numbers)
    # before napoleon, which has priority 500
    app.connect("autodoc-process-docstring", _returns_are_sentences, priority=400)
    app.connect("autodoc-process-docstring", _no_empty_types, priority=600)
