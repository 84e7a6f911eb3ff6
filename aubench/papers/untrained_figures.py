"""Figures of papers that show inputs or labels, which take no training. All are of the first fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import torch

from aubench.core.conditions import Condition
from aubench.core.introspection import SupportsPairStatistics, SupportsReconstruction
from aubench.data import clips
from aubench.evaluation.corruptions import FrameNoise, apply_condition
from aubench.plots import au_pairs, augmentation, frame_selection, image_grid, style
from aubench.plots.frame_selection import caption
from aubench.plots.image_grid import Block, columns_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aubench.core.task import Inputs
    from aubench.runs.config import RunConfig

FRAMES = 4
SIGMAS = (0.1, 0.2, 0.5, 0.8)
"""Standard deviations of AMF's noise."""


def cut_switch(config: RunConfig) -> Figure:
    """Plot training frames before and after the method's augmentation."""
    return augmentation.plot(augmentation.compute(config, 1, FRAMES), caption(config, "fold 1, training"))


def noise(config: RunConfig) -> Figure:
    """Plot test frames under noise of growing standard deviation, as a method receives them."""
    names, views, frames = _test_frames(config)
    levels = {f"sigma {sigma:g}": Condition.parse(f"noise:all:{sigma}") for sigma in SIGMAS}
    noisy = {"clean": views, **{name: apply_condition(views, level, frames) for name, level in levels.items()}}
    blocks = [Block(m, columns_of({name: images[m] for name, images in noisy.items()})) for m in views]
    return image_grid.plot(blocks, names, "Gaussian noise on normalised images", caption(config, "fold 1, test"))


def mixed_channels(config: RunConfig) -> Figure:
    """Plot test frames and the images that channel-mixing makes of them."""
    names, views, _ = _test_frames(config)
    frame_selection.seed(config, 1)
    result = cast(SupportsReconstruction, config.build_method().eval()).reconstruct(views, 0.0)
    blocks = [Block("original", columns_of(result.original)), Block("mixed", columns_of(result.masked))]
    return image_grid.plot(blocks, names, "Mixed channels", caption(config, "fold 1, test"))


def label_pairs(config: RunConfig) -> Figure:
    """Plot statistics of AU pairs in training labels."""
    method = cast(SupportsPairStatistics, config.build_method())
    statistics = au_pairs.statistics_of("labels,\ntraining", method, _sequences(config))
    return au_pairs.plot([statistics], config.protocol.aus, caption(config, "fold 1, training"))


def label_shares(config: RunConfig) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the share of frames with each AU in training labels, without and with the method's extra clips."""
    method, sequences = config.build_method(), _sequences(config)
    spans = [(labels, method.extra_clip_spans(torch.from_numpy(labels))) for labels in sequences]
    extra = [labels[first:last] for labels, parts in spans for first, last in parts]
    before, after = (np.concatenate(parts) for parts in (sequences, sequences + extra))
    first, second = ((labels == 1).sum(0) / (labels >= 0).sum(0).clip(1) for labels in (before, after))
    return first, second


def label_bars(config: RunConfig) -> Figure:
    """Plot the shares of :func:`label_shares` as bars."""
    before, after = label_shares(config)
    places = np.arange(len(before))
    with style.styled():
        figure = style.make_figure(7.2, 3.6)
        axes = figure.subplots()
        axes.bar(places - 0.2, 100 * before, 0.4, color=style.LINES[0], label="original")
        axes.bar(places + 0.2, 100 * after, 0.4, color=style.LINES[1], label="with clips of rare AUs")
        axes.set_xticks(places, [f"AU{au}" for au in config.protocol.aus], fontsize=8)
        axes.set_ylabel("frames with the AU in %")
        style.legend(figure, axes)
        style.set_title(figure, "Labels of training frames", caption(config, "fold 1, training"))
    return figure


def _test_frames(config: RunConfig) -> tuple[list[str], Inputs, FrameNoise]:
    """Return names, preprocessed images and noise of the most active test frames."""
    data, split = config.load_data(1)
    rows = frame_selection.most_active_frames(data, split.test, FRAMES)
    views = frame_selection.views(data, config, rows)
    return [frame_selection.name(data, row) for row in rows], views, FrameNoise(config.seed, data.names(rows))


def _sequences(config: RunConfig) -> list[npt.NDArray[np.int8]]:
    """Return the training labels of each run of consecutive frames."""
    data, split = config.load_data(1)
    return [data.labels[rows] for rows in clips.sequences(data, split.train)]
