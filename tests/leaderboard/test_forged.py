"""Forged, broken and hostile submissions: each is refused with file, field and reason, and accuses nobody else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from factories.records import SYNTH, prevalence, remade

from aubench.core.errors import AubenchError, RecordError
from aubench.leaderboard import build
from aubench.leaderboard.add import add
from aubench.leaderboard.check import check
from aubench.leaderboard.cross_checks import check_together
from aubench.leaderboard.entries import ranked_tables
from aubench.leaderboard.known_labels import known_stores
from aubench.leaderboard.record_keys import IndexedRecord, keys_of
from aubench.leaderboard.records import StoredRecord
from aubench.metrics import baselines
from aubench.results import counts, histograms
from aubench.results.record import Record
from tests.factories import boards

ZERO = {"flops": 0, "macs": 0, "parameters": 0}


@dataclass(frozen=True)
class Honest:
    """Honest records by name, and a leaderboard of most of them."""

    root: Path
    records: dict[str, Record]

    def __getitem__(self, name: str) -> Record:
        return self.records[name]


@pytest.fixture(scope="module")
def honest(make_record, tmp_path_factory: pytest.TempPathFactory) -> Honest:
    """Make a leaderboard of honest records, and honest records outside of it (whose names begin with ``new``)."""

    def make(*words: Any, **options: Any) -> Record:
        return make_record(*words, is_stored=True, **options)

    root = tmp_path_factory.mktemp("honest") / "leaderboard"
    records = {
        **{f"amf{seed}": make("amf", seed=seed) for seed in (0, 1, 2)},
        "mcm0": make("mcm", pretraining_epochs=8),
        "mine0": make("mine", skill=1.3),
        "mine1": make("mine", skill=1.3, seed=1),
        "new": make("late_fusion", skill=1.2),
        "new_mcm": make("mcm", seed=1, pretraining_epochs=8),
        "new_mine": make("mine", skill=1.3, seed=2),
        "new_last": make("late_fusion", skill=1.2, selection="last"),
        "new_oracle": make("late_fusion", skill=1.2, selection="oracle_test"),
    }
    for name, record in records.items():
        if not name.startswith("new"):
            record.write(root / "records" / record.relative_path)
    build.write(root)
    assert check(root) == []
    return Honest(root, records)


def other_fields(record: Record) -> dict[str, Any]:
    """Return new values for the fields that differ between any two runs."""
    folds = {f"folds__{i}__checkpoint": f"{i}{record.info.run}".ljust(64, "0") for i in range(len(record.info.folds))}
    return {"time__started": "2026-01-01T00:00:00Z", **folds}


def swapped(record: Record) -> Record:
    """Swap a validation subject with a training subject, with the frames and the prevalence that follow."""
    fold = record.info.folds[0]
    train, val = [*fold.train[1:], fold.val[0]], [fold.train[0], *fold.val[1:]]
    return remade(record, **retrained(record, train, val))


def retrained(record: Record, train: list[str], val: list[str]) -> dict[str, Any]:
    """Return the fields of fold 1 if it had these roles."""
    labelled = known_stores()[SYNTH].subjects.labelled
    frames = {role: sum(labelled[s] for s in names) for role, names in (("train", train), ("val", val))}
    return {
        "folds__0__train": sorted(train),
        "folds__0__val": sorted(val),
        "folds__0__frames__train": frames["train"],
        "folds__0__frames__val": frames["val"],
        "folds__0__train_prevalence": prevalence(record, set(train)),
    }


def with_labels_of_others(record: Record) -> Record:
    """Call a false positive of each fold a true one, in both tables."""
    table, bins = record.counts.copy(), record.histograms.copy()
    row = table.index[table["fp"] > 0][0]
    fold, au = table.loc[row, ["fold", "au"]]
    table.loc[row, "fp"] -= 1
    table.loc[row, "tp"] += 1
    of_au = (bins["fold"] == fold) & (bins["au"] == au)
    absent, present = bins.index[of_au & (bins["label"] == 0)][0], bins.index[of_au & (bins["label"] == 1)][0]
    name = next(name for name in histograms.CELLS[100:] if bins.loc[absent, name])
    bins.loc[absent, name] -= 1
    bins.loc[present, name] += 1
    return remade(record, {"counts": table, "histograms": bins})


def with_tables(record: Record, tables: tuple[pd.DataFrame, pd.DataFrame]) -> Record:
    return remade(record, {"counts": tables[0], "histograms": tables[1]})


def with_constants(record: Record, probability: float) -> Record:
    keys = {(fold.fold, au): probability for fold in record.info.folds for au in record.info.protocol.aus}
    return with_tables(record, baselines.constant(record.counts, keys))


def with_moved_frames(record: Record) -> Record:
    """Move a frame of each fold into the next bin, which changes no count."""
    table = record.histograms.copy()
    for i in table.groupby("fold").head(1).index:
        name, following = next((a, b) for a, b in pairwise(histograms.CELLS[:100]) if table.loc[i, a])
        table.loc[i, name] -= 1
        table.loc[i, following] += 1
    return remade(record, {"histograms": table})


def with_condition(record: Record, name: str) -> Record:
    tables = (
        module.canonical(pd.concat([table, table.assign(condition=name)]))
        for module, table in ((counts, record.counts), (histograms, record.histograms))
    )
    return remade(record, dict(zip(("counts", "histograms"), tables, strict=True)), conditions=["clean", name])


def always_present(record: Record) -> Record:
    """Predict 'present' for all frames, with probabilities that vary."""
    table, bins = baselines.always_positive(record)
    cells = bins[histograms.CELLS].to_numpy(np.int64)
    spread = np.zeros_like(cells)
    spread[:, 150], spread[:, 170] = cells.sum(1) // 2, cells.sum(1) - cells.sum(1) // 2
    return with_tables(record, (table, bins.assign(**dict(zip(histograms.CELLS, spread.T, strict=True)))))


def copy_of(record: Record, target: Record, folds: tuple[int, ...] = (1, 2, 3)) -> Record:
    """Give a record the predictions of another in some folds."""
    tables = [
        pd.concat([own[~own["fold"].isin(folds)], theirs[theirs["fold"].isin(folds)]])
        for own, theirs in ((target.counts, record.counts), (target.histograms, record.histograms))
    ]
    return with_tables(target, (counts.canonical(tables[0]), histograms.canonical(tables[1])))


def with_best_epoch(record: Record) -> Record:
    fold = record.info.folds[0]
    return remade(record, folds__0__best_epoch=fold.best_epoch - 1)


def keeping_id(record: Record, **changes: Any) -> Record:
    return remade(record, run=record.info.run, **changes)


def as_honest(oracle: Record) -> Record:
    """Call a run that was selected on the test role an honest one, with the validation subjects of an honest run."""
    val = [list(fold.train[:5]) for fold in oracle.info.folds]
    roles = {f"folds__{i}__val": names for i, names in enumerate(val)}
    train = {f"folds__{i}__train": [s for s in f.train if s not in val[i]] for i, f in enumerate(oracle.info.folds)}
    return remade(oracle, selection="inner_val", **roles, **train)


def _path(record: Record, name: str, title: str = "Any method") -> Record:
    return remade(record, method__name=name, method__title=title, **other_fields(record))


def _environment(record: Record, precision: str) -> dict[str, Any]:
    fields = record.info.model_dump(mode="json")
    device = fields["device"] | {"precision": precision}
    return {"device": device, **{name: fields[name] for name in ("packages", "git")}}


def _own_pretraining(record: Record, datasets: list[str], subjects: list[str] | None = None) -> dict[str, Any]:
    own = {"stage": "warm_up", "source": f"{record.info.method.name} 0123456789abcdef", "datasets": datasets}
    trained = record.info.folds[0].train if subjects is None else subjects
    return {**own, "fold": 1, "subjects": list(trained), "frames": 9, "seconds": 1.0}


def _start(record: Record) -> dict[str, Any]:
    """Return a start from a run that was trained on a test subject."""
    start = {"stage": "initialisation", "source": "mine on synth", "datasets": ["synth"], "fold": None}
    return {**start, "subjects": [record.info.folds[0].test[0]], "run": "ab" * 8, "weights": "cd" * 32}


Forge = Callable[[Honest], Record]
R = "record.json"

FORGED: dict[str, tuple[Forge, str, str]] = {
    # the id
    "invented id": (lambda h: remade(h["new"], run="deadbeefdeadbeef"), R, "run: says deadbeefdeadbeef, the id of"),
    "old id after another recipe": (
        lambda h: keeping_id(h["new"], recipe__learning_rate=0.5, overrides=["learning_rate"]),
        R,
        "run: says",
    ),
    "old id after more epochs": (
        lambda h: keeping_id(h["new"], recipe__epochs=99, overrides=["epochs"]),
        R,
        "run: says",
    ),
    "old id after another seed": (lambda h: keeping_id(h["new"], seed=7), R, "run: says"),
    "old id after another precision": (lambda h: keeping_id(h["new"], device__precision="bf16-mixed"), R, "run: says"),
    "old id after another selection": (lambda h: keeping_id(h["new_oracle"], selection="last"), R, "run: says"),
    "old id under another name": (lambda h: keeping_id(h["new_mine"], method__name="yours"), R, "run: says"),
    # the protocol and the store
    "labelled frames": (lambda h: remade(h["new"], dataset__labelled=10_300), R, "dataset.labelled: says 10300"),
    "frames of the store": (lambda h: remade(h["new"], dataset__frames=20_000), R, "dataset.frames: says 20000"),
    "version of the store": (lambda h: remade(h["new"], dataset__version="2"), R, "dataset.version: says 2"),
    "stores of several data sets": (
        lambda h: remade(h["new"], dataset__members={"synth": "ab" * 32}),
        R,
        "dataset.members: names the stores of several data sets, the protocol is on synth",
    ),
    "variant of the data": (lambda h: remade(h["new"], dataset__variant="full"), R, "dataset.variant: says full"),
    "frames of training": (lambda h: remade(h["new"], folds__0__frames__train=99), R, "train_prevalence: more known"),
    "frames of validation": (lambda h: remade(h["new"], folds__0__frames__val=9), R, "folds.0.frames"),
    "prevalence": (
        lambda h: remade(h["new"], folds__1__train_prevalence__AU4=[1, 2]),
        R,
        "folds.1.train_prevalence.AU4: says 1 of 2 labels, the training role has",
    ),
    "other validation subjects": (lambda h: swapped(h["new"]), R, "does not belong to the validation subjects that"),
    "training on one person": (
        lambda h: remade(
            h["new"], **retrained(h["new"], [h["new"].info.folds[0].train[0]], [*h["new"].info.folds[0].val])
        ),
        R,
        "folds.0.train",
    ),
    "validation subjects of the last epoch": (
        lambda h: remade(h["new"], selection="last", **{f"folds__{i}__best_epoch": 10 for i in range(3)}),
        R,
        "folds.0.val",
    ),
    "labels": (lambda h: with_labels_of_others(h["new"]), "counts.csv", "labels are positive, in the store"),
    "unknown store": (lambda h: remade(h["new"], dataset__digest="ab" * 32), R, "dataset.digest: says abababababab"),
    "modality twice": (
        lambda h: keeping_id(h["new"], protocol__modalities=["visual", "visual"]),
        R,
        "protocol.modalities: Value error, names one twice",
    ),
    # the method
    "value that is not listed": (
        lambda h: remade(h["new"], recipe__learning_rate=0.02),
        R,
        "recipe.learning_rate: says 0.02, the preset small has 0.005; overrides does not name it",
    ),
    "listed value that is the preset's": (
        lambda h: remade(h["new"], overrides=["learning_rate"]),
        R,
        "overrides: names learning_rate, which has the value of the preset small",
    ),
    "changed value that is listed twice": (
        lambda h: remade(h["new"], recipe__learning_rate=0.02, overrides=["learning_rate", "learning_rate"]),
        R,
        "overrides: names learning_rate twice",
    ),
    "invented preset": (lambda h: remade(h["new"], preset="best"), R, "has no preset 'best'"),
    "renamed preset": (lambda h: remade(h["new"], preset="paper"), R, "the preset paper has"),
    "missing value": (
        lambda h: remade(h["new"], recipe={"epochs": 32}),
        R,
        "is missing",
    ),
    "missing value with learning curves": (
        lambda h: remade(h["new_mcm"], recipe={"epochs": 32}),
        "epochs.csv",
        "fold 1: recipe.batch_size: Field required",
    ),
    "text in place of a number": (
        lambda h: remade(h["new_mcm"], recipe__epochs="x", overrides=["epochs"]),
        "epochs.csv",
        "fold 1: recipe.epochs: Input should be a valid integer",
    ),
    "value of no recipe": (lambda h: remade(h["new"], recipe__luck=1), R, "recipe.luck: is no value of this recipe"),
    "fidelity": (lambda h: remade(h["new"], method__fidelity="exact"), R, "method.fidelity: says exact, the card of"),
    "title of a built-in method": (lambda h: remade(h["new"], method__title="SOTA"), R, "method.title: says SOTA"),
    "no such built-in method": (
        lambda h: remade(h["new"], method__name="superb", method__title="Superb"),
        R,
        "method.source: the catalogue of built-in methods has no 'superb'",
    ),
    "version of the future": (lambda h: remade(h["new"], method__version=99), R, "method.version: says 99"),
    "modalities": (lambda h: remade(h["new_mcm"], method__modalities=["visual"]), R, "method.modalities: says visual"),
    "empty ledger": (lambda h: remade(h["new_mcm"], pretraining=[]), R, "pretraining: epochs.csv and the stages of"),
    "empty ledger without curves": (
        lambda h: remade(h["new_mcm"], {"epochs": None}, pretraining=[]),
        R,
        "pretraining: fold 1 must have pretrain of the preset small",
    ),
    "ledger with fewer subjects": (
        lambda h: remade(h["new_mcm"], pretraining__0__subjects=[h["new_mcm"].info.folds[0].train[0]]),
        R,
        "pretraining: the subjects of pretrain in fold 1",
    ),
    "ledger without data sets": (
        lambda h: remade(h["new_mcm"], pretraining__0__datasets=[]),
        R,
        "pretraining.0.datasets: says none, the subjects are of synth",
    ),
    "ledger without a source": (
        lambda h: remade(h["new_mcm"], pretraining__0__source="none"),
        R,
        "pretraining.0.source: says none, it is the method with the id",
    ),
    "other data sets of a method from elsewhere": (
        lambda h: remade(h["new_mine"], pretraining=[_own_pretraining(h["new_mine"], ["celeba"])]),
        R,
        "pretraining.0.datasets: says celeba, the subjects are of synth",
    ),
    "subjects of nowhere": (
        lambda h: remade(h["new_mine"], pretraining=[_own_pretraining(h["new_mine"], [], ["S99"])]),
        R,
        "pretraining.0.subjects: S99 is no subject of the protocol",
    ),
    "no frames of pre-training": (
        lambda h: remade(h["new_mcm"], pretraining__0__frames=0),
        R,
        "pretraining.0: a stage",
    ),
    "pre-training of no fold": (
        lambda h: remade(h["new_mine"], pretraining=[{**_own_pretraining(h["new_mine"], ["synth"]), "fold": None}]),
        R,
        "pretraining.0.fold: weights that a run trained are of one fold",
    ),
    "start from another run in no fold": (
        lambda h: remade(h["new_mine"], pretraining=[_start(h["new_mine"])]),
        R,
        "pretraining.0.fold: weights that a run trained are of one fold",
    ),
    "subject twice": (
        lambda h: remade(
            h["new_mine"],
            pretraining=[_own_pretraining(h["new_mine"], ["synth"], [h["new"].info.folds[0].train[0]] * 2)],
        ),
        R,
        "pretraining.0.subjects: names",
    ),
    "no FLOPs": (
        lambda h: remade(h["new"], compute__total=ZERO, compute__parts={}),
        R,
        "compute.total.macs: a model has",
    ),
    "FLOPs of another model": (
        lambda h: remade(h["new"], compute__total__macs=5, compute__total__flops=10, compute__parts={}),
        R,
        "compute.total: the preset small of late_fusion has",
    ),
    "FLOPs unlike another seed's": (
        lambda h: remade(h["new_mine"], compute__total__macs=5, compute__total__flops=10, compute__parts={}),
        R,
        "compute: differs from that of",
    ),
    "part larger than the whole": (
        lambda h: remade(h["new_mine"], compute__total={"flops": 2, "macs": 1, "parameters": 1}),
        R,
        "compute.parts.visual.macs: is larger than that of the whole model",
    ),
    "unknown part": (
        lambda h: remade(h["new_mine"], compute__parts={"smell": {"flops": 2, "macs": 1, "parameters": 1}}),
        R,
        "compute.parts.smell: is neither a modality",
    ),
    # honesty
    "oracle among honest": (lambda h: remade(h["new_oracle"], selection="inner_val"), R, "folds.0: a role is empty"),
    "oracle with validation subjects": (lambda h: as_honest(h["new_oracle"]), R, "folds.0"),
    "tuned without its study": (
        lambda h: remade(h["new"], search={"trials": 20}),
        R,
        "search.study: a search with 20 trials must state it",
    ),
    "earlier epoch than the last": (
        lambda h: remade(h["new_last"], folds__1__best_epoch=4),
        R,
        "folds.1.best_epoch: says 4, the last epoch is 10",
    ),
    "endless epochs": (
        lambda h: remade(h["new_mcm"], folds__0__epochs=9 * 10**14),
        "epochs.csv",
        "fold 1: epochs are not 1 to 900000000000000",
    ),
    "epoch that was not the best": (lambda h: with_best_epoch(h["new_mcm"]), "epochs.csv", "has the highest F1"),
    "weights of another fold": (
        lambda h: remade(h["new"], folds__2__checkpoint=h["new"].info.folds[0].checkpoint),
        R,
        "folds.2.checkpoint: is that of folds.0",
    ),
    "weights of another run": (
        lambda h: remade(h["new"], folds__2__checkpoint=h["amf0"].info.folds[0].checkpoint),
        R,
        "folds.2.checkpoint: is that of",
    ),
    "commit of zeros": (lambda h: remade(h["new"], git__commit="0" * 40), R, "git.commit: 000000000000… is no commit"),
    "commit of unknown state": (lambda h: remade(h["new"], git__dirty=None), R, "git: commit and dirty are known"),
    "no time": (lambda h: remade(h["new"], time__seconds=0.0), R, "time.seconds: a run takes more than 0 seconds"),
    "impossible date": (
        lambda h: remade(h["new"], time__started="2026-13-45T10:00:00Z"),
        R,
        "time.started: 2026-13-45",
    ),
    "start in the future": (
        lambda h: remade(h["new"], time__started="2099-12-31T23:59:59Z"),
        R,
        "time.started: 2099-12-31T23:59:59Z is before 2025 or after the present time",
    ),
    "start in the year 1": (
        lambda h: remade(h["new"], time__started="0001-01-01T00:00:00Z"),
        R,
        "time.started: 0001-01-01T00:00:00Z is before 2025",
    ),
    "instant training": (
        lambda h: remade(h["new_mcm"], time__seconds=1e-9),
        R,
        "time.seconds: says 1e-09, ",
    ),
    **{
        f"pre-training longer than the run, speed {speed}": (
            lambda h, speed=speed: remade(h["new_mcm"], pretraining__0__seconds=1e6, speed__train_frames_per_s=speed),
            R,
            "1,000,005 s of pre-training take 1,000,",
        )
        for speed in (740.5, None)
    },
    "no speed": (lambda h: remade(h["new"], speed__train_frames_per_s=0.0), R, "speed.train_frames_per_s"),
    # predictions
    "predictions of a rival": (
        lambda h: copy_of(h["amf0"], h["new"]),
        "counts.csv",
        "fold 1: predictions are identical to those of",
    ),
    "predictions of a rival in one fold": (
        lambda h: copy_of(h["amf0"], h["new"], (2,)),
        "counts.csv",
        "fold 2: predictions are identical to those of",
    ),
    "predictions of another seed": (
        lambda h: copy_of(h["mine0"], h["new_mine"]),
        "counts.csv",
        "predictions are identical to those of",
    ),
    "predictions of another recipe": (
        lambda h: remade(h["amf0"], recipe__learning_rate=0.1, overrides=["learning_rate"], **other_fields(h["amf0"])),
        "counts.csv",
        "predictions are identical to those of",
    ),
    "counts of a rival": (
        lambda h: with_moved_frames(copy_of(h["amf0"], h["new"])),
        "counts.csv",
        "fold 1: confusion counts are identical to those of",
    ),
    "counts of another seed": (
        lambda h: with_moved_frames(copy_of(h["mine0"], h["new_mine"])),
        "counts.csv",
        "confusion counts are identical to those of",
    ),
    "predictions of another precision": (
        lambda h: remade(h["amf0"], device__precision="bf16-mixed", **other_fields(h["amf0"])),
        "counts.csv",
        "predictions are identical to those of",
    ),
    "environment of another precision": (
        lambda h: remade(h["new"], other_environments=[_environment(h["new"], "bf16-mixed")]),
        R,
        "other_environments.0.device.precision: says bf16-mixed, the run has 32-true",
    ),
    "no versions": (lambda h: remade(h["new"], packages={}), R, "packages: states no version of python and torch"),
    "instruction set of a GPU": (
        lambda h: remade(h["new"], device__kind="cuda", device__instructions="AVX2"),
        R,
        "device.instructions: says AVX2, only a CPU has them",
    ),
    "precision of products": (
        lambda h: remade(h["new"], device__fp32_precision="tf32"),
        R,
        "device.fp32_precision: says tf32, 32-true has ieee",
    ),
    "corruption without a condition": (
        lambda h: remade(h["new"], corruptions={"blur": "d" * 64}),
        "record.json",
        "corruptions.blur: is the corruption of no condition",
    ),
    "constant predictions": (
        lambda h: with_constants(h["new"], 0.6),
        "histograms.csv",
        "predictions are constant for AU1",
    ),
    **{
        f"condition {name}": (
            lambda h, name=name: with_condition(h["new"], name),
            "record.json",
            f"conditions.1: {name} {problem}",
        )
        for name, problem in (
            ("zzz", "is of no built-in corruption, and corruptions has no digest of its code"),
            ("noise:all:abc", "is no condition"),
            ("noise:all:1000", "is no condition"),
            ("noise:all:0.1234567", "is no condition"),
            ("missing:nowhere", "is no condition"),
            ("noise:all:0.10", "is written as noise:all:0.1"),
            ("missing:thermal", "names thermal, which the method does not use"),
        )
    },
    "always present": (
        lambda h: always_present(h["new"]),
        "histograms.csv",
        "predictions are 'present' for all frames",
    ),
    # names
    "name of a device": (lambda h: _path(h["new_mine"], "CON"), R, "method.name: 'CON' is the name of a device"),
    "other case": (lambda h: _path(h["new_mine"], "AMF"), R, "method.name: 'AMF' reads like the built-in method amf"),
    "digit for a letter": (
        lambda h: _path(h["new_mine"], "1ate_fusi0n"),
        R,
        "'1ate_fusi0n' reads like the built-in method late_fusion",
    ),
    "two letters for one": (lambda h: _path(h["new_mine"], "a-rnf"), R, "'a-rnf' reads like the built-in method amf"),
    "other case of a rival": (lambda h: _path(h["new_mine"], "MINE"), R, "method.name: 'MINE' reads like that of"),
    "name of a baseline": (lambda h: _path(h["new_mine"], "always-positive"), R, "reads like the name of a baseline"),
    "name of a built-in method": (lambda h: _path(h["new_mine"], "amf"), R, "'amf' reads like the built-in method amf"),
    "title of a rival": (lambda h: _path(h["new_mine"], "yours", "mine"), R, "method.title: 'mine' reads like that of"),
    "title of a built-in method elsewhere": (
        lambda h: _path(h["new_mine"], "yours", "AMF"),
        R,
        "reads like the built-in",
    ),
    # texts
    **{
        f"{kind} in {field}": (lambda h, f=field, v=value: remade(h["new_mine"], **{f: v}), R, reason)
        for kind, field, value, reason in (
            ("hidden character", "method__title", "Mine\u200b", "method.title: has the character U+200B"),
            ("right-to-left override", "method__title", "eniM \u202e", "has the character U+202E"),
            ("letters of another alphabet", "method__title", "\u0410MF", "U+0410 (CYRILLIC CAPITAL LETTER A)"),
            ("mixed alphabets", "method__title", "\u039cine", "method.title: mixes alphabets"),
            ("combining marks", "method__title", "Mine\u0301", "method.title"),
            ("HTML", "method__title", "<b>Mine", "method.title: '<' means something else"),
            ("emphasis", "method__title", "Mine **best**", "method.title: '*' means something else"),
            ("link", "method__title", "[Mine](x)", "method.title: '[' means something else"),
            ("formula", "method__title", "=A1+1", "method.title: '=' means something else"),
            ("negative formula", "method__title", "-1+A1", "method.title: '-' means something else"),
            ("table", "device__name", "GPU | 99.9", "device.name: '|' means something else"),
            ("mention", "device__name", "GPU of @someone", "device.name: '@s' means something else"),
            ("address", "dataset__version", "see www.example.org", "dataset.version: 'www.' means something"),
            ("bare domain", "device__name", "example.com", "device.name: 'example.com' means something"),
            ("reference", "device__name", "GPU #1", "device.name: '#1' means something"),
            ("mathematics", "recipe__learning_rate", "$x$", "recipe.learning_rate: '$' means something"),
            ("code", "recipe__learning_rate", ["`x`"], "recipe.learning_rate.0: '`' means something"),
            ("entity", "recipe__learning_rate", {"a": "&lt;b"}, "recipe.learning_rate.a: '&lt;' means something"),
            ("version", "packages__torch", "2.9 [x](y)", "packages.torch"),
            ("HTML", "folds__0__node", "<b>gpu1", "folds.0.node: '<b>gpu1' means something"),
            ("right-to-left override", "folds__0__node", "gpu1\u202e", "folds.0.node: has the character U+202E"),
            ("operation", "compute__uncounted", ["<img>"], "compute.uncounted.0"),
            ("long text", "recipe__learning_rate", "x" * 301, "has 301 characters"),
        )
    },
}


def findings_with(honest, record):
    """Return the folder of a record that is added to the leaderboard for a moment, and the findings of the latter."""
    folder = honest.root / "records" / record.relative_path
    record.write(folder)
    try:
        return folder, boards.load_verified(honest.root)[1]
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_record_is_refused_and_accuses_no_other(honest, kind):
    forge, file, reason = FORGED[kind]
    try:
        record = forge(honest)
    except RecordError as error:  # the schema refuses it
        assert reason in str(error)
        return
    folder, findings = findings_with(honest, record)
    assert reason in "\n".join(map(str, findings))
    assert any(finding.path == folder / file and reason in finding.what for finding in findings)
    assert {finding.path.parent for finding in findings} == {folder}


def test_a_message_on_a_long_value_is_short(honest):
    record = remade(honest["new"], recipe__learning_rate=[0.1] * 20_000)
    findings = findings_with(honest, record)[1]
    assert any("recipe.learning_rate: says [0.1, " in finding.what for finding in findings)
    assert all(len(finding.what) < 300 for finding in findings)


def test_a_copy_names_both_records_if_their_order_is_not_certain(honest):
    copy = copy_of(honest["amf0"], honest["new"])
    pair = [StoredRecord(Path(name), record) for name, record in (("a", copy), ("b", honest["amf0"]))]
    runs = [IndexedRecord(run.folder, keys_of(run), run) for run in pair]
    doubt = "; either of the two may be the copy"
    (finding,) = check_together(runs)
    assert finding.what == f"fold 1: predictions are identical to those of a{doubt}"
    (finding,) = check_together(runs, {Path("a")})
    assert finding.path.parent == Path("a") and finding.what.endswith("identical to those of b")


@pytest.mark.parametrize("predict", ["nothing", "everything", "the labels"])
def test_counts_that_other_methods_may_have_are_no_copies(honest, predict):
    table = honest["new"].counts.copy()
    positive, negative = table["tp"] + table["fn"], table["fp"] + table["tn"]
    zeros = 0 * positive
    tp, fp = {"nothing": (zeros, zeros), "everything": (positive, negative), "the labels": (positive, zeros)}[predict]
    table = table.assign(tp=tp, fp=fp, fn=positive - tp, tn=negative - fp)
    run = StoredRecord(honest.root, remade(honest["new"], {"counts": table}))
    assert run.count_digests == (None, None, None)
    assert None not in StoredRecord(honest.root, honest["new"]).count_digests


@pytest.mark.parametrize("name", ["new", "new_mcm", "new_mine", "new_last", "new_oracle"])
def test_an_honest_record_is_added(honest, name, tmp_path):
    root = Path(shutil.copytree(honest.root, tmp_path / "leaderboard"))
    honest[name].write(tmp_path / "run" / "record")
    assert len(add([tmp_path / "run"], root).paths) == 1
    assert boards.load_verified(root)[1] == []


@pytest.mark.parametrize(
    "kind", ["old id after another seed", "labels", "predictions of a rival", "HTML in method__title"]
)
def test_a_forged_record_is_neither_added_nor_built(honest, kind, tmp_path):
    root, record = Path(shutil.copytree(honest.root, tmp_path / "leaderboard")), FORGED[kind][0](honest)
    record.write(tmp_path / "run" / "record")
    with pytest.raises(RecordError, match=FORGED[kind][2]):
        add([tmp_path / "run"], root)
    record.write(root / "records" / record.relative_path)
    with pytest.raises(RecordError, match=FORGED[kind][2]):
        build.write(root)


def _json(change: Callable[[str], str]) -> Callable[[Path, Path], Path]:
    def edit(root: Path, folder: Path) -> Path:
        path = folder / "record.json"
        path.write_text(change(path.read_text()))
        return path

    return edit


def _file(name: str, content: bytes = b"x") -> Callable[[Path, Path], Path]:
    """Write a file beside those of a record, or at the root if the name begins with a slash."""

    def write(root: Path, folder: Path) -> Path:
        path = root / name[1:] if name.startswith("/") else folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return write


def _link(name: str, target: str) -> Callable[[Path, Path], Path]:
    def link(root: Path, folder: Path) -> Path:
        path = root / name[1:] if name.startswith("/") else folder / name
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        return path

    return link


def _pipe(root: Path, folder: Path) -> Path:
    os.mkfifo(root / "notes.md")
    return root / "notes.md"


def _fields(**changes: Any) -> Callable[[Path, Path], Path]:
    def change(text: str) -> str:
        return json.dumps(json.loads(text) | changes, indent=2) + "\n"

    return _json(change)


def _huge_grid(root: Path, folder: Path) -> Path:
    path = folder / "record.json"
    fields = json.loads(path.read_text())
    fields["conditions"] = ["clean", *(f"noise:all:{i / 10:g}" for i in range(1, 500))]
    fields["protocol"]["aus"] = list(range(1, 101))
    for fold in fields["folds"]:
        fold["test"] = [f"S{i}" for i in range(1900)]
    path.write_text(json.dumps(fields, indent=2) + "\n")
    return folder / "counts.csv"


FILES: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "duplicate key": (_json(lambda text: text.replace('"seed": 0', '"seed": 1,\n  "seed": 0')), "seed: occurs twice"),
    "odd spacing": (
        _json(lambda text: text.replace('"seed": 0', '"seed":  0')),
        "bytes are not those that aubench writes",
    ),
    "another form of a number": (_json(lambda text: text.replace("61.5", "6.15e1")), "bytes are not those"),
    "escaped letter": (_json(lambda text: text.replace('"amf"', '"\\u0061mf"')), "bytes are not those"),
    "other order": (
        _json(lambda text: json.dumps(dict(reversed(json.loads(text).items())), indent=2) + "\n"),
        "bytes are",
    ),
    "no line end": (_json(str.rstrip), "bytes are not those"),
    "no object": (_json(lambda text: "[]"), "is not a JSON object"),
    "nested deeply": (_json(lambda text: "[" * 100_000), "Invalid JSON"),
    "huge number": (_fields(seed=10**4000), "seed"),
    "huge number in the recipe": (_json(lambda text: text.replace("0.005", "9" * 5000)), "Invalid JSON"),
    "not UTF-8": (_file("record.json", b"\xff\xfe"), "Invalid JSON"),
    "modality twice": (_json(lambda text: text.replace('"depth"', '"visual"', 1)), "protocol.modalities: Value error"),
    "huge grid": (_huge_grid, "conditions, subjects and AUs need"),
    "page beside a record": (_file("index.html"), "is no file of a record"),
    "code beside a record": (_file("setup.py"), "is no file of a record"),
    "attributes beside a record": (_file(".gitattributes"), "changes how git"),
    "settings of a service": (_file("/records/.github"), "changes how git or a service"),
    "page at the root": (_file("/evil.html"), "does not belong into a leaderboard"),
    "page beside figures": (_file("/reproduced/synth/evil.html"), "does not belong into a leaderboard"),
    "code beside figures": (_file("/reproduced/evil.PY"), "does not belong into a leaderboard"),
    "link to a table": (_link("counts.csv", "../counts.csv"), "is a link"),
    "endless file as a page": (_link("/notes.md", "/dev/zero"), "is a link"),
    "endless file as the index": (_link("/README.md", "/dev/zero"), "is a link"),
    "link to itself": (_link("/records/loop", "loop"), "is a link"),
    "link to a folder": (_link("/records/all", "."), "is a link"),
    "pipe": (_pipe, "is neither a file nor a folder"),
    "index that is not UTF-8": (_file("/README.md", b"\xff\xfe\xff"), "is stale"),
    "entries that are not UTF-8": (_file("/entries.json", b"\xff\xfe\xff"), "is stale"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_broken_or_hostile_file_is_refused(honest, kind, tmp_path):
    write, reason = FILES[kind]
    root = tmp_path / "leaderboard"
    shutil.copytree(honest.root, root)
    path = write(root, root / "records" / honest["amf0"].relative_path)
    findings = check(root)
    assert any(finding.path == path and reason in finding.what for finding in findings), [*map(str, findings)]
    if "stale" not in reason:
        with pytest.raises(AubenchError):
            build.write(root)


def test_messages_do_not_control_a_terminal(honest, tmp_path):
    root = Path(shutil.copytree(honest.root, tmp_path / "leaderboard"))
    folder = root / "records" / honest["amf0"].relative_path
    (folder / "a\u202eb").touch()
    table = folder / "counts.csv"
    table.write_text(table.read_text().replace("clean", "clean\x1b[2J", 1))
    findings = [*map(str, check(root))]
    assert len(findings) == 2 and all(map(str.isprintable, findings)), findings
    assert any(r"column condition: 'clean\x1b[2J' is not a valid value" in finding for finding in findings)
    with pytest.raises(RecordError) as raised:
        build.write(root)
    assert str(raised.value).isprintable()


def test_a_strange_page_is_never_read_in_full(honest, tmp_path):
    root = Path(shutil.copytree(honest.root, tmp_path / "leaderboard"))
    with (root / "notes.md").open("wb") as file:
        file.truncate(2**40)  # a sparse file
    assert check(root) == []


@pytest.mark.slow
def test_no_digest_decides_which_table_is_first(make_record):
    known = [make_record(method, is_stored=True) for method in ("amf", "mtut")]
    other = remade(make_record("mine", skill=9.0), dataset__digest="0" * 64)
    runs = [StoredRecord(Path(record.info.run), record) for record in (other, *known)]
    first, second = ranked_tables(runs)
    assert (first.store, second.store) == (SYNTH, "0" * 64)
    several = [make_record("amf"), make_record("mtut")]
    first, _ = ranked_tables([StoredRecord(Path(record.info.run), record) for record in (other, *several)])
    assert first.store == "5" * 64
