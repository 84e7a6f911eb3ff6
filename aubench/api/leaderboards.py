"""Functions that maintain, check and show a leaderboard. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aubench.api.dataframe_view import DataFrameView
from aubench.api.formats import check_form, frame_text
from aubench.api.planning import AnyPath, AnyPaths
from aubench.core.user_paths import user_path, user_paths

if TYPE_CHECKING:
    import pandas as pd

    from aubench.leaderboard.add import AddResult
    from aubench.leaderboard.entries_file import ProtocolEntries
    from aubench.leaderboard.records import Finding
    from aubench.leaderboard.rerun_comparison import Reproduction
    from aubench.leaderboard.submit import Submission


@dataclass(frozen=True, repr=False)
class LeaderboardResults(DataFrameView):
    """Tables of a leaderboard.

    Attributes:
        protocols: Pages and entries, by protocol.
    """

    protocols: Mapping[str, ProtocolEntries]

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per method or baseline of each table.

        Returns:
            Columns ``protocol``, ``demo`` (whether the row is of a table that is not ranked), ``selection``,
            ``protocol_version``, ``store`` (digest), ``position``, ``method``, ``fidelity``, ``modalities``,
            ``recipe``, ``seeds``, ``f1_std`` (over folds and seeds), ``rank``, ``delta_always_positive`` with its 95 %
            interval ``…_low`` and ``…_high``, one column per metric, ``f1_au1`` … per AU, ``flops``, ``parameters``,
            ``frames`` and ``pretraining_frames`` (per fold). Metrics are fractions; ``position``, ``rank`` and the
            columns of a run are missing for baselines, the first two also for demos.
        """
        rows = [{"protocol": name, **row} for name, entries in self.protocols.items() for row in entries.entries]
        return _rows_frame(rows)

    def render(self, form: str) -> str:
        """Return the tables as text.

        Args:
            form: ``text`` (for a terminal), ``markdown`` (``md``), ``csv`` or ``json``.

        Raises:
            UsageError: The format is not known.
        """
        from aubench.leaderboard.render import markdown, plain_text

        form = check_form(form, ("text", "markdown", "csv", "json"))
        if form in ("csv", "json"):
            return frame_text(self.to_dataframe(), form)
        render = markdown if form == "markdown" else plain_text
        return "\n".join(render(entries.blocks) for entries in self.protocols.values())


def load_leaderboard(root: AnyPath = "leaderboard", protocol: str | None = None) -> LeaderboardResults:
    """Read the tables, with measured and reported numbers.

    As a table (csv, json or a DataFrame), they have one row per method or baseline, with metrics as fractions.

    Args:
        root: Folder of the leaderboard.
        protocol: Protocol to show, with or without records; all with records by default.

    Returns:
        The tables.

    Raises:
        AubenchError: The folder or protocol does not exist, the folder has no record, or a record is invalid.
    """
    from aubench.leaderboard.show import load_entries, require_records
    from aubench.papers.leaderboard_pages import EXTENSIONS

    entries = load_entries(user_path(root), protocol, EXTENSIONS)
    require_records(entries, user_path(root))
    return LeaderboardResults(entries)


def export_leaderboard(out: AnyPath, *, root: AnyPath = "leaderboard") -> Path:
    """Write all rows of the leaderboard to a file.

    Rows and columns are those of ``aubench leaderboard show --format csv``, and title, paper, citation (BibTeX), source
    and version of the method, runs, commits, and the command that makes the row again. Parquet needs pyarrow.

    Args:
        out: File to write; its ending (.csv, .json or .parquet) is the format.
        root: Folder of the leaderboard.

    Returns:
        The file.

    Raises:
        AubenchError: The ending is not known, the folder does not exist or has no record, or a record is invalid.
    """
    from aubench._util import atomic
    from aubench._util.output_paths import check_output_file
    from aubench.core.errors import UsageError
    from aubench.leaderboard.board_rows import board_rows
    from aubench.leaderboard.show import require_records

    path = user_path(out)
    form = path.suffix.removeprefix(".").lower()
    if form not in ("csv", "json", "parquet"):
        raise UsageError("the ending names no format", where=path, hint="use .csv, .json or .parquet")
    check_output_file(path)
    rows = board_rows(user_path(root))
    require_records(rows, user_path(root))
    frame = _rows_frame(rows)
    if form == "parquet":
        import pyarrow  # noqa: F401  its absence is reported by name

        atomic.write_bytes(path, frame.to_parquet(index=False))
    else:
        atomic.write_text(path, frame_text(frame, form))
    return path


def _rows_frame(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(rows)
    integers = {"position", "rank", "seeds", "flops", "parameters", "frames", "pretraining_frames"}
    integers = (integers | {"method_version"}) & set(frame.columns)
    return frame.astype(dict.fromkeys(integers, "Int64"))


def reproduce_record(
    run: str,
    *,
    root: AnyPath = "leaderboard",
    store: str | None = None,
    install: bool = False,
    by: str | None = None,
) -> Reproduction:
    """Repeat the run of a record and compare the numbers.

    The run takes place in a temporary checkout of the commit of the record. The command prints equal, equal within
    noise (exit code 0) or different (exit code 1). Without --install, the installed libraries are used. Other versions
    than those in the record can change the numbers.

    Args:
        run: Id of the run, or its first characters.
        root: Folder of the leaderboard, in a clone with its history.
        store: Store to run on; the default one, or a generated one of synth, if not given.
        install: Install the libraries of that commit into a temporary environment.
        by: Name of the person or group under which the leaderboard stores the repetition; not stored without a name.

    Returns:
        Comparison of the repetition with the record.

    Raises:
        AubenchError: There is no such run, it cannot be repeated, it fails, or it cannot be stored.
    """
    from aubench.core.errors import AubenchError, RecordError
    from aubench.leaderboard.reproductions import add_reproduction, new_folder
    from aubench.leaderboard.rerun import find_run, reproduce_run

    arguments = [] if store is None else ["--store", str(user_path(store).absolute())]
    if by is not None:
        new_folder(find_run(user_path(root), run), by)  # errors come before the run
    result = reproduce_run(user_path(root), run, arguments, install=install)
    if by is not None:
        try:
            add_reproduction(result, by)
        except AubenchError as error:
            what = f"{error.what}; not stored, the result is: {result}"
            raise RecordError(what, where=error.where, hint=error.hint) from None
    return result


def add_records(runs: AnyPaths, *, root: AnyPath = "leaderboard") -> AddResult:
    """Check the records of runs and copy them, all or none.

    Args:
        runs: Folders of one or more finished runs.
        root: Folder of the leaderboard.

    Returns:
        Folders of the records, those of them that were there already, and skipped runs with the reason.

    Raises:
        DataError: No finished run has a record.
        RecordError: A record is wrong, or the leaderboard has another record of the same run.
    """
    from aubench.leaderboard.add import add

    return add(user_paths(runs), user_path(root))


def build_leaderboard(*, root: AnyPath = "leaderboard") -> list[Path]:
    """Build the pages of the leaderboard from its records.

    site/index.html has sortable tables and charts, and needs the extra site.

    Args:
        root: Folder of the leaderboard.

    Returns:
        Files written.

    Raises:
        AubenchError: The folder does not exist, or a record or a reported table is wrong. Nothing is written.
    """
    from aubench.leaderboard.build import write
    from aubench.papers.leaderboard_pages import EXTENSIONS

    return write(user_path(root), EXTENSIONS, site=True)


def submit_runs(
    runs: AnyPaths, *, root: AnyPath = "leaderboard", base: str = "origin/main", branch: str | None = None
) -> Submission:
    """Add runs to a leaderboard on a new branch.

    The command adds the records, builds and checks the pages, and commits the result. The present working tree does not
    change.

    Args:
        runs: Folders of one or more finished runs.
        root: Folder of the leaderboard, in a clone of its repository.
        base: Git revision from which the branch begins.
        branch: Name of the branch; one made of the names of the methods by default.

    Returns:
        Branch, folders of the added records, report and skipped runs.

    Raises:
        DataError: No finished run has a record.
        RecordError: A record is wrong, or the check has findings. Nothing is submitted.
        UsageError: The folder is in no git repository, or git fails.
    """
    from aubench.leaderboard.submit import submit
    from aubench.papers.leaderboard_pages import EXTENSIONS

    return submit(user_paths(runs), user_path(root), base, branch, EXTENSIONS)


def review_leaderboard(
    base: str, *, root: AnyPath = "leaderboard", no_cache: bool = False
) -> tuple[list[Finding], str]:
    """Check a leaderboard as :func:`check_leaderboard`, and the changes since a revision of its git repository.

    Args:
        base: Name of the revision, such as ``origin/main``.
        root: Folder of the leaderboard.
        no_cache: Also verify records again that this machine verified before.

    Returns:
        Problems, and a report in Markdown of new and changed rows.

    Raises:
        AubenchError: The folder does not exist or is in no git repository, or there is no such revision.
    """
    from aubench.leaderboard.check import check_against_base
    from aubench.papers.leaderboard_pages import EXTENSIONS

    return check_against_base(user_path(root), base, extensions=EXTENSIONS, use_cache=not no_cache)


def check_leaderboard(*, root: AnyPath = "leaderboard", no_cache: bool = False) -> list[Finding]:
    """Recompute all numbers from the counts.

    Each disagreement is an error (exit code 1). Results of earlier verifications of the same files by the same code are
    reused from the user's cache folder.

    Args:
        root: Folder of the leaderboard.
        no_cache: Also verify records again that this machine verified before.

    Returns:
        Problems, none if all numbers are right.

    Raises:
        DataError: The folder does not exist.
    """
    from aubench.leaderboard.check import check
    from aubench.papers.leaderboard_pages import EXTENSIONS

    return check(user_path(root), extensions=EXTENSIONS, use_cache=not no_cache)
