"""Runs that start from finished runs on another data set, and pre-training on another store."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from factories.protocols import two_folds
from factories.stores import write_store

from aubench.core.errors import CheckpointError, UsageError
from aubench.core.protocol import Protocol
from aubench.core.protocol_file import load
from aubench.core.registry import find_protocol
from aubench.data.store import Store
from aubench.datasets.person_names import comparable
from aubench.leaderboard import verify
from aubench.leaderboard.records import StoredRecord
from aubench.results import record, run_id
from aubench.runs import environment, loading, pretraining, run_file, source_runs
from aubench.runs import fold as fold_module
from aubench.runs.config import RunConfig
from aubench.runs.record_builder import write_record
from aubench.runs.run_options import RunOptions
from aubench.runs.source_runs import SourceRun
from aubench.runs.store_ref import StoreRef
from aubench.training import checkpoint

METHOD = str(Path(__file__).parents[1] / "factories" / "clip_autoencoder.py")
SUBJECTS = ["F001", "F002", "F003"], ["F004", "F005", "F006"]
SMALL = {"image_size": 32, "crop": 28, "epochs": 1, "pretrain_epochs": 1, "batch_size": 4, "clip": 4}


def protocol(path: Path, name: str, aus: str = "[6, 12]", start: str = "", subjects=SUBJECTS) -> Protocol:
    text = two_folds(name, name, *subjects, modalities=["visual"], candidates=2).replace("[6, 12]", aus)
    file = path / f"{name}.toml"
    file.write_text(text.replace("modalities =", f"{start}\nmodalities =", 1))
    return load(file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A finished run on ``one``, and stores of ``one``, ``two`` and ``video``."""
    path = tmp_path_factory.mktemp("sources")
    names = [*SUBJECTS[0], *SUBJECTS[1]]
    one = write_store(path / "one", "one", names)
    write_store(path / "two", "two", names, aus=(1, 6, 12), seed=1)
    write_store(path / "video", "video", ["anna", "ben"], aus=(), seed=2)
    finish(config(path, protocol(path, "one"), one))
    return path


def config(path: Path, on: Protocol, store: Store, *, seed: int = 3, **options) -> RunConfig:
    options = {"preset": "tiny", "overrides": SMALL, "selection": "last", "runs": path / "runs", **options}
    return RunConfig.create(METHOD, on, StoreRef.from_store(store), RunOptions(**options), seed)


def finish(run: RunConfig) -> record.Record:
    cpu = {"kind": "cpu", "name": "some"}
    run_file.write(run, {"started": "2026-01-01T00:00:00Z", "device": cpu, "packages": {}, "git": environment.git()})
    for fold in run.protocol.fold_numbers():
        fold_module.run_fold(run, fold, "cpu", 0, lambda event: None)
    return write_record(run)


def source(folder: Path) -> Path:
    return config(folder, protocol(folder, "one"), Store(folder / "one")).run_dir


def start(folder: Path, *sources: Path, **changes) -> RunConfig:
    on = protocol(folder, "two", "[1, 6, 12]", 'starts_from = ["one"]')
    return config(folder, on, Store(folder / "two"), from_runs=sources, **changes)


@pytest.mark.slow
def test_a_run_starts_from_the_checkpoint_of_its_fold_and_its_record_names_it(folder):
    run = start(folder, source(folder))
    done = finish(run)
    entry = next(item for item in done.info.pretraining if item.run and item.fold == 2)
    other = record.read(source(folder) / "record").info
    assert (entry.run, entry.weights, entry.datasets) == (other.run, other.folds[1].checkpoint, ("one",))
    assert set(entry.subjects) == {f"one:{name}" for name in SUBJECTS[1]}
    assert any(item.source.startswith("clip_autoencoder ") and item.fold == 2 for item in done.info.pretraining)
    assert set(done.epochs["stage"]) == {"train"}, "pre-training is that of the source"
    assert run_id.id_of_record(done.info) == run.run_id != start(folder, source(folder), seed=4).run_id

    first = loading.load_pretrained_method(run, 1).state_dict()
    trained = source_runs.SourceRun.read(source(folder)).read_weights(1)
    initial = run.build_initial_method(1).state_dict()
    assert torch.equal(first["squeeze.weight"], trained["squeeze.weight"])
    assert torch.equal(first["head.weight"], initial["head.weight"]), "the head of other AUs stays"
    stored = StoredRecord(run.run_dir / "record", done)
    assert [*verify.check_record(stored), *verify.check_protocol(stored, lambda name: run.protocol)] == []
    assert loading.load_run(run.run_dir, [folder / "two"]).run_id == run.run_id


@pytest.mark.slow
def test_a_record_without_its_source_is_named(folder):
    done = finish(start(folder, source(folder)))
    info = done.info.model_copy(update={"pretraining": done.info.pretraining[:-1]})
    stored = StoredRecord(folder, record.Record(info, done.counts, done.histograms, done.epochs))
    (finding,) = verify.check_protocol(
        stored, lambda name: protocol(folder, "two", "[1, 6, 12]", 'starts_from = ["one"]')
    )
    assert "starts fold 2 from a run on one" in finding.what
    item = done.info.pretraining[-1].model_copy(update={"subjects": ("F001",)})
    info = done.info.model_copy(update={"pretraining": (*done.info.pretraining[:-1], item)})
    stored = StoredRecord(folder, record.Record(info, done.counts, done.histograms, done.epochs))
    (finding,) = verify.check_protocol(stored, lambda name: start(folder, source(folder)).protocol)
    assert "fold 2 tests F001, whom its weights saw" in finding.what


@pytest.mark.slow
def test_runs_that_do_not_fit_are_refused(folder, tmp_path):
    good = source(folder)
    on = protocol(tmp_path, "two", "[6, 12]")
    with pytest.raises(UsageError, match="two does not start from other runs"):
        config(folder, on, Store(folder / "two"), from_runs=(good,))
    with pytest.raises(UsageError, match="starts from a run of clip_autoencoder on one, and there is none for seed 3"):
        start(folder)
    with pytest.raises(UsageError, match="there are 2 for seed 3"):
        start(folder, good, good)
    with pytest.raises(UsageError, match="has no record of a finished run"):
        start(folder, tmp_path)
    with pytest.raises(UsageError, match="has the preset 'tiny', not 'small'"):
        start(folder, good, preset="small")
    on = protocol(tmp_path, "two", "[6, 12]", 'starts_from = ["bp4d"]')
    with pytest.raises(UsageError, match="was trained on one, but two starts from a run of clip_autoencoder on bp4d"):
        config(folder, on, Store(folder / "two"), from_runs=(good,))
    on = protocol(tmp_path, "one", "[6, 12]", 'starts_from = ["one"]', SUBJECTS[::-1])
    with pytest.raises(UsageError, match=r"has seen one:F001, who is F001 of the test or validation role of fold 1"):
        config(folder, on, Store(folder / "one"), from_runs=(good,))


@pytest.mark.slow
def test_a_source_that_was_pretrained_on_data_of_the_protocol_is_refused(folder, tmp_path):
    """The record of the source names no people of another data set than its own."""
    store = StoreRef.from_store(Store(folder / "two"))
    run = config(folder, protocol(folder, "one"), Store(folder / "one"), pretraining_store=store)
    finish(run)
    assert SourceRun.read(run.run_dir).unnamed_data(1) == ["two"]
    with pytest.raises(UsageError, match="was pre-trained on two, and its record does not name the people"):
        start(folder, run.run_dir)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Protocol, "shares_people", lambda self, dataset: False)
        forged = start(folder, run.run_dir, runs=tmp_path / "runs")
        done = finish(forged)
    stored = StoredRecord(forged.run_dir / "record", done)
    findings = [finding.what for finding in verify.check_protocol(stored, lambda name: forged.protocol)]
    assert findings == [f"pretraining: fold {fold} starts from weights of people of two" for fold in (1, 2)]


def test_a_protocol_shares_the_people_of_its_data_sets():
    disfa = find_protocol("disfa_3fold")
    assert disfa.shares_people("disfa") and disfa.shares_people("disfaplus") and not disfa.shares_people("bp4d")


def test_a_changed_checkpoint_or_recipe_is_refused(folder, tmp_path):
    run = start(folder, source(folder))
    with pytest.raises(CheckpointError, match="has weights of another recipe"):
        method = run.build_initial_method(1)
        read = SourceRun.read_weights
        changed = dict(read(run.start, 1), more=torch.zeros(1))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SourceRun, "read_weights", lambda self, fold: changed)
            source_runs.load_weights(method, run.start, 1, run.recipe_model)
    moved = SourceRun(run.start.folder, run.start.run, ("0" * 64, "0" * 64))
    with pytest.raises(CheckpointError, match="is not what the fold was scored with"):
        moved.read_weights(1)


def test_a_checkpoint_that_cannot_be_read_is_named(folder, tmp_path, monkeypatch):
    shutil.copytree(source(folder), tmp_path / "run")
    run = SourceRun.read(tmp_path / "run")
    assert run.info.folds
    monkeypatch.setattr("aubench.core.hashing.hash_file", Mock(side_effect=OSError(5, "Input/output error")))
    with pytest.raises(CheckpointError, match=r"cannot be read \(Input/output error\)"):
        run.read_weights(1)
    (tmp_path / "run" / "fold1" / "checkpoint.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"is missing or cannot be read \(No such file or directory\)"):
        run.read_weights(1)


@pytest.mark.slow
def test_a_source_that_was_trained_again_is_refused(folder):
    run = start(folder, source(folder), seed=5)
    run_file.write(run, {"started": "2026-01-01T00:00:00Z"})
    again = replace(run, start=SourceRun(run.start.folder, run.start.run, ("0" * 64, *run.start.checkpoints[1:])))
    assert again.run_id == run.run_id
    with pytest.raises(UsageError, match="was trained again after this run started from it; delete this run's folder"):
        run_file.write(again, {"started": "2026-01-01T00:00:00Z"})
    run_file.write(run, {"started": "2026-01-01T00:00:00Z"})


def test_people_of_disfa_plus_are_those_of_disfa():
    disfa = find_protocol("disfa_3fold_from_bp4d")
    assert disfa.starts_from == ("bp4d",) and disfa.digest != find_protocol("disfa_3fold").digest
    assert disfa.qualified_person("SN001") == disfa.qualified_person("disfaplus:SN001") == "disfa:SN001"
    assert disfa.qualified_person("bp4d:F001") == "bp4d:F001"


@pytest.mark.slow
def test_pretraining_reads_the_store_that_is_named_and_no_other(folder):
    video = StoreRef.from_store(Store(folder / "video"))
    on = protocol(folder, "one")
    run = config(folder, on, Store(folder / "one"), pretraining_store=video)
    done = finish(run)
    ledger = [item for item in done.info.pretraining if item.stage == "pretrain"]
    assert [(item.datasets, item.store, item.subjects) for item in ledger] == [(("video",), video.digest, ())] * 2
    assert ledger[0].frames and run_id.id_of_record(done.info) == run.run_id
    own = config(folder, on, Store(folder / "one"))
    rows = [StoredRecord(folder, done), StoredRecord(folder, record.read(own.run_dir / "record"))]
    assert verify.row_key(rows[0]) != verify.row_key(rows[1])
    assert loading.load_run(run.run_dir, [folder / "one"]).run_id == run.run_id != own.run_id
    weights = loading.load_pretrained_method(run, 1).state_dict()["squeeze.weight"]
    assert not torch.equal(weights, loading.load_pretrained_method(own, 1).state_dict()["squeeze.weight"])


@pytest.mark.slow
def test_people_of_validation_and_test_are_not_pretrained_on(folder):
    same = StoreRef.from_store(Store(folder / "one"))
    run = config(folder, protocol(folder, "one"), Store(folder / "one"), pretraining_store=same, selection="inner_val")
    fold_module.run_fold(run, 1, "cpu", 0, lambda event: None)
    result = json.loads((run.fold_dir(1) / "result.json").read_text())
    assert result["pretraining"][0]["subjects"] == result["subjects"]["train"] and result["subjects"]["val"]


@pytest.mark.parametrize(
    ("on", "store", "left"),
    [
        ("disfa", "disfaplus", ["SN002"]),
        ("disfa", "bp4d", ["SN001", "SN002"]),
        ("mylab", "disfa", ["SN002"]),
        ("disfa", "mylab", ["SN002"]),
        ("mylab", "mylab", ["SN002"]),
    ],
)
def test_people_of_the_same_name_are_left_out_if_the_user_has_named_those_of_either(tmp_path, on, store, left):
    names = ["SN001", "SN002"]
    run = Mock(protocol=protocol(tmp_path, on, subjects=(names[:1], names[1:])))
    data = Mock(store=Mock(info=Mock(dataset=store)), subjects=np.array(names))
    assert pretraining._subjects_of_store(run, data, frozenset(names[:1])) == left


def test_spellings_of_a_name_are_compared():
    assert len({comparable(name) for name in ("P_01", "P-01", "p 01", "p_(01)", "p-1")}) == 1
    assert len({comparable(name) for name in ("P01", "p1", "P001.0")}) == 1
    assert comparable("P01") != comparable("P02") and comparable("P10") != comparable("P1")


@pytest.mark.slow
@pytest.mark.parametrize("spelling", [str, str.lower])
def test_people_of_a_store_of_videos_are_known_by_their_names(folder, tmp_path, monkeypatch, spelling):
    """A video named after a person of the test role shows that person."""
    write_store(tmp_path / "named", "video", [spelling("F001"), spelling("F004"), "anna"], aus=(), seed=2)
    named, seen = StoreRef.from_store(Store(tmp_path / "named")), set()
    run = config(folder, protocol(folder, "one"), Store(folder / "one"), pretraining_store=named)
    whole = Store.read

    def read(self, modality, frames):
        if self.path == tmp_path / "named":
            seen.update(self.frames["subject"].iloc[np.asarray(frames)])
        return whole(self, modality, frames)

    monkeypatch.setattr(Store, "read", read)
    fold_module.run_fold(run, 1, "cpu", 0, lambda event: None)
    test = set(json.loads((run.fold_dir(1) / "result.json").read_text())["subjects"]["test"])
    assert len(test & {"F001", "F004"}) == 1
    assert seen == {spelling(name) for name in {"F001", "F004"} - test} | {"anna"}


@pytest.mark.parametrize(
    ("method", "modalities", "text"),
    [
        ("resnet_visual", ["visual"], "resnet_visual does not pre-train"),
        ("mcm", ["visual", "depth"], "has no depth images"),
    ],
)
def test_stores_that_do_not_fit_are_refused(folder, tmp_path, method, modalities, text):
    from aubench.runs.pretraining import check_pretraining_store

    text_of_protocol = two_folds("three", "three", *SUBJECTS, modalities=modalities, candidates=2)
    (tmp_path / "three.toml").write_text(text_of_protocol)
    video = StoreRef.from_store(Store(folder / "video"))
    options = RunOptions("tiny", {}, runs=tmp_path, pretraining_store=video)
    run = RunConfig.create(method, load(tmp_path / "three.toml"), video, options)
    with pytest.raises(UsageError, match=text):
        check_pretraining_store(run)


def test_a_store_without_people_for_a_fold_is_refused(folder, tmp_path):
    """Pre-training without images would change no weight."""
    from aubench.runs.pretraining import check_pretraining_store

    def run(*people: str, **changes: object) -> RunConfig:
        store = StoreRef.from_store(write_store(tmp_path / "-".join(people), "video", people, aus=(), seed=2))
        options = {"pretraining_store": store, "overrides": SMALL | changes}
        return config(folder, protocol(folder, "one"), Store(folder / "one"), **options)

    with pytest.raises(UsageError, match="F001: has no people besides those of validation and test of fold 2; give"):
        check_pretraining_store(run("F001"))
    for accepted in (run("F001", "F004"), run("F001", "anna"), run("F002", everyone=True)):
        check_pretraining_store(accepted)


@pytest.mark.slow
def test_the_checkpoint_of_a_run_keeps_its_identity(folder):
    run = start(folder, source(folder))
    finish(run)
    path = run.fold_dir(1) / "checkpoint.safetensors"
    assert checkpoint.read(path, run.identity(1)).tensors["head.weight"].shape == (3, 2)
