"""What a search found: the best recipe, and what finding it has cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aubench.core.errors import UsageError, suggest
from aubench.core.protocol import Protocol
from aubench.tuning.search_config import trials_seed
from aubench.tuning.storage import open_storage, storage_errors, storage_url
from aubench.tuning.study import ASKED, BINDING
from aubench.tuning.study_files import total_cost
from aubench.tuning.worker import COST, finished_trials


@dataclass(frozen=True)
class BestTrial:
    """The best recipe of a study.

    Attributes:
        method: Its name or path.
        protocol: As narrowed.
        preset: Where the recipe began.
        values: What differs from the preset.
        precision: Lightning Fabric's name of the arithmetic.
        store: Digest of the store.
        seed: That all trials were trained with.
        search: The record's part: trials, study, sampler, pruner, seconds, frames.
    """

    method: str
    protocol: Protocol
    preset: str
    values: dict[str, Any]
    precision: str
    store: str
    seed: int
    search: dict[str, Any]


def find_best_trial(name: str, storage: str | None, runs: Path) -> BestTrial:
    """The best recipe of a study.

    Args:
        name: The study's.
        storage: Where it lives; as of :func:`aubench.tuning.storage.address`.
        runs: The folder of all runs.

    Raises:
        UsageError: There is no such study, or no trial of it ran to its end.
    """
    import optuna

    place = storage_url(storage, runs)
    opened = open_storage(place)
    with storage_errors(place):
        known = optuna.get_all_study_names(opened)
        if name not in known:
            raise UsageError(f"no study '{name}'", where="--from-study", hint=suggest(name, known))
        study = optuna.load_study(study_name=name, storage=opened)
        trials, attributes = finished_trials(study), study.user_attrs
    bound = attributes.get(BINDING)
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    if not isinstance(bound, dict) or not complete:
        raise UsageError("has no finished trial", where=f"study '{name}'", hint="search with `aubench tune`")
    winner = max(complete, key=lambda trial: (trial.value, -trial.number))
    seconds, frames = total_cost([trial.user_attrs[COST] for trial in trials if COST in trial.user_attrs])
    return BestTrial(
        method=attributes[ASKED]["method"],
        protocol=Protocol.model_validate(attributes[ASKED]["protocol"]),
        preset=bound["preset"],
        values={**bound["fixed"], **winner.params},
        precision=bound["precision"],
        store=bound["store"],
        seed=trials_seed(bound["seed"]),
        search={
            "trials": len(trials),
            "study": name,
            "sampler": bound["sampler"],
            "pruner": bound["pruner"],
            "seconds": seconds,
            "frames": frames,
        },
    )
