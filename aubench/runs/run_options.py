"""Options of runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aubench.core.errors import UsageError, suggest
from aubench.results.record_info import SELECTIONS
from aubench.runs.devices import PRECISIONS
from aubench.runs.store_ref import StoreRef


@dataclass(frozen=True)
class RunOptions:
    """Options of runs that a user chooses, besides methods, protocol, store and seeds.

    Attributes:
        preset: Name of the recipe preset; the protocol's if None.
        overrides: Recipe values that differ from the preset.
        selection: Rule that chooses the scored epoch.
        precision: One of :data:`~aubench.runs.devices.PRECISIONS`.
        runs: Folder of all runs.
        search: Cost of the search that chose the recipe, as in the record; None if there was no search.
        from_runs: Folders of finished runs, of which each run starts from one, see
            :func:`~aubench.runs.source_runs.choose_source`.
        pretraining_store: Store of pre-training; the run's own if None.

    Raises:
        UsageError: There is no such selection rule or precision, or the folder of all runs is a file.
    """

    preset: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    selection: str = "inner_val"
    precision: str = "32-true"
    runs: Path = Path("runs")
    search: dict[str, Any] | None = None
    from_runs: tuple[Path, ...] = ()
    pretraining_store: StoreRef | None = None

    def __post_init__(self) -> None:
        for name, known in (("selection", SELECTIONS), ("precision", PRECISIONS)):
            if (value := getattr(self, name)) not in known:
                raise UsageError(f"cannot be '{value}'", where=f"--{name}", hint=suggest(value, known))
        if self.runs.is_file():
            raise UsageError("is a file", where=self.runs, hint="give the folder of all runs")
