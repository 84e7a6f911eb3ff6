"""Loading of finished runs, and refusal of changed ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import Field

from aubench.core.errors import AubenchError, UsageError
from aubench.data.splits import ProtocolDataset
from aubench.data.store import Store
from aubench.evaluation import inference
from aubench.evaluation.predictor import Predictor
from aubench.runs import fold as fold_module
from aubench.runs import loading, run_file
from aubench.runs.config import RunConfig

METHOD = str(Path(__file__).parents[1] / "factories" / "clip_autoencoder.py")
SMALL = {"image_size": 32, "crop": 28, "frames_per_epoch": 64, "epochs": 1, "pretrain_epochs": 1}


@pytest.fixture(scope="module")
def config(decide, tmp_path_factory) -> RunConfig:
    """Run with a finished first fold."""
    config = decide(tmp_path_factory.mktemp("runs"), METHOD, modalities=["depth"], selection="last", **SMALL)
    run_file.write(config, {})
    fold_module.run_fold(config, 1, "cpu", 0, lambda event: None)
    return config


def test_the_configuration_is_loaded_from_the_folder(config, small_store):
    loaded = loading.load_run(config.run_dir, small_store)
    assert (loaded.run_id, loaded.run_dir.resolve()) == (config.run_id, config.run_dir.resolve())
    assert run_file.to_dict(loaded) == run_file.to_dict(config)


def test_the_folder_may_have_several_names(config, small_store, tmp_path):
    (tmp_path / "latest").symlink_to(config.run_dir)
    for name in (tmp_path / "latest", config.run_dir / ".." / config.run_id):
        assert loading.load_run(name, small_store).run_dir.resolve() == config.run_dir.resolve()


def test_a_folder_in_another_place_is_refused(config, small_store, tmp_path):
    copy = shutil.copytree(config.run_dir, tmp_path / "copy")
    place = f"RUNS/synth_3fold/clip_autoencoder/{config.run_id}"
    with pytest.raises(UsageError, match=f"was moved or copied from {place}; give the folder in this place"):
        loading.load_run(copy, small_store)


def test_the_method_predicts_what_the_run_predicted(config, small_store):
    loaded = loading.load_run(config.run_dir, small_store)
    data = ProtocolDataset(Store(small_store), loaded.protocol)
    rows = data.split(1, validation=False).test
    again = inference.predict_probabilities(Predictor(loading.load_method(loaded, 1)), data, rows, torch.device("cpu"))
    stored = pd.read_parquet(config.fold_dir(1) / "predictions.parquet").filter(like="p_AU").to_numpy()
    assert np.array_equal(again, stored)


def test_an_unfinished_fold_has_no_method(config):
    with pytest.raises(AubenchError, match="fold 2 is not finished"):
        loading.load_method(config, 2)


@pytest.fixture
def copy(config, tmp_path) -> Path:
    """Copy of the run's folder that a test may damage."""
    return Path(shutil.copytree(config.run_dir, tmp_path / "runs" / "synth_3fold" / "clip_autoencoder" / config.run_id))


def test_changed_weights_are_refused(copy, small_store):
    weights = copy / "fold1" / "checkpoint.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    hint = "delete its folder fold1 and repeat the command that"
    with pytest.raises(AubenchError, match=f"is not what the fold was scored with; {hint}"):
        loading.load_method(loading.load_run(copy, small_store), 1)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seed", 6, "run id does not match the configuration"),
        ("recipe", None, r"has the format of another version \(AttributeError\)"),
        ("asked", {}, "has the format of another version"),
        ("store", {}, r"has the format of another version \(KeyError\)"),
        ("files", ["a"], r"has the format of another version \(ValueError\)"),
        ("store", {"digest": "0"}, "is not the store that the run read"),
    ],
)
def test_a_changed_header_is_refused(copy, small_store, key, value, message):
    header = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(header | {key: value}))
    with pytest.raises(AubenchError, match=message):
        loading.load_run(copy, small_store)


def test_a_header_without_an_id_or_with_another_method_is_refused(copy, small_store):
    header = json.loads((copy / "run.json").read_text())
    without = {key: value for key, value in header.items() if key != "run_id"}
    for damaged in (without, header | {"asked": header["asked"] | {"method": 5}}):
        (copy / "run.json").write_text(json.dumps(damaged))
        with pytest.raises(UsageError, match="has the format of another version"):
            loading.load_run(copy, small_store)


def test_a_recipe_that_the_method_no_longer_accepts_is_one_line(config, small_store, monkeypatch):
    class Stricter(config.entry.method_class.Recipe):
        epochs: int = Field(9, ge=9)

    monkeypatch.setattr(config.entry.method_class, "Recipe", Stricter)
    monkeypatch.setattr("aubench.runs.config.find_method", lambda name: config.entry)
    reason = "clip_autoencoder no longer accepts the recipe (recipe key 'epochs': must be at least 9 (got 1))"
    with pytest.raises(UsageError) as raised:
        loading.load_run(config.run_dir, small_store)
    assert str(raised.value) == f"{config.run_dir / 'run.json'}: {reason}; repeat the run"
    monkeypatch.setattr(loading, "_why_unfinished", lambda folder: "")
    assert loading.load_finished_runs([config.run_dir], small_store).skipped == ((config.run_dir, reason),)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(AubenchError, match="is not the folder of a run"):
        loading.load_run(tmp_path)
