from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from aubench.core.errors import RecordError
from aubench.plots import run_figures


@pytest.mark.slow
def test_both_figures_are_drawn_and_equal_runs_give_equal_bytes(fake_run: Any) -> None:
    run = fake_run().finish()
    result = run_figures.plot(run.run_dir)
    assert [path.relative_to(run.run_dir).as_posix() for path in result] == [
        "figures/f1_per_au.png",
        "figures/learning_curves.png",
    ]
    first = [path.read_bytes() for path in result]
    run_figures.plot(run.run_dir)
    assert [path.read_bytes() for path in result] == first
    for path in result:
        image = cv2.imread(str(path))
        assert image.shape[0] > 500 and image.shape[1] > 900
        assert image.std() > 10


@pytest.mark.slow
def test_a_figure_follows_the_numbers(fake_run: Any) -> None:
    one, other = (run_figures.plot(fake_run(seed=seed).finish().run_dir)[0] for seed in (0, 1))
    plot = np.s_[120:500]
    assert (cv2.imread(str(one))[plot] != cv2.imread(str(other))[plot]).any()


@pytest.mark.slow
def test_a_run_of_two_stages_without_validation_is_drawn(fake_run: Any) -> None:
    run = fake_run(folds=(1,), selection="last")
    run.train(1, 4, stage="pretrain", validation=None).train(1, 6, validation=None).finish()
    assert len(run_figures.plot(run.run_dir)) == 2
    (run.run_dir / "fold1" / "epochs.jsonl").unlink()
    assert len(run_figures.plot(run.run_dir)) == 1


def test_each_stage_has_a_panel_for_its_loss_and_a_panel_names_only_stages_that_it_shows(fake_run: Any) -> None:
    run = fake_run(folds=(1, 2))
    for fold in run.folds:
        run.train(fold, 4, stage="pretrain", validation=None, loss={"total": 0.01}).train(fold, 3)
    epochs = {fold: run_figures._epochs(run.run_dir / f"fold{fold}" / "epochs.jsonl") for fold in run.folds}
    figure = run_figures._learning_curves(run.record, epochs)
    assert [axes.get_ylabel() for axes in figure.axes] == ["training loss"] * 2 + ["F1 on validation"]
    assert [[text.get_text() for text in axes.texts] for axes in figure.axes] == [["pretrain"], ["train"], ["train"]]
    lines = [axes.get_lines() for axes in figure.axes]
    assert [list(lines[i][0].get_xdata()) for i in range(3)] == [[1, 2, 3, 4], [5, 6, 7], [5, 6, 7]]
    assert list(lines[0][1].get_ydata()) == [0.01] * 4


def test_a_single_epoch_has_a_whole_number(fake_run: Any) -> None:
    run = fake_run(folds=(1,)).train(1, 1)
    epochs = {1: run_figures._epochs(run.run_dir / "fold1" / "epochs.jsonl")}
    figure = run_figures._learning_curves(run.record, epochs)
    assert [[tick for tick in axes.get_xticks() if tick != int(tick)] for axes in figure.axes] == [[], []]


def test_the_subtitle_names_changed_recipe_values(fake_run: Any) -> None:
    run = fake_run(folds=(1,)).train(1, 1)
    info = run.record.info
    changed = info.model_copy(update={"recipe": {**info.recipe, "epochs": 3}, "overrides": ("epochs",)})
    epochs = {1: run_figures._epochs(run.run_dir / "fold1" / "epochs.jsonl")}
    figure = run_figures._learning_curves(replace(run.record, info=changed), epochs)
    assert any(f"preset {info.preset}, epochs=3" in text.get_text() for text in figure.texts)


def test_an_unfinished_run_has_no_figures(fake_run: Any) -> None:
    run = fake_run().train(1, 2)
    with pytest.raises(RecordError):
        run_figures.plot(run.run_dir)
    assert not (run.run_dir / "figures").exists()
