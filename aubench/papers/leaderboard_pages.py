"""Extensions of the leaderboard's pages: numbers that papers report, and repetitions of runs.

Modules that need pandas are imported on first use, so that ``aubench leaderboard show`` starts fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aubench.leaderboard.entries import RankedTable
    from aubench.leaderboard.extensions import PageExtension
    from aubench.leaderboard.render import Block


class ReportedNumbers:
    """Page of all reported numbers, and comparison of measured with reported numbers on each protocol's page.

    Its files are those in ``reported``.
    """

    def __init__(self, root: Path) -> None:
        from aubench.papers import reported

        self._tables, self.findings = reported.scan(root)

    def pages(self) -> dict[str, list[Block]]:
        """Build the page of all reported numbers."""
        from aubench.papers import reported_page

        return {reported_page.PAGE: reported_page.page(self._tables)} if self._tables else {}

    def index_blocks(self) -> list[Block]:
        """Build the link to the page of all reported numbers."""
        from aubench.papers.reported_page import PAGE

        return [f"Numbers that papers report: [{PAGE}]({PAGE})."] if self._tables else []

    def protocol_blocks(self, dataset: str, fold_count: int, tables: Sequence[RankedTable]) -> list[Block]:
        """Build the comparison of measured with reported numbers."""
        from aubench.papers import measured

        return measured.compare_with_reported(dataset, fold_count, tables, self._tables)


def repetitions(root: Path) -> PageExtension:
    """Read the repetitions of a leaderboard's runs by others."""
    from aubench.leaderboard.reproductions import Reproductions

    return Reproductions(root)


EXTENSIONS = (ReportedNumbers, repetitions)
"""Extensions of the leaderboard that aubench uses."""
