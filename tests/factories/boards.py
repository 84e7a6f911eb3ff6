"""Leaderboard folders for tests that break them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aubench._util import atomic
from aubench.core.task import Modality
from aubench.leaderboard import build, verified_records
from aubench.leaderboard.extensions import Extensions
from aubench.leaderboard.records import Finding, StoredRecord
from aubench.leaderboard.site import libraries
from aubench.leaderboard.verified_records import CACHE_VARIABLE

VISUAL = (Modality.VISUAL,)


@pytest.fixture(scope="session")
def records(make_record):
    """Two methods, two seeds each (one in schema 1), a recipe, one modality, oracle selection, an incomplete run."""
    return [
        make_record("late_fusion", seed=0, skill=0.6, schema=1),
        make_record("late_fusion", seed=1, skill=0.6, schema=1),
        make_record("amf", seed=0, skill=0.9),
        make_record("amf", seed=1, skill=0.9),
        make_record("amf", seed=0, skill=0.7, recipe={"learning_rate": 2e-4}),
        make_record("resnet_visual", seed=0, skill=0.5, modalities=VISUAL),
        make_record("amf", seed=0, skill=1.1, selection="oracle_test"),
        make_record("early_fusion", seed=5, folds=(1, 3)),
    ]


@pytest.fixture(scope="session", autouse=True)
def verification_cache(tmp_path_factory):
    """Cache folder of verified records, so that tests leave the user's alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


def load_verified(root: Path, *, use_cache: bool = True) -> tuple[list[StoredRecord], list[Finding]]:
    """Read and verify all records of a leaderboard; returns those without findings, and the findings."""
    runs, findings = verified_records.load_index(root, use_cache=use_cache, content=True)
    return verified_records.stored_records(runs), findings


def pages(root: Path, extensions: Extensions = ()) -> dict[str, str]:
    """Build the Markdown pages of a leaderboard; returns text by file name."""
    files = build.files_of(root, *build._load(root, extensions))
    return {name: text for name, text in files.items() if name.endswith(".md")}


def _build(root: Path, records) -> Path:
    for record in records:
        record.write(root / "records" / record.relative_path)
    build.write(root)
    return root


@pytest.fixture(scope="session")
def _board(tmp_path_factory, records) -> Path:
    return _build(tmp_path_factory.mktemp("board") / "leaderboard", records)


@pytest.fixture(scope="session")
def _small_board(tmp_path_factory, records) -> Path:
    return _build(tmp_path_factory.mktemp("small_board") / "leaderboard", [records[0], records[2]])


@pytest.fixture
def board(tmp_path, _board) -> Path:
    """Copy a sound leaderboard with its pages."""
    return Path(shutil.copytree(_board, tmp_path / "leaderboard"))


@pytest.fixture
def small_board(tmp_path, _small_board) -> Path:
    """Copy a sound leaderboard of one run each of ``late_fusion`` and ``amf``."""
    return Path(shutil.copytree(_small_board, tmp_path / "leaderboard"))


@pytest.fixture
def script_stubs(monkeypatch):
    """Replace the libraries' scripts of the page, which take seconds to bundle, by short ones."""
    monkeypatch.setattr(libraries, "vega", lambda: "globalThis.vegaEmbed = null; '</script><!--'")


@pytest.fixture
def edit() -> Callable[..., None]:
    """Change one field of a JSON file."""

    def change(path: Path, field: str, value: Any) -> None:
        content = json.loads(path.read_text())
        *parents, last = field.split(".")
        inner = content
        for key in parents:
            inner = inner[int(key)] if isinstance(inner, list) else inner[key]
        inner[int(last) if isinstance(inner, list) else last] = value
        atomic.write_json(path, content)

    return change
