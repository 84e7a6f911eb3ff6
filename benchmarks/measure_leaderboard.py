"""CPU time, wall time and memory of ``aubench leaderboard build`` and ``check`` on any number of synthetic records.

``python benchmarks/measure_leaderboard.py 1000 10000`` writes leaderboards of 1,000 and of 10,000 records to temporary
git repositories. It measures a build, a check without the index of verified records, a check with it, and the check of
a pull request with one more record, before and after its pages are built. The records have the labels, subjects and
size of a committed record. Their predictions are random, with a skill per method.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aubench.core import hashing
from aubench.leaderboard.verified_records import CACHE_VARIABLE
from aubench.results import counts, epochs, histograms
from aubench.results.record import Record, read
from aubench.results.record_info import RecordInfo
from aubench.results.run_id import id_of_record

TEMPLATE = Path(__file__).parents[1] / "leaderboard/records/synth_3fold/resnet_visual"
SEEDS, EPOCHS = 3, 16
HALF = histograms.BINS // 2


def synthetic_record(template: Record, method: int, seed: int, commit: str | None = None) -> Record:
    """Draw the record of a seed of a method that is not built in.

    Args:
        template: Record that gives labels, subjects and provenance.
        method: Number of the method.
        seed: Its seed.
        commit: Commit of the code; that of the template if None.
    """
    generator = np.random.default_rng([method, seed])
    skill = np.random.default_rng(method).uniform(0.5, 0.9)
    table = template.counts.copy()
    present, absent = table["tp"] + table["fn"], table["fp"] + table["tn"]
    skills = np.clip(skill + generator.normal(0, 0.05, len(table)), 0, 1)
    table["tp"], table["fp"] = generator.binomial(present, skills), generator.binomial(absent, 1 - skills)
    table["fn"], table["tn"] = present - table["tp"], absent - table["fp"]
    curves = _curves(template, generator, skill)
    fields = _fields(template, f"method_{method:05}", seed, curves)
    fields["git"]["commit"] = commit or fields["git"]["commit"]
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


def write_record(root: Path, method: int, seed: int, commit: str | None = None) -> None:
    """Write a synthetic record into a leaderboard folder."""
    record = synthetic_record(_template(), method, seed, commit)
    record.write(root / "records" / record.relative_path)


@cache
def _template() -> Record:
    folders = sorted(TEMPLATE.iterdir())
    is_first = (folder for folder in folders if '"seed": 0' in (folder / "record.json").read_text(encoding="utf-8"))
    return read(next(is_first))


def measure(label: str, *arguments: str) -> None:
    """Run a command of the leaderboard and print its cost."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "aubench.cli", "leaderboard", *arguments]
    code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    wall, memory = time.perf_counter() - start, after.ru_maxrss / 1024
    print(
        f"{label}: {cpu:.1f} s of CPU, {wall:.1f} s, at most {memory:.0f} MiB in a process so far, exit code {code}",
        flush=True,
    )


def git(folder: Path, *words: str) -> str:
    """Call git with an author, and without its collection of garbage, which would run beside the next measurement."""
    identity = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost", "-c", "gc.auto=0")
    command = ["git", "-C", str(folder), *identity, *words]
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    return done.stdout.strip()


def measure_leaderboard(root: Path, count: int) -> None:
    """Measure the commands on a leaderboard of ``count`` records in a git repository."""
    root.mkdir(parents=True)
    (root.parent / ".gitignore").write_text("site/\n", encoding="utf-8")
    git(root.parent, "init", "-q")
    git(root.parent, "add", "-A")
    git(root.parent, "commit", "-q", "-m", "Code")
    for number in range(count):
        write_record(root, *divmod(number, SEEDS))
    where = ("--root", str(root))
    print(f"{count:,} records")
    measure("build", "build", *where)
    git(root.parent, "add", "-A")
    git(root.parent, "commit", "-q", "-m", "Leaderboard")
    measure("check without the index", "check", "--no-cache", *where)
    measure("check", "check", *where)
    write_record(root, 0, SEEDS, git(root.parent, "rev-parse", "HEAD"))
    measure("check of one more record, pages stale", "check", "--base", "HEAD", *where)
    measure("build with one more record", "build", *where)
    measure("check of one more record", "check", "--base", "HEAD", *where)


def main() -> None:
    """Make the records and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", type=int, nargs="+", help="numbers of records")
    for count in parser.parse_args().records:
        with tempfile.TemporaryDirectory() as scratch:
            os.environ[CACHE_VARIABLE] = str(Path(scratch, "cache"))
            measure_leaderboard(Path(scratch, "repository", "leaderboard"), count)


if __name__ == "__main__":
    main()
