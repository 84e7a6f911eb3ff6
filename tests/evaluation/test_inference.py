"""Predictions of many frames: each once, in batches of one size per kind of device, and copied once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aubench import Fidelity, Method, MethodCard, Modality, Recipe, Task
from aubench.core.errors import Diverged
from aubench.core.registry import find_protocol
from aubench.data.splits import ProtocolDataset
from aubench.data.store import Store
from aubench.evaluation import inference
from aubench.evaluation.predictor import Predictor

V = Modality.VISUAL


@pytest.fixture(scope="module")
def data(small_store):
    return ProtocolDataset(Store(small_store), find_protocol("synth_3fold"))


class ClipRecipe(Recipe):
    frames: int | None = None

    @property
    def clip_length(self):
        return self.frames


class Mean(Method):
    """Answers the mean of a frame's pixels for each of two AUs."""

    card = MethodCard("mean", "none", Fidelity.EXACT)

    def __init__(self, clip_length=None):
        super().__init__(Task((V,), (1, 2), 32), ClipRecipe(image_size=32, crop=32, frames=clip_length))
        self.batches = []

    def forward(self, inputs):
        self.batches.append(inputs[V].shape[:-3].numel())
        means = inputs[V].mean((-3, -2, -1))
        return torch.stack([means + 1, 1 - means], -1) / 2


@pytest.mark.parametrize(("length", "sizes"), [(None, [64, 64, 12]), (12, [60, 60, 24])])
def test_every_frame_is_predicted_once_and_the_device_is_read_once(data, monkeypatch, length, sizes):
    rows = data.split(1, validation=True).test[5:145]
    method, copies, check = Mean(length), [], Predictor.checked_probabilities
    monkeypatch.setattr(
        Predictor, "checked_probabilities", lambda self, output: (copies.append(len(output)), check(self, output))[1]
    )
    probs = inference.predict_probabilities(Predictor(method), data, rows, torch.device("cpu"))
    expected = data.store.read(V, rows).reshape(len(rows), -1).mean(1) / 255
    assert probs.shape == (140, 2) and np.allclose(probs[:, 0], expected, atol=1e-5)
    assert np.allclose(probs.sum(1), 1, atol=1e-5)
    assert len(copies) == 1 and method.batches[: len(sizes) - 1] == sizes[:-1] and sum(method.batches) == copies[0]


def test_no_frames_have_no_predictions(data):
    probs = inference.predict_probabilities(Predictor(Mean()), data, np.zeros(0, np.int64), torch.device("cpu"))
    assert probs.shape == (0, 2)


def test_a_value_that_is_not_finite_in_any_batch_is_reported(data, monkeypatch):
    method, forward = Mean(), Mean.forward
    monkeypatch.setattr(
        Mean, "forward", lambda self, inputs: forward(self, inputs) / (torch.nan if self.batches else 1)
    )
    with pytest.raises(Diverged, match="Mean: forward returned a value that is not finite"):
        inference.predict_probabilities(Predictor(method), data, np.arange(100), torch.device("cpu"))


def test_size_of_batches_depends_on_the_kind_of_device_alone():
    sizes = {name: inference.batch_size(torch.device(name)) for name in ("cpu", "mps", "cuda", "cuda:3")}
    assert sizes == {"cpu": 64, "mps": 64, "cuda": 256, "cuda:3": 256}
