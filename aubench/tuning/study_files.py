"""What a study leaves in its folder: ``study.json``, and a small file for each finished trial.

The storage is what decides; the files are for people, for figures and for tracking, which need no Optuna.
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
    """Say what a study is, unless it is said."""
    path = search.folder / STUDY_FILE
    if not path.exists():
        about = {
            "schema_version": 1,
            "study": search.name,
            "protocol_name": search.base_config.protocol.name,
            "epochs": search.epochs,
        }
        atomic.write_json(path, about | search.binding())


def write_trial(search: SearchConfig, config: TrialConfig, trial: FrozenTrial) -> None:
    """Say what came of a trial."""
    said = {
        "trial": trial.number,
        "state": trial.state.name.lower(),
        "f1": trial.value if trial.state.name == "COMPLETE" else None,
        "values": trial.params,
        "epochs": [[step, value] for step, value in sorted(trial.intermediate_values.items())],
        "cost": trial.user_attrs.get(COST),
        "recipe": config.recipe,
    }
    atomic.write_json(search.folder / TRIALS_FILE / f"{trial.number:05d}.json", said)


def read_study(runs: Path, name: str) -> dict[str, Any]:
    """What ``study.json`` says.

    Raises:
        UsageError: There is no such study.
    """
    path = runs / STUDIES / name / STUDY_FILE
    if not path.is_file():
        known = [found.parent.name for found in (runs / STUDIES).glob(f"*/{STUDY_FILE}")]
        raise UsageError(f"no study '{name}'", where=runs / STUDIES, hint=suggest(name, known))
    return dict(json.loads(path.read_text()))


def read_trials(runs: Path, name: str) -> list[dict[str, Any]]:
    """What the finished trials of a study say, by number."""
    return [json.loads(path.read_text()) for path in sorted((runs / STUDIES / name / TRIALS_FILE).glob("*.json"))]


def total_cost(trials: list[dict[str, Any]]) -> tuple[float, int]:
    """Seconds and frames that trials were trained on, pre-training included; what several shared counts once.

    Args:
        trials: The ``cost`` of each, as :meth:`aubench.tuning.trial.Attempt.cost` makes it.
    """
    own = {each["run"]: (each["seconds"], each["frames"]) for each in trials}
    shared = {key: tuple(spent) for each in trials for key, spent in each["pretraining"].items()}
    spent = [*own.values(), *shared.values()]
    return round(sum(seconds for seconds, _ in spent), 3), int(sum(frames for _, frames in spent))
