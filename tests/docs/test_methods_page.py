"""The page of all methods says what the methods say, and what the field knows of their size."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aubench.core.registry import builtin_methods
from aubench.papers import method_reference

PAGE = Path(__file__).parents[2] / "docs/methods.md"


@pytest.fixture(scope="module")
def page() -> str:
    return method_reference.page(builtin_methods())


@pytest.mark.slow
def test_it_is_what_the_methods_say_today(page):
    assert PAGE.read_text() == page, "run `aubench methods --page docs/methods.md`"


def gflops(page: str, method: str, modalities: str) -> float:
    row = re.search(rf"^\| `{method}` +\| {re.escape(modalities)} +\| ([\d.]+) ", page, re.MULTILINE)
    assert row, f"{method} on {modalities} has no row"
    return float(row[1])


@pytest.mark.slow
def test_full_size_encoders_cost_what_they_are_known_to(page):
    assert gflops(page, "resnet_visual", "V") == pytest.approx(2 * 1.8, rel=0.02)
    assert gflops(page, "late_fusion", "V+D") == pytest.approx(2 * 2 * 1.8, rel=0.03)
    assert gflops(page, "mcm", "V+D") == pytest.approx(2 * 17.6, rel=0.02)


@pytest.mark.slow
def test_every_method_and_every_departure_stands_there(page):
    for name in builtin_methods():
        assert f"\n## {name}\n" in page
