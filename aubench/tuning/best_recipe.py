"""Best recipe of a study, and the cost of the search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aubench.core.errors import UsageError, suggest
from aubench.core.protocol import Protocol
from aubench.runs.config import RunConfig
from aubench.runs.run_options import RunOptions
from aubench.tuning.search_config import trials_seed
from aubench.tuning.storage import open_storage, require_file, storage_errors, storage_url
from aubench.tuning.study import BINDING, REQUEST
from aubench.tuning.study_files import cost_of_trials
from aubench.tuning.worker import finished_trials


@dataclass(frozen=True)
class BestTrial:
    """Best recipe of a study.

    Attributes:
        method: Name of the method, or path of its file.
        protocol: Protocol, narrowed to the offered modalities.
        options: Options of a run with the best recipe.
        store: Digest of the store.
        seed: Seed of all trials.
        source: Digest of the method's code, as :attr:`aubench.runs.config.RunConfig.source`.
        files: Digests of the files that fixed recipe values name, by recipe key.
    """

    method: str
    protocol: Protocol
    options: RunOptions
    store: str
    seed: int
    source: str
    files: dict[str, str]

    def check(self, config: RunConfig) -> None:
        """Check that a run has the code and the files of the trials.

        Raises:
            UsageError: They have changed since the search.
        """
        names = [name for name, digest in self.files.items() if config.content.files.get(name) != digest]
        changed = [str(config.recipe[name]) for name in names]
        if config.source != self.source:
            changed.append(self.method)
        if changed:
            raise UsageError("has changed since the search", where=changed[0], hint="restore it, or search again")


def find_best_trial(name: str, storage: str | None, runs: Path) -> BestTrial:
    """Return the best recipe of a study.

    Args:
        name: Name of the study.
        storage: Storage, as in :func:`aubench.tuning.storage.storage_url`.
        runs: Folder of all runs.

    Raises:
        UsageError: There is no such storage or study, or none of its trials is complete.
    """
    import optuna

    url = storage_url(storage, runs)
    require_file(url)
    opened = open_storage(url)
    with storage_errors(url):
        names = optuna.get_all_study_names(opened)
        if name not in names:
            raise UsageError(f"no study '{name}'", where="--from-study", hint=suggest(name, names))
        study = optuna.load_study(study_name=name, storage=opened)
        trials, attributes = finished_trials(study), study.user_attrs
    binding = attributes.get(BINDING)
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    if not isinstance(binding, dict) or not complete:
        raise UsageError("has no finished trial", where=f"study '{name}'", hint="search with `aubench tune`")
    best = max(complete, key=lambda trial: (trial.value, -trial.number))
    seconds, frames = cost_of_trials(trials)
    search = {"trials": len(trials), "study": name, "sampler": binding["sampler"], "pruner": binding["pruner"]}
    options = RunOptions(
        binding["preset"],
        {**binding["fixed"], **best.params},
        precision=binding["precision"],
        runs=runs,
        search={**search, "seconds": seconds, "frames": frames},
    )
    return BestTrial(
        method=attributes[REQUEST]["method"],
        protocol=Protocol.model_validate(attributes[REQUEST]["protocol"]),
        options=options,
        store=binding["store"],
        seed=trials_seed(binding["seed"]),
        source=binding["source"],
        files=binding.get("files", {}),
    )
