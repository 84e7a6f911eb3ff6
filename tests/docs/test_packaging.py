"""Packaging: listed packages, layers of extras, and the commands that work without them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]

BLOCKED = ("torch", "mlflow", "optuna", "cv2", "matplotlib", "numba", "pyarrow", "filelock", "lightning_fabric", "timm")
CALL = "import sys\nsys.modules.update(dict.fromkeys({blocked}))\nsys.argv[1:] = {words}\n"
CALL += "from aubench.cli.main import main\nmain()"


def run_without_extras(*words: object) -> subprocess.CompletedProcess[str]:
    code = CALL.format(blocked=BLOCKED, words=[str(word) for word in words])
    environment = os.environ | {"COLUMNS": "200"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


def test_every_package_is_listed():
    folders = [
        *(path.parent for path in (ROOT / "aubench").rglob("__init__.py")),
        *(path.parent for path in (ROOT / "methods").rglob("__init__.py")),
        ROOT / "protocols",
    ]
    names = {folder.relative_to(ROOT).as_posix().replace("/", ".") for folder in folders}
    expected = {name if name.startswith("aubench") else f"aubench.{name}" for name in names}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == expected


def test_the_extra_all_covers_every_extra_for_users():
    (requirement,) = EXTRAS["all"]
    assert set(re.findall(r"\w+", requirement)[1:]) == set(EXTRAS) - {"all", "bench", "dev", "docs"}
    assert "aubench[all]" in EXTRAS["dev"]


@pytest.mark.parametrize(
    "words",
    [
        ("leaderboard", "show", "--root", ROOT / "leaderboard"),
        ("compare", "early_fusion@synth_3fold", "late_fusion@synth_3fold", "--root", ROOT / "leaderboard"),
        ("protocols",),
    ],
    ids=lambda words: words[0],
)
@pytest.mark.slow
def test_results_need_no_extra(words):
    done = run_without_extras(*words)
    assert done.returncode == 0, done.stderr
    assert "synth_3fold" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("words", [("run", "--method", "late_fusion", "--protocol", "synth_3fold"), ("methods",)])
def test_a_missing_extra_is_named_in_one_line(words):
    done = run_without_extras(*words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert re.fullmatch(r"aubench: needs the package '\w+', which is not installed; pip install 'aubench\[all\]'", line)
