"""Valid synthetic records for tests (a pytest plug-in)."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aubench.core import hashing, method_versions, registry
from aubench.core.protocol import Protocol
from aubench.core.task import Modality
from aubench.metrics import scores
from aubench.results import counts, histograms
from aubench.results import epochs as epochs_file
from aubench.results.record import Record

PER_SUBJECT = 12


def _tables(protocol, folds, skill, noise) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulate counts and histograms of noisy predictions; the labels depend on the subject only."""
    rows, bins = [], []
    for fold in folds:
        fold_probs, fold_labels = [], []
        for subject in sorted(protocol.test_subjects(fold)):
            rng = np.random.RandomState(int(hashlib.sha256(subject.encode()).hexdigest()[:8], 16))
            labels = (
                rng.random_sample((PER_SUBJECT, len(protocol.aus))) < np.linspace(0.1, 0.7, len(protocol.aus))
            ).astype(int)
            labels[rng.random_sample(labels.shape) < 0.02] = -1
            logits = skill * (2 * (labels == 1) - 1) + noise.normal(size=labels.shape)
            probs = 1 / (1 + np.exp(-logits))
            for i, au in enumerate(protocol.aus):
                predicted, is_present, is_absent = probs[:, i] > 0.5, labels[:, i] == 1, labels[:, i] == 0
                masks = predicted & is_present, predicted & is_absent, ~predicted & is_present, ~predicted & is_absent
                cells = dict(zip(counts.CELLS, (int(mask.sum()) for mask in masks), strict=True))
                rows.append({"condition": "clean", "fold": fold, "subject": subject, "au": au, **cells})
            fold_probs.append(probs)
            fold_labels.append(labels)
        predictions = np.concatenate(fold_probs), np.concatenate(fold_labels)
        bins.append(histograms.of_predictions(*predictions, protocol.aus, condition="clean", fold=fold))
    return counts.canonical(pd.DataFrame(rows)), histograms.canonical(pd.concat(bins))


@pytest.fixture(scope="session")
def make_record() -> Callable[..., Record]:
    """Make a valid record on the installed ``synth_3fold``; equal arguments give the same record.

    With ``pretraining_epochs`` it has learning curves of so many epochs of pre-training and 10 supervised ones.
    """
    records: dict[tuple[str, int], Record] = {}

    def make(
        method: str = "late_fusion",
        *,
        seed: int = 0,
        skill: float = 1.0,
        selection: str = "inner_val",
        preset: str = "small",
        folds: tuple[int, ...] = (1, 2, 3),
        modalities: tuple[Modality, ...] = (Modality.VISUAL, Modality.DEPTH),
        recipe: dict[str, Any] | None = None,
        schema: int = 2,
        pretraining_epochs: int | None = None,
        protocol: Protocol | None = None,
    ) -> Record:
        of_synth = protocol is None
        protocol = protocol or registry.find_protocol("synth_3fold")
        recipe = {"epochs": 10, "learning_rate": 1e-3} | (recipe or {})
        run = hashing.hash_json(
            [method, seed, skill, selection, preset, folds, modalities, recipe, pretraining_epochs]
            + ([] if of_synth else [protocol.digest])
        )[:12]
        if (run, schema) not in records:
            tables = _tables(protocol, folds, skill, np.random.RandomState(int(run[:8], 16)))
            fields = _fields(protocol, method, run, seed, selection, preset, folds, modalities, recipe)
            curves = None
            if pretraining_epochs is not None:
                curves = _add_curves(fields, pretraining_epochs, skill, seed)
            record = Record.create(fields, *tables, curves)
            records[run, schema] = record if schema == 2 else _schema_1(record)
        return records[run, schema]

    return make


def _add_curves(fields, pretraining_epochs, skill, seed) -> pd.DataFrame:
    """Add pre-training to the fields of a record, and simulate the epochs of its folds: 1,000 frames each."""
    curves = []
    for fold in fields["folds"]:
        rng = np.random.RandomState(100 * seed + fold["fold"])
        f1 = 0.4 * skill * (1 - np.exp(-0.5 * np.arange(1, 11))) + 0.01 * rng.normal(size=10)
        entries = [("pretrain", None)] * pretraining_epochs + [("train", {"f1": x, "acc": x + 0.2}) for x in f1]
        epochs = [{"stage": stage, "frames": 1000, "validation": scores, "eligible": True} for stage, scores in entries]
        curves.append(epochs_file.of_fold(fold["fold"], epochs, {"pretrain"}))
        fold |= {"epochs": len(entries), "best_epoch": pretraining_epochs + 1 + int(f1.argmax())}
        if pretraining_epochs:
            cost = {"frames": 1000 * pretraining_epochs, "seconds": 2.5}
            source = {"stage": "pretrain", "source": "own", "datasets": ["synth"], "fold": fold["fold"]}
            fields["pretraining"].append({**source, "subjects": fold["train"], **cost})
    return pd.concat(curves)


def _schema_1(record: Record) -> Record:
    """Store the summary, as records of schema 1 do."""
    summary = scores.summary_of(record).to_stored()
    info = record.info.model_copy(update={"schema_version": 1, "tables": None, "stored_summary": summary})
    return Record(info, record.counts, record.histograms)


def _fields(protocol, method, run, seed, selection, preset, folds, modalities, recipe) -> dict[str, Any]:
    version = method_versions.current_version(method)
    cost = {"flops": 2 * 190_000_000, "macs": 190_000_000, "parameters": 1_230_000}
    return {
        "run": run,
        "protocol": {
            "name": protocol.name,
            "version": protocol.version,
            "digest": protocol.digest,
            "fold_count": protocol.fold_count,
            "modalities": protocol.modalities,
            "aus": protocol.aus,
            "labels": protocol.converted_labels,
        },
        "dataset": {
            "name": protocol.data_name,
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
            **({"version": version} if version > 1 else {}),
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
    }


def _fold(protocol, fold: int) -> dict[str, Any]:
    roles = protocol.roles(fold)
    training, stated = sorted(roles.train), sorted(roles.validation)
    return {
        "fold": fold,
        "train": training if stated else training[5:],
        "val": stated or training[:5],
        "test": sorted(protocol.test_subjects(fold)),
        "frames": {"train": 2000, "val": 500, "test": PER_SUBJECT * len(protocol.test_subjects(fold))},
        "epochs": 10,
        "best_epoch": 7,
        "checkpoint": "c" * 64,
        "train_prevalence": {f"AU{au}": [200 + 100 * i, 1990] for i, au in enumerate(protocol.aus)},
    }
