"""Modalities beyond visual, depth and thermal: from the manifest through store, protocol, run and conditions."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from aubench.core import protocol_file
from aubench.core.conditions import subsets
from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.data.store import Store
from aubench.datasets.table.picture_files import ValueRanges, convert
from aubench.datasets.table.store_export import export_store
from aubench.datasets.table.table_dataset import TABLE, TableOptions
from aubench.plots import contact_sheet, modality_selection
from aubench.runs import condition_evaluation, environment, run_file
from aubench.runs import fold as fold_module
from aubench.runs.config import RunConfig
from aubench.runs.record_builder import write_record
from aubench.runs.run_options import RunOptions
from aubench.runs.store_ref import StoreRef

pytestmark = pytest.mark.usefixtures("one_worker")
FLOW, INFRARED = Modality("flow-2"), Modality("near_infrared-1")
NOTHING = ValueRanges(None, None)


def prepare(manifest, store, **options) -> Store:
    options = TableOptions(**{"name": "mylab", "size": 32, "crop": False, **options})
    TABLE.prepare(manifest, store, options, lambda done, total: None)
    return Store(store)


@pytest.fixture
def manifest(tree):
    rows = tree.people(6, 4)
    for i, row in enumerate(rows):
        flow = np.full((32, 32, 3), (0, 200 - i, i), np.uint8)  # blue, green, red
        cv2.imwrite(str(tree.root / f"flow{i}.png"), flow)
        row["flow-2"], row["Near_Infrared-1"] = f"flow{i}.png", tree.image(f"nir{i}.png", 50 + i, channels=1)
    rows[3]["flow-2"] = ""
    return tree.write(*rows)


@pytest.mark.slow
def test_the_manifest_declares_name_and_channels(manifest, tmp_path):
    store = prepare(manifest, tmp_path / "mylab")
    assert list(store.info.modalities) == ["visual", "flow-2", "near_infrared-1"]
    assert store.read(FLOW, [2])[0, 0, 0].tolist() == [2, 198], "red, then green"
    assert store.read(INFRARED, [2])[0, 0, 0].tolist() == [52]
    assert store.frames["missing"].tolist()[2:5] == ["", "[flow]", ""] and not store.read(FLOW, [3]).any()
    written = protocol_file.load(tmp_path / "mylab_3fold.toml")
    assert written.modalities == (Modality.VISUAL, FLOW, INFRARED)
    narrowed = written.narrowed(["visual", "flow-2"])
    assert narrowed.task(28).channels == 5 and narrowed.seed == written.digest


@pytest.mark.slow
def test_an_export_keeps_them(manifest, tmp_path):
    store = prepare(manifest, tmp_path / "mylab")
    again = prepare(export_store(store, tmp_path / "export", lambda done, total: None), tmp_path / "again")
    assert again.info.arrays == store.info.arrays and again.frames["missing"].equals(store.frames["missing"])


def test_channels_of_images_are_those_of_the_name(tree, tmp_path):
    colour = np.zeros((2, 2, 4), np.uint8) + np.array([1, 2, 3, 9], np.uint8)
    for name, expected in (("a-1", [2]), ("a-2", [3, 2]), ("a-3", [3, 2, 1])):
        assert convert(colour, Modality(name), NOTHING, tmp_path)[0, 0].tolist() == expected
    grey = np.full((2, 2), 7, np.uint8)
    assert convert(grey, Modality("a-3"), NOTHING, tmp_path)[0, 0].tolist() == [7, 7, 7]
    with pytest.raises(DataError, match="has one channel, not two"):
        convert(grey, FLOW, NOTHING, tmp_path)
    with pytest.raises(DataError, match=r"values of type uint16.*write near_infrared-1 images with 8 bits"):
        convert(grey.astype(np.uint16), INFRARED, NOTHING, tmp_path)


def test_two_modalities_of_one_name_are_refused(tree, tmp_path):
    rows = tree.people()
    for i, row in enumerate(rows):
        row["flow-2"], row["flow-3"] = tree.image(f"a{i}.png", 1), tree.image(f"b{i}.png", 2)
    with pytest.raises(DataError, match="columns flow-2 and flow-3 differ in their channels only; rename one"):
        prepare(tree.write(*rows), tmp_path / "mylab")


def test_columns_like_au_codes_are_no_modalities(tree, tmp_path):
    rows = tree.people()
    for row in rows:
        row |= {"AU-1": row.pop("AU12"), "pose-9": "0.5"}
    store = prepare(tree.write(*rows), tmp_path / "mylab")
    assert store.aus == (1,) and list(store.info.modalities) == ["visual"]


@pytest.mark.slow
def test_a_run_is_trained_and_tested_without_each_of_them(manifest, tmp_path):
    store = prepare(manifest, tmp_path / "mylab")
    on = protocol_file.load(tmp_path / "mylab_3fold.toml")
    values = {"image_size": 32, "crop": 28, "epochs": 1, "frames_per_epoch": 8, "batch_size": 4}
    options = RunOptions("tiny", values, "last", runs=tmp_path / "runs")
    run = RunConfig.create("amf", on, StoreRef.from_store(store), options)
    cpu = {"kind": "cpu", "name": "some"}
    run_file.write(run, {"started": "2026-01-01T00:00:00Z", "device": cpu, "packages": {}, "git": environment.git()})
    conditions = subsets(run.task.modalities)
    for fold in run.protocol.fold_numbers():
        fold_module.run_fold(run, fold, "cpu", 0, lambda event: None)
        condition_evaluation.evaluate_fold(run, fold, "cpu", 0, lambda event: None, conditions)
    done = write_record(run)
    assert done.info.method.modalities == (Modality.VISUAL, FLOW, INFRARED)
    assert "missing:visual+flow-2" in done.info.conditions and len(done.info.conditions) == 8
    shares = modality_selection.compute(run, [1], conditions[:1])
    assert modality_selection.plot(shares, ["words"]).axes and shares.modalities == run.task.modalities


@pytest.mark.slow
def test_the_contact_sheet_shows_them(manifest, tmp_path):
    contact_sheet.draw_store(prepare(manifest, tmp_path / "mylab"), tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 1000
