"""Loading of finished runs: their configurations, and their methods with the chosen weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench.core.errors import CheckpointError, DataError, RecipeError, UsageError
from aubench.core.method import Method
from aubench.core.protocol import Protocol
from aubench.datasets.catalog import Stores, open_stores
from aubench.results.run_folder import RESULT, RUN_FILE, WEIGHTS, fold_count, fold_dir, read_json
from aubench.runs import pretraining
from aubench.runs.config import RunConfig
from aubench.runs.fold_result import read_summary
from aubench.runs.source_runs import SourceRun, load_weights
from aubench.runs.store_ref import StoreRef
from aubench.training import checkpoint

if TYPE_CHECKING:
    from torch import Tensor

    from aubench.data.store import Store


def load_run(
    folder: Path,
    store: Stores = None,
    progress: Callable[[int, int], None] = lambda *_: None,
    opened: dict[str, Store] | None = None,
) -> RunConfig:
    """Load the configuration of a run from its folder.

    Args:
        folder: Folder of the run, ``<protocol>/<method>/<run id>`` in the folder of all runs, or a link to it.
        store: Folders of the stores; the default ones if None.
        progress: Callback with the numbers of generated and of all sequences, if the store is generated.
        opened: Opened stores by data sets. The run's store is added.

    Raises:
        UsageError: The folder is not that of a run or was moved, the method, recipe or store differs from the run's, or
            the method no longer accepts the recipe.
        DataError: There is no such store, or it is damaged.
    """
    header, stores = _read_header(folder), {} if opened is None else opened

    def open_once(protocol: Protocol) -> Store:
        if protocol.data_name not in stores:
            stores[protocol.data_name] = open_stores(protocol.datasets, store, progress)
        return stores[protocol.data_name]

    try:
        config = _read_config(header, folder, open_once)
        mismatch = _mismatch(header, folder, config, open_once(config.protocol))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"has the format of another version ({type(error).__name__})"
        raise UsageError(what, where=folder / RUN_FILE, hint="repeat the run") from None
    if mismatch is not None:
        raise mismatch
    for candidate in (config, replace(config, runs=_folder_of_runs(folder.resolve()))):
        if candidate.run_dir.exists() and candidate.run_dir.samefile(folder):
            return candidate
    what = f"was moved or copied from RUNS/{config.run_dir.relative_to(config.runs)}"
    raise UsageError(what, where=folder, hint="give the folder in this place, in any folder RUNS")


def _read_config(header: dict[str, Any], folder: Path, open_once: Callable[[Protocol], Store]) -> RunConfig:
    """Read the configuration of a run from the content of its file."""
    protocol, method = Protocol.model_validate(header["asked"]["protocol"]), header["asked"]["method"]
    if not isinstance(method, str):
        raise TypeError(method)
    return RunConfig(
        method=method,
        protocol=protocol,
        preset=header["preset"],
        recipe=header["recipe"],
        seed=header["seed"],
        selection=header["selection"],
        precision=header["precision"],
        store=StoreRef.from_store(open_once(protocol)),
        runs=_folder_of_runs(Path(os.path.abspath(folder))),  # noqa: PTH100  Path.absolute keeps `..`
        search=header.get("search"),
        start=_source_run(header.get("start")),
        pretraining_store=_store_ref(header.get("pretraining_store")),
    )


def _mismatch(header: dict[str, Any], folder: Path, config: RunConfig, store: Store) -> UsageError | None:
    """Return the error if store, file or run id differ from the run's or the recipe is not accepted, else None."""
    files, content, digest = dict(header.get("files", {})), config.content, header["store"]["digest"]
    is_same_run = config.run_id == header["run_id"]
    if config.store.digest != digest:
        what, hint = "is not the store that the run read", "give the run's store with --store"
        return UsageError(what, where=store.path, hint=hint)
    for name, file_digest in files.items():
        if content.files.get(name) != file_digest:
            what, hint = f"is not the file that the run read as '{name}'", "put that file back, or repeat the run"
            return UsageError(what, where=config.recipe.get(name), hint=hint)
    if not is_same_run:
        hint = "repeat the run, because the method, this file or the version of aubench has changed"
        return UsageError("run id does not match the configuration", where=folder / RUN_FILE, hint=hint)
    try:
        _ = config.recipe_model
    except RecipeError as error:
        what = f"{config.entry.name} no longer accepts the recipe ({error})"
        return UsageError(what, where=folder / RUN_FILE, hint="repeat the run")
    return None


def _folder_of_runs(run_dir: Path) -> Path:
    """Return the folder of all runs, that of protocol, method and run id."""
    return run_dir.parent.parent.parent


def _source_run(fields: dict[str, Any] | None) -> SourceRun | None:
    return None if fields is None else SourceRun(Path(fields["folder"]), fields["run"], tuple(fields["checkpoints"]))


def _store_ref(fields: dict[str, Any] | None) -> StoreRef | None:
    return None if fields is None else StoreRef(**fields | {"path": Path(fields["path"]), "members": ()})


@dataclass(frozen=True)
class LoadedRuns:
    """Configurations of the finished runs among some folders.

    Attributes:
        configs: Configurations of the runs with all folds.
        skipped: Folders of the other runs, with the reason.
    """

    configs: tuple[RunConfig, ...]
    skipped: tuple[tuple[Path, str], ...]


def load_finished_runs(
    folders: Sequence[Path], store: Stores = None, progress: Callable[[int, int], None] = lambda *_: None
) -> LoadedRuns:
    """Load the finished runs of some folders.

    Args:
        folders: Folders of runs.
        store: Folders of the stores, as in :func:`load_run`.
        progress: Callback, as in :func:`load_run`.

    Raises:
        DataError: There is no such store, or it is damaged.
    """
    configs: list[RunConfig] = []
    skipped: list[tuple[Path, str]] = []
    stores: dict[str, Store] = {}
    for folder in folders:
        try:
            reason = _why_unfinished(folder)
        except (DataError, UsageError) as error:
            reason = f"{Path(str(error.where)).name} {error.what}"
        if reason:
            skipped.append((folder, reason))
            continue
        try:
            configs.append(load_run(folder, store, progress, stores))
        except UsageError as error:
            is_of_run = folder in Path(str(error.where)).parents or error.where == folder
            skipped.append((folder, error.what if is_of_run else f"{error.where}: {error.what}"))
    return LoadedRuns(tuple(configs), tuple(skipped))


def _why_unfinished(folder: Path) -> str:
    """Return the reason why a run is not finished; empty if it is."""
    try:
        count = fold_count(_read_header(folder))
    except (KeyError, TypeError):
        return "is of an earlier version; run it again"
    finished = [fold_dir(folder, i) for i in range(1, count + 1) if (fold_dir(folder, i) / RESULT).exists()]
    for path in finished:
        read_summary(path)
    return "" if len(finished) == count else f"has {len(finished)} of {count} folds"


def load_method(config: RunConfig, fold: int) -> Method:
    """Load a fold's method with the chosen weights, in evaluation mode.

    Raises:
        UsageError: The fold is not finished.
        CheckpointError: The weights differ from those that the fold was scored with.
    """
    result, path = _read_result(config, fold), config.fold_dir(fold) / WEIGHTS
    content = checkpoint.read_scored(path, result["checkpoint"], config.identity(fold))
    return _build_with_weights(config, fold, content.tensors)


def load_pretrained_method(config: RunConfig, fold: int) -> Method:
    """Load a fold's method with the weights from which supervised training started, in evaluation mode.

    Without pre-training, the weights are those of :func:`load_method`.

    Raises:
        UsageError: The fold is not finished.
        CheckpointError: The weights are missing or belong to another run.
    """
    sources = _read_result(config, fold)["pretraining"]
    if config.start:
        method = config.build_initial_method(fold)
        load_weights(method, config.start, fold, config.recipe_model)
        return method.eval()
    if not sources:
        return load_method(config, fold)
    return _build_with_weights(config, fold, pretraining.weights(config, fold, sources))


def _read_result(config: RunConfig, fold: int) -> dict[str, Any]:
    path = config.fold_dir(fold) / RESULT
    if not path.exists():
        raise UsageError(f"fold {fold} is not finished", where=config.run_dir, hint="finish it with `aubench run`")
    return read_summary(path.parent)


def _build_with_weights(config: RunConfig, fold: int, tensors: dict[str, Tensor]) -> Method:
    method = config.build_initial_method(fold)
    try:
        method.load_state_dict(tensors)
    except checkpoint.MISFITS:
        raise CheckpointError(
            "has weights of an earlier version of its method",
            where=config.run_dir,
            hint="repeat the run with another --runs",
        ) from None
    return method.eval()


def _read_header(folder: Path) -> dict[str, Any]:
    if not (folder / RUN_FILE).exists():
        hint = "give a folder of the form runs/<protocol>/<method>/<run id>"
        raise UsageError("is not the folder of a run", where=folder, hint=hint)
    return read_json(folder / RUN_FILE, hint="delete this file and repeat the run; finished folds remain")
