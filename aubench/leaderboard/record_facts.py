"""Results of a verified record that pages need, as plain data for the cache of verified records.

So a leaderboard of thousands of records is built without the tables of its records in memory.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

from aubench.leaderboard.curve_points import LearningCurve
from aubench.metrics import scores
from aubench.metrics.resampling import ResampledRun
from aubench.results.record_info import RecordInfo

if TYPE_CHECKING:
    from aubench.leaderboard.records import StoredRecord

FACTS = ("summary", "labels", "predictions", "count_digests", "condition_f1", "resampled", "curves")
"""Attributes of a stored record that its tables determine."""


def facts_of(run: StoredRecord) -> dict[str, Any]:
    """Compute the facts of a verified record by name."""
    return {name: getattr(run, name) for name in FACTS}


def encode(facts: dict[str, Any]) -> dict[str, Any]:
    """Convert facts to JSON data."""
    resampled: ResampledRun = facts["resampled"]
    arrays = (resampled.score, resampled.jackknife, resampled.bootstrap, resampled.labelled)
    curves = [[curve.budget, curve.frames.tolist(), curve.f1.tolist()] for curve in facts["curves"]]
    return {
        **facts,
        "summary": {"metrics": {name: vars(metric) for name, metric in facts["summary"].metrics.items()}},
        "resampled": [base64.b64encode(array.tobytes()).decode() for array in arrays],
        "curves": curves,
    }


def decode(content: dict[str, Any], info: RecordInfo) -> dict[str, Any]:
    """Convert JSON data of :func:`encode` to facts."""
    metrics = {
        name: scores.MetricSummary(values["mean"], tuple(values["by_fold"]), values["by_au"])
        for name, values in content["summary"]["metrics"].items()
    }
    aus = tuple(sorted(info.protocol.aus))
    subjects = tuple((fold.fold, tuple(sorted(fold.test))) for fold in info.folds)
    buffers = (np.frombuffer(base64.b64decode(text), np.float64) for text in content["resampled"])
    curves = (LearningCurve(np.array(frames), np.array(f1), budget) for budget, frames, f1 in content["curves"])
    return {
        **content,
        "summary": scores.Summary(metrics),
        "predictions": tuple(content["predictions"]),
        "count_digests": tuple(content["count_digests"]),
        "resampled": ResampledRun(aus, subjects, *(buffer.reshape(-1, len(aus)) for buffer in buffers)),
        "curves": tuple(curves),
    }
