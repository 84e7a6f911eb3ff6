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

_LONGEST_STEP = 25  # usual steps between two frames of a clip at most: a second of most videos


def image_rows(rows: Rows) -> Rows:
    """Return the rows of the images, padding included."""
    return np.where(rows < 0, -1 - rows, rows)


def sequences(data: ProtocolDataset, rows: Rows) -> list[Rows]:
    """Return the runs of consecutive frames among ascending rows.

    A sequence is split at missing frames, which are steps between frame numbers of at least twice the smallest one, or
    of more than 25 usual steps of the data set.
    """
    if not len(rows):
        return []
    codes, numbers = data.sequences[rows], data.store.frames["frame"].to_numpy()[rows]
    longest = _LONGEST_STEP * data.usual_steps[rows]
    indices = np.split(np.arange(len(rows)), np.flatnonzero(np.diff(codes)) + 1)
    return [rows[run] for i in indices for run in _runs(i, np.diff(numbers[i]), longest[i[0]])]


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


def subsample(data: ProtocolDataset, rows: Rows, length: int | None, stride: int) -> Rows:
    """Return every n-th row, or the rows of one random clip of each n clips.

    Every n-th clip would mostly have the same position in its sequence if sequences of the data set are equally long.
    The draw is always the same.

    Args:
        data: Sequences of the rows.
        rows: Ascending row numbers.
        length: T, frames per clip; None for single frames.
        stride: n.

    Returns:
        Ascending row numbers, without padding. A prediction cuts them into clips again, in which copies of the last
        frame of a sequence may take the place of the frames before it.
    """
    if length is None:
        return rows[::stride]
    cover = cover_with_clips(data, rows, length)
    starts = np.arange(0, len(cover), stride)
    drawn = cover[np.random.default_rng(0).integers(starts, np.minimum(starts + stride, len(cover)))]
    return np.sort(drawn[drawn >= 0])


def sample_clips(
    data: ProtocolDataset, rows: Rows, length: int, count: int | None, seed: int, spans: Spans = lambda labels: ()
) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Draw the clips of one training epoch, shuffled.

    Every run of frames is cut into clips from a random frame on, so that each of its frames is labelled exactly once.
    The clips at both ends also contain frames of their neighbours as padding. The extra spans are covered from their
    first frame in addition.

    Args:
        data: Sequences and labels of the rows.
        rows: Rows of the training split, ascending.
        length: T, frames per clip.
        count: Number of frames, rounded down to complete clips but at least one clip; all clips if None.
        seed: Seed of the draw and the order.
        spans: Function that returns extra spans.

    Returns:
        Clips (N, T), padding negative, and whether each is of an extra span (N,).
    """
    rng = np.random.default_rng(seed)
    drawn, extra = [], []
    for frames in sequences(data, rows):
        drawn += _tiles(frames, length, phase=int(rng.integers(length)))
        for first, last in spans(data.labels[frames]):
            part = frames[first:last]
            extra += [padding(part[i : i + length], length) for i in range(0, len(part), length)]
    order = rng.permutation(len(drawn) + len(extra))[: None if count is None else max(count // length, 1)]
    return np.stack(drawn + extra)[order], order >= len(drawn)


def _runs(frames: Rows, steps: Rows, longest: float) -> list[Rows]:
    """Split the frames of a sequence at steps of at least twice the smallest one, and at those above the longest."""
    smallest = steps.min(initial=np.iinfo(steps.dtype).max // 2)
    return np.split(frames, np.flatnonzero((steps >= 2 * smallest) | (steps > longest)) + 1)


def _tiles(frames: Rows, length: int, *, phase: int = 0) -> list[Rows]:
    """Cut frames into clips, the first of which begins ``length - phase`` frames early if there are enough frames."""
    last = max(len(frames) - length, 0)
    tiles = []
    for start in range(phase - length if phase and last else 0, len(frames), length):
        first = min(max(start, 0), last)
        index = np.arange(first, min(first + length, len(frames)))
        is_own = (index >= start) & (index < start + length)
        tiles.append(padding(np.where(is_own, frames[index], -1 - frames[index]), length))
    return tiles


def padding(frames: Rows, length: int) -> Rows:
    """Append the last frame as padding up to a length."""
    return np.pad(frames, (0, length - len(frames)), constant_values=-1 - frames[-1])
