"""Runs that are done, opened again: what they were, and the weights that they chose."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from aubench.core import hashing
from aubench.core.errors import CheckpointError, RecipeError, UsageError
from aubench.core.method import Method
from aubench.core.protocol import Protocol
from aubench.datasets.catalog import open_store
from aubench.results.run_folder import RESULT, RUN_FILE, WEIGHTS, fold_dir
from aubench.runs import pretraining
from aubench.runs.config import RunConfig, StoreRef
from aubench.training import checkpoint

if TYPE_CHECKING:
    from torch import Tensor

    from aubench.data.store import Store


def load_run(
    folder: Path,
    store: Path | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
    opened: dict[str, Store] | None = None,
) -> RunConfig:
    """What a run was, from its folder, on a store that is still the same.

    Args:
        folder: The run's folder.
        store: Where its store lies; the default place of its dataset when None.
        progress: Told of sequences made, should the store have to be made.
        opened: Stores that are open already, by dataset; gets this one.

    Raises:
        UsageError: It is no run's folder; or the method, recipe or store is not what the run had.
        DataError: There is no such store, or it is not whole.
    """
    said = _header(folder)
    try:
        protocol = Protocol.model_validate(said["asked"]["protocol"])
        known = {} if opened is None else opened
        if protocol.dataset not in known:
            known[protocol.dataset] = open_store(protocol.dataset, store, progress)
        own = known[protocol.dataset]
        config = RunConfig(
            method=said["asked"]["method"],
            protocol=protocol,
            preset=said["preset"],
            recipe=said["recipe"],
            seed=said["seed"],
            selection=said["selection"],
            precision=said["precision"],
            store=StoreRef.from_store(own),
            runs=folder.absolute().parents[2],
            search=said.get("search"),
        )
    except (KeyError, TypeError, ValidationError) as error:
        raise UsageError(
            f"is not what this version writes ({type(error).__name__})", where=folder / RUN_FILE, hint="run it again"
        ) from None
    if config.store.digest != said["store"]["digest"]:
        raise UsageError("is not the store that the run read", where=own.path, hint="give its own with --store")
    if config.run_id != said["run_id"]:
        raise UsageError("has another id than what it says amounts to", where=folder / RUN_FILE, hint="run it again")
    return config


@dataclass(frozen=True)
class LoadedRuns:
    """Runs that were asked for.

    Attributes:
        configs: The finished ones, of all folds.
        passed_over: The others, and why.
    """

    configs: tuple[RunConfig, ...]
    skipped: tuple[tuple[Path, str], ...]


def load_finished_runs(
    folders: Sequence[Path], store: Path | None = None, progress: Callable[[int, int], None] = lambda *_: None
) -> LoadedRuns:
    """Open every run of some folders that is finished and still what it was.

    Args:
        folders: Of runs.
        store: As of :func:`open_plan`.
        progress: As of :func:`open_plan`.

    Raises:
        DataError: There is no such store, or it is not whole.
    """
    configs: list[RunConfig] = []
    passed_over: list[tuple[Path, str]] = []
    stores: dict[str, Store] = {}
    for folder in folders:
        lacking = _why_unfinished(folder)
        if lacking:
            passed_over.append((folder, lacking))
            continue
        try:
            found = load_run(folder, store, progress, stores)
            _ = found.recipe_model
            configs.append(found)
        except (UsageError, RecipeError) as error:
            passed_over.append((folder, error.what))
    return LoadedRuns(tuple(configs), tuple(passed_over))


def _why_unfinished(folder: Path) -> str:
    """What a run lacks to be finished, in words; nothing where it is."""
    try:
        wanted = len(_header(folder)["asked"]["protocol"]["folds"])
    except (KeyError, TypeError):
        return "is of an earlier version; run it again"
    done = sum((fold_dir(folder, fold) / RESULT).exists() for fold in range(1, wanted + 1))
    return "" if done == wanted else f"has {done} of {wanted} folds"


def load_method(config: RunConfig, fold: int) -> Method:
    """A fold's method with the weights that the run chose, in evaluation mode.

    Raises:
        UsageError: The fold is not finished.
        CheckpointError: The weights are not those that the fold was scored with.
    """
    result, path = _result(config, fold), config.fold_dir(fold) / WEIGHTS
    if hashing.hash_file(path) != result["checkpoint"]:
        raise CheckpointError("is not what the fold was scored with", where=path, hint="run the fold again")
    return _build_with_weights(config, checkpoint.read(path, config.identity(fold)).tensors)


def load_pretrained_method(config: RunConfig, fold: int) -> Method:
    """A fold's method with the weights that its supervised training began with, in evaluation mode.

    Where nothing was pre-trained, it has the weights of :func:`method_of`.

    Raises:
        UsageError: The fold is not finished.
        CheckpointError: The weights are not those, or not there any more.
    """
    ledger = _result(config, fold)["pretraining"]
    return (
        _build_with_weights(config, pretraining.weights(config, fold, ledger)) if ledger else load_method(config, fold)
    )


def _result(config: RunConfig, fold: int) -> dict[str, Any]:
    path = config.fold_dir(fold) / RESULT
    if not path.exists():
        raise UsageError(f"fold {fold} is not finished", where=config.run_dir, hint="finish it with `aubench run`")
    return dict(json.loads(path.read_text()))


def _build_with_weights(config: RunConfig, tensors: dict[str, Tensor]) -> Method:
    method = config.build_method()
    try:
        method.load_state_dict(tensors)
    except RuntimeError:
        raise CheckpointError(
            "has weights of an earlier version of its method",
            where=config.run_dir,
            hint="run it again with --runs elsewhere",
        ) from None
    return method.eval()


def _header(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / RUN_FILE).read_text()))
    except (OSError, ValueError):
        raise UsageError(
            "is not the folder of a run", where=folder, hint="runs lie in runs/<protocol>/<method>/"
        ) from None
