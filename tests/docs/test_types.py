"""Strict types of the installed package.

The check is a test, because it uses one processor for half a minute: other workers run tests meanwhile.
With CI set, it is never skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import aubench

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(
    Path(aubench.__file__).parents[1] == ROOT and "CI" not in os.environ, reason="needs the wheel: tox run -e tests"
)
def test_types_are_strict(tmp_path):
    words = ("-m", "mypy", "--config-file", ROOT / "pyproject.toml", "--cache-dir", os.devnull, "-p", "aubench")
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
