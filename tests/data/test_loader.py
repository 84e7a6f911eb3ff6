from __future__ import annotations

import numpy as np
import pytest

from aubench.core.registry import find_protocol
from aubench.core.task import Modality
from aubench.data import loader
from aubench.data.splits import ProtocolDataset
from aubench.data.store import Store


@pytest.fixture(scope="module")
def data(small_store):
    return ProtocolDataset(Store(small_store), find_protocol("synth_3fold"))


def test_epoch_draws_without_repetition_and_by_its_seed_alone():
    rows = np.arange(100, 200)
    drawn = loader.shuffled_epoch(rows, 30, 5)
    assert len(set(drawn.tolist())) == 30 and set(drawn) <= set(rows)
    assert np.array_equal(drawn, loader.shuffled_epoch(rows, 30, 5))
    assert not np.array_equal(drawn, loader.shuffled_epoch(rows, 30, 6))
    assert sorted(loader.shuffled_epoch(rows, None, 5)) == list(rows)


def test_batches_cut_all_rows_or_whole_batches_from_any_start():
    rows = np.arange(23)
    assert np.array_equal(np.concatenate(loader.split_batches(rows, 5)), rows)
    assert [len(b) for b in loader.split_batches(rows, 5, drop_last=True)] == [5, 5, 5, 5]
    assert [b[0] for b in loader.split_batches(rows, 5, start=2, drop_last=True)] == [10, 15]
    assert [len(b) for b in loader.split_batches(rows, 50, drop_last=True)] == [23]


def test_stream_gives_batches_in_order_as_the_store_holds_them(data):
    batches = loader.split_batches(data.split(1, validation=True).train[::7], 16)
    for rows, batch in zip(batches, loader.iter_batches(data, (Modality.DEPTH,), batches), strict=True):
        assert np.array_equal(batch.rows, rows)
        assert np.array_equal(batch.images[Modality.DEPTH].numpy(), data.store.read(Modality.DEPTH, rows))
        assert np.array_equal(batch.labels.numpy(), data.labels[rows])


def test_stream_passes_on_what_the_reader_raises(data):
    with pytest.raises(IndexError):
        list(loader.iter_batches(data, (Modality.DEPTH,), [np.array([10**9])]))
