"""Small stores of synth, whose sequences are shorter than a user may ask for."""

from __future__ import annotations

from pathlib import Path

from aubench.data.store import Store
from aubench.datasets.base import Progress
from aubench.datasets.synth.synth_dataset import SYNTH, SynthOptions


def short(**values: int) -> SynthOptions:
    """Return options without the check of their bounds."""
    return SynthOptions.model_construct(**values)


def generate(path: Path, options: SynthOptions, progress: Progress) -> Store:
    """Render the data set into a store."""
    SYNTH.prepare(None, path, options, progress)
    return Store(path)
