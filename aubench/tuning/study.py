"""A search from its beginning or from wherever it stands: the study, its workers, its trials."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aubench._util.seeds import derive
from aubench.core.errors import AubenchError, Diverged, UsageError
from aubench.runs.devices import DeviceChoice
from aubench.tuning import study_files
from aubench.tuning.search_config import SearchConfig
from aubench.tuning.storage import make_pruner, make_sampler, open_storage, storage_errors
from aubench.tuning.trial import Pruned, TrialRunner
from aubench.tuning.worker import COST, LOOK_EVERY, Worker, fail_trial, finished_trials, heartbeat, requeue, work

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler

BINDING, ASKED = "aubench", "aubench_asked"
"""Attributes of a study: what all its trials have in common, and what finds method and protocol again."""
_LOOKS = 3


def run_search(
    search: SearchConfig,
    storage: str,
    count: int,
    choice: DeviceChoice,
    say: Callable[[str], None],
    sampler: BaseSampler | None = None,
    after: Callable[[], None] = lambda: None,
) -> Study:
    """Bring a search to its number of trials.

    Args:
        search: The search.
        storage: As of :func:`aubench.tuning.storage.open_storage`.
        count: How many trials shall be finished or pruned, whoever makes them.
        choice: Where to compute; a worker uses one device of it.
        say: Told in one line what a person may want to know.
        sampler: Suggests instead of the one that the search names.
        after: Called after every trial that this process made.

    Returns:
        The study.

    Raises:
        UsageError: The storage cannot be used, or holds another study of this name.
        AubenchError: A trial could not be made; those that are finished stay.
    """
    opened = open_storage(storage)
    with storage_errors(storage), Worker(search.folder) as worker:
        study = _study(search, opened)
        study_files.write_study(search)

        def before_asking(known: int) -> None:
            seed = derive(search.seed, "sampler", known, worker.slot)
            study.sampler = sampler or make_sampler(search.sampler, seed)

        def attempt(trial: Trial) -> None:
            _attempt(search, study, trial, choice, say, count)
            after()

        work(study, worker, count, attempt, before_asking, say)
    return study


def _study(search: SearchConfig, storage: Any) -> Study:
    """The study of a search, opened, or made with the preset's own values as its first trial.

    Raises:
        UsageError: There is a study of this name that is another one.
    """
    import optuna

    pruner, own = make_pruner(search.pruner, search.epochs, len(search.folds)), search.binding()
    try:
        study = optuna.create_study(study_name=search.name, storage=storage, direction="maximize", pruner=pruner)
    except optuna.exceptions.DuplicatedStudyError:
        study = optuna.load_study(study_name=search.name, storage=storage, pruner=pruner)
        _wait_for_its_maker(study)
    if not study.user_attrs and not study.get_trials(deepcopy=False):
        study.set_user_attr(ASKED, search.base_config.request)
        study.set_user_attr(BINDING, own)
        study.enqueue_trial(search.space.check_contains(search.base_config.recipe))
    check_bound(search.name, study.user_attrs.get(BINDING), own)
    return study


def _wait_for_its_maker(study: Study) -> None:
    """Let a worker that has just made the study say what it is; for a while, since it may have died on the way."""
    for _ in range(_LOOKS):
        if BINDING in study.user_attrs:
            return
        time.sleep(LOOK_EVERY)


def check_bound(name: str, found: Any, own: dict[str, Any]) -> None:
    """Make sure that a study is the one that is meant.

    Args:
        name: Its name.
        found: What it says that its trials have in common.
        own: What is meant.

    Raises:
        UsageError: It is another one.
    """
    hint = "give this search another name with --study"
    if not isinstance(found, dict):
        raise UsageError("was not made by aubench", where=f"study '{name}'", hint=hint)
    for part, value in own.items():
        if found.get(part) != value:
            had, wanted = (str(v)[:12] if part in ("protocol", "store") else v for v in (found.get(part), value))
            raise UsageError(f"is of another {part} ({had}, not {wanted})", where=f"study '{name}'", hint=hint)


def _attempt(
    search: SearchConfig, study: Study, trial: Trial, choice: DeviceChoice, say: Callable[[str], None], count: int
) -> None:
    """Make a trial, and tell the study what came of it."""
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    try:
        attempt = TrialRunner(search, search.trial_config(search.space.draw(trial)), trial, choice)
        with heartbeat(trial.set_user_attr):
            value, state, why = _outcome(attempt)
        trial.set_user_attr(COST, attempt.cost())
        study.tell(trial, value, state=TrialState[state])
    except UpdateFinishedTrialError:  # this process was away for so long that another took the trial over
        say(f"{study.study_name}: trial {trial.number} was taken over by another worker")
        return
    except AubenchError:
        fail_trial(study, trial.number)
        raise
    except BaseException:
        requeue(study, next(t for t in study.get_trials(deepcopy=False) if t.number == trial.number))
        raise
    attempt.close()
    found = next(t for t in study.get_trials(deepcopy=False) if t.number == trial.number)
    study_files.write_trial(search, attempt.config, found)
    shown = "pruned" if value is None else f"validation F1 {100 * value:.1f}"
    say(f"{search.name}: {len(finished_trials(study))} of {count}, trial {trial.number}: {shown}{why}")


def _outcome(attempt: TrialRunner) -> tuple[float | None, str, str]:
    """Value, state and a remark."""
    try:
        return attempt.run(), "COMPLETE", ""
    except Pruned:
        return None, "PRUNED", ""
    except Diverged as error:
        return None, "PRUNED", f" ({error.what})"
