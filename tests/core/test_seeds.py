from __future__ import annotations

import random
import traceback

import numpy as np
import pytest
import torch

from aubench._util.seeds import derive, seed_everything

DEVICES = [
    pytest.param("cpu"),
    pytest.param(
        "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")]
    ),
    pytest.param("mps", marks=pytest.mark.skipif(not torch.backends.mps.is_available(), reason="no Apple GPU")),
]


def test_seed_depends_on_every_part_and_its_position():
    seeds = {
        derive(0, "data", 1),
        derive(1, "data", 0),
        derive(0, "data", "1"),
        derive(0, "dat", "a1"),
        derive(0, "noise", 1),
    }
    assert len(seeds) == 5


def test_seed_never_changes_between_versions():
    assert derive(0, "data", 1) == 794008219019758082


@pytest.mark.parametrize("device", DEVICES)
def test_all_generators_are_seeded_as_by_their_own_functions(device: str):
    torch.rand(3, device=device)  # a GPU is in use from now on
    torch.manual_seed(7)
    expected = torch.rand(3, device=device)
    seed_everything(7)
    assert torch.equal(torch.rand(3, device=device), expected)
    assert np.random.rand() == np.random.RandomState(7).rand()
    assert random.random() == random.Random(7).random()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU that is not in use yet is seeded on its first use")
def test_a_seed_of_every_step_formats_no_stack(monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("formatting the stack takes longer than all other work of a step outside the networks")

    monkeypatch.setattr(traceback, "format_stack", refuse)
    seed_everything(7)
    with pytest.raises(AssertionError):
        torch.manual_seed(7)  # if this passes, seed_everything can use it
