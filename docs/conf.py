"""Sphinx configuration: Markdown pages, executed tutorials and the API reference from docstrings."""

from __future__ import annotations

import os
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
suppress_warnings = ["myst.xref_missing", "myst.header", "mystnb.unknown_mime_type", "myst-nb.lexer", "mystnb.lexer"]
copybutton_exclude = ".linenos, .gp, .go"
