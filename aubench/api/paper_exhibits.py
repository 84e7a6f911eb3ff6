"""Function that reproduces tables and figures of papers, and its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench._util.progress import print_line
from aubench.api import execution
from aubench.api.formats import check_form
from aubench.api.planning import Names, check_seeds, open_dataset, split_names

if TYPE_CHECKING:
    import pandas as pd

    from aubench.core.protocol import Protocol
    from aubench.papers.exhibits import Exhibit
    from aubench.papers.row_specs import ReproductionConfig, ResolvedRow
    from aubench.runs.config import StoreRef

COLUMNS = (
    *("exhibit", "row", "method", "modalities", "dataset", "condition", "metric"),
    *("reported", "measured", "low", "high", "runs", "reason"),
)


@dataclass(frozen=True)
class ReproductionResults:
    """Reproduced tables and figures.

    Attributes:
        paths: Files of tables and figures.
        exhibits: Exhibits with their rows.
        config: Protocol, preset and seeds.
    """

    paths: tuple[Path, ...]
    exhibits: tuple[tuple[Exhibit, Sequence[ResolvedRow]], ...]
    config: ReproductionConfig

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per row of a table and per point of a figure.

        Returns:
            Columns ``exhibit``, ``row`` (label as printed), ``method`` (empty if it is not implemented),
            ``modalities``, ``dataset``, ``condition``, ``metric`` (``f1`` and ``acc`` in %, or ``gflops``), mean
            ``reported`` and ``measured``, ``low`` and ``high`` (95 % interval of a measured F1), ``runs`` (ids) and
            ``reason`` (why nothing was measured).
        """
        import pandas as pd

        numbers = [row for exhibit, rows in self.exhibits for row in exhibit.numbers(rows, self.config)]
        return pd.DataFrame(numbers, columns=list(COLUMNS))


def list_exhibits(
    *,
    protocol: str = "synth_3fold",
    seeds: int | Sequence[int] = 0,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    runs: str | Path = "runs",
    root: str | Path = "leaderboard",
    store: str | Path | None = None,
) -> pd.DataFrame:
    """List the tables and figures of papers, without training anything.

    Args:
        protocol: Name of a protocol, or a ``.toml`` file.
        seeds: Seeds, one run each.
        preset: Name of the recipe preset; the protocol's if None.
        overrides: Recipe values of every run that differ from the preset.
        runs: Folder of all runs.
        root: Folder of the leaderboard, with the reported tables.
        store: Folder of the data set's store; the default one if None.

    Returns:
        Columns ``name``, ``content``, ``methods``, ``runs`` (number needed), ``local`` (number finished in ``runs``)
        and ``on the leaderboard`` (number of others on the leaderboard); the last row sums distinct runs.

    Raises:
        AubenchError: An argument is invalid.
    """
    from aubench.core import registry
    from aubench.papers import exhibits, reproduction

    known, requested = exhibits.find_exhibits(Path(root)), registry.find_protocol(protocol)
    store_ref, _ = _store(requested.dataset, store, create=False)
    config = _config(requested, seeds, preset, overrides, runs, Path(root), store_ref)
    titles = {name: exhibit.title for name, exhibit in known.items()}
    return reproduction.exhibit_table(titles, exhibits.resolve_all(known, config))


def reproduce(
    names: Names = "all",
    *,
    protocol: str = "synth_3fold",
    seeds: int | Sequence[int] = 0,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    form: str = "markdown",
    out: str | Path | None = None,
    runs: str | Path = "runs",
    root: str | Path = "leaderboard",
    store: str | Path | None = None,
    device: str = "auto",
    track: bool = False,
) -> ReproductionResults:
    """Reproduce tables and figures of papers, as ``aubench reproduce`` does.

    Missing runs are trained first; runs in ``runs`` and on the leaderboard are reused. Tables and figures are written
    to ``out``.

    Args:
        names: Names of tables and figures, or ``all``.
        protocol: Name of a protocol, or a ``.toml`` file.
        seeds: Seeds, one run each.
        preset: Name of the recipe preset; the protocol's if None.
        overrides: Recipe values of every run that differ from the preset.
        form: Format of the tables: ``markdown``, ``latex`` or ``csv``.
        out: Folder of tables and figures; ``reproduced/<protocol>`` if None.
        runs: Folder of all runs.
        root: Folder of the leaderboard, with the reported tables.
        store: Folder of the data set's store; the default one if None.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        track: Whether to send new runs to MLflow.

    Raises:
        AubenchError: An argument is invalid or a fold failed.
    """
    from aubench.core import registry
    from aubench.leaderboard.robustness_tables import FORMATS
    from aubench.papers import exhibits
    from aubench.papers.reproduction import PendingRuns
    from aubench.runs import devices, scheduler

    form = check_form(form, FORMATS)
    selected = exhibits.find_exhibits(Path(root), None if names == "all" else split_names(names))
    requested = registry.find_protocol(protocol)
    store_ref, frames = _store(requested.dataset, store, create=True)
    config = _config(requested, seeds, preset, overrides, runs, Path(root), store_ref)
    rows = exhibits.resolve_all(selected, config)
    choice = devices.choose(device)
    pending = PendingRuns(rows, requested.name, choice, [Path(runs), Path(root)], frames)
    if pending:
        scheduler.preload_workers()
    for line in pending.summary_lines():
        print_line(line)
    folder, paths = Path("reproduced", requested.name) if out is None else Path(out), []
    for name, exhibit in selected.items():
        pending.run(
            name,
            lambda configs, folds: execution.train(configs, folds, choice, track),
            lambda configs, conditions: execution.evaluate(configs, conditions, choice, track),
        )
        paths += exhibit.write(rows[name], config, folder, form, print_line)
    return ReproductionResults(tuple(paths), tuple((selected[name], rows[name]) for name in selected), config)


def _config(
    protocol: Protocol,
    seeds: int | Sequence[int],
    preset: str | None,
    overrides: Mapping[str, Any] | None,
    runs: str | Path,
    root: Path,
    store: StoreRef,
) -> ReproductionConfig:
    from aubench.leaderboard.records import RECORDS, VARIANTS
    from aubench.papers.row_specs import ReproductionConfig

    return ReproductionConfig(
        protocol=protocol,
        preset=preset or protocol.preset,
        overrides=dict(overrides or {}),
        seeds=tuple(check_seeds(seeds)),
        store=store,
        runs=Path(runs),
        records=tuple(board / RECORDS for board in (root, root / VARIANTS)),
    )


def _store(dataset: str, path: str | Path | None, *, create: bool) -> tuple[StoreRef, int]:
    """Return the store and its number of frames; a reference without digest if there is none and none is created."""
    from aubench.data.store import default_root
    from aubench.runs.config import StoreRef

    folder = default_root() / dataset if path is None else Path(path)
    if not create and not (folder / "store.json").exists():
        return StoreRef(folder, dataset, "", ""), 0
    store = open_dataset(dataset, path)
    return StoreRef.from_store(store), len(store.frames)
