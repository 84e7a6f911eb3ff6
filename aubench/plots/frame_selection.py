"""Which frames a figure shows, what a method sees of them, and what is said above."""

from __future__ import annotations

import numpy as np
import torch

from aubench._util.seeds import derive
from aubench.core.method import Method
from aubench.core.task import Inputs
from aubench.data import clips, loader
from aubench.data.splits import ProtocolDataset, Rows
from aubench.data.transforms import center_crop
from aubench.runs.config import RunConfig


def most_active_frames(data: ProtocolDataset, rows: Rows, count: int) -> Rows:
    """A few frames, each of another subject: its first one with the most AUs.

    Args:
        data: Says whose the rows are, and their labels.
        rows: To choose from, ascending.
        count: How many; fewer where there are not as many subjects.
    """
    subjects = np.unique(data.subjects[rows])
    of = subjects[np.linspace(0, len(subjects) - 1, min(count, len(subjects))).round().astype(int)]
    return np.array([_richest(data, rows[data.subjects[rows] == subject]) for subject in of])


def most_active_clip(data: ProtocolDataset, rows: Rows, length: int) -> Rows:
    """The first whole clip with the most AUs, (1, length)."""
    tiles = clips.cover_with_clips(data, rows, length)
    present = (data.labels[clips.image_rows(tiles)] > 0).sum((1, 2))
    return tiles[[int(np.argmax(present - (tiles < 0).any(1) * present.max()))]]


def name(data: ProtocolDataset, row: int) -> str:
    """Subject, sequence and number of a frame."""
    frame = data.store.frames.loc[row, ["subject", "sequence", "frame"]]
    return f"{frame['subject']} {frame['sequence']}\nframe {frame['frame']}"


def views(data: ProtocolDataset, method: Method, rows: Rows) -> Inputs:
    """What a method sees of frames (N) or clips (N, T) when it predicts."""
    stored = loader.read(data, method.task.modalities, rows)
    return center_crop(stored.images, method.recipe.image_size, method.recipe.crop)


def seed(plan: RunConfig, fold: int) -> int:
    """Seed the global generator, the same for the same figure; returns the seed."""
    number = derive(plan.seed, plan.protocol.seed, fold, "figures")
    torch.manual_seed(number)
    return number


def caption(plan: RunConfig, *more: str) -> tuple[str, ...]:
    """What a figure is of."""
    return (
        plan.entry.method_class.card.title,
        f"{plan.protocol.name} v{plan.protocol.version}",
        " + ".join(plan.task.modalities),
        f"preset {plan.preset}",
        f"seed {plan.seed}",
        *more,
    )


def _richest(data: ProtocolDataset, rows: Rows) -> int:
    return int(rows[np.argmax((data.labels[rows] > 0).sum(1))])
