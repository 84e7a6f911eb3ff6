"""Valid synthetic records for tests (a pytest plug-in)."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aubench.core import hashing, method_catalogue, registry
from aubench.core.protocol import Protocol
from aubench.core.task import Modality
from aubench.core.validation_draw import draw_validation
from aubench.leaderboard.known_labels import known_stores
from aubench.metrics import scores
from aubench.results import counts, histograms, run_id
from aubench.results import epochs as epochs_file
from aubench.results.record import Record

PER_SUBJECT = 12
ROLES = ("train", "val", "test")
SYNTH = "e4e2aa5979d17f08e8da4e8b36e0dddb08372a2870e164c66a6d1ea3c4373188"
"""Digest of the default store of synth."""
COMMIT = "1234567890abcdef1234567890abcdef12345678"


_DRAWN: dict[Any, frozenset[str]] = {}
"""Validation subjects by protocol, fold and source of labels."""

COST = {"flops": 2 * 190_000_000, "macs": 190_000_000, "parameters": 1_230_000}
"""Cost of a method that is not built in."""


@cache
def _labels(subject: str, aus: int) -> np.ndarray:
    """Return the labels of a subject (frames, AUs), which depend on its name only."""
    rng = np.random.RandomState(int(hashlib.sha256(subject.encode()).hexdigest()[:8], 16))
    labels = (rng.random_sample((PER_SUBJECT, aus)) < np.linspace(0.1, 0.7, aus)).astype(int)
    labels[rng.random_sample(labels.shape) < 0.02] = -1
    return labels


@cache
def _stored_labels(subject: str, aus: int) -> np.ndarray:
    """Return the labels of a subject of the default store of synth, in any order of frames."""
    subjects = known_stores()[SYNTH].subjects
    positive, known = subjects.labels[subject]
    frames = np.arange(subjects.labelled[subject])[:, None]
    return np.where(frames < positive, 1, np.where(frames < known, 0, -1))[:, :aus]


def _tables(protocol, folds, skill, noise, labels_of) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulate counts and histograms of noisy predictions; the labels depend on the subject only."""
    rows, bins = [], []
    for fold in folds:
        fold_probs, fold_labels = [], []
        for subject in sorted(protocol.test_subjects(fold)):
            labels = labels_of(subject, len(protocol.aus))
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

    It has what the catalogue says of a built-in method, and passes ``aubench leaderboard check``. With
    ``pretraining_epochs`` it has learning curves of so many epochs of pre-training and those of the recipe. With
    ``is_stored`` it has the labels of the default store of synth.
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
        modalities: tuple[Modality, ...] | None = None,
        recipe: dict[str, Any] | None = None,
        schema: int = 2,
        pretraining_epochs: int | None = None,
        protocol: Protocol | None = None,
        is_stored: bool = False,
    ) -> Record:
        of_synth = protocol is None
        protocol = protocol or registry.find_protocol("synth_3fold")
        run = hashing.hash_json(
            [method, seed, skill, selection, preset, folds, modalities, recipe, pretraining_epochs]
            + ([] if of_synth else [protocol.digest])
            + (["stored"] if is_stored else [])
        )[:12]
        if (run, schema) not in records:
            labels_of = _stored_labels if is_stored else _labels
            tables = _tables(protocol, folds, skill, np.random.RandomState(int(run[:8], 16)), labels_of)
            training = [_fold(protocol, fold, run, selection, labels_of) for fold in folds]
            fields = _fields(protocol, method, run, seed, selection, preset, training, modalities, recipe)
            if is_stored:
                store = known_stores()[SYNTH]
                labelled = sum(store.subjects.labelled.values())
                fields["dataset"] |= {"digest": SYNTH, "frames": store.frames, "labelled": labelled}
            curves = None
            if pretraining_epochs is not None:
                curves = _add_curves(fields, pretraining_epochs, skill, seed)
            info = Record.create(fields, *tables, curves).info
            record = Record.create({**fields, "run": run_id.id_of_record(info)}, *tables, curves)
            records[run, schema] = record if schema == 2 else _schema_1(record)
        return records[run, schema]

    return make


def remade(record: Record, tables: dict[str, pd.DataFrame] | None = None, **changes: Any) -> Record:
    """Change a record and give it the id and the digests of its new content.

    Args:
        record: Record of schema 2.
        tables: Tables to replace, by the names ``counts``, ``histograms`` and ``epochs``.
        changes: Values by field, with ``__`` between a field and the index or field in it.
    """
    fields = record.info.model_dump(mode="json", exclude={"schema_version", "tables"})
    for path, value in changes.items():
        *parents, last = path.split("__")
        inner: Any = fields
        for key in parents:
            inner = inner[int(key)] if isinstance(inner, list) else inner[key]
        inner[int(last) if isinstance(inner, list) else last] = value
    parts = {"counts": record.counts, "histograms": record.histograms, "epochs": record.epochs} | (tables or {})
    made = Record.create(fields, *parts.values())
    run = changes.get("run", run_id.id_of_record(made.info))
    return replace(made, info=made.info.model_copy(update={"run": run}))


def prevalence(record: Record, subjects: set[str]) -> dict[str, list[int]]:
    """Return positive and known labels of some tested subjects, by AU."""
    table = record.counts[record.counts["subject"].isin(subjects) & (record.counts["condition"] == "clean")]
    sums = table.groupby("au")[counts.CELLS].sum()
    return {f"AU{au}": [int(row.tp + row.fn), int(row.sum())] for au, row in sums.iterrows()}


def _add_curves(fields, pretraining_epochs, skill, seed) -> pd.DataFrame:
    """Add pre-training to the fields of a record, and simulate the epochs of its folds.

    Supervised epochs have as many frames as the recipe draws from those of the fold, and those of pre-training 1,000 if
    the recipe does not say how many.
    """
    recipe = fields["recipe"]
    curves, drawn, count = [], recipe.get("frames_per_epoch"), recipe["epochs"]
    pretrained = recipe.get("pretrain_frames_per_epoch") or 1000
    for fold in fields["folds"]:
        available = fold["frames"]["train"]
        supervised = min(drawn or available, available)
        rng = np.random.RandomState(100 * seed + fold["fold"])
        f1 = 0.4 * skill * (1 - np.exp(-0.5 * np.arange(1, count + 1))) + 0.01 * rng.normal(size=count)
        entries = [("pretrain", None)] * pretraining_epochs + [("train", {"f1": x, "acc": x + 0.2}) for x in f1]
        epochs = [
            {
                "stage": stage,
                "frames": pretrained if stage == "pretrain" else supervised,
                "validation": scores,
                "eligible": True,
            }
            for stage, scores in entries
        ]
        curves.append(epochs_file.of_fold(fold["fold"], epochs, {"pretrain"}))
        fold |= {"epochs": len(entries), "best_epoch": pretraining_epochs + 1 + int(f1.argmax())}
    frames = sum(int(curve["frames"].iloc[-1]) for curve in curves)
    fields["time"]["seconds"] = max(61.5, round(1.1 * frames / fields["speed"]["train_frames_per_s"], 3))
    items = [item for item in fields["pretraining"] if "frames" in item]
    if pretraining_epochs and not items:
        name = f"{fields['method']['name']} 0123456789abcdef"
        source = {"stage": "pretrain", "source": name, "datasets": ["synth"], "seconds": 2.5}
        items = [{**source, "fold": fold["fold"], "subjects": fold["train"]} for fold in fields["folds"]]
        fields["pretraining"] += items
    for item in items:
        item["frames"] = pretrained * pretraining_epochs
    return pd.concat(curves)


def _schema_1(record: Record) -> Record:
    """Store the summary, as records of schema 1 do."""
    summary = scores.summary_of(record).to_stored()
    info = record.info.model_copy(update={"schema_version": 1, "tables": None, "stored_summary": summary})
    return Record(info, record.counts, record.histograms)


def _fields(protocol, method, run, seed, selection, preset, training, modalities, recipe) -> dict[str, Any]:
    facts = method_catalogue.builtin_facts().get(method)
    known = facts.presets[preset] if facts and preset in facts.presets else None
    offered = ",".join(protocol.modalities)
    if modalities is None:
        modalities = tuple(known.used.get(offered, offered).split(",")) if known else protocol.modalities
    values = dict(known.recipe) if known else {"epochs": 10, "learning_rate": 1e-3}
    overrides = [name for name, value in (recipe or {}).items() if values.get(name) != value]
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
            "frames": PER_SUBJECT * len(protocol.subjects) + 4,
            "labelled": PER_SUBJECT * len(protocol.subjects),
            "variant": None,
        },
        "method": {
            "name": method,
            "title": facts.title if facts else method.replace("_", " "),
            "fidelity": facts.fidelity if facts else "paper-with-resolutions",
            "modalities": modalities,
            **(
                {"source": "builtin"}
                if facts
                else {"source": "path", "file": hashlib.sha256(method.encode()).hexdigest()}
            ),
            **({"version": facts.version} if facts and facts.version > 1 else {}),
        },
        "preset": preset,
        "recipe": values | (recipe or {}),
        "overrides": overrides,
        "seed": seed,
        "selection": selection,
        "threshold": "fixed:0.5",
        "conditions": ["clean"],
        "pretraining": _pretraining(known, method, training),
        "search": {"trials": 0},
        "compute": _compute(known, modalities, len(protocol.aus)),
        "speed": {"train_frames_per_s": 740.5, "inference_frames_per_s": None},
        "time": {"started": "2025-01-02T03:04:05Z", "seconds": 61.5},
        "device": {"kind": "cpu", "name": "some processor", "threads": 1, "precision": "32-true"},
        "packages": {"python": "3.11.2", "torch": "2.9.0"},
        "git": {"commit": COMMIT, "dirty": False},
        "folds": training,
    }


def _compute(known, modalities, aus) -> dict[str, Any]:
    costs = known.costs.get(method_catalogue.cost_key(modalities, aus)) if known else None
    if costs is None:
        return {"total": COST, "parts": {"visual": COST}, "uncounted": ["aten.sort"]}
    total, *parts = ({"flops": 2 * macs, "macs": macs, "parameters": count} for macs, count in costs.values())
    return {"total": total, "parts": dict(zip([*costs][1:], parts, strict=True)), "uncounted": ["aten.sort"]}


def _pretraining(known, method, folds) -> list[dict[str, Any]]:
    if known is None:
        return []
    sources = [{"stage": "initialisation", "source": s, "datasets": list(names)} for s, names in known.sources]
    own = {"source": f"{method} 0123456789abcdef", "datasets": ["synth"], "frames": 5000, "seconds": 2.5}
    return sources + [
        {"stage": stage, **own, "fold": fold["fold"], "subjects": fold["train"]}
        for fold in folds
        for stage in known.stages
    ]


def _fold(protocol, fold: int, run: str, selection: str, labels_of) -> dict[str, Any]:
    roles, aus = protocol.roles(fold), len(protocol.aus)
    labels = {subject: labels_of(subject, aus) for subject in sorted(protocol.subjects)}
    of_subject = {name: np.stack([(table == 1).sum(0), (table >= 0).sum(0)]) for name, table in labels.items()}
    val = roles.validation
    if not val:
        key = protocol.digest, fold, labels_of
        if key not in _DRAWN:
            _DRAWN[key] = draw_validation(protocol, fold, roles.train, lambda names: sum(of_subject[n] for n in names))
        val = _DRAWN[key]
    val = val if selection == "inner_val" else frozenset()
    train, test = roles.train - val, protocol.test_subjects(fold)
    positives = sum(of_subject[name] for name in train)
    frames = {
        role: sum(len(labels[name]) for name in names) for role, names in zip(ROLES, (train, val, test), strict=True)
    }
    return {
        "fold": fold,
        "train": sorted(train),
        "val": sorted(val),
        "test": sorted(test),
        "frames": frames,
        "epochs": 10,
        "best_epoch": 10 if selection == "last" else 7,
        "checkpoint": hashlib.sha256(f"{run} {fold}".encode()).hexdigest(),
        "train_prevalence": {f"AU{au}": positives[:, i].tolist() for i, au in enumerate(protocol.aus)},
    }
