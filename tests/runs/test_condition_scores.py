"""Further conditions of a finished run: evaluated once, kept with what they belong to, told in the record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from aubench.core.conditions import CLEAN, Condition
from aubench.core.errors import CheckpointError
from aubench.data.splits import ProtocolDataset
from aubench.data.store import Store
from aubench.evaluation import inference
from aubench.evaluation.corruptions import FrameNoise
from aubench.evaluation.multi_condition import MultiConditionPredictor
from aubench.evaluation.predictor import Predictor
from aubench.leaderboard import verify
from aubench.leaderboard.records import StoredRecord
from aubench.runs import condition_evaluation, condition_scores, environment, loading
from aubench.runs import fold as fold_module
from aubench.runs.config import RunConfig
from aubench.runs.events import ConditionsEvaluated
from aubench.runs.record_builder import write_record

SMALL = {"image_size": 32, "crop": 28, "frames_per_epoch": 300, "epochs": 2}
WANTED = [Condition.parse(text) for text in ("missing:visual", "noise:all:0.5")]


@pytest.fixture
def plan(decide, tmp_path) -> RunConfig:
    """The first fold of a run, done."""
    plan = decide(tmp_path / "runs", "late_fusion", **SMALL)
    cpu = {"kind": "cpu", "name": "some"}
    plan.init_run_dir({"started": "2026-01-01T00:00:00Z", "device": cpu, "packages": {}, "git": environment.git()})
    fold_module.run_fold(plan, 1, "cpu", 0, lambda event: None)
    return plan


def evaluate(plan: RunConfig, *conditions: Condition) -> ConditionsEvaluated:
    events: list[ConditionsEvaluated] = []
    condition_evaluation.evaluate_fold(plan, 1, "cpu", 0, events.append, conditions)
    return events[0]


def files(plan: RunConfig) -> dict[str, bytes]:
    folder = plan.fold_dir(1) / condition_scores.FOLDER
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_what_was_evaluated_is_not_evaluated_again(plan):
    assert evaluate(plan, *WANTED).count == 2
    first = files(plan)
    assert evaluate(plan, *WANTED).count == 0
    assert files(plan) == first
    assert evaluate(plan, WANTED[1], Condition.parse("missing:depth")).count == 1
    kept = condition_scores.read(plan, 1)
    assert kept.conditions == ("missing:visual", "noise:all:0.5", "missing:depth")
    assert set(kept.counts["condition"]) == set(kept.conditions)


def test_one_after_the_other_gives_the_bytes_of_both_together(plan):
    evaluate(plan, *WANTED)
    together = files(plan)
    for name in together:
        (plan.fold_dir(1) / condition_scores.FOLDER / name).unlink()
    for condition in WANTED:
        evaluate(plan, condition)
    assert files(plan) == together


def test_clean_under_conditions_is_the_run_itself(plan, small_store):
    data = ProtocolDataset(Store(small_store), plan.protocol)
    rows = data.split(1, validation=True).test
    method = loading.load_method(plan, 1)
    (clean, noisy) = condition_evaluation.predict(
        MultiConditionPredictor(method, [CLEAN, WANTED[1]]), data, rows, 5, torch.device("cpu")
    )
    assert np.allclose(
        clean, inference.predict_probabilities(Predictor(method), data, rows, torch.device("cpu")), atol=1e-6
    )
    frames = FrameNoise(5, data.names(rows[:3]))
    images = {m: torch.from_numpy(data.store.read(m, rows[:3])) for m in plan.task.modalities}
    assert np.allclose(noisy[:3], Predictor(method).probabilities(images, WANTED[1], frames), atol=1e-6)


def test_the_record_has_every_condition_and_holds_what_it_claims(plan):
    assert write_record(plan).info.conditions == ("clean",)
    evaluate(plan, *WANTED)
    record = write_record(plan)
    assert record.info.conditions == ("clean", "missing:visual", "noise:all:0.5")
    assert set(record.histograms["condition"]) == set(record.info.conditions)
    assert list(verify.check_record(StoredRecord(Path("here"), record))) == []
    clean, zeroed = (record.counts[record.counts["condition"] == c]["tp"].sum() for c in ("clean", "missing:visual"))
    assert clean != zeroed


def test_nothing_stale_is_reused(plan):
    evaluate(plan, *WANTED)
    header = plan.fold_dir(1) / condition_scores.FOLDER / condition_scores.HEADER
    said = json.loads(header.read_text())
    for key in ("checkpoint", "store", "run", "version"):
        header.write_text(json.dumps(said | {key: "other"}))
        assert condition_scores.read(plan, 1) is None
        assert len(condition_scores.missing_conditions(plan, 1, WANTED)) == 2
        assert write_record(plan).info.conditions == ("clean",)
    header.write_text(json.dumps(said))
    assert condition_scores.missing_conditions(plan, 1, WANTED) == []


def test_changed_weights_are_not_evaluated(plan):
    weights = plan.fold_dir(1) / "checkpoint.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(CheckpointError, match="is not what the fold was scored with"):
        evaluate(plan, *WANTED)


def test_mean_image_is_that_of_the_training_role(plan, small_store):
    data = ProtocolDataset(Store(small_store), plan.protocol)
    rows = data.split(1, validation=True).train[:50]
    method, device, mean = plan.build_method(), torch.device("cpu"), Condition.parse("missing:visual:mean")
    assert condition_evaluation.mean_images(WANTED, data, rows, method, device) is None
    means = condition_evaluation.mean_images([*WANTED, mean], data, rows, method, device)
    for m, mean in means.items():
        views = data.store.read(m, rows)[:, 2:30, 2:30].transpose(0, 3, 1, 2) / 127.5 - 1
        assert np.allclose(mean.numpy(), views.mean(0), atol=1e-5)
