"""The page on performance has the tables of the measured figures, and says which figures are missing."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "benchmarks/performance_tables.py"))
STAGE = {
    "name": "train",
    "frames": 50,
    "frames_per_s": 5000.0,
    "shares": {"waiting": 0.012},
    "memory": 2**31,
    "mfu": 0.11,
}
CASE = {
    "method": "amf",
    "preset": "paper",
    "precision": "bf16-mixed",
    "profile": {"stages": [STAGE]},
    "training": {"harness": 5100.0, "bare": 5200.0, "networks": 5500.0},
    "scaling": [{"factor": 1, "frames": 2500, "seconds": 0.5}, {"factor": 2, "frames": 5000, "seconds": 1.01}],
    "inference": [{"batch": 256, "p50": 0.02, "p95": 0.03, "frames_per_s": 12800.0}],
}
FIGURES = {
    "device": {"kind": "cuda", "name": "NVIDIA H100"},
    "driver": "580.1",
    "cuda": "13.0",
    "packages": {"torch": "2.13.0", "python": "3.11.7"},
    "date": "2026-01-02",
    "cases": [CASE, {"method": "mcm", "preset": "paper", "precision": "bf16-mixed", "error": "no memory"}],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cuda.json").write_text(json.dumps(FIGURES))
    return tmp_path


def test_the_page_has_the_tables_of_the_committed_figures():
    page = SCRIPT["PAGE"].read_text()
    assert page.count("<!-- figures of ") == len(SCRIPT["KINDS"])
    assert page == SCRIPT["fill"](page, SCRIPT["FOLDER"])


def test_figures_are_in_the_tables(folder):
    page = SCRIPT["fill"](SCRIPT["PAGE"].read_text(), folder)
    assert "NVIDIA H100, driver 580.1, CUDA 13.0, PyTorch 2.13.0, Python 3.11.7, 2026-01-02." in page
    assert "| train | 50 | 5,100 | 0.981 | 0.927 | 1.2 % | 2,048 MiB | 11.2 % |" in page
    assert "| 256 | 12,800 | 20 ms | 30 ms |" in page
    assert "| 2,500 | 1.00 | 2.02 |" in page
    assert "- `mcm`, paper, bf16-mixed: no memory" in page
    assert SCRIPT["fill"](page, folder) == page, "writing again changes nothing"


def test_missing_figures_are_named(tmp_path, folder):
    page = SCRIPT["fill"](SCRIPT["PAGE"].read_text(), folder)
    assert "Figures of a CPU are missing." in page and "Figures of an NVIDIA GPU are missing." not in page


def test_clips_have_no_bare_loop_and_unknown_cards_no_utilisation():
    case = {**CASE, "training": {"harness": 5000.0}, "profile": {"stages": [{**STAGE, "mfu": None}]}}
    assert "| 5,000 |  |  | 1.2 % | 2,048 MiB | unknown |" in SCRIPT["training"]([case])
