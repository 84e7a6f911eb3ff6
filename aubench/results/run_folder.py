"""Names of the files and folders in a run's folder."""

from __future__ import annotations

from pathlib import Path

RUN_FILE = "run.json"
"""Configuration of the run and environment at its start."""
RECORD_DIR = "record"
FIGURES_DIR = "figures"
PLOTS_DIR = "plots"
"""Figures on demand, never uploaded."""

EPOCHS = "epochs.jsonl"
RESULT = "result.json"
"""Result of a fold; written last."""
PREDICTIONS = "predictions.parquet"
WEIGHTS = "checkpoint.safetensors"
STATE = "state.safetensors"
"""Training state of an unfinished fold."""
CANDIDATE_WEIGHTS = "better.safetensors"
"""Best weights of an unfinished fold."""
TRACEBACK = "traceback.txt"


def fold_dir(run_dir: Path, fold: int) -> Path:
    """Return the folder of a fold."""
    return run_dir / f"fold{fold}"
