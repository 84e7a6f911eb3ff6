"""Progress of folds on a terminal."""

from __future__ import annotations

from types import SimpleNamespace

from aubench._util import progress
from aubench.api import run_display
from aubench.runs.events import EpochFinished, FoldFinished


def test_a_finished_fold_leaves_its_space_to_others(monkeypatch, capfd):
    for module in (progress, run_display):
        monkeypatch.setattr(module, "is_terminal", lambda: True)
    config = SimpleNamespace(run_id="a", seed=0, entry=SimpleNamespace(name="amf"))
    jobs = [SimpleNamespace(config=config, fold=fold) for fold in (1, 2)]
    with run_display.RunDisplay() as display:
        for job in jobs:
            display.show(job, EpochFinished("train", 1, 2, {"total": 0.5}, {"f1": 0.4, "acc": 0.5}, 9.0))
        display.show(jobs[0], FoldFinished(object(), 2))
        assert len(display._bar.tasks) == 1 and "fold 2" in display._bar.tasks[0].description
    assert capfd.readouterr().err.count("amf, seed 0, fold 1: done") == 1
