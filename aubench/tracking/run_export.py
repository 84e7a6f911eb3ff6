"""Conversion of a run folder to MLflow's parameters, tags, metrics and files.

The result depends only on the folder, so that a run can be sent at any time and repeatedly.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from aubench.core import hashing
from aubench.core.errors import UsageError, suggest
from aubench.metrics import scores as metric_functions
from aubench.results import counts
from aubench.results import record as record_file
from aubench.results.run_folder import (
    EPOCHS,
    FAILED,
    FIGURES_DIR,
    PREDICTIONS,
    RECORD_DIR,
    RESULT,
    RUN_FILE,
    fold_dir,
    read_json,
    retrain_hint,
    run_files,
)
from aubench.tracking.mlflow_client import Point, key

RECORD = f"{RECORD_DIR}/{record_file.FILE}"
_HEADER_KEYS = ["run_id", "protocol", "method", "preset", "recipe", "seed", "selection", "precision", "store", "git"]


@dataclass(frozen=True)
class Epoch:
    """Finished epoch of a fold.

    Attributes:
        stage: Stage of training.
        number: Number in the stage, from 0.
        seconds: Seconds from the start of the fold's training to the end of the epoch.
        metrics: Values in nested mappings of the parts of MLflow's keys.
    """

    stage: str
    number: int
    seconds: float
    metrics: dict[str, Any]


@dataclass
class TrackedRun:
    """Folder of a finished or unfinished run.

    Attributes:
        run_dir: The folder.
        header: Content of ``run.json``.
        skipped: Descriptions of values that cannot be sent.
    """

    run_dir: Path
    header: dict[str, Any]
    skipped: list[str] = field(default_factory=list)

    @staticmethod
    def open(run_dir: Path) -> TrackedRun:
        """Read ``run.json`` of a folder.

        Raises:
            DataError: The file is missing or damaged.
        """
        return TrackedRun(run_dir, read_json(run_dir / RUN_FILE, _HEADER_KEYS, "repeat the run"))

    @property
    def id(self) -> str:
        """Id of the run."""
        return str(self.header["run_id"])

    @property
    def experiment(self) -> str:
        """Name of the run's experiment."""
        return f"aubench/{self.header['protocol']['name']}"

    @property
    def name(self) -> str:
        """Display name of the run."""
        header = self.header
        return f"{header['method']['name']}-{header['preset']}-seed{header['seed']}-{self.id[:8]}"

    @property
    def folds(self) -> list[int]:
        """Folds with started training, ascending."""
        return self._folds_with(EPOCHS, RESULT)

    def _folds_with(self, *files: str) -> list[int]:
        """Return the folds that have one of some files, ascending."""
        names = [path.parent.name for file in files for path in self.run_dir.glob(f"fold*/{file}")]
        return sorted({int(name.removeprefix("fold")) for name in names if name.removeprefix("fold").isdigit()})

    @cached_property
    def failed_folds(self) -> list[int]:
        """Folds whose last attempt failed, ascending."""
        return self._folds_with(FAILED)

    def is_finished(self) -> bool:
        """Return whether the record has all folds."""
        info = record_file.read((self.run_dir / RECORD).parent).info
        return len(info.folds) == info.protocol.fold_count

    @property
    def identity(self) -> dict[str, str]:
        """Tags that identify the run, distinct from the same run in another environment."""
        return {"aubench.run_id": self.id, "aubench.run_file": hashing.hash_json(self.header)}

    def tags(self) -> dict[str, str]:
        """Return the tags of the parent run and of every child."""
        header = self.header
        commit = header["git"]["commit"]
        tags = {
            **self.identity,
            "aubench.protocol_digest": header["protocol"]["digest"],
            "aubench.store_digest": header["store"]["digest"],
            "aubench.fidelity": header["method"]["fidelity"],
            "aubench.git_commit": commit,
            "aubench.git_dirty": header["git"]["dirty"],
            "mlflow.source.git.commit": commit,
            "mlflow.source.name": "aubench",
        }
        return {name: str(value) for name, value in tags.items() if value is not None}

    def params(self) -> dict[str, Any]:
        """Return the parameters: the inputs of the run's id."""
        header = self.header
        method, protocol, store = header["method"], header["protocol"], header["store"]
        return {
            "method": method["name"],
            "source": method["source"],
            "modalities": ",".join(method["modalities"]),
            "protocol": protocol["name"],
            "protocol_version": protocol["version"],
            "protocol_modalities": ",".join(protocol["modalities"]),
            "dataset": store["dataset"],
            "dataset_version": store["version"],
            "preset": header["preset"],
            "seed": header["seed"],
            "selection": header["selection"],
            "precision": header["precision"],
            **{f"recipe/{name}": value for name, value in header["recipe"].items()},
        }

    def epochs(self, fold: int) -> list[Epoch]:
        """Return the finished epochs of ``fold``. An incomplete last line is ignored."""
        path = fold_dir(self.run_dir, fold) / EPOCHS
        if not path.is_file():
            return []
        epochs: list[Epoch] = []
        for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
            if not line.endswith(b"\n"):
                break
            try:
                epochs.append(_epoch(json.loads(line), epochs[-1].seconds if epochs else 0.0))
            except (ValueError, KeyError, TypeError, AttributeError):
                self.skipped.append(f"line {number} of fold{fold}/epochs.jsonl (damaged)")
        return epochs

    def started(self) -> int:
        """Return the start of the run in milliseconds since 1970, from the time of its files."""
        return _modified(self.run_dir / RUN_FILE)

    def training_started(self, fold: int, epochs: list[Epoch]) -> int:
        """Return the start of a fold's training in milliseconds since 1970, given its finished epochs."""
        path = fold_dir(self.run_dir, fold) / EPOCHS
        return _modified(path) - round(1000 * epochs[-1].seconds) if epochs else self.started()

    def epoch_points(self, epochs: list[Epoch], started: int) -> list[Point]:
        """Return the metrics of epochs of a fold that started at ``started``."""
        return [
            point
            for epoch in epochs
            for point in self._points(epoch.metrics, started + round(1000 * epoch.seconds), epoch.number)
        ]

    def result_points(self, fold: int, started: int) -> list[Point]:
        """Return the scores of a finished fold, means and per AU."""
        folder = fold_dir(self.run_dir, fold)
        keys = ("scores", "epochs", "best_epoch", "train_seconds")
        result = read_json(folder / RESULT, keys, retrain_hint(folder))
        scores = dict(result["scores"])
        per_au = scores.pop("per_au", {})
        values: dict[str, Any] = {
            "test": scores,
            "speed": {name: result.get(name) for name in ("train_frames_per_s", "inference_frames_per_s")},
            "epochs": result["epochs"],
            "best_epoch": result["best_epoch"],
        }
        for au, by_metric in per_au.items():
            for metric, value in by_metric.items():
                values.setdefault(f"test_{metric}", {})[au] = value
        return self._points(values, started + round(1000 * result["train_seconds"]))

    def record_points(self, started: int) -> list[Point]:
        """Return the scores by all metrics, the cost and the speed of a finished run."""
        record = record_file.read((self.run_dir / RECORD).parent)
        info, compute = record.info, record.info.compute
        assert compute and info.time
        summary = metric_functions.summary_of(record)
        metrics = metric_functions.METRICS.all()
        by_au = {f"test_{name}": summary.by_au(name) for name in summary.metrics if not metrics[name].pooled}
        values = {
            "test": {name: summary.value(name) for name in summary.metrics},
            **by_au,
            "cost": compute.total.model_dump(),
            "cost_of": {name: cost.model_dump() for name, cost in compute.parts.items()},
            "speed": info.speed.model_dump(),
            "seconds": info.time.seconds,
            "robustness": self._under_conditions(record),
        }
        return self._points(values, started + round(1000 * info.time.seconds))

    def _under_conditions(self, record: record_file.Record) -> dict[str, Any]:
        """Compute F1 under each condition except ``clean``."""
        conditions = [condition for condition in record.info.conditions if condition != counts.CLEAN]
        cells = {c: metric_functions.sum_over_subjects(record.counts, c).cells for c in conditions}
        return {c: {"f1": metric_functions.macro_mean(metric_functions.f1(cells[c]))} for c in conditions}

    def files(self, fold: int | None = None) -> list[str]:
        """Return the artifacts of the run or of a fold, relative to the folder."""
        patterns = (
            [f"{RECORD_DIR}/*", f"{FIGURES_DIR}/*.png", RUN_FILE] if fold is None else [f"fold{fold}/{PREDICTIONS}"]
        )
        paths = (path for pattern in patterns for path in self.run_dir.glob(pattern))
        return sorted(
            path.relative_to(self.run_dir).as_posix()
            for path in paths
            if path.is_file() and not path.name.startswith(".")
        )

    def _points(self, values: Mapping[str, Any], timestamp: int, step: int = 0) -> list[Point]:
        points = []
        for parts, value in _leaves(values):
            if math.isfinite(value):
                points.append(Point(key(*parts), float(value), timestamp, step))
            else:
                self.skipped.append(f"{key(*parts)} of step {step} ({value})")
        return points


def _epoch(line: dict[str, Any], start: float) -> Epoch:
    stage, number, seconds = str(line["stage"]), int(line["epoch"]), float(line["seconds"])
    metrics = {name: line.get(name) for name in ("loss", "validation", "seconds", "frames_per_s")}
    return Epoch(stage, number, start + (seconds if math.isfinite(seconds) else 0.0), {stage: metrics})


def _leaves(values: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    for name, value in values.items():
        parts = (*prefix, str(name))
        if isinstance(value, Mapping):
            yield from _leaves(value, parts)
        elif isinstance(value, (int, float)):
            yield parts, value


def _modified(path: Path) -> int:
    return path.stat().st_mtime_ns // 1_000_000


def find_runs(root: Path, names: Sequence[Path]) -> list[Path]:
    """Return the folders of runs.

    Args:
        root: Folder of all runs.
        names: Folders of runs, or ids of runs under ``root``. If empty, all runs under ``root``. A run that is named
            twice counts once.

    Raises:
        UsageError: A name is neither the folder nor the id of a run.
    """
    by_id = {path.parent.name: path.parent for path in run_files(root)}
    distinct: dict[Path, Path] = {}
    for name in names:
        run_dir = by_id.get(str(name), name)
        distinct.setdefault(run_dir.resolve(), run_dir)
        if not (run_dir / RUN_FILE).is_file():
            raise UsageError("is neither a run's folder nor the id of a run", where=name, hint=suggest(name, by_id))
    return list((distinct or by_id).values())
