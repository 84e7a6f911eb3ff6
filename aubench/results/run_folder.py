"""Names of the files and folders in a run's folder, and reading of its JSON files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aubench._util import atomic
from aubench.core.errors import DataError

RUN_FILE = "run.json"
"""Configuration of the run and environment at its start."""
RECORD_DIR = "record"
FIGURES_DIR = "figures"
PLOTS_DIR = "plots"
"""Figures on demand, never uploaded."""

EPOCHS = "epochs.jsonl"
RESULT = "result.json"
"""Result of a fold; written last."""
VALIDATION = "validation.json"
"""Result of a fold of a search, which has no test; written last."""
PREDICTIONS = "predictions.parquet"
WEIGHTS = "checkpoint.safetensors"
STATE = "state.safetensors"
"""Training state of an unfinished fold."""
CANDIDATE_WEIGHTS = "better.safetensors"
"""Best weights of an unfinished fold."""
TRACEBACK = "traceback.txt"
RUNNING = "running.json"
"""State of a fold that a process works on."""
FAILED = "failed.json"
"""Reason of the failure of an unfinished fold."""


def run_files(runs: Path) -> list[Path]:
    """List the configurations of all runs in a folder of runs, sorted. A link to a run that is listed is left out."""
    distinct: dict[Path, Path] = {}
    for path in sorted(runs.glob(f"*/*/*/{RUN_FILE}"), key=lambda path: (path.parent.is_symlink(), path)):
        distinct.setdefault(path.resolve(), path)
    return sorted(distinct.values())


def run_names(run_dir: Path) -> tuple[str, str]:
    """Return the names of a run's protocol and method, those of its folders if its configuration is damaged."""
    try:
        header = read_json(run_dir / RUN_FILE)
        return str(header["protocol"]["name"]), str(header["method"]["name"])
    except (DataError, KeyError, TypeError):
        folder = run_dir.resolve()
        return folder.parent.parent.name, folder.parent.name


def fold_count(header: Mapping[str, Any]) -> int:
    """Return the number of folds of the run whose configuration is given.

    Raises:
        KeyError, TypeError: The configuration is of an earlier version.
    """
    return max(len(header["asked"]["protocol"]["folds"]), 1)


def fold_dir(run_dir: Path, fold: int) -> Path:
    """Return the folder of a fold."""
    return run_dir / f"fold{fold}"


def is_finished(folder: Path) -> bool:
    """Return whether the folder of a fold, of a run or of a search, has its result."""
    return (folder / RESULT).exists() or (folder / VALIDATION).exists()


def retrain_hint(folder: Path) -> str:
    """Return the remedy for a broken file in the folder of a fold."""
    return f"delete its folder {folder.name} and repeat the command that trained it"


def remove_resume_files(folder: Path) -> None:
    """Remove the files of a locked fold or pre-training that only resuming needs, and unfinished ones."""
    for name in (STATE, CANDIDATE_WEIGHTS):
        (folder / name).unlink(missing_ok=True)
    remove_unfinished_files(folder)


def remove_unfinished_files(folder: Path) -> None:
    """Remove the files that a killed process was writing for a fold or a pre-training, which is locked."""
    atomic.remove_unfinished_files(folder, besides=(RUNNING, FAILED))


def read_json(path: Path, keys: Iterable[str] = (), hint: str | None = None) -> dict[str, Any]:
    """Read a JSON object from a file, which a copy may have broken.

    Args:
        path: JSON file.
        keys: Keys that the object must have.
        hint: Remedy, for the error message.

    Raises:
        DataError: The file is missing, a folder, cut off or another file, or a key is missing.
    """
    content = _parse(path, _read(path, hint), hint)
    if not isinstance(content, dict):
        raise DataError("is not a JSON object", where=path, hint=hint)
    for key in keys:
        if key not in content:
            raise DataError(f"has no '{key}'", where=path, hint=hint)
    return content


def read_json_lines(path: Path, hint: str | None = None) -> list[dict[str, Any]]:
    """Read a file with one JSON object per line.

    Raises:
        DataError: As of :func:`read_json`.
    """
    lines = [_parse(path, line, hint) for line in _read(path, hint).splitlines()]
    if not all(isinstance(line, dict) for line in lines):
        raise DataError("has a line that is not a JSON object", where=path, hint=hint)
    return lines


def _read(path: Path, hint: str | None) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=path, hint=hint) from None


def _parse(path: Path, content: bytes, hint: str | None) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        what = "is not JSON, or is cut off" if content.strip() else "is empty"
        raise DataError(what, where=path, hint=hint) from None
