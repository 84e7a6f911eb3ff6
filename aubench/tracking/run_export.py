"""A run folder in MLflow's words: its parameters, tags, metrics and files.

Everything here is read from the folder and depends on nothing else, so it can be told again at any time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aubench.core import hashing
from aubench.core.errors import DataError, UsageError, suggest
from aubench.metrics import scores as metric_functions
from aubench.results import counts
from aubench.results import record as record_file
from aubench.tracking.mlflow_client import Point, key

HEADER = "run.json"
RESULT = "result.json"
RECORD = f"record/{record_file.FILE}"


@dataclass(frozen=True)
class Epoch:
    """A finished epoch of a fold.

    Attributes:
        stage: The stage of training it belongs to.
        number: Its number in that stage, from 0.
        after: Seconds from the beginning of the fold's training to its end.
        metrics: Its values by MLflow's name for them, in nested mappings.
    """

    stage: str
    number: int
    after: float
    metrics: dict[str, Any]


@dataclass
class TrackedRun:
    """A run folder, as far as the run has come.

    Attributes:
        folder: The folder.
        header: Content of ``run.json``.
        left_out: What could not be told, to be reported.
    """

    run_dir: Path
    header: dict[str, Any]
    skipped: list[str] = field(default_factory=list)

    @staticmethod
    def open(folder: Path) -> TrackedRun:
        """Read the folder's ``run.json``.

        Raises:
            DataError: It is missing or damaged.
        """
        return TrackedRun(folder, _read_json(folder / HEADER))

    @property
    def id(self) -> str:
        """The run's id."""
        return str(self.header["run_id"])

    @property
    def experiment(self) -> str:
        """Name of the experiment it belongs to."""
        return f"aubench/{self.header['protocol']['name']}"

    @property
    def name(self) -> str:
        """What a person calls it."""
        header = self.header
        return f"{header['method']['name']}-{header['preset']}-seed{header['seed']}-{self.id[:8]}"

    @property
    def folds(self) -> list[int]:
        """Folds in which training has begun, ascending."""
        begun = [path.parent.name for name in ("epochs.jsonl", RESULT) for path in self.run_dir.glob(f"fold*/{name}")]
        return sorted({int(name.removeprefix("fold")) for name in begun if name.removeprefix("fold").isdigit()})

    @property
    def identity(self) -> dict[str, str]:
        """Tags that tell this run from all others, even from the same one run again in another environment."""
        return {"aubench.run_id": self.id, "aubench.run_file": hashing.hash_json(self.header)}

    def tags(self) -> dict[str, str]:
        """Tags of the parent run and of every child."""
        header = self.header
        commit = header["git"]["commit"]
        known = {
            **self.identity,
            "aubench.protocol_digest": header["protocol"]["digest"],
            "aubench.store_digest": header["store"]["digest"],
            "aubench.fidelity": header["method"]["fidelity"],
            "aubench.git_commit": commit,
            "aubench.git_dirty": header["git"]["dirty"],
            "mlflow.source.git.commit": commit,
            "mlflow.source.name": "aubench",
        }
        return {name: str(value) for name, value in known.items() if value is not None}

    def params(self) -> dict[str, Any]:
        """Parameters: what the run's id is made of."""
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
        """Finished epochs of ``fold``; a last line that is still being written is not one."""
        path = self.run_dir / f"fold{fold}" / "epochs.jsonl"
        if not path.is_file():
            return []
        lines = path.read_bytes().splitlines(keepends=True)
        found: list[Epoch] = []
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                break
            try:
                found.append(_epoch(json.loads(line), found[-1].after if found else 0.0))
            except (ValueError, KeyError, TypeError, AttributeError):
                self.skipped.append(f"line {number} of fold{fold}/epochs.jsonl (damaged)")
        return found

    def started(self) -> int:
        """When the run began, as its files tell: milliseconds since 1970."""
        return _written(self.run_dir / HEADER)

    def training_started(self, fold: int, epochs: list[Epoch]) -> int:
        """When the training of a fold, which has come to ``epochs``, began: milliseconds since 1970."""
        path = self.run_dir / f"fold{fold}" / "epochs.jsonl"
        return _written(path) - round(1000 * epochs[-1].after) if epochs else self.started()

    def epoch_points(self, epochs: list[Epoch], started: int) -> list[Point]:
        """Metrics of epochs of a fold that began at ``started``."""
        return [
            point
            for epoch in epochs
            for point in self._points(epoch.metrics, started + round(1000 * epoch.after), epoch.number)
        ]

    def result_points(self, fold: int, started: int) -> list[Point]:
        """Scores of a finished fold: means and each AU's."""
        result = _read_json(self.run_dir / f"fold{fold}" / RESULT)
        scores = dict(result["scores"])
        per_au = scores.pop("per_au", {})
        told: dict[str, Any] = {
            "test": scores,
            "speed": {name: result.get(name) for name in ("train_frames_per_s", "inference_frames_per_s")},
            "epochs": result["epochs"],
            "best_epoch": result["best_epoch"],
        }
        for au, values in per_au.items():
            for score, value in values.items():
                told.setdefault(f"test_{score}", {})[au] = value
        return self._points(told, started + round(1000 * result["train_seconds"]))

    def record_points(self, started: int) -> list[Point]:
        """Headline scores, cost and speed of a finished run."""
        record = record_file.read((self.run_dir / RECORD).parent)
        info, compute = record.info, record.info.compute
        summary = metric_functions.summary_of(record)
        metrics = metric_functions.METRICS.all()
        by_au = {f"test_{name}": summary.by_au(name) for name in summary.metrics if not metrics[name].pooled}
        told = {
            "test": {name: summary.value(name) for name in summary.metrics},
            **by_au,
            "cost": compute.total.model_dump(),
            "cost_of": {name: cost.model_dump() for name, cost in compute.parts.items()},
            "speed": info.speed.model_dump(),
            "seconds": info.time.seconds,
            "robustness": self._under_conditions(record),
        }
        return self._points(told, started + round(1000 * info.time.seconds))

    def _under_conditions(self, record: record_file.Record) -> dict[str, Any]:
        """Compute F1 under each condition except ``clean``."""
        conditions = [condition for condition in record.info.conditions if condition != counts.CLEAN]
        cells = {c: metric_functions.sum_over_subjects(record.counts, c).cells for c in conditions}
        return {c: {"f1": metric_functions.macro_mean(metric_functions.f1(cells[c]))} for c in conditions}

    def files(self, fold: int | None = None) -> list[str]:
        """Files to keep with the run, or with a fold, relative to the folder."""
        patterns = ["record/*", "figures/*.png", HEADER] if fold is None else [f"fold{fold}/predictions.parquet"]
        found = (path for pattern in patterns for path in self.run_dir.glob(pattern))
        return sorted(
            path.relative_to(self.run_dir).as_posix()
            for path in found
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


def _epoch(line: dict[str, Any], before: float) -> Epoch:
    stage, number, seconds = str(line["stage"]), int(line["epoch"]), float(line["seconds"])
    kept = {name: line.get(name) for name in ("loss", "validation", "seconds", "frames_per_s")}
    return Epoch(stage, number, before + (seconds if math.isfinite(seconds) else 0.0), {stage: kept})


def _leaves(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    for name, value in values.items():
        here = (*above, str(name))
        if isinstance(value, Mapping):
            yield from _leaves(value, here)
        elif isinstance(value, (int, float)):
            yield here, value


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError("is missing", where=path, hint="is this a run's folder?") from None
    except ValueError as error:
        raise DataError(f"is not JSON ({error})", where=path) from None
    if not isinstance(content, dict):
        raise DataError("is not a JSON object", where=path)
    return content


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns // 1_000_000


def find_runs(root: Path, wanted: Sequence[str]) -> list[Path]:
    """Folders of runs.

    Args:
        root: The folder of all runs.
        wanted: Folders of runs, or ids of runs under ``root``; empty for all under ``root``.

    Raises:
        UsageError: One of them is neither.
    """
    known = {path.parent.name: path.parent for path in sorted(root.glob(f"*/*/*/{HEADER}"))}
    if not wanted:
        return list(known.values())
    found = []
    for name in wanted:
        folder = known.get(name, Path(name))
        if not (folder / HEADER).is_file():
            raise UsageError("is neither a run's folder nor the id of a run", where=name, hint=suggest(name, known))
        found.append(folder)
    return found
