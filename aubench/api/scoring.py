"""Scores of predictions made elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aubench.api.planning import AnyPath, AnyPaths, Names, Stores, check_seed, find_narrowed, open_data
from aubench.api.results_view import Results, RobustnessResults
from aubench.core.user_paths import user_path, user_paths

if TYPE_CHECKING:
    from aubench.leaderboard.records import StoredRecord


@dataclass(frozen=True, repr=False)
class SubmissionResults(Results):
    """Record of submitted predictions.

    Attributes:
        robustness: Scores under test conditions; None without predictions under any.
    """

    robustness: RobustnessResults | None = None


def score(
    predictions: AnyPaths,
    protocol: str,
    name: str,
    *,
    seed: int = 0,
    modalities: Names | None = None,
    store: Stores = None,
    out: AnyPath = "runs",
) -> SubmissionResults:
    """Score predictions made elsewhere.

    The record is marked as predictions submitted, training not seen. Leaderboards rank it apart from runs.

    Every labelled test frame of every fold needs one row: subject, sequence, frame, fold and a probability p_AU1 … per
    AU. A column condition is optional.

    Args:
        predictions: Parquet or CSV files, or folders of them.
        protocol: Name of a protocol, or a ``.toml`` file.
        name: Name of the model.
        seed: Seed of its training; seeds of the same name are one entry of a leaderboard.
        modalities: Modalities that the model uses, e.g. ``visual,depth`` [default: the protocol's].
        store: Store of the data set [default: the data set's]. Protocols on several data sets take one of each.
        out: Folder of all runs.

    Returns:
        The record with its folder.

    Raises:
        AubenchError: An argument is invalid, a file cannot be read, a probability is invalid, or a test frame is
            missing, additional, there twice or in the wrong fold.
    """
    from aubench._util.output_paths import check_output_folder
    from aubench._util.progress import print_line
    from aubench.core.errors import UsageError
    from aubench.data.splits import ProtocolDataset
    from aubench.evaluation import prediction_files, submitted_predictions
    from aubench.leaderboard import text_checks
    from aubench.leaderboard.records import StoredRecord
    from aubench.results import record
    from aubench.runs import submissions

    submissions.check_name(name)
    if problem := text_checks.folder_problem(name) or text_checks.name_problem(name, is_submitted=True):
        raise UsageError(problem, where="--name", hint="choose another name")
    seed = check_seed(seed)
    check_output_folder(user_path(out))
    narrowed = find_narrowed(protocol, modalities)
    files = prediction_files.find_files(user_paths(predictions))
    data = ProtocolDataset(open_data(narrowed, store), narrowed)
    tables = [prediction_files.read_predictions(file, narrowed.aus) for file in files]
    assigned = submitted_predictions.assign(tables, data)
    folder = submissions.write_record(assigned, data, name, seed, user_path(out))
    for other in submissions.other_records(folder):
        print_line(f"{other} has other predictions of {name}, seed {seed}; delete it before you compare or add {name}")
    stored = StoredRecord(folder, record.read(folder))
    return SubmissionResults((stored,), robustness=_robustness(stored))


def _robustness(stored: StoredRecord) -> RobustnessResults | None:
    """Return the scores under test conditions; None without any."""
    from aubench.leaderboard import robustness_tables

    if len(stored.info.conditions) == 1:
        return None
    protocol, profiles = stored.info.protocol.name, robustness_tables.profiles([stored])
    tables = robustness_tables.make_tables(profiles)
    tables.pop("lost", None)
    texts = robustness_tables.render(tables, protocol, "markdown")
    return RobustnessResults({protocol: profiles}, "\n".join(texts.values()))
