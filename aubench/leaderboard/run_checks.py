"""Checks of the fields of a record that need neither its protocol nor another record."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from aubench.leaderboard.records import Finding, StoredRecord
from aubench.results import counts as counts_file
from aubench.results import histograms as histograms_file
from aubench.results import record, run_id
from aubench.results.run_costs import FUSION
from aubench.results.schema import INITIALISATION

_FEWEST_AUS = 8
"""Fewest AUs of a protocol whose predictions cannot all be constant."""
_EARLIEST = datetime(2025, 1, 1, tzinfo=UTC)
"""Time before which no run started."""
_CLOCK_ERROR = timedelta(days=1)
"""Most by which the clock of a machine is ahead."""
_LEAST_TIME = 0.9
"""Least time of a run, relative to that of its training at its speed, which is rounded."""
_REQUIRED_PACKAGES = ("python", "torch")
"""Versions that the record of a run states."""


def check_facts(run: StoredRecord) -> Iterator[Finding]:
    """Check that the fields of ``record.json`` agree with each other and are possible."""
    of_training = (_epochs, _checkpoints, _time, _speed, _pretraining)
    for check in (_overrides, *of_training, _cost, _precision, _packages, _git, _search, _id):
        for what in check(run):
            yield run.finding(record.FILE, what)


def _id(run: StoredRecord) -> Iterator[str]:
    expected = run_id.id_of_record(run.info)
    if run.info.run != expected:
        yield f"run: says {run.info.run}, the id of its content is {expected}"


def _overrides(run: StoredRecord) -> Iterator[str]:
    if name := _repeated(run.info.overrides):
        yield f"overrides: names {name} twice"


def _repeated(names: Sequence[str]) -> str | None:
    """Return the first name that occurs more than once, or None."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def _epochs(run: StoredRecord) -> Iterator[str]:
    if run.info.is_submitted:
        return
    for i, fold in enumerate(run.info.folds):
        if fold.best_epoch < 1:
            yield f"folds.{i}.best_epoch: must be at least 1"
        elif run.info.selection == "last" and fold.best_epoch != fold.epochs:
            yield f"folds.{i}.best_epoch: says {fold.best_epoch}, the last epoch is {fold.epochs}"


def _checkpoints(run: StoredRecord) -> Iterator[str]:
    first: dict[str, int] = {}
    for i, fold in enumerate(run.info.folds):
        if fold.checkpoint and first.setdefault(fold.checkpoint, i) != i:
            yield f"folds.{i}.checkpoint: is that of folds.{first[fold.checkpoint]}, which trained on other subjects"


def _time(run: StoredRecord) -> Iterator[str]:
    info = run.info
    if info.time is None:
        return
    if info.time.seconds <= 0:
        yield "time.seconds: a run takes more than 0 seconds"
    try:
        started = datetime.fromisoformat(info.time.started)
    except ValueError:
        yield f"time.started: {info.time.started} is not a date with a time"
    else:
        if not _EARLIEST <= started <= datetime.now(UTC) + _CLOCK_ERROR:
            yield f"time.started: {info.time.started} is before {_EARLIEST:%Y} or after the present time"


def _speed(run: StoredRecord) -> Iterator[str]:
    """Check the time against that of pre-training and the least that the other frames take at the stated speed.

    The speed is the mean over folds. Folds of f frames at v frames per second take sum(f / v), which for a given mean
    of v is at least sum(sqrt(f))^2 / sum(v).
    """
    info = run.info
    if info.time is None:
        return
    least, parts = 0.0, []
    if speed := info.speed.train_frames_per_s:
        least = sum(math.sqrt(curve.budget) for curve in run.curves) ** 2 / (speed * len(info.folds))
        parts.append(f"{sum(curve.budget for curve in run.curves):,} frames at {speed:g} per second")
    if pretraining := sum(item.seconds or 0 for item in info.pretraining):
        least += pretraining
        parts.append(f"{pretraining:,.0f} s of pre-training")
    if info.time.seconds < _LEAST_TIME * least:
        yield f"time.seconds: says {info.time.seconds:g}, {' and '.join(parts)} take {least:,.1f}"
    for field in ("train_frames_per_s", "inference_frames_per_s"):
        if getattr(info.speed, field) == 0:
            yield f"speed.{field}: no frame per second is not a speed; null is one that was not measured"


def _cost(run: StoredRecord) -> Iterator[str]:
    info, compute = run.info, run.info.compute
    if compute is None:
        return
    for field in ("macs", "parameters"):
        if not getattr(compute.total, field):
            yield f"compute.total.{field}: a model has more than 0"
    for name, part in compute.parts.items():
        if name not in {*info.method.modalities, FUSION}:
            yield f"compute.parts.{name}: is neither a modality of the method nor {FUSION}"
        for field in ("macs", "parameters"):
            if getattr(part, field) > getattr(compute.total, field):
                yield f"compute.parts.{name}.{field}: is larger than that of the whole model"
    if sum(part.macs for part in compute.parts.values()) > compute.total.macs:
        yield "compute.parts: have more macs together than the whole model"


def _precision(run: StoredRecord) -> Iterator[str]:
    info = run.info
    for prefix, environment in info.environment_fields.items():
        device = environment.device
        if info.device and device.precision != info.device.precision:
            yield f"{prefix}device.precision: says {device.precision}, the run has {info.device.precision}"
        products = "tf32" if device.precision == "tf32" else "ieee"
        if device.fp32_precision not in (None, products):
            yield f"{prefix}device.fp32_precision: says {device.fp32_precision}, {device.precision} has {products}"
        if device.instructions and device.kind != "cpu":
            yield f"{prefix}device.instructions: says {device.instructions}, only a CPU has them"


def _packages(run: StoredRecord) -> Iterator[str]:
    for prefix, environment in run.info.environment_fields.items():
        if missing := [name for name in _REQUIRED_PACKAGES if name not in environment.packages]:
            yield f"{prefix}packages: states no version of {' and '.join(missing)}"


def _git(run: StoredRecord) -> Iterator[str]:
    for prefix, environment in run.info.environment_fields.items():
        git = environment.git
        if git.commit and len(set(git.commit)) == 1:
            yield f"{prefix}git.commit: {git.commit[:12]}… is no commit"
        if (git.commit is None) != (git.dirty is None):
            yield f"{prefix}git: commit and dirty are known together"


def _search(run: StoredRecord) -> Iterator[str]:
    search = run.info.search
    if search.tuned:
        for field in ("study", "sampler", "pruner", "seconds", "frames"):
            if not getattr(search, field):
                yield f"search.{field}: a search with {search.trials} trials must state it"


def _pretraining(run: StoredRecord) -> Iterator[str]:
    info = run.info
    numbers = {fold.fold for fold in info.folds}
    for i, item in enumerate(info.pretraining):
        if subject := _repeated(item.subjects):
            yield f"pretraining.{i}.subjects: names {subject} twice"
        if item.fold is None and (item.run or item.stage != INITIALISATION):
            yield f"pretraining.{i}.fold: weights that a run trained are of one fold"
        if item.fold is not None and item.fold not in numbers:
            yield f"pretraining.{i}.fold: the record has no fold {item.fold}"
        if item.stage != INITIALISATION and (item.frames == 0 or item.seconds == 0):
            yield f"pretraining.{i}: a stage of training has frames and takes time"
    curves = run.record.epoch_table
    if curves is None:
        return
    rows = curves.rows(("fold", "stage", "pretraining"))
    for fold in sorted(numbers):
        items = [item for item in info.pretraining if item.fold == fold and item.run is None]
        stages = {item.stage for item in items if item.stage != INITIALISATION}
        trained = {stage for number, stage, is_pretraining in rows if number == fold and is_pretraining}
        if bool(stages) != bool(trained):
            names = ", ".join(sorted(stages ^ trained))
            yield f"pretraining: epochs.csv and the stages of fold {fold} disagree ({names})"


def check_predictions(run: StoredRecord) -> Iterator[Finding]:
    """Check that no fold has predictions that do not depend on the input for half of its AUs or more.

    AUs without known labels in a fold do not count, nor do folds with few other AUs.

    A method that never sees an AU predicts it absent for all frames. So predictions of many AUs that are all "present",
    or that all lie in one bin, are refused, but not those that are all "absent". A failed training has such
    predictions for one AU, or for all of a protocol with a few.
    """
    if len(run.info.protocol.aus) < _FEWEST_AUS:
        return
    bins = run.bins[counts_file.CLEAN].sum(axis=2)
    constant = (bins > 0).sum(axis=2) <= 1
    positive = bins[:, :, : histograms_file.BINS // 2].sum(axis=2) == 0
    aus = sorted(run.info.protocol.aus)
    for fold, known, of_fold, all_positive in zip(run.info.folds, bins.any(axis=2), constant, positive, strict=True):
        for what, columns in (("constant", of_fold), ("'present' for all frames", all_positive)):
            if known.sum() >= _FEWEST_AUS and 2 * (columns & known).sum() >= known.sum():
                names = ", ".join(f"AU{aus[i]}" for i in np.flatnonzero(columns & known))
                yield run.finding(histograms_file.FILE, f"fold {fold.fold}: predictions are {what} for {names}")
                break
