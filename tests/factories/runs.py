"""Run folders as a run leaves them, made in milliseconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aubench.metrics.scores import summary_of
from aubench.results.record import Record


class FakeRun:
    """A run that can be brought forward bit by bit."""

    def __init__(self, runs: Path, record: Record) -> None:
        self.record, info = record, record.info.model_dump(mode="json")
        self.id = record.info.run
        self.folds = [fold.fold for fold in record.info.folds]
        self.run_dir = runs / record.relative_path
        self.run_dir.mkdir(parents=True)
        kept = ("method", "preset", "recipe", "seed", "selection", "git", "packages", "device")
        self.header: dict[str, Any] = {
            "schema_version": 1,
            "run_id": self.id,
            "protocol": {name: info["protocol"][name] for name in ("name", "version", "digest", "modalities")},
            "precision": "32-true",
            "store": {"dataset": "synth", "version": "1", "digest": info["dataset"]["digest"]},
            **{name: info[name] for name in kept},
        }
        (self.run_dir / "run.json").write_text(json.dumps(self.header))

    def train(self, fold: int, epochs: int, *, stage: str = "train", **more: Any) -> FakeRun:
        path = self.run_dir / f"fold{fold}" / "epochs.jsonl"
        path.parent.mkdir(exist_ok=True)
        begun = sum(json.loads(line)["stage"] == stage for line in self._lines(path))
        with path.open("a") as file:
            for epoch in range(begun, begun + epochs):
                entry = {
                    "stage": stage,
                    "epoch": epoch,
                    "seconds": 1.5,
                    "frames_per_s": 900.0,
                    "loss": {"total": 0.7 * 0.9**epoch + 0.01 * fold, "align d→v": 0.1},
                    "validation": {"f1": 0.6 - 0.4 * 0.8**epoch - 0.02 * fold, "acc": 0.8},
                }
                file.write(json.dumps(entry | more) + "\n")
        return self

    def finish_fold(self, fold: int) -> FakeRun:
        folder, summary = self.run_dir / f"fold{fold}", summary_of(self.record)
        (folder / "predictions.parquet").write_bytes(b"PAR1 of fold %d" % fold)
        per_au = {
            au: {"f1": f1, "acc": summary.by_au("acc")[au], "auc": None if au == "AU24" else summary.by_au("auc")[au]}
            for au, f1 in summary.f1_by_au.items()
        }
        scores = {"f1": summary.f1_by_fold[fold - 1], "acc": 0.75, "auc": 0.8, "ap": 0.6, "per_au": per_au}
        result = {"fold": fold, "epochs": 10, "best_epoch": 7, "train_seconds": 18.0, "scores": scores}
        (folder / "result.json").write_text(json.dumps(result))
        return self

    def finish(self) -> FakeRun:
        for fold in self.folds:
            done = len(self._lines(self.run_dir / f"fold{fold}" / "epochs.jsonl"))
            self.train(fold, 10 - done).finish_fold(fold)
        self.record.write(self.run_dir / "record")
        return self

    def _lines(self, path: Path) -> list[str]:
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def fake_run(tmp_path: Path, make_record: Callable[..., Record]) -> Callable[..., FakeRun]:
    """Makes a run's folder in ``tmp_path/runs``; takes what ``make_record`` takes."""
    return lambda method="amf", **options: FakeRun(tmp_path / "runs", make_record(method, **options))
