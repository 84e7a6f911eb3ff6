"""Fixtures: a run with one finished fold of a method with all hooks for figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aubench.runs import fold as fold_module
from aubench.runs import run_file
from aubench.runs.config import RunConfig

OPEN = str(Path(__file__).parent / "open_method.py")
SMALL = {"image_size": 32, "crop": 28, "frames_per_epoch": 200}


@pytest.fixture(scope="session")
def make(decide) -> Callable[..., RunConfig]:
    """Create the configuration of a run of the method with all hooks, or of another method."""
    return lambda runs, method=OPEN, **changes: decide(runs, method, **SMALL | changes)


@pytest.fixture(scope="session")
def open_run(make, tmp_path_factory) -> RunConfig:
    """Run the second fold of a run."""
    plan = make(tmp_path_factory.mktemp("runs"))
    run_file.write(plan, {})
    fold_module.run_fold(plan, 2, "cpu", 0, lambda event: None)
    return plan
