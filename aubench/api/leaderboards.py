"""Functions that maintain, check and show a leaderboard. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aubench._util.paths import user_path
from aubench.api.formats import frame_text
from aubench.api.planning import AnyPath

if TYPE_CHECKING:
    import pandas as pd

    from aubench.leaderboard.add import AddResult
    from aubench.leaderboard.entries_file import ProtocolEntries
    from aubench.leaderboard.records import Finding


@dataclass(frozen=True)
class LeaderboardResults:
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
        import pandas as pd

        frame = pd.DataFrame(
            [{"protocol": name, **row} for name, entries in self.protocols.items() for row in entries.entries]
        )
        integers = {"position", "rank", "seeds", "flops", "parameters", "frames", "pretraining_frames"} & set(
            frame.columns
        )
        return frame.astype(dict.fromkeys(integers, "Int64"))

    def render(self, form: str) -> str:
        """Return the tables as text.

        Args:
            form: ``text`` (for a terminal), ``markdown``, ``csv`` or ``json``.
        """
        from aubench.leaderboard.render import markdown, plain_text

        if form in ("csv", "json"):
            return frame_text(self.to_dataframe(), form)
        render = markdown if form == "markdown" else plain_text
        return "\n".join(render(entries.blocks) for entries in self.protocols.values()) or "no records yet\n"


def load_leaderboard(root: AnyPath = "leaderboard", protocol: str | None = None) -> LeaderboardResults:
    """Read the tables, with measured and reported numbers.

    csv, json and the DataFrame have one row per method or baseline, F1 and other metrics as fractions.

    Args:
        root: Folder of the leaderboard.
        protocol: Protocol to show, with or without records; all with records by default.

    Raises:
        AubenchError: The folder or protocol does not exist, or a record is invalid.
    """
    from aubench.leaderboard.show import load_entries
    from aubench.papers.leaderboard_pages import EXTENSIONS

    return LeaderboardResults(load_entries(user_path(root), protocol, EXTENSIONS))


def add_records(runs: Sequence[AnyPath], *, root: AnyPath = "leaderboard") -> AddResult:
    """Check the records of runs and copy them, all or none.

    Args:
        runs: Folders of one or more finished runs.
        root: Folder of the leaderboard.

    Raises:
        DataError: No finished run has a record.
        RecordError: A record is wrong, or the leaderboard has another record of the same run.
    """
    from aubench.leaderboard.add import add

    return add([user_path(run) for run in runs], user_path(root))


def build_leaderboard(*, root: AnyPath = "leaderboard") -> list[Path]:
    """Build the pages of the leaderboard from its records, and site/index.html with sortable tables and charts.

    site/index.html needs the extra site.

    Args:
        root: Folder of the leaderboard.

    Raises:
        AubenchError: The folder does not exist, or a record or a reported table is wrong. Nothing is written.
    """
    from aubench.leaderboard.build import write
    from aubench.papers.leaderboard_pages import EXTENSIONS

    return write(user_path(root), EXTENSIONS, site=True)


def check_leaderboard(*, root: AnyPath = "leaderboard", no_cache: bool = False) -> list[Finding]:
    """Recompute all numbers from the counts.

    Each disagreement is an error (exit code 1). Results of earlier verifications of the same files by the same code are
    reused from the user's cache folder.

    Args:
        root: Folder of the leaderboard.
        no_cache: Also verify records again that this machine verified before.

    Raises:
        DataError: The folder does not exist.
    """
    from aubench.leaderboard.check import check
    from aubench.papers.leaderboard_pages import EXTENSIONS

    return check(user_path(root), extensions=EXTENSIONS, use_cache=not no_cache)
