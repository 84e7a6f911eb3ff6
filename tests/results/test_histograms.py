"""Probability bins agree with the threshold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aubench.core.errors import RecordError
from aubench.results import histograms


@pytest.mark.parametrize("width", [32, 64])
def test_the_upper_half_of_the_bins_holds_the_positive_predictions(width):
    kind = {32: np.float32, 64: np.float64}[width]

    @given(st.floats(0, 1, width=width) | st.sampled_from([0.5, float(np.nextafter(kind(0.5), kind(1)))]))
    def check(p):
        index = int(histograms.bins_of(kind(p)))
        assert 0 <= index < histograms.BINS
        assert (index >= histograms.BINS // 2) == (kind(p) > kind(0.5))

    check()


def test_edges_belong_to_the_bin_below_and_zero_to_the_first():
    assert histograms.bins_of([0.0, 1e-9, 0.005, 0.0050001, 0.5, 0.995, 1.0]).tolist() == [0, 0, 0, 1, 99, 198, 199]


def test_unknown_labels_are_not_counted():
    table = histograms.of_predictions([[0.1], [0.9], [0.9]], [[0], [1], [-1]], (4,), condition="clean", fold=2)
    assert table[histograms.CELLS].to_numpy().sum(axis=1).tolist() == [1, 1]
    assert table["label"].tolist() == [0, 1]


def test_round_trip(tmp_path):
    generator = np.random.default_rng(0)
    table = histograms.of_predictions(
        generator.random((50, 2)), generator.integers(-1, 2, (50, 2)), (1, 10), condition="clean", fold=1
    )
    histograms.write(table.sample(frac=1, random_state=1), tmp_path)
    first = (tmp_path / histograms.FILE).read_bytes()
    read = histograms.read(tmp_path)
    assert read.equals(table)
    histograms.write(read, tmp_path)
    assert (tmp_path / histograms.FILE).read_bytes() == first


def test_a_missing_bin_is_named(tmp_path):
    table = histograms.of_predictions([[0.1]], [[0]], (4,), condition="clean", fold=2)
    with pytest.raises(RecordError, match="b007"):
        histograms.canonical(table.drop(columns="b007"))
