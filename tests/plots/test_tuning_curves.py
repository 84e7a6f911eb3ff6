"""Tests of the progress of studies."""

import json

import pytest

from aubench.core.errors import UsageError
from aubench.plots import tuning_curves as plot

HEADER = {"study": "mine", "sampler": "tpe", "pruner": "median", "method": "amf", "protocol_name": "synth_3fold"}


def trial(number: int, f1: float | None, frames: int, run: str | None = None, shared: int = 0) -> dict:
    pretraining = {"same": [2.0, shared]} if shared else {}
    cost = {"run": run or f"run{number}", "seconds": 1.5, "frames": frames, "pretraining": pretraining}
    return {"trial": number, "state": "pruned" if f1 is None else "complete", "f1": f1, "cost": cost}


def test_frames_accumulate_and_the_best_never_decreases():
    actual = plot.best_curve(HEADER, [trial(0, None, 100), trial(1, 0.3, 300), trial(2, 0.2, 300), trial(3, 0.4, 300)])
    assert actual.frames == (400, 700, 1000), "a pruned trial costs, though it finds nothing"
    assert actual.best == (0.3, 0.3, 0.4)
    assert actual.trials == "tpe, pruner median: 4 trials, 1 pruned"


def test_pretraining_shared_by_trials_counts_once():
    actual = plot.best_curve(HEADER, [trial(0, 0.3, 100, shared=1000), trial(1, 0.2, 100, shared=1000)])
    assert actual.frames == (1100, 1200)
    assert plot.best_curve(HEADER, [trial(0, 0.3, 100, "a"), trial(1, 0.3, 100, "a")]).frames == (100, 100)


def test_an_f1_of_0_is_a_value():
    actual = plot.best_curve(HEADER, [trial(0, None, 100), trial(1, 0.0, 100), trial(2, 0.0, 100)])
    assert (actual.frames, actual.best) == ((200, 300), (0.0, 0.0))


def test_the_cost_of_each_trial_is_read_once_or_twice():
    reads = []

    class Cost(dict):
        def __getitem__(self, key):
            reads.append(key)
            return super().__getitem__(key)

    trials = [trial(number, 0.3, 100, shared=1000) for number in range(100)]
    actual = plot.best_curve(HEADER, [each | {"cost": Cost(each["cost"])} for each in trials])
    assert actual.frames[-1] == 100 * 100 + 1000 and reads.count("run") <= 200


@pytest.mark.slow
def test_many_studies_have_thin_lines_of_different_colours_and_their_names_fit():
    curves = [plot.TuningCurve("s" * 50 + str(i), "tpe, pruner none: 3 trials", (1, 2), (0.1, 0.2)) for i in range(30)]
    figure = plot.plot(curves, [f"method{i} on synth_3fold" for i in range(30)])
    lines = [line for line in figure.axes[0].get_lines() if not line.get_label().startswith("_")]
    assert max(line.get_linewidth() for line in lines) <= 5
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 30
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in (*figure.texts, figure.legends[0])]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width for box in boxes)


def test_a_study_without_a_finished_trial_cannot_be_drawn():
    with pytest.raises(UsageError, match="no finished trial"):
        plot.best_curve(HEADER, [trial(0, None, 100)])


@pytest.mark.slow
def test_the_command_needs_only_the_folders(call, tmp_path):
    for name, best in (("one", 0.3), ("other", 0.4)):
        folder = tmp_path / "runs" / "studies" / name / "finished"
        folder.mkdir(parents=True)
        (folder.parent / "study.json").write_text(json.dumps(HEADER | {"study": name}))
        for number in range(3):
            (folder / f"{number:05d}.json").write_text(json.dumps(trial(number, best - number / 100, 200)))
    done = call("plot", "search", "one", "other", "--out", "gain.png")
    assert done.code == 0 and (tmp_path / "gain.png").stat().st_size > 10_000
    refused = call("plot", "search", "on")
    assert refused.code == 2 and refused.err == "aubench: runs/studies: no study 'on'; did you mean 'one'?\n"
