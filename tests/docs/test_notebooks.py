"""The notebooks and the README's example run as scripts without a `__main__` guard."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
SNIPPET = re.compile(r"^```python\n(import aubench\n.*?)^```$", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\d+ +(early_fusion|late_fusion) +0\.\d+ +0\.\d+ +-?0\.\d+$", re.MULTILINE)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of the stores, with all subjects of synth at full size but one short sequence each."""
    from aubench.datasets.synth.synth_dataset import SynthSettings, generate

    folder = tmp_path_factory.mktemp("stores")
    generate(folder / "synth", SynthSettings(sequences=1, frames=32), lambda done, total: None)
    return str(folder)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Working directory of the README's example and the notebooks, which resume each other's runs as a user would."""
    return tmp_path_factory.mktemp("workspace")


def run_python(folder: Path, stores: str, *words: str) -> str:
    environment = os.environ | {"AUBENCH_STORES": stores, "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def code_of(notebook: Path) -> str:
    cells = json.loads(notebook.read_text())["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def test_the_notebooks_exist_without_outputs():
    assert [path.stem for path in NOTEBOOKS] == ["first_leaderboard", "own_method"]
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text())["cells"]
        assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]


def test_the_example_of_the_readme_prints_a_dataframe(workspace, stores):
    (text,) = SNIPPET.findall((ROOT / "README.md").read_text())
    assert len(text.splitlines()) <= 10
    (workspace / "example.py").write_text(text)
    rows = ROW.finditer(run_python(workspace, stores, "example.py"))
    assert {match[1] for match in rows} == {"early_fusion", "late_fusion"}


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook, workspace, stores):
    (workspace / "notebook.py").write_text(code_of(notebook))
    output = run_python(workspace, stores, "notebook.py")
    assert "late_fusion" in output
