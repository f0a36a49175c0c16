"""Packages that load a name's module when the name is first used."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any


def lazy(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package that names its lazy contents once, for type checkers.

    .. code-block:: python

        if TYPE_CHECKING:
            from samplers.partition_function import log_partition as log_partition
        else:
            __getattr__, __dir__ = lazy(__name__)

    Parameters
    ----------
    package
        `__name__` of the package. The imports in the `if TYPE_CHECKING` blocks of its `__init__.py` say what it offers and
        where from; they are read when a name is first asked for.
    """

    @cache
    def homes() -> dict[str, tuple[str, str]]:
        tree = ast.parse(Path(str(sys.modules[package].__file__)).read_text(encoding="utf-8"))
        blocks = [n.body for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
        imports = [node for body in blocks for node in body if isinstance(node, ast.ImportFrom)]
        return {a.asname or a.name: (str(node.module), a.name) for node in imports for a in node.names}

    def load(name: str) -> Any:
        # what has two underscores is asked for by Python and its tools, and is never lazy
        if name.startswith("__") or name not in homes():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, original = homes()[name]
        # a module of the package itself, or a name of a module
        found = importlib.import_module(f"{package}.{name}" if module == package else module)
        return found if module == package else getattr(found, original)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes()})

    return load, names
