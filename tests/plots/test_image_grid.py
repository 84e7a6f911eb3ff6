from __future__ import annotations

import numpy as np
import torch

from aubench.plots import image_grid
from aubench.plots.image_grid import Block, Column


def images(rows, level):
    return np.full((rows, 4, 4, 3), level, np.float32) + np.arange(rows, dtype=np.float32)[:, None, None, None] / 10


def test_pixels_are_clipped_and_grey_becomes_three_channels():
    actual = image_grid.pixels(torch.tensor([-3.0, -1.0, 0.0, 1.0]).view(1, 1, 2, 2))
    assert actual.shape == (1, 2, 2, 3)
    assert np.array_equal(actual[..., 1], [[[0, 0], [0.5, 1]]])


def test_two_channels_are_followed_by_their_mean():
    actual = image_grid.pixels(torch.tensor([-1.0, 0.0]).view(1, 2, 1, 1))
    assert actual.tolist() == [[[[0, 0.5, 0.25]]]]


def test_each_image_is_in_its_row_and_column_with_its_box():
    blocks = (
        Block("one", (Column("a", images(2, 0.1)), Column("b", images(2, 0.3)))),
        Block("two", (Column("c", images(2, 0.5), ((1, 2, 3, 1), None)),)),
    )
    figure = image_grid.plot(blocks, ("first", "second"), "Title", ("words",))
    assert len(figure.axes) == 6
    columns = sorted({round(axes.get_position().x0, 6) for axes in figure.axes})
    rows = sorted({round(axes.get_position().y0, 6) for axes in figure.axes}, reverse=True)
    for axes in figure.axes:
        place = axes.get_position()
        column, row = columns.index(round(place.x0, 6)), rows.index(round(place.y0, 6))
        expected = [block_column.images for block in blocks for block_column in block.columns][column][row]
        assert np.array_equal(axes.images[0].get_array(), expected)
        assert len(axes.patches) == ((column, row) == (2, 0))
        if axes.patches:
            assert (*axes.patches[0].get_xy(), axes.patches[0].get_width(), axes.patches[0].get_height()) == (
                0.5,
                1.5,
                3,
                1,
            )
    output = {text.get_text() for text in figure.texts}
    assert {"one", "two", "a", "b", "c", "first", "second", "words"} <= output


def test_a_grid_is_as_wide_as_its_titles():
    subtitle = ("AU-vMAE", "synth_3fold v1", "visual", "preset small", "seed 0", "fold 1, training")
    blocks = (Block("before", (Column("visual", images(1, 0.1)),)), Block("after", (Column("visual", images(1, 0.3)),)))
    figure = image_grid.plot(blocks, ("first",), "Augmentation: 31 of 64 training frames changed", subtitle)
    figure.set_dpi(150)
    figure.draw_without_rendering()
    assert all(text.get_window_extent().x1 < figure.bbox.width for text in figure.texts)
    assert "\n" not in figure.get_suptitle().strip()
