"""Tests of the shares of modalities in selections."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aubench import Modality
from aubench.core.conditions import CLEAN, Condition, missing
from aubench.core.errors import AubenchError, MethodError
from aubench.plots import modality_selection
from aubench.plots.modality_selection import SelectionShares

V, D = Modality.VISUAL, Modality.DEPTH


def test_shares_are_of_each_condition(open_run):
    actual = modality_selection.compute(open_run, [2], [missing((V,)), missing((D,))])
    assert (actual.modalities, actual.conditions) == ((V, D), (CLEAN, missing((V,)), missing((D,))))
    np.testing.assert_allclose(actual.values, [[1 / 2, 1 / 2], [1 / 3, 2 / 3], [2 / 3, 1 / 3]], atol=1e-6)


def test_random_and_mean_conditions_are_supported(open_run):
    under = [Condition.parse(text) for text in ("noise:all:0.5", "missing:visual:mean", "mask:depth:0.5")]
    actual = modality_selection.compute(open_run, [2], under)
    np.testing.assert_allclose(actual.values.sum(1), 1)
    np.testing.assert_allclose(actual.values, 0.5, atol=1e-6)


@pytest.mark.parametrize("wrong", [torch.ones(64, 2), torch.ones(64, 3) / 3])
def test_values_that_are_not_shares_are_refused(open_run, monkeypatch, wrong):
    monkeypatch.setattr(open_run.entry.method_class, "modality_selection", lambda self, inputs: wrong)
    with pytest.raises(MethodError, match="modality_selection returned"):
        modality_selection.compute(open_run, [2], [])


def test_bars_are_as_long_as_the_shares():
    values = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]])
    figure = modality_selection.plot(SelectionShares(tuple(Modality), (CLEAN, missing((V, D))), values), ("words",))
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["clean", "missing:visual+depth"]
    for bars, lengths in zip(axes.containers, values.T, strict=True):
        np.testing.assert_allclose([bar.get_width() for bar in bars], lengths)
    ends = [bar.get_x() + bar.get_width() for bar in axes.containers[-1]]
    np.testing.assert_allclose(ends, 1)


def test_without_the_hook_it_is_refused(make, tmp_path):
    with pytest.raises(AubenchError, match="late_fusion has no function modality_selection"):
        modality_selection.compute(make(tmp_path, "late_fusion"), [1], [])
