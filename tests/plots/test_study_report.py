"""Plots of a study in a session that has a backend of its own."""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import pytest

from aubench.plots import study_report

optuna = pytest.importorskip("optuna")


@pytest.mark.slow
def test_the_plots_keep_the_backend_of_the_session_and_warn_of_nothing(tmp_path, monkeypatch):
    plot_slice = optuna.visualization.plot_slice

    def warn(study):
        warnings.warn("experimental", stacklevel=2)
        return plot_slice(study)

    monkeypatch.setattr(optuna.visualization, "plot_slice", warn)
    study = optuna.create_study(study_name="mine", direction="maximize")
    for value in (0.3, 0.5):
        trial = study.ask()
        trial.suggest_float("learning_rate", 0, 1)
        study.tell(trial, value)
    before = plt.get_backend()
    plt.switch_backend("svg")
    try:
        with warnings.catch_warnings(record=True) as shown:
            paths = study_report.plot(study, tmp_path, lambda line: None)
        assert plt.get_backend() == "svg" and not plt.get_fignums()
    finally:
        plt.switch_backend(before)
    assert "experimental" not in [str(warning.message) for warning in shown]
    assert {"history.png", "slices.png", "figures.html"} <= {path.name for path in paths}
