"""Selection of frames for figures, their preprocessing, and captions."""

from __future__ import annotations

import numpy as np
import torch

from aubench._util.seeds import derive
from aubench.core.recipe_text import recipe_text
from aubench.core.task import Inputs
from aubench.data import clips, loader
from aubench.data.splits import ProtocolDataset, Rows
from aubench.data.transforms import center_crop
from aubench.runs.config import RunConfig


def most_active_frames(data: ProtocolDataset, rows: Rows, count: int) -> Rows:
    """Return frames of different subjects, each subject's first one with the most AUs.

    Args:
        data: Data set with subjects and labels.
        rows: Candidate rows, ascending.
        count: Number of frames, fewer if there are fewer subjects.
    """
    subjects = np.unique(data.subjects[rows])
    chosen = subjects[np.linspace(0, len(subjects) - 1, min(count, len(subjects))).round().astype(int)]
    candidates = [rows[data.subjects[rows] == subject] for subject in chosen]
    return np.array([frames[np.argmax((data.labels[frames] > 0).sum(1))] for frames in candidates])


def most_active_clip(data: ProtocolDataset, rows: Rows, length: int) -> Rows:
    """Return the first complete clip with the most AUs, (1, length)."""
    tiles = clips.cover_with_clips(data, rows, length)
    present = (data.labels[clips.image_rows(tiles)] > 0).sum((1, 2))
    return tiles[[int(np.argmax(present - (tiles < 0).any(1) * present.max()))]]


def name(data: ProtocolDataset, row: int) -> str:
    """Return subject, sequence and number of a frame."""
    frame = data.store.frames.loc[row, ["subject", "sequence", "frame"]]
    return f"{frame['subject']} {frame['sequence']}\nframe {frame['frame']}"


def views(data: ProtocolDataset, config: RunConfig, rows: Rows) -> Inputs:
    """Read frames (N) or clips (N, T) and preprocess them as for predictions."""
    stored, recipe = loader.read(data, config.task.modalities, rows), config.recipe_model
    return center_crop(stored.images, recipe.image_size, recipe.crop)


def seed(config: RunConfig, fold: int) -> int:
    """Seed the global generator for the figures of a fold and return the seed."""
    number = derive(config.seed, config.protocol.seed, fold, "figures")
    torch.manual_seed(number)
    return number


def caption(config: RunConfig, *more: str) -> tuple[str, ...]:
    """Return the parts of a figure's subtitle."""
    return (
        config.entry.method_class.card.title,
        f"{config.protocol.name} v{config.protocol.version}",
        " + ".join(config.task.modalities),
        f"preset {recipe_text(config.preset, config.overrides, config.recipe)}",
        f"seed {config.seed}",
        *more,
    )
