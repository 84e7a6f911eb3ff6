"""A finished fold of a method that shows everything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aubench.engine import fold as fold_module
from aubench.engine.plan import Plan, StoreFacts, make_plan

OPEN = str(Path(__file__).parent / "open_method.py")
SMALL = {"image_size": 32, "crop": 28, "frames_per_epoch": 200}


@pytest.fixture(scope="session")
def make(small_store) -> Callable[..., Plan]:
    """Decide a run on the small store."""
    from aubench.data.store import Store
    from aubench.registry import find_method, find_protocol

    def made(runs: Path, method: str = OPEN, **changes: object) -> Plan:
        return make_plan(
            method,
            find_method(method),
            find_protocol("synth_3fold"),
            preset="tiny",
            changes=SMALL | changes,
            seed=5,
            selection="inner_val",
            precision="32-true",
            store=StoreFacts.of(Store(small_store)),
            runs=runs,
        )

    return made


@pytest.fixture(scope="session")
def open_run(make, tmp_path_factory) -> Plan:
    """The second fold of a run, done; the others not."""
    plan = make(tmp_path_factory.mktemp("runs"))
    plan.open_folder({})
    fold_module.run_fold(plan, 2, "cpu", 0, lambda event: None)
    return plan
