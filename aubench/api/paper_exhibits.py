"""Function that reproduces tables and figures of papers, and its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench._util.progress import print_line
from aubench.api import execution
from aubench.api.dataframe_view import DataFrameView
from aubench.api.formats import check_form
from aubench.api.planning import (
    AnyPath,
    Names,
    Seeds,
    Stores,
    check_overrides,
    check_seeds,
    open_data,
    split_names,
    writable_runs,
)
from aubench.core.user_paths import user_path

if TYPE_CHECKING:
    import pandas as pd

    from aubench.core.protocol import Protocol
    from aubench.papers.exhibits import Exhibit
    from aubench.papers.row_specs import ReproductionConfig, ResolvedRow
    from aubench.runs.store_ref import StoreRef

COLUMNS = (
    *("exhibit", "row", "method", "modalities", "dataset", "condition", "metric"),
    *("reported", "measured", "low", "high", "runs", "reason"),
)


@dataclass(frozen=True, repr=False)
class ReproductionResults(DataFrameView):
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
            ``modalities``, ``dataset``, ``condition``, ``metric`` (``f1`` and ``acc`` in %, ``gflops`` or ``gmacs``),
            mean ``reported`` and ``measured``, ``low`` and ``high`` (95 % interval of a measured F1), ``runs`` (ids)
            and ``reason`` (why nothing was measured).
        """
        import pandas as pd

        numbers = [row for exhibit, rows in self.exhibits for row in exhibit.numbers(rows, self.config)]
        return pd.DataFrame(numbers, columns=list(COLUMNS))


def list_exhibits(
    *,
    protocol: str = "synth_3fold",
    seeds: Seeds = 0,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    runs: AnyPath = "runs",
    root: AnyPath = "leaderboard",
    store: Stores = None,
) -> pd.DataFrame:
    """List the tables and figures of papers, without training anything.

    Args:
        protocol: As in :func:`reproduce`, like the other arguments.
        seeds: Seeds of each run.
        preset: Recipe preset.
        overrides: Recipe values.
        runs: Folder of all runs.
        root: Folder of the leaderboard.
        store: Store of the data set. Of several data sets, one each, as DIR or NAME=DIR.

    Returns:
        Columns ``name``, ``content``, ``methods``, ``runs`` (number needed), ``local`` (number finished in ``runs``)
        and ``on the leaderboard`` (number of others on the leaderboard); the last row sums distinct runs.

    Raises:
        AubenchError: An argument is invalid.
    """
    from aubench.core import registry
    from aubench.data.store_files import is_store
    from aubench.datasets.catalog import find_stores
    from aubench.papers import exhibits, reproduction
    from aubench.runs.store_ref import StoreRef

    known, requested = exhibits.find_exhibits(user_path(root)), registry.find_protocol(protocol)
    folders = list(find_stores(requested.datasets, store).values())
    reference = StoreRef(folders[0], requested.data_name, "", "")
    if all(map(is_store, folders)):
        reference = StoreRef.from_store(open_data(requested, store))
    config = _config(requested, reference, seeds, preset, overrides, runs, root)
    titles = {name: exhibit.title for name, exhibit in known.items()}
    return reproduction.exhibit_table(titles, exhibits.resolve_all(known, config))


def reproduce(
    names: Names = "all",
    *,
    protocol: str = "synth_3fold",
    seeds: Seeds = 0,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    form: str = "markdown",
    out: AnyPath | None = None,
    runs: AnyPath = "runs",
    root: AnyPath = "leaderboard",
    store: Stores = None,
    device: str = "auto",
    runs_per_device: int = 1,
    engine: str = "local",
    slurm: str | None = None,
    address: str | None = None,
    gpus_per_fold: float | None = None,
    track: bool = False,
) -> ReproductionResults:
    """Reproduce tables and figures of papers.

    Trains the missing runs, then writes measured beside reported numbers.

    Args:
        names: Tables and figures, or ``all``.
        protocol: Name of a protocol, or a ``.toml`` file.
        seeds: One seed, or several separated by commas.
        preset: Recipe preset [default: the protocol's].
        overrides: Recipe values of every run that differ from the preset.
        form: Tables: ``markdown`` (``md``), ``latex`` or ``csv``.
        out: Folder of the files [default: reproduced/<protocol>].
        runs: Folder of all runs.
        root: Folder of the leaderboard.
        store: Store of the data set. Of several data sets, one each, as DIR or NAME=DIR.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        runs_per_device: Folds that run at the same time on each GPU.
        engine: Engine that runs the folds: ``local``, ``slurm`` or ``ray``.
        slurm: Options of Slurm jobs, e.g. ``partition=gpu,time=4h``.
        address: Address of the Ray cluster [default: RAY_ADDRESS, or the one of this machine].
        gpus_per_fold: GPUs of each fold on Ray, e.g. 0.5 [default: 1].
        track: Send new results to MLflow.

    Returns:
        Files, and the rows of each table and figure.

    Raises:
        AubenchError: An argument is invalid or a fold failed.
    """
    from aubench._util.output_paths import check_output_folder
    from aubench.core import registry
    from aubench.engines.choice import choose_engine
    from aubench.leaderboard.render import FORMATS
    from aubench.papers import exhibits
    from aubench.papers.reproduction import PendingRuns
    from aubench.runs.fold_process import preload_workers
    from aubench.runs.store_ref import StoreRef

    form = check_form(form, FORMATS)
    words = split_names(names)
    selected = exhibits.find_exhibits(user_path(root), None if words == ["all"] else words)
    requested = registry.find_protocol(protocol)
    folder = Path("reproduced", requested.name) if out is None else user_path(out)
    check_output_folder(folder)
    opened = open_data(requested, store)
    config = _config(requested, StoreRef.from_store(opened), seeds, preset, overrides, runs, root)
    rows = exhibits.resolve_all(selected, config)
    choice = choose_engine(engine, device, runs_per_device, slurm=slurm, address=address, gpus_per_fold=gpus_per_fold)
    pending = PendingRuns(rows, requested.name, choice, [user_path(runs), user_path(root)], len(opened.frames))
    if pending:
        writable_runs(runs)
        preload_workers(engine)
    for line in pending.summary_lines():
        print_line(line)
    paths: list[Path] = []
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
    store: StoreRef,
    seeds: Seeds,
    preset: str | None,
    overrides: Mapping[str, Any] | None,
    runs: AnyPath,
    root: AnyPath,
) -> ReproductionConfig:
    from aubench.leaderboard.records import RECORDS, VARIANTS
    from aubench.papers.row_specs import ReproductionConfig
    from aubench.runs.run_options import RunOptions

    options = RunOptions(preset or protocol.preset, check_overrides(overrides), runs=user_path(runs))
    records = tuple(user_path(root).joinpath(*folder) for folder in ((RECORDS,), (VARIANTS, RECORDS)))
    return ReproductionConfig(protocol, options, tuple(check_seeds(seeds)), store, records)
