"""``aubench plot``: paths and formats of the figures, and one-line errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from aubench.runs import fold as fold_module
from aubench.runs import run_file
from aubench.runs.config import RunConfig

OPEN = Path(__file__).parents[1] / "plots" / "open_method.py"
SMALL = {"image_size": 32, "crop": 28, "frames_per_epoch": 64, "epochs": 1}


@pytest.fixture(scope="module")
def begun(decide) -> Callable[..., RunConfig]:
    """Return a function that creates the folder of a run."""

    def make(runs: Path, method: str) -> RunConfig:
        plan = decide(runs, method, selection="last", **SMALL)
        run_file.write(plan, {})
        return plan

    return make


@pytest.fixture(scope="module")
def run(begun, tmp_path_factory) -> Path:
    """Return the folder of a run with a finished second fold; its method supports all figures."""
    plan = begun(tmp_path_factory.mktemp("runs"), str(OPEN))
    fold_module.run_fold(plan, 2, "cpu", 0, lambda event: None)
    return plan.run_dir


FIGURES = ["reconstructions", "knowledge", "selection", "cut-switch"]


@pytest.mark.slow
@pytest.mark.parametrize("figure", FIGURES)
def test_each_figure_is_written_to_the_run_folder(call, run, small_store, figure):
    done = call("plot", figure, run, "--store", small_store)
    assert done.code == 0, done.err
    path = Path(done.out.strip())
    assert path == run / "plots" / f"{figure.replace('-', '_')}.png"
    assert not (run / "figures").exists(), "figures there are sent to MLflow, and these may show faces"
    image = cv2.imread(str(path))
    assert image.shape[0] > 300 and image.shape[1] > 600 and image.std() > 10


@pytest.mark.slow
@pytest.mark.parametrize("figure", ["reconstructions", "cut-switch"])
def test_the_same_command_draws_the_same(call, run, small_store, figure):
    for name in ("a.png", "b.png"):
        assert call("plot", figure, run, "--store", small_store, "--frames", "1", "--out", name).code == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


@pytest.mark.slow
def test_out_sets_path_and_format(call, run, small_store, tmp_path):
    done = call("plot", "selection", run, "--fold", "2", "--out", "new/figure.svg", "--store", small_store)
    assert (done.code, done.out) == (0, "new/figure.svg\n"), done.err
    assert (tmp_path / "new/figure.svg").read_text().startswith("<?xml")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["figure.svg"]


@pytest.mark.slow
def test_masks_and_frames_are_chosen(call, run, small_store):
    sizes = []
    for options in (("--mask", "0.5"), ("--mask", "0.5,0.9"), ("--mask", "0.5", "--frames", "2")):
        done = call("plot", "reconstructions", run, "--store", small_store, "--out", "a.png", *options)
        assert done.code == 0, done.err
        sizes.append(cv2.imread("a.png").shape[:2])
    assert sizes[1][1] > sizes[0][1] and sizes[2][0] < sizes[0][0]


@pytest.mark.slow
def test_cut_switch_needs_no_run(call, small_store, tmp_path):
    words = ("plot", "cut-switch", "--protocol", "synth_3fold", "--store", small_store, "--frames", "2")
    done = call(*words, "--method", "late_fusion", "--set", "cut_switch=0.5")
    assert (done.code, done.out) == (0, "cut_switch.png\n"), done.err
    done = call(*words, "--method", "late_fusion", "--out", "b.png")
    assert done.code == 2 and "late_fusion changes no image" in done.err
    assert [path.name for path in tmp_path.glob("*.png")] == ["cut_switch.png"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("figure", "message"),
    [
        ("reconstructions", "late_fusion has no function reconstruct; see docs/figures.md"),
        ("knowledge", "late_fusion has no function pair_statistics; see docs/figures.md"),
        ("selection", "late_fusion has no function modality_selection; see docs/figures.md"),
        ("cut-switch", "late_fusion changes no image of its training frames in this recipe"),
    ],
)
def test_a_method_without_the_hook_is_refused_in_one_line(call, begun, small_store, tmp_path, figure, message):
    folder = begun(tmp_path / "runs", "late_fusion").run_dir
    done = call("plot", figure, folder, "--store", small_store, "--fold", "1")
    assert (done.code, done.out, done.err) == (2, "", f"aubench: {message}\n")
    assert not (folder / "plots").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("reconstructions", "RUN", "--mask", "1"), "'1' is not a list of mask ratios"),
        (("reconstructions", "RUN", "--mask", "half"), "'half' is not a list of mask ratios"),
        (("reconstructions", "RUN", "--fold", "1"), "fold 1 is not finished"),
        (("reconstructions", "RUN", "--fold", "9"), "has no fold '9'"),
        (("knowledge", "RUN", "--out", "a.gif"), "cannot be a '.gif' file"),
        (("selection", "nowhere"), "is not the folder of a run"),
        (("cut-switch",), "give a run folder, or both --method and --protocol"),
        (("cut-switch", "RUN", "--method", "amf"), "give a run folder, or both --method and --protocol"),
        (("cut-switch", "--method", "all", "--protocol", "synth_3fold"), "--method: no method 'all'"),
        (("cut-switch", "--method", "amf"), "give a run folder, or both --method and --protocol"),
    ],
)
def test_bad_usage_is_one_line(call, run, small_store, words, message):
    done = call("plot", *(run if word == "RUN" else word for word in words), "--store", small_store)
    assert (done.code, done.out) == (2, "")
    assert message in done.err and done.err.count("\n") == 1


@pytest.mark.slow
def test_a_run_without_a_finished_fold_is_refused(call, begun, small_store, tmp_path):
    folder = begun(tmp_path / "runs", "amf").run_dir
    done = call("plot", "selection", folder, "--store", small_store)
    assert done.code == 2 and "has no finished fold" in done.err
