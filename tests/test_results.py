"""Pages hold what was measured: their tables are those of the kept results."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
pytest.importorskip("torch", exc_type=ImportError)  # a result names torch's version

import results


@pytest.mark.parametrize("page", results.pages(), ids=lambda page: page.parent.name)
def test_a_pages_tables_are_those_of_the_results(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert results.filled(text, results.pages()[page]) == text
