"""Files of a study: ``study.json``, and a file for each finished trial.

The storage is authoritative. The files are read by figures and tracking, without Optuna.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench._util import atomic
from aubench.core.errors import UsageError, suggest
from aubench.tuning.search_config import STUDIES, SearchConfig, TrialConfig
from aubench.tuning.worker import COST

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

STUDY_FILE = "study.json"
TRIALS_FILE = "finished"


def write_study(search: SearchConfig) -> None:
    """Write ``study.json`` unless it exists."""
    path = search.folder / STUDY_FILE
    if not path.exists():
        header = {
            "schema_version": 1,
            "study": search.name,
            "protocol_name": search.base_config.protocol.name,
            "epochs": search.epochs,
        }
        atomic.write_json(path, header | search.binding())


def write_trial(search: SearchConfig, config: TrialConfig, trial: FrozenTrial) -> None:
    """Write the result of a trial."""
    result = {
        "trial": trial.number,
        "state": trial.state.name.lower(),
        "f1": trial.value if trial.state.name == "COMPLETE" else None,
        "values": trial.params,
        "epochs": [[step, value] for step, value in sorted(trial.intermediate_values.items())],
        "cost": trial.user_attrs.get(COST),
        "recipe": config.recipe,
    }
    atomic.write_json(search.folder / TRIALS_FILE / f"{trial.number:05d}.json", result)


def read_study(runs: Path, name: str) -> dict[str, Any]:
    """Read ``study.json``.

    Raises:
        UsageError: There is no such study.
    """
    path = runs / STUDIES / name / STUDY_FILE
    if not path.is_file():
        names = [path.parent.name for path in (runs / STUDIES).glob(f"*/{STUDY_FILE}")]
        raise UsageError(f"no study '{name}'", where=runs / STUDIES, hint=suggest(name, names))
    return dict(json.loads(path.read_text()))


def read_trials(runs: Path, name: str) -> list[dict[str, Any]]:
    """Read the results of a study's finished trials, in order of their numbers."""
    return [json.loads(path.read_text()) for path in sorted((runs / STUDIES / name / TRIALS_FILE).glob("*.json"))]


def total_cost(costs: list[dict[str, Any]]) -> tuple[float, int]:
    """Return the seconds and frames of training, pre-training included. Shared training counts once.

    Args:
        costs: Cost of each trial, as from :meth:`aubench.tuning.trial.TrialRunner.cost`.
    """
    training = {cost["run"]: (cost["seconds"], cost["frames"]) for cost in costs}
    pretraining = {key: tuple(parts) for cost in costs for key, parts in cost["pretraining"].items()}
    parts = [*training.values(), *pretraining.values()]
    return round(sum(seconds for seconds, _ in parts), 3), int(sum(frames for _, frames in parts))
