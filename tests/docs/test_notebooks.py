"""The notebooks and the README's example run without a `__main__` guard, on few frames."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
SNIPPET = re.compile(r"^```python\n(import aubench\n.*?)^```$", re.MULTILINE | re.DOTALL)
FRAMES, FEW_FRAMES = '"frames_per_epoch": 640', '"frames_per_epoch": 64'
ROW = re.compile(r"^\d+ +(early_fusion|late_fusion) +0\.\d+ +0\.\d+ +-?0\.\d+$", re.MULTILINE)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of the stores, with all subjects of synth at full size but one short sequence each."""
    from tests.factories.synth import generate, short

    folder = tmp_path_factory.mktemp("stores")
    generate(folder / "synth", short(sequences=1, frames=16), lambda done, total: None)
    return str(folder)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Working directory of the README's example and the notebooks, which resume each other's runs as a user would."""
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture
def run(workspace, stores, monkeypatch, capsys) -> Callable[[str], str]:
    """Return a function that runs code, trained on a tenth of its frames, and returns its output."""
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("AUBENCH_STORES", stores)
    monkeypatch.setenv("COLUMNS", "200")

    def execute(code: str) -> str:
        assert code.count(FRAMES) == 1
        exec(compile(code.replace(FRAMES, FEW_FRAMES), "code", "exec"), {"__name__": "__main__"})
        return capsys.readouterr().out

    return execute


def code_of(notebook: Path) -> str:
    cells = json.loads(notebook.read_text())["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def test_the_notebooks_exist_without_outputs():
    assert [path.stem for path in NOTEBOOKS] == ["first_leaderboard", "own_method"]
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text())["cells"]
        assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]


def test_the_example_of_the_readme_prints_a_dataframe(run):
    (text,) = SNIPPET.findall((ROOT / "README.md").read_text())
    assert len(text.splitlines()) <= 10
    assert {match[1] for match in ROW.finditer(run(text))} == {"early_fusion", "late_fusion"}


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook, run):
    assert "late_fusion" in run(code_of(notebook))
