"""Runs that take seconds, and results to compare those of clusters with."""

from __future__ import annotations

import pytest

from aubench.runs import run_file
from aubench.runs.config import RunConfig
from aubench.runs.fold import run_fold
from aubench.runs.record_builder import write_record


@pytest.fixture
def plan(decide):
    """Decide two small runs in a folder."""

    def made(runs, seeds=(0, 1)) -> list[RunConfig]:
        small = {"image_size": 32, "crop": 28, "frames_per_epoch": 64, "epochs": 2, "validation_stride": 8}
        return [decide(runs, "resnet_depth", seed=seed, **small) for seed in seeds]

    return made


@pytest.fixture
def reference(plan, tmp_path):
    """Return the tables of runs that this process trains, by run and name of the file."""

    def tables(folds=(1, 2, 3), seeds=(0, 1)) -> dict[str, dict[str, bytes]]:
        configs = plan(tmp_path / "reference", seeds)
        for config in configs:
            run_file.write(config, {"started": "2026-01-01T00:00:00Z", "device": {"kind": "cpu", "name": "a test"}})
            for fold in folds:
                run_fold(config, fold, "cpu", 0, lambda event: None)
            write_record(config)
        return {config.run_id: read_tables(config) for config in configs}

    return tables


def read_tables(config: RunConfig) -> dict[str, bytes]:
    """Return the tables of a record."""
    return {name: (config.run_dir / "record" / name).read_bytes() for name in ("counts.csv", "histograms.csv")}
