"""Runs whose speed is measured: their configuration, their process, and what their results say about them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench.api.planning import Stores, open_data

if TYPE_CHECKING:
    from aubench.core.protocol import Protocol
    from aubench.runs.config import RunConfig
    from aubench.runs.devices import DeviceChoice


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Create a temporary folder, which remains if an unexpected error left its traceback there."""
    from aubench.results.run_folder import TRACEBACK

    folder = Path(tempfile.mkdtemp(prefix="aubench-"))
    try:
        yield folder
    finally:
        if not list(folder.rglob(TRACEBACK)):
            shutil.rmtree(folder, ignore_errors=True)


def configure_run(
    method: str,
    protocol: Protocol,
    preset: str | None,
    overrides: dict[str, Any],
    precision: str,
    store: Stores,
    runs: Path,
) -> RunConfig:
    """Return the configuration of a run with random initial weights, on a store or on random images."""
    from aubench.core.registry import find_method
    from aubench.data.random_store import random_store
    from aubench.runs.config import RunConfig
    from aubench.runs.run_options import RunOptions
    from aubench.runs.store_ref import StoreRef

    if "weights" in find_method(method).method_class.Recipe.model_fields:
        overrides = {"weights": "none", **overrides}
    opened = random_store(protocol, 1, 1) if not store else open_data(protocol, store)
    options = RunOptions(preset, overrides, "last", precision, runs)
    return RunConfig.create(method, protocol, StoreRef.from_store(opened), options)


def run_first_fold(config: RunConfig, choice: DeviceChoice, work: Callable[..., None]) -> Any:
    """Run work on the first fold in a process of its own and return its report."""
    from aubench.runs.scheduler import Job, run_jobs

    choice.require(config.precision)
    received: list[Any] = []
    job = Job(config, config.protocol.fold_numbers()[0], work)
    run_jobs([job], replace(choice, count=1), lambda job, event: received.append(event))
    return received[-1]


def describe_run(config: RunConfig) -> dict[str, Any]:
    """Return method, preset, modalities, precision, crop and overrides of a run."""
    return {
        "method": config.entry.name,
        "preset": config.preset,
        "modalities": [str(m) for m in config.task.modalities],
        "precision": config.precision,
        "crop": config.recipe_model.crop,
        "overrides": list(config.overrides),
    }


def describe_machine(device: Mapping[str, Any]) -> dict[str, Any]:
    """Return a device with the date and the versions of this machine."""
    from aubench.runs import environment

    date = datetime.now(UTC).date().isoformat()
    return {"device": dict(device), "date": date, **environment.capture_environment()}
