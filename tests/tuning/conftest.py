"""Searches on the small store, and a trial that needs no Optuna."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aubench.core.registry import find_protocol
from aubench.data.store import Store
from aubench.runs.run_options import RunOptions
from aubench.runs.store_ref import StoreRef
from aubench.tuning.search_config import SearchConfig, create_search

SMALL: dict[str, Any] = {"image_size": 32, "crop": 28, "frames_per_epoch": 64, "epochs": 2}


class Script:
    """Trial that suggests given values and is pruned at a given step."""

    def __init__(self, values: dict[str, Any] | None = None, stop_at: int | None = None) -> None:
        self.values, self.stop_at = values or {}, stop_at
        self.asked: list[str] = []
        self.reports: list[tuple[int, float]] = []

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.asked.append(name)
        return float(self.values.get(name, (low * high) ** 0.5 if log else (low + high) / 2))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        self.asked.append(name)
        return int(self.values.get(name, low))

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        self.asked.append(name)
        return self.values.get(name, choices[-1])

    def report(self, value: float, step: int) -> None:
        self.reports.append((step, value))

    def should_prune(self) -> bool:
        return self.stop_at is not None and self.reports[-1][0] >= self.stop_at


@pytest.fixture
def script() -> type[Script]:
    return Script


@pytest.fixture
def store_without_test_images(small_store: Path, tmp_path: Path) -> Path:
    """A store in which every array of the test subjects of fold 1 raises on read."""
    store = Path(shutil.copytree(small_store, tmp_path / "broken"))
    for subject in find_protocol("synth_3fold").test_subjects(1):
        for array in (store / "arrays" / subject).rglob("*.npy"):
            array.write_bytes(b"not an array")
    return store


@pytest.fixture
def search_for(small_store: Path, tmp_path: Path) -> Callable[..., SearchConfig]:
    """Function that creates a search on the small store."""

    def decide(method: str = "late_fusion", **options: Any) -> SearchConfig:
        fixed = RunOptions(options.pop("preset", "tiny"), SMALL | options.pop("fixed", {}), runs=tmp_path / "runs")
        store = options.pop("store", StoreRef.from_store(Store(small_store)))
        words: dict[str, Any] = {"folds": (1, 2), "sampler": "random", "pruner": "none"}
        protocol = options.pop("protocol", find_protocol("synth_3fold"))
        return create_search(method, protocol, store, fixed, **words | options)

    return decide
