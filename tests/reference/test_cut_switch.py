"""Cut-switch (AMF §3.5, Fig. 2) against loops, and by its counts."""

import numpy as np
import pytest
import torch
from scipy import stats

from aubench import Batch, Modality
from aubench.core.errors import RecipeError
from aubench.methods._modules.cut_switch import CutSwitchRecipe, cut_switch

V, D, T = Modality
SIZE, BLOCK = 20, 6


def images(modalities, count=8):
    """Every pixel of every modality, channel and frame has a value of its own."""
    size = count * 3 * SIZE * SIZE
    return {
        m: torch.arange(size, dtype=torch.float64).reshape(count, 3, SIZE, SIZE)[:, : m.channels] + i * 1e6
        for i, m in enumerate(modalities)
    }


def switched(modalities, count=8, share=1.0, seed=0):
    batch = Batch(images(modalities, count), torch.zeros(count, 12))
    return batch, cut_switch(batch, BLOCK, share, torch.Generator().manual_seed(seed))


def origin(modalities, batch, actual, n):
    """(M, H, W): from which modality each pixel of a frame came, proven to be whole and in its place."""
    came = np.full((len(modalities), SIZE, SIZE), -1)
    for i, m in enumerate(modalities):
        for j, source in enumerate(modalities):
            whole = batch.inputs[source][n].expand(3, -1, -1)
            came[i][(actual.inputs[m][n] == whole).all(0).numpy()] = j
    assert (came >= 0).all()
    return came


@pytest.mark.parametrize("modalities", [(V, D), (D, T), (V, D, T)])
def test_one_square_per_frame_changes_places_and_everything_else_stays(modalities):
    batch, actual = switched(modalities)
    for n in range(8):
        came = origin(modalities, batch, actual, n)
        moved = came != np.arange(len(modalities))[:, None, None]
        assert (moved == moved[0]).all(), "the block lies elsewhere in another modality"
        rows, columns = np.nonzero(moved[0])
        assert len(rows) == BLOCK**2
        assert (np.ptp(rows), np.ptp(columns)) == (BLOCK - 1, BLOCK - 1)
        sources = came[:, rows[0], columns[0]]
        assert (came[:, rows, columns] == sources[:, None]).all()
        assert sorted(sources) == list(range(len(modalities))), "a patch was lost or doubled"


def test_places_and_turns_are_drawn_per_frame_and_uniformly():
    modalities = (V, D, T)
    batch, actual = switched(modalities, count=600)
    tops, lefts, turns = [], [], []
    for n in range(600):
        moved = (actual.inputs[V][n] != batch.inputs[V][n]).all(0).numpy()
        rows, columns = np.nonzero(moved)
        tops.append(rows.min())
        lefts.append(columns.min())
        turns.append(int(actual.inputs[V][n, 0, rows[0], columns[0]] > 1.9e6))
    for values, places in ((tops, SIZE - BLOCK + 1), (lefts, SIZE - BLOCK + 1), (turns, 2)):
        assert stats.chisquare(np.bincount(values, minlength=places)).pvalue > 0.01


def test_the_share_of_frames_is_kept():
    batch, actual = switched((V, D), count=2000, share=0.3)
    changed = (actual.inputs[V] != batch.inputs[V]).flatten(1).any(1).sum().item()
    assert stats.binomtest(changed, 2000, 0.3).pvalue > 0.01


def test_nothing_moves_at_share_zero_but_channels_are_equal():
    batch, actual = switched((V, D), share=0.0)
    assert torch.equal(actual.inputs[V], batch.inputs[V])
    assert torch.equal(actual.inputs[D], batch.inputs[D].expand(-1, 3, -1, -1))


def test_the_batch_given_and_its_labels_are_left_alone():
    batch = Batch(images((V, D)), torch.arange(96).reshape(8, 12))
    cut_switch(batch, BLOCK, 1.0, torch.Generator())
    assert all(torch.equal(batch.inputs[m], x) for m, x in images((V, D)).items())
    assert torch.equal(batch.labels, torch.arange(96).reshape(8, 12))


def test_the_same_seed_switches_the_same():
    first, second = (switched((V, D, T), seed=5)[1] for _ in range(2))
    assert all(torch.equal(first.inputs[m], second.inputs[m]) for m in first.inputs)


def test_a_block_as_large_as_the_image_switches_whole_images():
    batch = Batch(images((V, D)), torch.zeros(8, 12))
    actual = cut_switch(batch, SIZE, 1.0, torch.Generator())
    assert torch.equal(actual.inputs[D], batch.inputs[V])


def test_the_block_must_fit_if_it_is_used():
    small = {"image_size": 48, "crop": 48}
    assert CutSwitchRecipe.from_preset("paper", small).crop == 48
    with pytest.raises(RecipeError, match="cut_switch_block 50 is larger than crop 48"):
        CutSwitchRecipe.from_preset("paper", {**small, "cut_switch": 0.5})
