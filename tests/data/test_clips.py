"""Clips cover sequences: every frame exactly once, in fixed clips when scored and in shifted ones in training."""

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
    store = SimpleNamespace(frames=numbers)
    return SimpleNamespace(sequences=codes, labels=labels, usual_steps=np.ones(len(codes)), store=store)


def of_lengths(*lengths: int) -> SimpleNamespace:
    return of_numbers(*(range(1, length + 1) for length in lengths))


@pytest.mark.slow
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


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 16), st.integers(1, 7))
def test_a_subsample_has_complete_clips_one_of_each_n(lengths, length, stride):
    data, rows = of_lengths(*lengths), np.arange(sum(lengths))
    cover = clips.cover_with_clips(data, rows, length)
    chosen = clips.subsample(data, rows, length, stride)
    whole = [{int(row) for row in tile[tile >= 0]} <= set(chosen.tolist()) for tile in cover]
    groups = [whole[begin : begin + stride] for begin in range(0, len(whole), stride)]
    assert [sum(group) for group in groups] == [1] * len(groups)
    assert len(chosen) == (cover[whole] >= 0).sum()
    assert chosen.tolist() == sorted(chosen) == clips.subsample(data, rows, length, stride).tolist()


@pytest.mark.parametrize(("frames", "stride"), [(32, 4), (16, 4), (64, 4), (32, 2), (24, 3)])
def test_a_subsample_has_clips_from_all_parts_of_equally_long_sequences(frames, stride):
    """Every n-th clip would be the same one of each sequence, with other base rates than the whole."""
    data = of_lengths(*[frames] * 120)
    chosen = clips.subsample(data, np.arange(120 * frames), 8, stride)
    shares = np.bincount(chosen % frames // 8, minlength=frames // 8) / len(chosen)
    assert shares.min() > 0.5 / (frames // 8)


def test_a_subsample_of_single_frames_is_every_nth():
    assert clips.subsample(of_lengths(6, 4), np.arange(10), None, 4).tolist() == [0, 4, 8]
    assert clips.subsample(of_lengths(6, 4), np.arange(10), 3, 1).tolist() == list(range(10))


@pytest.mark.parametrize(
    ("numbers", "runs"),
    [
        ([range(1, 5), range(3, 6)], [[0, 1, 2, 3], [4, 5, 6]]),
        ([[1, 2, 3, 7, 8, 11]], [[0, 1, 2], [3, 4], [5]]),
        ([[4, 8, 12, 20, 24], [5]], [[0, 1, 2], [3, 4], [5]]),
        ([[1, 2, 9], [1, 5, 9], [10, 11]], [[0, 1], [2], [3, 4, 5], [6, 7]]),
        ([[0, 2, 5, 7, 10, 12, 17, 20]], [[0, 1, 2, 3, 4, 5], [6, 7]]),  # 25 of 60 frames a second, one lacks
        (
            [range(3), [0, 5000], [0, 26, 52], [0, 25]],
            [[0, 1, 2], [3], [4], [5], [6], [7], [8, 9]],
        ),
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


def test_labelled_frames_far_apart_are_no_clip():
    data = of_lengths(100)
    assert clips.cover_with_clips(data, np.array([0, 90]), 2).tolist() == [[0, -1], [90, -91]]
    assert clips.cover_with_clips(data, np.arange(0, 16, 4), 2).tolist() == [[0, 4], [8, 12]]
    data.usual_steps *= 40  # such as times in milliseconds
    assert clips.cover_with_clips(data, np.array([0, 90]), 2).tolist() == [[0, 90]]


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
    for clip in [*tiles, *clips.sample_clips(data, rows, length, None, seed)[0]]:
        seen = np.unique(clips.image_rows(clip))
        assert np.diff(numbers[seen]).max(initial=0) < 2 * max(least[data.sequences[seen[0]]], 1)


def test_drawn_clips_are_consecutive_and_by_their_seed_alone():
    data, rows = of_lengths(30, 3, 9), np.arange(42)
    drawn, _ = clips.sample_clips(data, rows, 8, None, 3)
    assert 4 + 1 + 2 <= len(drawn) <= 5 + 1 + 3
    for clip in drawn:
        images = clips.image_rows(clip)
        assert np.array_equal(images, np.minimum(np.arange(images[0], images[0] + 8), images[-1]))
    assert np.array_equal(drawn, clips.sample_clips(data, rows, 8, None, 3)[0])
    assert not np.array_equal(drawn, clips.sample_clips(data, rows, 8, None, 4)[0])
    assert clips.sample_clips(data, rows, 8, 17, 3)[0].shape == (2, 8)
    assert clips.sample_clips(data, rows, 8, 5, 3)[0].shape == (1, 8)


@pytest.mark.slow
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 16), st.integers(0, 99))
def test_an_epoch_trains_on_every_frame_exactly_once(lengths, length, seed):
    rows = np.arange(sum(lengths))
    drawn, is_extra = clips.sample_clips(of_lengths(*lengths), rows, length, None, seed)
    assert sorted(drawn[drawn >= 0]) == list(rows)
    assert drawn.shape == (len(is_extra), length) and not is_extra.any()


@pytest.mark.slow
def test_the_first_frames_of_a_sequence_are_seen_as_often_as_the_others():
    data, rows = of_lengths(490), np.arange(490)
    counts = np.zeros(490)
    for seed in range(400):
        clip = clips.sample_clips(data, rows, 128, 256, seed)[0]
        counts += np.bincount(clip[clip >= 0], minlength=490)
    assert 0.75 < counts.min() / counts.mean() <= counts.max() / counts.mean() < 1.25


def test_clips_are_cut_anywhere():
    data, rows = of_lengths(20), np.arange(20)
    drawn = [clips.sample_clips(data, rows, 8, None, seed)[0] for seed in range(100)]
    firsts = {int(clip[clip >= 0][0]) for each in drawn for clip in each}
    assert firsts == set(range(20)), "every frame begins a clip at some phase"
    assert {int(clip[0]) for each in drawn for clip in each if (clip >= 0).all()} == set(range(13))


def test_a_short_clip_has_its_neighbours_as_unlabelled_context():
    data, rows = of_lengths(6), np.arange(6)
    drawn = {tuple(clip) for seed in range(50) for clip in clips.sample_clips(data, rows, 4, None, seed)[0].tolist()}
    assert drawn == {
        *((0, 1, 2, 3), (-3, -4, 4, 5)),
        *((0, -2, -3, -4), (1, 2, 3, 4), (-3, -4, -5, 5)),
        *((0, 1, -3, -4), (2, 3, 4, 5)),
        *((0, 1, 2, -4), (-3, 3, 4, 5)),
    }


def test_a_sequence_no_longer_than_a_clip_is_one_clip():
    for length in (3, 4):
        data = of_lengths(length)
        assert all(len(clips.sample_clips(data, np.arange(length), 4, None, seed)[0]) == 1 for seed in range(9))


def test_spans_are_covered_from_their_beginning_and_end_in_filling():
    data = of_lengths(12, 12)
    data.labels[15, 0] = 1

    def extra_clip_spans(labels):
        first = np.flatnonzero(labels[:, 0] == 1)
        return [(int(first[0]), int(first[0]) + 6)] if len(first) else []

    drawn, is_extra = clips.sample_clips(data, np.arange(24), 4, None, 0, extra_clip_spans)
    assert sorted(map(tuple, drawn[is_extra].tolist())) == [(15, 16, 17, 18), (19, 20, -21, -21)]
    regular = drawn[~is_extra]
    assert sorted(regular[regular >= 0]) == list(range(24))


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
