"""Tests of the figure of an augmentation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from aubench import Modality
from aubench.core.errors import AubenchError
from aubench.methods._modules.cut_switch import replicate_channels
from aubench.plots import augmentation

V, D = Modality.VISUAL, Modality.DEPTH


def test_boxes_are_around_what_differs():
    before = torch.zeros(3, 1, 8, 9)
    after = before.expand(-1, 3, -1, -1).clone()
    after[0, 1, 2, 3] = after[0, 0, 5, 7] = 1
    after[2, :, 0, 8] = -1
    assert augmentation.boxes(before, after) == ((3, 2, 5, 4), None, (8, 0, 1, 1))


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_boxes_of_images_that_got_channels(channels):
    before = torch.rand(2, channels, 8, 9)
    after = replicate_channels(before).clone()
    assert augmentation.boxes(before, after) == (None, None)
    after[1, 0, 2, 3] += 1
    assert augmentation.boxes(before, after) == (None, (3, 2, 1, 1))


def test_changed_training_frames_are_shown_where_they_changed(make, tmp_path):
    plan = make(tmp_path)
    actual = augmentation.compute(plan, 1, 3)
    assert (actual.changed, actual.total) == (32, 64)
    data, roles = plan.load_data(1)
    assert {row.split()[0] for row in actual.rows} <= set(data.subjects[roles.train].tolist())
    assert augmentation.boxes(actual.before[V], actual.after[V]) == ((3, 2, 7, 4),) * 3
    assert augmentation.boxes(actual.before[D], actual.after[D]) == (None,) * 3
    again = augmentation.compute(plan, 1, 3)
    assert again.rows == actual.rows and torch.equal(again.after[V], actual.after[V])


def test_the_figure_has_the_boxes(make, tmp_path):
    actual = augmentation.compute(make(tmp_path), 1, 2)
    figure = augmentation.plot(actual, ("words",))
    assert len(figure.axes) == 2 * 4
    assert sum(len(axes.patches) for axes in figure.axes) == 2
    assert "32 of 64 training frames changed" in figure.get_suptitle()


@pytest.mark.slow
def test_clips_are_counted_as_clips(make, tmp_path):
    source = (Path(__file__).parents[1] / "factories" / "clip_autoencoder.py").read_text()
    hook = """
    def augment(self, batch, generator):
        for images in batch.inputs.values():
            images[:3] = -1
        return batch
"""
    (tmp_path / "clips.py").write_text(source + hook)
    actual = augmentation.compute(make(tmp_path / "runs", str(tmp_path / "clips.py")), 1, 2)
    assert "3 of 8 training clips changed" in augmentation.plot(actual, ("words",)).get_suptitle()


@pytest.mark.parametrize("method", ["late_fusion", "amf"])
def test_cut_switch_shows_a_block_of_another_modality(make, tmp_path, method):
    plan = make(tmp_path, method, cut_switch=0.5, cut_switch_block=8)
    actual = augmentation.compute(plan, 1, 2)
    for row, (left, top, width, height) in enumerate(augmentation.boxes(actual.before[V], actual.after[V])):
        assert width <= 8 and height <= 8
        inside = (row, slice(None), slice(top, top + height), slice(left, left + width))
        assert torch.equal(actual.after[V][inside], actual.before[D].expand(-1, 3, -1, -1)[inside])


def test_a_method_that_changes_nothing_is_refused(make, tmp_path):
    with pytest.raises(AubenchError, match="late_fusion changes no image"):
        augmentation.compute(make(tmp_path, "late_fusion"), 1, 2)
