"""Interface of packages that add pages and blocks to a leaderboard, such as the numbers that papers report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from aubench.leaderboard.entries import RankedTable
    from aubench.leaderboard.records import Finding
    from aubench.leaderboard.render import Block


class PageExtension(Protocol):
    """Pages and blocks from further files of a leaderboard, which the extension has read."""

    @property
    def findings(self) -> Sequence[Finding]:
        """Problems of the files."""

    def pages(self) -> dict[str, list[Block]]:
        """Build further pages by file name."""

    def index_blocks(self) -> list[Block]:
        """Build blocks of the index page."""

    def protocol_blocks(self, dataset: str, fold_count: int, tables: Sequence[RankedTable]) -> list[Block]:
        """Build blocks of a protocol's page."""


Extensions = Sequence[Callable[[Path], PageExtension]]
"""Functions that read an extension's files from a leaderboard folder."""
