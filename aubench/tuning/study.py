"""Search of a study: creates or resumes it, and runs its trials."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from aubench._util.seeds import derive
from aubench.core.errors import AubenchError, Diverged, RecipeError, UsageError
from aubench.runs.devices import DeviceChoice
from aubench.runs.sweeps import Cancelled
from aubench.tuning import study_files
from aubench.tuning.search_config import SearchConfig
from aubench.tuning.storage import make_pruner, make_sampler, open_storage, storage_errors
from aubench.tuning.trial import Pruned, TrialRunner
from aubench.tuning.worker import (
    COST,
    ERROR,
    POLL_SECONDS,
    Worker,
    claim_trials,
    fail_trial,
    finished_trials,
    heartbeat,
    requeue,
)

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, TrialState

BINDING, REQUEST = "aubench", "aubench_asked"
"""Attributes of a study: the options that all trials share, and the location of the method with the protocol."""
_ATTEMPTS = 3


def run_search(
    search: SearchConfig,
    storage: str,
    count: int,
    choice: DeviceChoice,
    say: Callable[[str], None],
    sampler: BaseSampler | None = None,
    after: Callable[[], None] = lambda: None,
) -> Study:
    """Run trials until the search has the requested number, and return its study.

    Args:
        search: The search.
        storage: Storage, as in :func:`aubench.tuning.storage.open_storage`.
        count: Number of finished or pruned trials to reach, over all workers.
        choice: Devices; a worker uses one.
        say: Callback for one-line messages.
        sampler: Sampler of which a copy replaces the one that the search names.
        after: Callback after each trial of this process.

    Raises:
        UsageError: The storage cannot be used, or contains another study of this name, or the sampler cannot be copied.
        AubenchError: A trial failed. The finished trials remain.
    """
    sampler = _copy_sampler(sampler)
    opened = open_storage(storage)
    with storage_errors(storage), Worker(search.folder) as worker:
        study = _create_or_load(search, opened)
        study_files.write_study(search, study.user_attrs.get(study_files.IDENTITY, ""))
        _write_missing_files(search, study)
        if outside := search.space.outside(search.base_config.recipe):
            values = ", ".join(f"{name} {value}" for name, value in outside.items())
            say(f"{search.name}: no trial is the preset, which is outside of the search range ({values})")

        def sampler_for(trials: int) -> BaseSampler:
            return sampler or make_sampler(search.sampler, derive(search.seed, "sampler", trials, worker.slot))

        for trial in claim_trials(study, worker, count, sampler_for, say):
            _run_trial(search, study, trial, choice, say, count)
            after()
        _write_missing_files(search, study)
    return study


def _copy_sampler(sampler: BaseSampler | None) -> BaseSampler | None:
    """Copy a sampler, because it has a state, and searches of several methods must not depend on their order.

    Raises:
        UsageError: The sampler cannot be copied.
    """
    try:
        return deepcopy(sampler)
    except Exception as error:
        what = f"{type(sampler).__name__} cannot be copied ({error})"
        raise UsageError(what, where="sampler", hint="give it a method __deepcopy__, or name a sampler") from None


def _write_missing_files(search: SearchConfig, study: Study) -> None:
    """Write the results of trials of killed workers, and of workers with another folder."""
    for trial in finished_trials(study):
        if COST in trial.user_attrs and not study_files.trial_path(search, trial.number).exists():
            study_files.write_trial(search, _recipe(search, trial.params), trial)


def _recipe(search: SearchConfig, values: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe of a trial, also if the method does not accept its values together."""
    try:
        return dict(search.trial_config(values).recipe)
    except RecipeError:
        return {**search.base_config.recipe, **values}


def _create_or_load(search: SearchConfig, storage: Any) -> Study:
    """Load the study of a search, or create it with the preset's values as its first trial.

    Raises:
        UsageError: The study of this name has other options.
    """
    import optuna

    pruner, binding = make_pruner(search.pruner, search.epochs, len(search.folds)), search.binding()
    try:
        study = optuna.create_study(study_name=search.name, storage=storage, direction="maximize", pruner=pruner)
    except optuna.exceptions.DuplicatedStudyError:
        study = optuna.load_study(study_name=search.name, storage=storage, pruner=pruner)
        _wait_for_binding(study)
    if _is_incomplete(study):
        study.set_user_attr(REQUEST, search.base_config.request)
        if study_files.IDENTITY not in study.user_attrs:
            study.set_user_attr(study_files.IDENTITY, uuid.uuid4().hex)
        study.enqueue_trial(search.space.restrict(search.base_config.recipe), skip_if_exists=True)
        study.set_user_attr(BINDING, binding)  # completes the study
    check_binding(search.name, study.user_attrs.get(BINDING), binding)
    return study


def check_stored(searches: Sequence[SearchConfig], storage: str) -> None:
    """Check that those studies that a storage has already have the options of their searches.

    Raises:
        UsageError: The storage cannot be used, or the options of a study differ.
    """
    import optuna

    if not searches:
        return
    with storage_errors(storage):
        summaries = optuna.get_all_study_summaries(open_storage(storage), include_best_trial=False)
    stored = {summary.study_name: summary.user_attrs for summary in summaries}
    for search in searches:
        if BINDING in (attributes := stored.get(search.name, {})):
            check_binding(search.name, attributes[BINDING], search.binding())


def _is_incomplete(study: Study) -> bool:
    """Return whether a study is empty, or the worker that created it ended before it stored everything."""
    attributes = study.user_attrs
    if BINDING in attributes:
        return False
    return REQUEST in attributes or not (attributes or study.get_trials(deepcopy=False))


def _wait_for_binding(study: Study) -> None:
    """Wait a few seconds for the worker that creates the study to store its options. That worker may have died."""
    for _ in range(_ATTEMPTS):
        if BINDING in study.user_attrs:
            return
        time.sleep(POLL_SECONDS)


def check_binding(name: str, stored: Any, requested: dict[str, Any]) -> None:
    """Check that a study has the requested options.

    Args:
        name: Name of the study.
        stored: Options in the storage.
        requested: Options of this search.

    Raises:
        UsageError: The options differ.
    """
    hint = "give this search another name with --study"
    if not isinstance(stored, dict):
        raise UsageError("was not created by aubench", where=f"study '{name}'", hint=hint)
    for key, value in requested.items():
        if stored.get(key) != value:
            old, new = (str(v)[:12] if key in ("protocol", "store") else v for v in (stored.get(key), value))
            part = "--set" if key == "fixed" else key
            raise UsageError(f"has another {part} ({old}, not {new})", where=f"study '{name}'", hint=hint)


def _run_trial(
    search: SearchConfig, study: Study, trial: Trial, choice: DeviceChoice, say: Callable[[str], None], count: int
) -> None:
    """Run a trial and report its result to the study."""
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    try:
        values = search.space.draw(trial)
        try:
            config = search.trial_config(values)
        except RecipeError as error:
            _reject(search, study, trial, values)
            say(f"{search.name}: {len(finished_trials(study))} of {count}, trial {trial.number}: pruned ({error})")
            return
        runner = TrialRunner(search, config, trial, choice)
        with heartbeat(trial.set_user_attr):
            value, state, remark = _outcome(runner)
        trial.set_user_attr(COST, runner.cost())
        _tell(study, trial, value, TrialState[state])
    except UpdateFinishedTrialError:  # this process was suspended for so long that another worker took over
        say(f"{study.study_name}: trial {trial.number} was taken over by another worker")
        return
    except BaseException as error:
        if isinstance(error, AubenchError) and not isinstance(error, Cancelled):
            with suppress(UpdateFinishedTrialError):  # another worker took over
                trial.set_user_attr(ERROR, str(error))
            fail_trial(study, trial.number)
            raise
        requeue(study, _frozen(study, trial.number))
        raise
    runner.close()
    study_files.write_trial(search, runner.config.recipe, _frozen(study, trial.number))
    score = "pruned" if value is None else f"validation F1 {100 * value:.1f}"
    say(f"{search.name}: {len(finished_trials(study))} of {count}, trial {trial.number}: {score}{remark}")


def _reject(search: SearchConfig, study: Study, trial: Trial, values: dict[str, Any]) -> None:
    """Prune a trial without training, because the method does not accept its values together."""
    from optuna.trial import TrialState

    trial.set_user_attr(COST, {"run": f"trial {trial.number}", "seconds": 0.0, "frames": 0, "pretraining": {}})
    _tell(study, trial, None, TrialState.PRUNED)
    study_files.write_trial(search, _recipe(search, values), _frozen(study, trial.number))


def _tell(study: Study, trial: Trial, value: float | None, state: TrialState) -> None:
    """Report a result. Optuna's grid sampler raises an error after its last point, and after an enqueued trial."""
    from optuna.exceptions import UpdateFinishedTrialError

    try:
        study.tell(trial, value, state=state)
    except UpdateFinishedTrialError:
        raise
    except (RuntimeError, KeyError):
        if not _frozen(study, trial.number).state.is_finished():
            raise


def _frozen(study: Study, number: int) -> FrozenTrial:
    return next(trial for trial in study.get_trials(deepcopy=False) if trial.number == number)


def _outcome(runner: TrialRunner) -> tuple[float | None, str, str]:
    """Run a trial and return its value, its state, and a remark for the message."""
    try:
        return runner.run(), "COMPLETE", ""
    except Pruned:
        return None, "PRUNED", ""
    except Diverged as error:
        return None, "PRUNED", f" ({error.what})"
