"""A store that was exported and read back, and predictions that were exported and scored, give the counts of a run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from factories.protocols import two_folds

import aubench as package
from aubench.core.protocol import Protocol
from aubench.core.protocol_file import load
from aubench.data.store import Store
from aubench.datasets.table.store_export import export_store
from aubench.datasets.table.table_dataset import TABLE, TableOptions
from aubench.results.record_info import SELECTIONS
from aubench.runs import runner
from aubench.runs.config import RunConfig
from aubench.runs.devices import DeviceChoice
from aubench.runs.fold import run_fold
from aubench.runs.run_options import RunOptions
from aubench.runs.store_ref import StoreRef
from tests.factories.synth import generate, short

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_worker")]

RECIPE = {"image_size": 32, "crop": 28, "frames_per_epoch": 32, "epochs": 2, "validation_stride": 2}
TABLES = ("counts.csv", "histograms.csv", "epochs.csv")


@pytest.fixture(scope="module")
def synth(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Four subjects of synth."""
    path = tmp_path_factory.mktemp("synth") / "store"
    generate(path, short(subjects=4, sequences=1, frames=16, size=32), lambda done, total: None)
    return Store(path)


@pytest.fixture(scope="module")
def protocol(synth: Store) -> Protocol:
    """A protocol of two folds on synth."""
    subjects = sorted(synth.frames["subject"].unique())
    path = synth.path.parent / "two.toml"
    path.write_text(two_folds("two", "synth", subjects[:2], subjects[2:]))
    return load(path)


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that trains late fusion in this process, and returns the folder of the run."""

    def run_here(jobs, choice, report) -> None:
        for job in jobs:
            run_fold(job.config, job.fold, "cpu", 0, lambda event, job=job: report(job, event))

    def run(protocol: Protocol, store: Store, selection: str = "inner_val") -> Path:
        options = RunOptions("tiny", RECIPE, selection, runs=tmp_path / "runs")
        config = RunConfig.create("late_fusion", protocol, StoreRef.from_store(store), options)
        runner.run_folds([config], [1, 2], DeviceChoice("cpu", 1, "some"), lambda *_: None)
        return config.run_dir

    monkeypatch.setattr(runner, "run_jobs", run_here)
    return run


def test_a_run_on_an_exported_store_has_the_counts_of_the_original(synth, protocol, train, tmp_path) -> None:
    manifest = export_store(synth, tmp_path / "export", lambda done, total: None)
    options = TableOptions(name="mylab", size=32, crop=False)
    TABLE.prepare(manifest, tmp_path / "copy", options, lambda done, total: None)
    copy = Store(tmp_path / "copy")
    assert copy.info.arrays == synth.info.arrays
    # Random draws depend on the protocol, whose digest names the data set: these are the draws of the original.
    of_copy = Protocol.model_validate(protocol.model_dump() | {"dataset": "mylab", "narrowed_from": protocol.seed})
    original, again = train(protocol, synth), train(of_copy, copy)
    assert original != again
    for name in TABLES:
        assert (again / "record" / name).read_bytes() == (original / "record" / name).read_bytes(), name


@pytest.mark.parametrize(
    ("selection", "modalities"),
    [*((rule, ("visual", "depth")) for rule in SELECTIONS), ("inner_val", ("visual",)), ("last", ("depth",))],
)
def test_exported_predictions_have_the_counts_of_their_run(
    synth, protocol, train, tmp_path, selection: str, modalities: tuple[str, ...]
) -> None:
    run = train(protocol.narrowed(modalities), synth, selection)
    for fold in (1, 2):
        (tmp_path / "given" / f"fold{fold}").mkdir(parents=True)
        shutil.copy(run / f"fold{fold}/predictions.parquet", tmp_path / "given" / f"fold{fold}")
    path = synth.path.parent / "two.toml"
    scored = package.score(
        tmp_path / "given", str(path), "copy", modalities=list(modalities), store=synth.path, out=tmp_path / "scored"
    )
    for name in TABLES[:2]:
        assert (scored.stored_records[0].folder / name).read_bytes() == (run / "record" / name).read_bytes(), name
    assert scored.records[0].info.protocol.digest == protocol.narrowed(modalities).digest
