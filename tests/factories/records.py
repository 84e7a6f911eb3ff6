"""Sound records of runs that never were, for the tests of scores and board (their conftests load this file)."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aubench.core import hashing, registry
from aubench.core.task import Modality
from aubench.metrics import scores
from aubench.results import counts, histograms
from aubench.results.record import Record, RecordInfo

PER_SUBJECT = 12


def _tables(protocol, folds, skill, noise) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Counts and histograms of somebody who sees the labels through noise; the labels depend on the subject alone."""
    rows, bins = [], []
    for fold in folds:
        everyone, truths = [], []
        for subject in sorted(protocol.test_subjects(fold)):
            own = np.random.RandomState(int(hashlib.sha256(subject.encode()).hexdigest()[:8], 16))
            truth = (
                own.random_sample((PER_SUBJECT, len(protocol.aus))) < np.linspace(0.1, 0.7, len(protocol.aus))
            ).astype(int)
            truth[own.random_sample(truth.shape) < 0.02] = -1
            logits = skill * (2 * (truth == 1) - 1) + noise.normal(size=truth.shape)
            probabilities = 1 / (1 + np.exp(-logits))
            for i, au in enumerate(protocol.aus):
                said, is_present, is_absent = probabilities[:, i] > 0.5, truth[:, i] == 1, truth[:, i] == 0
                cells = (said & is_present, said & is_absent, ~said & is_present, ~said & is_absent)
                named = dict(zip(counts.CELLS, (int(cell.sum()) for cell in cells), strict=True))
                rows.append({"condition": "clean", "fold": fold, "subject": subject, "au": au, **named})
            everyone.append(probabilities)
            truths.append(truth)
        bins.append(
            histograms.of_predictions(
                np.concatenate(everyone), np.concatenate(truths), protocol.aus, condition="clean", fold=fold
            )
        )
    return counts.canonical(pd.DataFrame(rows)), histograms.canonical(pd.concat(bins))


@pytest.fixture(scope="session")
def make_record() -> Callable[..., Record]:
    """Make a sound record of a run that never was, on the installed ``synth_3fold``; equal words, equal record."""
    made: dict[str, Record] = {}

    def make(
        method: str = "late_fusion",
        *,
        seed: int = 0,
        skill: float = 1.0,
        selection: str = "inner_val",
        preset: str = "tiny",
        folds: tuple[int, ...] = (1, 2, 3),
        modalities: tuple[Modality, ...] = (Modality.VISUAL, Modality.DEPTH),
        recipe: dict[str, Any] | None = None,
    ) -> Record:
        protocol = registry.find_protocol("synth_3fold")
        recipe = {"epochs": 10, "learning_rate": 1e-3} | (recipe or {})
        run = hashing.hash_json([method, seed, skill, selection, preset, folds, modalities, recipe])[:12]
        if run not in made:
            tables = _tables(protocol, folds, skill, np.random.RandomState(int(run[:8], 16)))
            fields = _fields(protocol, method, run, seed, selection, preset, folds, modalities, recipe, tables)
            made[run] = Record(RecordInfo.from_fields(fields), *tables)
        return made[run]

    return make


def _fields(protocol, method, run, seed, selection, preset, folds, modalities, recipe, tables) -> dict[str, Any]:
    cost = {"flops": 2 * 190_000_000, "macs": 190_000_000, "parameters": 1_230_000}
    return {
        "schema_version": 1,
        "run": run,
        "protocol": {
            "name": protocol.name,
            "version": protocol.version,
            "digest": protocol.digest,
            "fold_count": len(protocol.folds),
            "modalities": protocol.modalities,
            "aus": protocol.aus,
        },
        "dataset": {
            "name": protocol.dataset,
            "version": "1",
            "digest": "5" * 64,
            "frames": 10_500,
            "labelled": 10_496,
            "variant": None,
        },
        "method": {
            "name": method,
            "title": method.replace("_", " "),
            "fidelity": "paper-with-resolutions",
            "modalities": modalities,
            "source": "builtin",
        },
        "preset": preset,
        "recipe": recipe,
        "seed": seed,
        "selection": selection,
        "threshold": "fixed:0.5",
        "conditions": ["clean"],
        "pretraining": [],
        "search": {"trials": 0},
        "compute": {"total": cost, "parts": {"visual": cost}, "uncounted": ["aten::sort"]},
        "speed": {"train_frames_per_s": 740.5, "inference_frames_per_s": None},
        "time": {"started": "2025-01-02T03:04:05Z", "seconds": 61.5},
        "device": {"kind": "cpu", "name": "some processor", "threads": 1, "precision": "32-true"},
        "packages": {"python": "3.11.2", "torch": "2.9.0"},
        "git": {"commit": "a" * 40, "dirty": False},
        "folds": [_fold(protocol, fold) for fold in folds],
        "summary": scores.summarize(*tables).model_dump(mode="json"),
    }


def _fold(protocol, fold: int) -> dict[str, Any]:
    training = sorted(protocol.train_subjects(fold))
    return {
        "fold": fold,
        "train": training[5:],
        "val": training[:5],
        "test": sorted(protocol.test_subjects(fold)),
        "frames": {"train": 2000, "val": 500, "test": PER_SUBJECT * len(protocol.test_subjects(fold))},
        "epochs": 10,
        "best_epoch": 7,
        "checkpoint": "c" * 64,
        "train_prevalence": {f"AU{au}": [200 + 100 * i, 1990] for i, au in enumerate(protocol.aus)},
    }
