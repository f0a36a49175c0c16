"""Run the python blocks of the README and the documentation as tests, each page in an empty folder of its own."""

from __future__ import annotations

import os

# one thread a test process, before torch and numba read it: two busy processes with two threads slow each other tenfold
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

from sybil import Sybil  # noqa: E402
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser  # noqa: E402


def _enter(namespace: dict) -> None:
    import tempfile

    namespace["_home"], namespace["_folder"] = os.getcwd(), tempfile.TemporaryDirectory()
    os.chdir(namespace["_folder"].name)


def _leave(namespace: dict) -> None:
    os.chdir(namespace["_home"])
    namespace["_folder"].cleanup()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()], patterns=["README.md", "docs/*.md"], setup=_enter, teardown=_leave
).pytest()
