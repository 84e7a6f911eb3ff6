"""A finished run opened again is the run that it was, or is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from aubench.core.errors import AubenchError
from aubench.data.splits import Labelled
from aubench.data.store import Store
from aubench.evaluation import inference
from aubench.evaluation.predictor import Sealed
from aubench.runs import fold as fold_module
from aubench.runs import loading
from aubench.runs.config import Plan

METHOD = str(Path(__file__).parent / "clip_autoencoder.py")
SMALL = {"image_size": 32, "crop": 28, "frames_per_epoch": 200, "epochs": 1, "pretrain_epochs": 1}


@pytest.fixture(scope="module")
def plan(decide, tmp_path_factory) -> Plan:
    """The first fold of a run, done."""
    plan = decide(tmp_path_factory.mktemp("runs"), METHOD, modalities=["depth"], selection="last", **SMALL)
    plan.open_folder({})
    fold_module.run_fold(plan, 1, "cpu", 0, lambda event: None)
    return plan


def test_the_plan_is_found_in_the_folder(plan, small_store):
    found = loading.open_plan(plan.folder, small_store)
    assert (found.run_id, found.folder.resolve()) == (plan.run_id, plan.folder.resolve())
    assert found.describe() == plan.describe()


def test_the_method_predicts_what_the_run_predicted(plan, small_store):
    found = loading.open_plan(plan.folder, small_store)
    data = Labelled(Store(small_store), found.protocol)
    rows = data.roles(1, validation=False).test
    again = inference.probabilities(Sealed(loading.method_of(found, 1)), data, rows, torch.device("cpu"))
    kept = pd.read_parquet(plan.fold_folder(1) / "predictions.parquet").filter(like="p_AU").to_numpy()
    assert np.array_equal(again, kept)


def test_an_unfinished_fold_has_no_method(plan):
    with pytest.raises(AubenchError, match="fold 2 is not finished"):
        loading.method_of(plan, 2)


@pytest.fixture
def copy(plan, tmp_path) -> Path:
    """The run's folder, free to be damaged."""
    return Path(shutil.copytree(plan.folder, tmp_path / "runs" / "synth_3fold" / "clip_autoencoder" / plan.run_id))


def test_changed_weights_are_refused(copy, small_store):
    weights = copy / "fold1" / "checkpoint.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(AubenchError, match="is not what the fold was scored with"):
        loading.method_of(loading.open_plan(copy, small_store), 1)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("seed", 6, "has another id"),
        ("recipe", None, "has another id"),
        ("asked", {}, "is not what this version writes"),
        ("store", {"digest": "0"}, "is not the store that the run read"),
    ],
)
def test_a_changed_header_is_refused(copy, small_store, key, value, told):
    header = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(header | {key: value}))
    with pytest.raises(AubenchError, match=told):
        loading.open_plan(copy, small_store)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(AubenchError, match="is not the folder of a run"):
        loading.open_plan(tmp_path)
