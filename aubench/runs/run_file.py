"""The file ``run.json``, with the configuration of a run and the environment of its first start."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aubench._util import atomic, locks
from aubench.core.errors import UsageError
from aubench.results import run_folder
from aubench.runs.config import RunConfig


def to_dict(config: RunConfig) -> dict[str, Any]:
    """Return the content of ``run.json`` without the environment."""
    method, protocol, entry = config.entry.method_class, config.protocol, config.entry
    return {
        "schema_version": 1,
        "run_id": config.run_id,
        "protocol": {
            "name": protocol.name,
            "version": protocol.version,
            "digest": protocol.digest,
            "modalities": list(protocol.modalities),
        },
        "method": {
            "name": entry.name,
            "title": method.card.title,
            "fidelity": str(method.card.fidelity),
            "modalities": list(config.task.modalities),
            "source": entry.source,
            **({"file": config.content.code} if config.content.code else {}),
            **({"version": entry.version} if entry.version > 1 else {}),
        },
        "preset": config.preset,
        "recipe": config.recipe,
        **({"files": dict(config.content.files)} if config.content.files else {}),
        "seed": config.seed,
        "selection": config.selection,
        "precision": config.precision,
        **({} if config.search is None else {"search": config.search}),
        **_origin_fields(config),
        "store": {"dataset": config.store.dataset, "version": config.store.version, "digest": config.store.digest},
        "asked": config.request,
    }


def _origin_fields(config: RunConfig) -> dict[str, Any]:
    """Return the fields about the run that the weights are from, and about the store of pre-training."""
    start, store = config.start, config.pretraining_store
    fields = {
        "start": start and {"folder": str(start.folder), "run": start.run, "checkpoints": list(start.checkpoints)},
        "pretraining_store": store and asdict(store) | {"path": str(store.path)},
    }
    return {name: value for name, value in fields.items() if value is not None}


def write(config: RunConfig, extra: dict[str, Any]) -> None:
    """Write ``run.json`` unless it exists.

    Args:
        config: Configuration of the run.
        extra: Start time and environment (git, packages, device) of the first start.

    Raises:
        DataError: The file exists and is damaged.
        UsageError: The run that this one starts from has other weights than when the file was written.
    """
    path = config.run_dir / run_folder.RUN_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with locks.exclusive(path.with_name(".run.lock")):
        if path.exists():
            start = read(config).get("start")
            if config.start and start and start["checkpoints"] != list(config.start.checkpoints):
                what = f"{config.start.folder} was trained again after this run started from it"
                raise UsageError(what, where=config.run_dir, hint="delete this run's folder and repeat the command")
        else:
            atomic.write_json(path, to_dict(config) | extra)


def read(config: RunConfig, *keys: str) -> dict[str, Any]:
    """Read ``run.json``.

    Args:
        config: Configuration of the run.
        keys: Keys that it must have, besides the run's id and method.

    Raises:
        DataError: The file is damaged.
    """
    hint = "delete this file and repeat the command; finished folds remain"
    return run_folder.read_json(config.run_dir / run_folder.RUN_FILE, ("run_id", "method", *keys), hint)
