"""Files of a study: ``study.json``, and a file for each finished trial.

The storage is authoritative. The files are read by figures and tracking, without Optuna.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench._util import atomic
from aubench.core import system_files
from aubench.core.errors import DataError, UsageError, suggest
from aubench.results.run_folder import read_json
from aubench.tuning.search_config import STUDIES, SearchConfig
from aubench.tuning.worker import COST

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

STUDY_FILE = "study.json"
IDENTITY = "identity"
"""Key of the id of a study, which its storage has too."""
TRIALS_FILE = "finished"
_HEADER_KEYS = ("study", "sampler", "pruner")


def write_study(search: SearchConfig, identity: str) -> None:
    """Write ``study.json`` unless it exists and is readable.

    Args:
        search: The search.
        identity: Id of the study in its storage.

    Raises:
        UsageError: The folder is that of another study, e.g. in another storage.
    """
    path = search.folder / STUDY_FILE
    try:
        stored = read_json(path, ("study",))
        if stored.get(IDENTITY, identity) != identity:
            hint = "give another name with --study, or delete the folder"
            raise UsageError(f"has the trials of another study '{search.name}'", where=search.folder, hint=hint)
    except DataError:
        header = {
            "schema_version": 1,
            "study": search.name,
            IDENTITY: identity,
            "protocol_name": search.base_config.protocol.name,
            "epochs": search.epochs,
        }
        atomic.write_json(path, header | search.binding())


def write_trial(search: SearchConfig, recipe: Mapping[str, Any], trial: FrozenTrial) -> None:
    """Write the result of a trial with a recipe."""
    result = {
        "trial": trial.number,
        "state": trial.state.name.lower(),
        "f1": trial.value if trial.state.name == "COMPLETE" else None,
        "values": trial.params,
        "epochs": [[step, value] for step, value in sorted(trial.intermediate_values.items())],
        "cost": trial.user_attrs.get(COST),
        "recipe": recipe,
    }
    atomic.write_json(trial_path(search, trial.number), result)


def trial_path(search: SearchConfig, number: int) -> Path:
    """Return the file with the result of a trial."""
    return search.folder / TRIALS_FILE / f"{number:05d}.json"


def read_study(runs: Path, name: str) -> dict[str, Any]:
    """Read ``study.json``.

    Raises:
        UsageError: There is no such study.
        DataError: The file is damaged.
    """
    path = runs / STUDIES / name / STUDY_FILE
    if not path.exists():
        names = [folder.name for folder in system_files.children(runs / STUDIES) if (folder / STUDY_FILE).is_file()]
        raise UsageError(f"no study '{name}'", where=runs / STUDIES, hint=suggest(name, names))
    return read_header(path.parent)


def read_header(folder: Path) -> dict[str, Any]:
    """Read ``study.json`` in the folder of a study.

    Raises:
        DataError: The file is missing or damaged.
    """
    return read_json(folder / STUDY_FILE, _HEADER_KEYS, "repeat `aubench tune` to write it again")


def read_trial_files(folder: Path) -> list[dict[str, Any]]:
    """Read the results of finished trials in the folder of a study.

    Raises:
        DataError: A file is damaged.
    """
    keys, hint = ("trial", "state", "f1", "cost"), "delete this file to leave out the trial"
    return [read_json(path, keys, hint) for path in system_files.children(folder / TRIALS_FILE, "*.json")]


def total_cost(costs: list[dict[str, Any]]) -> tuple[float, int]:
    """Return the seconds and frames of training, pre-training included. Shared training counts once.

    Args:
        costs: Cost of each trial, as from :meth:`aubench.tuning.trial.TrialRunner.cost`.
    """
    parts = {key: part for cost in costs for key, part in _parts(cost).items()}.values()
    return round(sum(seconds for seconds, _ in parts), 3), int(sum(frames for _, frames in parts))


def cost_of_trials(trials: Iterable[FrozenTrial]) -> tuple[float, int]:
    """Return :func:`total_cost` of the trials that have a cost."""
    return total_cost([trial.user_attrs[COST] for trial in trials if COST in trial.user_attrs])


def cumulative_frames(costs: list[dict[str, Any]]) -> list[int]:
    """Return the frames of :func:`total_cost` after each trial.

    Args:
        costs: Cost of each trial, in order.
    """
    counted: dict[tuple[str, str], int] = {}
    total, totals = 0, []
    for cost in costs:
        for key, (_, frames) in _parts(cost).items():
            total += int(frames) - counted.get(key, 0)
            counted[key] = int(frames)
        totals.append(total)
    return totals


def _parts(cost: Mapping[str, Any]) -> dict[tuple[str, str], tuple[float, float]]:
    """Return seconds and frames of the training and of each pre-training of a trial."""
    pretraining = {("pretraining", key): (part[0], part[1]) for key, part in cost["pretraining"].items()}
    return {("run", cost["run"]): (cost["seconds"], cost["frames"]), **pretraining}
