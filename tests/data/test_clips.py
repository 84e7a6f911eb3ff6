"""Clips cover sequences: every frame once when scored, anywhere when trained on."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aubench.core.registry import find_protocol
from aubench.core.task import Modality
from aubench.data import clips, loader
from aubench.data.splits import ProtocolDataset
from aubench.data.store import Store


def of_numbers(*sequences: Sequence[int]) -> SimpleNamespace:
    """Frames with given numbers."""
    codes = np.repeat(np.arange(len(sequences)), list(map(len, sequences)))
    numbers = pd.DataFrame({"frame": np.concatenate(sequences).astype(np.int32)})
    labels = np.zeros((len(codes), 2), np.int8)
    return SimpleNamespace(sequences=codes, labels=labels, store=SimpleNamespace(frames=numbers))


def of_lengths(*lengths: int) -> SimpleNamespace:
    return of_numbers(*(range(1, length + 1) for length in lengths))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 16))
def test_tiles_hold_every_frame_once_and_no_clip_crosses_a_sequence(lengths, length):
    data = of_lengths(*lengths)
    rows = np.arange(sum(lengths))
    tiles = clips.cover_with_clips(data, rows, length)
    assert tiles.shape[1] == length
    assert sorted(tiles[tiles >= 0]) == list(rows)
    assert all(len(set(data.sequences[clips.image_rows(tile)])) == 1 for tile in tiles)


def test_last_tile_reaches_back_if_the_sequence_is_long_enough():
    assert clips.cover_with_clips(of_lengths(6), np.arange(6), 4).tolist() == [[0, 1, 2, 3], [-3, -4, 4, 5]]
    assert clips.image_rows(np.array([-3, -4, 4, 5])).tolist() == [2, 3, 4, 5]
    assert clips.cover_with_clips(of_lengths(3), np.arange(3), 4).tolist() == [[0, 1, 2, -3]]


@pytest.mark.parametrize(
    ("numbers", "runs"),
    [
        ([range(1, 5), range(3, 6)], [[0, 1, 2, 3], [4, 5, 6]]),
        ([[1, 2, 3, 7, 8, 11]], [[0, 1, 2], [3, 4], [5]]),
        ([[4, 8, 12, 20, 24], [5]], [[0, 1, 2], [3, 4], [5]]),
        ([[1, 2, 9], [1, 5, 9], [10, 11]], [[0, 1], [2], [3, 4, 5], [6, 7]]),
    ],
)
def test_sequences_are_cut_where_frames_lack(numbers, runs):
    data = of_numbers(*numbers)
    assert [run.tolist() for run in clips.sequences(data, np.arange(len(data.sequences)))] == runs
    assert clips.sequences(data, np.arange(0)) == []


def test_rows_left_out_cut_a_sequence_too():
    data, rows = of_lengths(10), np.array([0, 1, 2, 5, 6, 9])
    assert [run.tolist() for run in clips.sequences(data, rows)] == [[0, 1, 2], [5, 6], [9]]
    assert clips.cover_with_clips(data, rows, 2).tolist() == [[0, 1], [-2, 2], [5, 6], [9, -10]]


@pytest.mark.slow
@given(
    st.lists(st.lists(st.integers(1, 3), max_size=30), min_size=1, max_size=4),
    st.integers(1, 8),
    st.integers(0, 9),
)
def test_no_clip_reaches_over_a_gap(steps, length, seed):
    data = of_numbers(*(np.cumsum([1, *each]) for each in steps))
    rows = np.arange(len(data.sequences))
    numbers = data.store.frames["frame"].to_numpy()
    least = [min(each, default=0) for each in steps]
    tiles = clips.cover_with_clips(data, rows, length)
    assert sorted(tiles[tiles >= 0]) == list(rows)
    for clip in [*tiles, *clips.sample_clips(data, rows, length, None, seed)]:
        seen = np.unique(clips.image_rows(clip))
        assert set(np.diff(numbers[seen])) <= {least[data.sequences[seen[0]]]}


def test_drawn_clips_are_consecutive_and_by_their_seed_alone():
    data, rows = of_lengths(30, 3, 9), np.arange(42)
    drawn = clips.sample_clips(data, rows, 8, None, 3)
    assert len(drawn) == 4 + 1 + 2
    for clip in drawn:
        covered = clip[clip >= 0]
        assert np.array_equal(covered, np.arange(covered[0], covered[0] + len(covered)))
        assert len(covered) == (3 if covered[0] in (30,) else 8)
    assert np.array_equal(drawn, clips.sample_clips(data, rows, 8, None, 3))
    assert not np.array_equal(drawn, clips.sample_clips(data, rows, 8, None, 4))
    assert clips.sample_clips(data, rows, 8, 17, 3).shape == (2, 8)
    assert clips.sample_clips(data, rows, 8, 5, 3).shape == (1, 8)


def test_clips_begin_anywhere():
    data, rows = of_lengths(20), np.arange(20)
    starts = {int(clip[0]) for seed in range(100) for clip in clips.sample_clips(data, rows, 8, None, seed)}
    assert starts == set(range(13))


def test_spans_are_covered_from_their_beginning_and_end_in_filling():
    data = of_lengths(12, 12)
    data.labels[15, 0] = 1

    def extra_clip_spans(labels):
        first = np.flatnonzero(labels[:, 0] == 1)
        return [(int(first[0]), int(first[0]) + 6)] if len(first) else []

    added = {tuple(clip) for clip in clips.sample_clips(data, np.arange(24), 4, None, 0, extra_clip_spans).tolist()}
    assert {(15, 16, 17, 18), (19, 20, -21, -21)} <= added


@pytest.fixture(scope="module")
def data(small_store):
    return ProtocolDataset(Store(small_store), find_protocol("synth_3fold"))


def test_filling_has_an_image_and_no_label(data):
    first = int(np.flatnonzero(data.sequences == 1)[0])
    rows = np.array([[first, first + 1, -2 - first]])
    batch = loader.read(data, (Modality.VISUAL,), rows)
    assert batch.images[Modality.VISUAL].shape[:2] == (1, 3)
    assert (batch.images[Modality.VISUAL][0, 1] == batch.images[Modality.VISUAL][0, 2]).all()
    assert (batch.labels[0, 2] == -1).all()
    assert np.array_equal(batch.labels[0, :2].numpy(), data.labels[[first, first + 1]])
