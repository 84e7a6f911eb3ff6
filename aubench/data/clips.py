"""Clips: consecutive frames of one sequence, as rows of row numbers.

A clip has the length that the method requests. If a run of frames is too short, or if a clip overlaps with the
frames of another one, its entries are padding: ``-1 - row`` denotes the image of ``row`` whose label and
prediction are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from aubench.data.splits import ProtocolDataset, Rows

Spans = Callable[[npt.NDArray[np.int8]], Sequence[tuple[int, int]]]
"""Function of the labels (F, A) of consecutive frames that returns spans of them, the end excluded."""


def image_rows(rows: Rows) -> Rows:
    """Return the rows of the images, padding included."""
    return np.where(rows < 0, -1 - rows, rows)


def sequences(data: ProtocolDataset, rows: Rows) -> list[Rows]:
    """Return the runs of consecutive frames among ascending rows.

    A sequence is split at missing frames, which are steps between frame numbers above the smallest one.
    """
    if not len(rows):
        return []
    codes, numbers = data.sequences[rows], data.store.frames["frame"].to_numpy()[rows]
    indices = np.split(np.arange(len(rows)), np.flatnonzero(np.diff(codes)) + 1)
    return [rows[run] for sequence in indices for run in _runs(sequence, np.diff(numbers[sequence]))]


def cover_with_clips(data: ProtocolDataset, rows: Rows, length: int) -> Rows:
    """Return clips that contain every row exactly once without padding.

    The last clip of a long enough run extends back over earlier frames as padding.

    Args:
        data: Sequences of the rows.
        rows: Ascending row numbers.
        length: T, frames per clip.

    Returns:
        (N, T), padding negative.
    """
    tiles = [tile for frames in sequences(data, rows) for tile in _tiles(frames, length)]
    return np.stack(tiles) if tiles else np.zeros((0, length), np.int64)


def sample_clips(
    data: ProtocolDataset, rows: Rows, length: int, count: int | None, seed: int, spans: Spans = lambda labels: ()
) -> Rows:
    """Draw the clips of one training epoch, shuffled.

    Every run of frames yields as many clips as cover it, each with a random start. The extra spans are covered
    from their first frame in addition.

    Args:
        data: Sequences and labels of the rows.
        rows: Rows of the training split, ascending.
        length: T, frames per clip.
        count: Number of frames, rounded down to complete clips but at least one clip; all clips if None.
        seed: Seed of the draw and the order.
        spans: Function that returns extra spans.

    Returns:
        (N, T), padding negative.
    """
    rng = np.random.default_rng(seed)
    drawn = []
    for frames in sequences(data, rows):
        starts = rng.integers(0, max(len(frames) - length, 0) + 1, -(-len(frames) // length))
        drawn += [padding(frames[start : start + length], length) for start in starts]
        for first, last in spans(data.labels[frames]):
            drawn += _tiles(frames[first:last], length, reach_back=False)
    order = rng.permutation(len(drawn))
    return np.stack(drawn)[order[: None if count is None else max(count // length, 1)]]


def _runs(frames: Rows, steps: Rows) -> list[Rows]:
    """Split the frames of a sequence at steps above the smallest one."""
    return np.split(frames, np.flatnonzero(steps > steps.min(initial=np.iinfo(steps.dtype).max)) + 1)


def _tiles(frames: Rows, length: int, *, reach_back: bool = True) -> list[Rows]:
    end = len(frames) - len(frames) % length
    tiles = [frames[start : start + length] for start in range(0, end, length)]
    if rest := len(frames) - end:
        overlap = min(length - rest, end) if reach_back else 0
        tiles.append(padding(np.concatenate([-1 - frames[end - overlap : end], frames[end:]]), length))
    return tiles


def padding(frames: Rows, length: int) -> Rows:
    """Append the last frame as padding up to a length."""
    return np.pad(frames, (0, length - len(frames)), constant_values=-1 - frames[-1])
