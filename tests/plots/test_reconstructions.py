"""Tests of reconstructions by pre-trained weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from aubench import Modality
from aubench.core.errors import AubenchError, CheckpointError
from aubench.plots import frame_selection, reconstructions
from aubench.runs import fold as fold_module
from aubench.runs import loading

V, D = Modality.VISUAL, Modality.DEPTH


@pytest.fixture(scope="module")
def actual(open_run):
    return reconstructions.compute(open_run, 2, (0.25, 0.75), 3)


def test_frames_are_of_different_subjects_of_the_test_role(open_run, actual):
    subjects = [row.split()[0] for row in actual.rows]
    assert len(set(subjects)) == 3
    assert set(subjects) <= open_run.protocol.test_subjects(2)


@pytest.mark.parametrize("mask", [0.25, 0.75])
def test_visible_pixels_are_the_original(actual, mask):
    result = actual.by_mask[mask]
    for m in (V, D):
        hidden = result.masked[m.value] == 0
        assert hidden.float().mean().item() == pytest.approx(mask, abs=0.06)
        assert torch.equal(result.restored[m][~hidden], result.original[m][~hidden])


def test_the_weights_are_those_before_the_labels(open_run, actual):
    level = loading.load_pretrained_method(open_run, 2).level
    result = actual.by_mask[0.75]
    assert (result.restored[D][result.masked["depth"] == 0] == level).all()
    assert loading.load_method(open_run, 2).level > level + 0.1


def test_equal_calls_mask_equal_pixels(open_run, actual):
    again = reconstructions.compute(open_run, 2, (0.75,), 3)
    assert torch.equal(again.by_mask[0.75].restored[V], actual.by_mask[0.75].restored[V])


@pytest.mark.slow
def test_the_figure_shows_what_was_computed(actual):
    figure = reconstructions.plot(actual, ("words",))
    assert len(figure.axes) == 3 * (2 + 2 * (2 + 2))
    shown = [axes.images[0].get_array() for axes in figure.axes]
    expected = (actual.by_mask[0.75].restored[D][1, 0] + 1) / 2
    assert any(np.allclose(image[..., 0], expected.detach().clamp(0, 1), atol=1e-6) for image in shown)
    assert {"original", "25% masked", "75% masked"} <= {text.get_text() for text in figure.texts}


@pytest.mark.slow
def test_a_clip_is_shown_by_frames_of_it(make, tmp_path):
    source = (Path(__file__).parents[1] / "factories" / "clip_autoencoder.py").read_text()
    hook = """
    def reconstruct(self, inputs, mask):
        return aubench.Reconstruction(inputs, {m.value: x * 0 for m, x in inputs.items()}, inputs)
"""
    (tmp_path / "clips.py").write_text(source + hook)
    plan = make(tmp_path / "runs", str(tmp_path / "clips.py"), epochs=1, pretrain_epochs=1)
    fold_module.run_fold(plan, 1, "cpu", 0, lambda event: None)
    actual = reconstructions.compute(plan, 1, (0.5,), 3)
    assert [row.split("\n")[1] for row in actual.rows] == ["1 of 8", "5 of 8", "8 of 8"]
    assert actual.by_mask[0.5].original[V].shape == (3, 3, 28, 28)
    assert len(reconstructions.plot(actual, ()).axes) == 3 * 6


def test_only_the_pretrained_weights_of_the_run_are_used(open_run, small_store, tmp_path):
    copy = tmp_path / "runs"
    shutil.copytree(open_run.runs, copy)
    plan = loading.load_run(copy / open_run.run_dir.relative_to(open_run.runs), small_store)
    (checkpoint,) = copy.glob("pretrained/*/*/*/fold2/checkpoint.safetensors")
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content.replace(b'"fold": 2', b'"fold": 1').replace(rb"\"fold\": 2", rb"\"fold\": 1"))
    with pytest.raises(CheckpointError, match="belongs to fold '1'"):
        reconstructions.compute(plan, 2, (0.5,), 1)
    checkpoint.unlink()
    with pytest.raises(CheckpointError, match="no longer exists"):
        reconstructions.compute(plan, 2, (0.5,), 1)


def test_weights_of_another_shape_are_refused(open_run, monkeypatch):
    monkeypatch.setattr(
        type(loading.load_method(open_run, 2)), "load_state_dict", torch.nn.Linear(1, 1).load_state_dict
    )
    with pytest.raises(CheckpointError, match="an earlier version of its method"):
        loading.load_method(open_run, 2)


def test_without_a_hook_or_without_decoders_it_is_refused(make, tmp_path):
    with pytest.raises(AubenchError, match="late_fusion has no function reconstruct"):
        reconstructions.compute(make(tmp_path, "late_fusion"), 1, (0.5,), 1)


def test_most_active_frames_have_the_most_aus(open_run):
    data, roles = open_run.load_data(2)
    for row in frame_selection.most_active_frames(data, roles.test, 4):
        own = roles.test[data.subjects[roles.test] == data.subjects[row]]
        assert (data.labels[row] > 0).sum() == (data.labels[own] > 0).sum(1).max()
    assert len(frame_selection.most_active_frames(data, roles.test, 500)) == len(open_run.protocol.test_subjects(2))


@pytest.mark.slow
def test_without_pretraining_the_scored_weights_are_taken(make, tmp_path):
    plan = make(tmp_path, pretrain_epochs=0)
    fold_module.run_fold(plan, 1, "cpu", 0, lambda event: None)
    assert json.loads((plan.fold_dir(1) / "result.json").read_text())["pretraining"] == []
    assert loading.load_pretrained_method(plan, 1).level == loading.load_method(plan, 1).level
