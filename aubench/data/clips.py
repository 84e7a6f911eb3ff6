"""Clips: consecutive frames of one sequence, as rows of row numbers.

A clip has as many entries as the method asks for. Where a run of frames is too short, or a clip reaches
back over frames that another one covers, an entry is filling: the number ``-1 - row`` stands for the
image of ``row`` whose label and prediction count nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from aubench.data.splits import ProtocolDataset, Rows

Spans = Callable[[npt.NDArray[np.int8]], Sequence[tuple[int, int]]]
"""Labels (F, A) of consecutive frames to parts of them, as first frame and the one after the last."""


def image_rows(rows: Rows) -> Rows:
    """The frames whose images stand at some entries, filling included."""
    return np.where(rows < 0, -1 - rows, rows)


def sequences(data: ProtocolDataset, rows: Rows) -> list[Rows]:
    """Runs of frames that follow each other: rows, ascending, by the sequence that they belong to.

    A sequence is cut where frames lack, which shows in a step of their numbers above its least.
    """
    if not len(rows):
        return []
    codes, numbers = data.sequences[rows], data.store.frames["frame"].to_numpy()[rows]
    whole = np.split(np.arange(len(rows)), np.flatnonzero(np.diff(codes)) + 1)
    return [rows[part] for one in whole for part in _runs(one, np.diff(numbers[one]))]


def cover_with_clips(data: ProtocolDataset, rows: Rows, length: int) -> Rows:
    """Clips that hold every row exactly once as itself.

    The last clip of a run of frames reaches back to be full of images, if the run is long enough.

    Args:
        data: Says which rows follow each other in one sequence.
        rows: Ascending.
        length: T, frames a clip.

    Returns:
        (N, T), filling negative.
    """
    tiles = [tile for frames in sequences(data, rows) for tile in _tiles(frames, length)]
    return np.stack(tiles) if tiles else np.zeros((0, length), np.int64)


def sample_clips(
    data: ProtocolDataset, rows: Rows, length: int, count: int | None, seed: int, spans: Spans = lambda labels: ()
) -> Rows:
    """The clips of one training epoch, shuffled.

    Every run of frames gives as many clips as would cover it, each beginning anywhere; besides, the parts
    that ``extra_clip_spans`` names are covered from their beginning.

    Args:
        data: Says which rows follow each other in one sequence, and their labels.
        rows: The training role, ascending.
        length: T, frames a clip.
        count: How many frames to draw, in whole clips but at least one; all clips where None.
        seed: Decides the draw and the order.
        spans: Parts to draw from besides.

    Returns:
        (N, T), filling negative.
    """
    chance = np.random.default_rng(seed)
    found = []
    for frames in sequences(data, rows):
        starts = chance.integers(0, max(len(frames) - length, 0) + 1, -(-len(frames) // length))
        found += [padding(frames[start : start + length], length) for start in starts]
        for first, last in spans(data.labels[frames]):
            found += _tiles(frames[first:last], length, reach_back=False)
    order = chance.permutation(len(found))
    return np.stack(found)[order[: None if count is None else max(count // length, 1)]]


def _runs(frames: Rows, steps: Rows) -> list[Rows]:
    """Frames of one sequence, cut wherever a step to the next is above the least."""
    return np.split(frames, np.flatnonzero(steps > steps.min(initial=np.iinfo(steps.dtype).max)) + 1)


def _tiles(frames: Rows, length: int, *, reach_back: bool = True) -> list[Rows]:
    whole = len(frames) - len(frames) % length
    tiles = [frames[start : start + length] for start in range(0, whole, length)]
    if rest := len(frames) - whole:
        known = min(length - rest, whole) if reach_back else 0
        again = -1 - frames[whole - known : whole]
        tiles.append(padding(np.concatenate([again, frames[whole:]]), length))
    return tiles


def padding(frames: Rows, length: int) -> Rows:
    """Frames followed by the last of them, as filling, up to a length."""
    return np.pad(frames, (0, length - len(frames)), constant_values=-1 - frames[-1])
