"""Tests of the matrices of AU pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aubench.core.errors import AubenchError
from aubench.plots import au_pairs
from aubench.plots.au_pairs import STATES, PairStatistics

AUS = (1, 2, 4)


def known(name, seed):
    chance = np.random.default_rng(seed)
    return PairStatistics(name, chance.random((3, 3)), chance.random((3, 3, 16)) * 0.3)


def shares(labels):
    """Return the method's pair statistics: the share of frames with both AUs."""
    present = (labels > 0).astype(np.float64)
    return present.T @ present / len(present)


@pytest.mark.slow
def test_statistics_are_of_labels_and_stored_predictions(open_run):
    actual = au_pairs.compute(open_run, 2)
    assert [kind.name for kind in actual] == ["labels,\ntraining", "labels,\ntest", "predictions,\ntest"]
    table = pd.read_parquet(open_run.fold_dir(2) / "predictions.parquet")
    labels = table.filter(regex="^AU").to_numpy()
    output = np.where(labels >= 0, table.filter(like="p_AU"), 0).astype(np.float64)
    assert (labels < 0).any()
    np.testing.assert_allclose(actual[2].intra, output.T @ output / len(output), atol=1e-5)
    np.testing.assert_allclose(actual[1].intra, shares(labels), atol=1e-5)
    data, roles = open_run.load_data(2)
    np.testing.assert_allclose(actual[0].intra, shares(data.labels[roles.train]), atol=1e-5)
    assert actual[1].inter.max() == table.groupby(["subject", "sequence"]).ngroups


@pytest.mark.slow
def test_the_figure_has_the_given_matrices():
    kinds = [known("labels", 0), known("predictions", 1)]
    figure = au_pairs.plot(kinds, AUS, ("words",))
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    assert len(panels) == 2 * (1 + len(STATES))
    for i, kind in enumerate(kinds):
        for j, matrix in enumerate([kind.intra, *(kind.inter[..., state] for state in STATES)]):
            axes = panels[i * (1 + len(STATES)) + j]
            image = axes.images[0].get_array()
            assert np.array_equal(image.mask, np.eye(3, dtype=bool))
            assert np.array_equal(image.filled(0), np.where(np.eye(3), 0, matrix))
            assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "4"]
            assert [label.get_text() for label in axes.get_yticklabels()] == ["1", "2", "4"]


@pytest.mark.slow
def test_a_column_has_one_colour_scale():
    kinds = [known("labels", 0), known("predictions", 1)]
    panels = [axes for axes in au_pairs.plot(kinds, AUS, ()).axes if axes.get_label() != "<colorbar>"]
    for j in range(1 + len(STATES)):
        above, below = (panels[i * (1 + len(STATES)) + j].images[0] for i in range(2))
        assert above.get_clim() == below.get_clim()
        assert above.get_clim()[1] == max(above.get_array().max(), below.get_array().max())


def test_unknown_entries_are_blank():
    blank = PairStatistics("labels", np.full((3, 3), -1.0), np.full((3, 3, 16), -1.0))
    (first, *_) = au_pairs.plot([blank], AUS, ()).axes
    assert first.images[0].get_array().mask.all()


@pytest.mark.parametrize(
    ("now", "after", "state"), [((1, 1), (1, 1), 15), ((1, 0), (1, 0), 5), ((0, 1), (1, 1), 14), ((1, 1), (0, 1), 11)]
)
def test_the_states_are_those_of_the_method(now, after, state):
    import torch

    from aubench.methods._modules.au_pair_statistics import transitions

    assert transitions(torch.tensor([now]).double(), torch.tensor([after]).double())[0, 1].argmax() == state
    assert state in STATES


def test_without_the_hook_it_is_refused(make, tmp_path):
    with pytest.raises(AubenchError, match="late_fusion has no function pair_statistics"):
        au_pairs.compute(make(tmp_path, "late_fusion"), 1)
