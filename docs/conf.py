"""Sphinx configuration: Markdown pages and the API reference from docstrings."""

from __future__ import annotations

from importlib.metadata import version as _version

project = "qbmvae"
author = "The qbmvae developers"
release = _version("qbmvae")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
]
myst_enable_extensions = ["dollarmath"]
autodoc_typehints = "none"
napoleon_google_docstring = False
html_theme = "furo"
exclude_patterns = ["_build"]
suppress_warnings = ["myst.xref_missing", "myst.header"]
