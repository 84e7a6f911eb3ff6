"""Language of the documentation and of docstrings."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md")),
    *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.name != "methods.md"),
]
SOURCES = [path for top in ("aubench", "methods", "benchmarks", "docs") for path in sorted((ROOT / top).rglob("*.py"))]

LIMIT = 3
"""Semicolons per 100 sentences."""
RELATIVE = re.compile(r"(What|Who|Whose|Which|How|Where|When|Why)\b")
ENTRY = re.compile(r"^ +`*\**\w+`*: (What|Who|Whose|Which|How|Where|When|Why)\b.*$", re.MULTILINE)
"""Entry of Args or Attributes that begins with a relative pronoun."""


def prose(text: str) -> str:
    """Return a page's text without code blocks, tables and inline code."""
    return re.sub(r"```.*?```|^\|.*?$|`[^`]*`", "", text, flags=re.DOTALL | re.MULTILINE)


def semicolons_per_100(text: str) -> float:
    return 100 * text.count(";") / max(1, len(re.findall(r"[.!?](?:\s|$)", text)))


def bad_docstrings(source: str) -> list[str]:
    """Return docstrings, and entries in them, that begin with a relative pronoun."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    starts = [text.splitlines()[0] for text in docstrings if RELATIVE.match(text)]
    return starts + [match[0].strip() for text in docstrings for match in ENTRY.finditer(text)]


def test_semicolons_are_rare():
    assert semicolons_per_100("\n".join(prose(page.read_text()) for page in PAGES)) <= LIMIT


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_page_is_full_of_semicolons(page):
    text = prose(page.read_text())
    assert text.count(";") <= 1 or semicolons_per_100(text) <= LIMIT


@pytest.mark.slow
def test_docstrings_name_their_subject():
    bad = {path.relative_to(ROOT).as_posix(): bad_docstrings(path.read_text()) for path in SOURCES}
    assert {name: lines for name, lines in bad.items() if lines} == {}


def test_the_checks_detect_bad_prose():
    source = '"""What it is."""\ndef f(x):\n    """Return x.\n\n    Args:\n        x: How many.\n    """\n'
    assert bad_docstrings(source) == ["What it is.", "x: How many."]
    assert semicolons_per_100("One; two. Three.") == 50


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
