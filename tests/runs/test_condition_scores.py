"""Conditions of a finished run: evaluated once, stored with the identity of the weights, and listed in the record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from aubench.core import plugins
from aubench.core.conditions import CLEAN, Condition
from aubench.core.errors import CheckpointError
from aubench.core.plugins import PLUGINS_VARIABLE
from aubench.data.splits import ProtocolDataset
from aubench.data.store import Store
from aubench.evaluation import inference
from aubench.evaluation.corruptions import FrameNoise
from aubench.evaluation.multi_condition import MultiConditionPredictor
from aubench.evaluation.predictor import Predictor
from aubench.leaderboard import verify
from aubench.leaderboard.records import StoredRecord
from aubench.results import counts
from aubench.runs import condition_evaluation, condition_scores, environment, loading, run_file
from aubench.runs import fold as fold_module
from aubench.runs.config import RunConfig
from aubench.runs.events import ConditionsEvaluated
from aubench.runs.record_builder import write_record

SMALL = {"image_size": 32, "crop": 28, "frames_per_epoch": 64, "epochs": 2}
CONDITIONS = [Condition.parse(text) for text in ("missing:visual", "noise:all:0.5")]


@pytest.fixture
def config(decide, tmp_path) -> RunConfig:
    """The first fold of a run, done."""
    config = decide(tmp_path / "runs", "late_fusion", **SMALL)
    cpu = {"kind": "cpu", "name": "some"}
    run_file.write(config, {"started": "2026-01-01T00:00:00Z", "device": cpu, "packages": {}, "git": environment.git()})
    fold_module.run_fold(config, 1, "cpu", 0, lambda event: None)
    return config


def evaluate(config: RunConfig, *conditions: Condition) -> ConditionsEvaluated:
    events: list[ConditionsEvaluated] = []
    condition_evaluation.evaluate_fold(config, 1, "cpu", 0, events.append, conditions)
    return events[0]


def files(config: RunConfig) -> dict[str, bytes]:
    folder = config.fold_dir(1) / condition_scores.FOLDER
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.slow
def test_what_was_evaluated_is_not_evaluated_again(config):
    assert evaluate(config, *CONDITIONS).count == 2
    first = files(config)
    assert evaluate(config, *CONDITIONS).count == 0
    assert files(config) == first
    assert evaluate(config, CONDITIONS[1], Condition.parse("missing:depth")).count == 1
    scores = condition_scores.read(config, 1)
    assert scores.conditions == ("missing:visual", "noise:all:0.5", "missing:depth")
    assert set(scores.counts["condition"]) == set(scores.conditions)


@pytest.mark.slow
def test_stored_scores_are_read_once(config, monkeypatch):
    evaluate(config, CONDITIONS[0])
    reads, read = [], counts.read
    monkeypatch.setattr(counts, "read", lambda folder: reads.append(folder) or read(folder))
    for conditions, evaluated in ((CONDITIONS, 1), (CONDITIONS, 0)):
        assert evaluate(config, *conditions).count == evaluated
        assert len(reads) == 1
        reads.clear()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["counts.csv", "histograms.csv"])
def test_damaged_scores_are_evaluated_again(config, name):
    evaluate(config, *CONDITIONS)
    intact = files(config)
    path = config.fold_dir(1) / condition_scores.FOLDER / name
    path.write_bytes(intact[name][:-3])
    assert write_record(config).info.conditions == ("clean",)
    assert evaluate(config, *CONDITIONS).count == 2
    assert files(config) == intact


@pytest.mark.slow
def test_one_after_the_other_gives_the_bytes_of_both_together(config):
    evaluate(config, *CONDITIONS)
    together = files(config)
    for name in together:
        (config.fold_dir(1) / condition_scores.FOLDER / name).unlink()
    for condition in CONDITIONS:
        evaluate(config, condition)
    assert files(config) == together


@pytest.mark.slow
def test_clean_under_conditions_is_the_run_itself(config, small_store):
    data = ProtocolDataset(Store(small_store), config.protocol)
    rows = data.split(1, validation=True).test
    method = loading.load_method(config, 1)
    (clean, noisy) = condition_evaluation.predict(
        MultiConditionPredictor(method, [CLEAN, CONDITIONS[1]]), data, rows, 5, torch.device("cpu")
    )
    assert np.allclose(
        clean, inference.predict_probabilities(Predictor(method), data, rows, torch.device("cpu")), atol=1e-6
    )
    frames = FrameNoise(5, data.names(rows[:3]))
    images = {m: torch.from_numpy(data.store.read(m, rows[:3])) for m in config.task.modalities}
    assert np.allclose(noisy[:3], Predictor(method).probabilities(images, CONDITIONS[1], frames), atol=1e-6)


@pytest.mark.slow
def test_the_record_has_every_condition_and_holds_what_it_claims(config):
    assert write_record(config).info.conditions == ("clean",)
    evaluate(config, *CONDITIONS)
    record = write_record(config)
    assert record.info.conditions == ("clean", "missing:visual", "noise:all:0.5")
    assert set(record.histograms["condition"]) == set(record.info.conditions)
    assert list(verify.check_record(StoredRecord(Path("here"), record))) == []
    table = record.histograms.set_index("condition")
    assert not np.array_equal(table.loc["clean"].to_numpy(), table.loc["missing:visual"].to_numpy())


@pytest.mark.slow
def test_nothing_stale_is_reused(config):
    evaluate(config, *CONDITIONS)
    header = config.fold_dir(1) / condition_scores.FOLDER / condition_scores.HEADER
    content = json.loads(header.read_text())
    for key in ("checkpoint", "store", "run", "version"):
        header.write_text(json.dumps(content | {key: "other"}))
        assert condition_scores.read(config, 1) is None
        assert len(condition_scores.missing_conditions(config, 1, CONDITIONS)) == 2
        assert write_record(config).info.conditions == ("clean",)
    header.write_text(json.dumps(content))
    assert condition_scores.missing_conditions(config, 1, CONDITIONS) == []


@pytest.mark.slow
def test_changed_weights_are_not_evaluated(config):
    weights = config.fold_dir(1) / "checkpoint.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(CheckpointError, match="is not what the fold was scored with"):
        evaluate(config, *CONDITIONS)


@pytest.mark.slow
def test_mean_image_is_that_of_the_training_role(config, small_store):
    data = ProtocolDataset(Store(small_store), config.protocol)
    rows = data.split(1, validation=True).train[:50]
    method, device, mean = config.build_method(), torch.device("cpu"), Condition.parse("missing:visual:mean")
    assert condition_evaluation.mean_images(CONDITIONS, data, rows, method, device) is None
    means = condition_evaluation.mean_images([*CONDITIONS, mean], data, rows, method, device)
    for m, mean in means.items():
        views = data.store.read(m, rows)[:, 2:30, 2:30].transpose(0, 3, 1, 2) / 127.5 - 1
        assert np.allclose(mean.numpy(), views.mean(0), atol=1e-5)


PLUGIN = """
from aubench.core.corruption_registry import Corruption

DIM = Corruption("dim", "F1 of dim images", "share", lambda images, level, noise: images * (1 - {0} * level))
"""


@pytest.fixture
def load_plugin(tmp_path, monkeypatch) -> Callable[[float], list[Condition]]:
    """Return a function that loads the plug-in with a factor, and returns two conditions, of which one is its own."""
    plugin = tmp_path / "dim.py"
    monkeypatch.setenv(PLUGINS_VARIABLE, str(plugin))

    def load(factor: float) -> list[Condition]:
        plugin.write_text(PLUGIN.format(factor))
        plugins._load_once.cache_clear()
        return [Condition.parse(text) for text in ("noise:all:0.5", "dim:all:0.5")]

    return load


@pytest.mark.slow
def test_scores_under_an_edited_corruption_are_not_reused(config, load_plugin, monkeypatch):
    digests = []
    for factor, new in ((0.5, 2), (0.5, 0), (0.7, 1)):
        conditions = load_plugin(factor)
        assert evaluate(config, *conditions).count == new
        info = write_record(config).info
        assert set(info.conditions) == {"clean", "noise:all:0.5", "dim:all:0.5"} and set(info.corruptions) == {"dim"}
        digests.append(info.corruptions["dim"])
    assert digests[0] == digests[1] != digests[2]
    assert not condition_scores.missing_conditions(config, 1, conditions)
    monkeypatch.delenv(PLUGINS_VARIABLE)
    assert "dim:all:0.5" in condition_scores.read(config, 1).conditions
    assert write_record(config).info.corruptions == {"dim": digests[2]}


@pytest.mark.slow
def test_a_kill_leaves_no_scores_under_the_digest_of_earlier_code(config, load_plugin, monkeypatch):
    evaluate(config, *load_plugin(0.5))
    edited = load_plugin(0.7)
    with monkeypatch.context() as patch:
        patch.setattr(condition_scores.atomic, "write_json", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            evaluate(config, *edited)
    conditions = load_plugin(0.5)
    assert conditions[1] in condition_scores.missing_conditions(config, 1, conditions)
