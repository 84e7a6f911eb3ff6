"""CPU time, wall time and memory of ``aubench leaderboard build`` and ``check`` on any number of synthetic records.

``python benchmarks/measure_leaderboard.py 1000`` writes a leaderboard of 1,000 records to a temporary folder and
measures a build, a first check without a cache of verified records, a check with it, and a check after one more record.
The records have the labels, subjects and size of a committed record. Their predictions are random, with a skill per
method.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aubench.core import hashing
from aubench.leaderboard.verified_records import CACHE_VARIABLE
from aubench.results import counts, epochs, histograms
from aubench.results.record import Record, RecordInfo, read
from aubench.results.run_id import id_of_record

TEMPLATE = Path(__file__).parents[1] / "leaderboard/records/synth_3fold/resnet_visual"
SEEDS, EPOCHS = 3, 16
HALF = histograms.BINS // 2


def synthetic_record(template: Record, number: int) -> Record:
    """Draw the record of a seed of a method that is not built in.

    Args:
        template: Record that gives labels, subjects and provenance.
        number: Number of the record; three successive ones are the seeds of one method.
    """
    method, seed = divmod(number, SEEDS)
    generator = np.random.default_rng([method, seed])
    skill = np.random.default_rng(method).uniform(0.5, 0.9)
    table = template.counts.copy()
    present, absent = table["tp"] + table["fn"], table["fp"] + table["tn"]
    skills = np.clip(skill + generator.normal(0, 0.05, len(table)), 0, 1)
    table["tp"], table["fp"] = generator.binomial(present, skills), generator.binomial(absent, 1 - skills)
    table["fn"], table["tn"] = present - table["tp"], absent - table["fp"]
    curves = _curves(template, generator, skill)
    fields = _fields(template, f"method_{method:05}", seed, curves)
    return Record.create(_with_id(fields), table, _histograms(table, generator), curves)


def _histograms(table: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    """Distribute the frames of each cell over the bins of its half."""
    totals = table.groupby(["condition", "fold", "au"])[counts.CELLS].sum()
    share = np.arange(1, HALF + 1) / sum(range(1, HALF + 1))
    rows = []
    for key, (tp, fp, fn, tn) in zip(totals.index, totals.to_numpy(), strict=True):
        for label, (below, above) in enumerate(((tn, fp), (fn, tp))):
            bins = [generator.multinomial(below, share[::-1]), generator.multinomial(above, share)]
            rows.append([*key, label, *np.concatenate(bins)])
    return pd.DataFrame(rows, columns=[*histograms.KEY, *histograms.CELLS])


def _curves(template: Record, generator: np.random.Generator, skill: float) -> pd.DataFrame:
    f1 = [skill * (1 - np.exp(-0.3 * np.arange(1, EPOCHS + 1))) + generator.normal(0, 0.01, EPOCHS) for _ in range(3)]
    folds = [
        epochs.of_fold(
            fold.fold,
            [
                {"stage": "train", "frames": 4000, "validation": {"f1": x, "acc": x}, "eligible": True}
                for x in np.clip(values, 0, 1).tolist()
            ],
            (),
        )
        for fold, values in zip(template.info.folds, f1, strict=True)
    ]
    return pd.concat([table for table in folds if table is not None])


def _fields(template: Record, name: str, seed: int, curves: pd.DataFrame) -> dict[str, Any]:
    fields = template.info.model_dump(mode="json")
    for name_of_schema_1 in ("schema_version", "summary", "changed", "also"):
        fields.pop(name_of_schema_1, None)
    best = epochs.canonical(curves).groupby("fold")["f1"].idxmax() % EPOCHS + 1
    folds = [
        {
            **fold,
            "epochs": EPOCHS,
            "best_epoch": int(best[fold["fold"]]),
            "checkpoint": hashing.hash_json([name, seed, fold["fold"]]),
        }
        for fold in fields["folds"]
    ]
    method = {**fields["method"], "name": name, "title": name, "source": "path", "file": hashing.hash_json(name)}
    return {**fields, "method": method, "preset": "small", "seed": seed, "folds": folds}


def _with_id(fields: dict[str, Any]) -> dict[str, Any]:
    digests = {"counts": "0" * 64, "histograms": "0" * 64}
    return {**fields, "run": id_of_record(RecordInfo.from_fields({"schema_version": 2, **fields, "tables": digests}))}


def write_records(root: Path, numbers: range) -> None:
    """Write synthetic records into a leaderboard folder."""
    folders = sorted(TEMPLATE.iterdir())
    template = read(
        next(folder for folder in folders if '"seed": 0' in (folder / "record.json").read_text(encoding="utf-8"))
    )
    for number in numbers:
        record = synthetic_record(template, number)
        record.write(root / "records" / record.relative_path)


def measure(label: str, *arguments: str) -> None:
    """Run a command of the leaderboard and print its cost."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "aubench.cli", "leaderboard", *arguments]
    code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    wall, memory = time.perf_counter() - start, after.ru_maxrss / 1024
    print(
        f"{label}: {cpu:.1f} s of CPU, {wall:.1f} s, {memory:.0f} MiB in the largest process, exit code {code}",
        flush=True,
    )


def main() -> None:
    """Make the records and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", type=int, help="number of records")
    parser.add_argument("--root", type=Path, help="leaderboard folder, which is kept; its records are not made again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = arguments.root or Path(scratch, "leaderboard")
        os.environ[CACHE_VARIABLE] = str(Path(scratch, "cache"))
        if not root.exists():
            write_records(root, range(arguments.records))
        print(f"{arguments.records:,} records")
        measure("build", "build", "--root", str(root))
        measure("check without the cache", "check", "--no-cache", "--root", str(root))
        measure("check", "check", "--root", str(root))


if __name__ == "__main__":
    main()
