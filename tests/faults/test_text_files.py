"""Text files of Windows: line endings, byte order marks and encodings."""

from __future__ import annotations

import ast
import shutil
import subprocess
from pathlib import Path

import pytest

from aubench.core import suites
from aubench.core.protocol_file import load
from aubench.core.registry import builtin_protocols, find_protocol
from aubench.leaderboard import check

ROOT = Path(__file__).parents[2]
BOM = b"\xef\xbb\xbf"


def to_windows(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


@pytest.mark.parametrize("name", ["record.json", "counts.csv", "histograms.csv"])
def test_record_checked_out_with_crlf_says_so(small_board, name):
    path = next((small_board / "records").rglob(name))
    to_windows(path)
    (finding,) = check.check(small_board)
    assert str(finding).startswith(f"{path}:1: has CRLF line endings, expected LF; ")


def test_page_checked_out_with_crlf_says_so(small_board):
    to_windows(small_board / "README.md")
    (finding,) = check.check(small_board)
    assert finding.path == small_board / "README.md" and finding.what.startswith("has CRLF line endings, expected LF; ")


def test_record_saved_with_a_byte_order_mark_says_so(small_board):
    path = next((small_board / "records").rglob("counts.csv"))
    path.write_bytes(BOM + path.read_bytes())
    (finding,) = check.check(small_board)
    assert finding.path == path and finding.what == "begins with a byte order mark; save it as UTF-8 without one"


def test_protocol_and_suite_saved_on_windows_are_the_same(tmp_path):
    protocol = tmp_path / "synth_3fold.toml"
    suite = tmp_path / "amf.toml"
    for path, source in ((protocol, builtin_protocols()["synth_3fold"]), (suite, ROOT / "protocols/suites/amf.toml")):
        shutil.copy(source, path)
        to_windows(path)
        path.write_bytes(BOM + path.read_bytes())
    assert load(protocol).digest == find_protocol("synth_3fold").digest
    assert suites.find_suite(str(suite)) == suites.find_suite("amf")


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the repository")
def test_checkout_has_lf_line_ends_on_every_system():
    files = ["leaderboard/README.md", "aubench/__init__.py", "protocols/synth_3fold.toml", "new.csv"]
    command = ["git", "-C", str(ROOT), "check-attr", "eol", "--", *files]
    lines = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.splitlines()
    assert lines == [f"{file}: eol: lf" for file in files]


def _calls_without_encoding(path: Path) -> list[str]:
    calls = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and not any(keyword.arg == "encoding" for keyword in node.keywords):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            owner = getattr(getattr(node.func, "value", None), "id", "")
            texts = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            is_text = any(keyword.arg in {"text", "universal_newlines"} for keyword in node.keywords)
            is_text |= name in {"read_text", "write_text"} and owner != "atomic"
            is_binary = bool({"ab", "ab+", "rb", "wb"} & set(map(str, texts)))
            is_text |= name in {"open", "fdopen"} and owner in {"", "io"} and not is_binary
            if is_text and (owner, path.name) not in {("", "atomic.py")}:
                calls.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return calls


@pytest.mark.slow
def test_every_read_and_write_of_text_names_its_encoding():
    files = [path for folder in ("aubench", "methods", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    assert [call for path in files for call in _calls_without_encoding(path)] == []
