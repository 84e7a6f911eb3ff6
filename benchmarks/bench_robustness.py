"""AMF's suite of 15 conditions on two modalities, evaluated together against fifteen separate evaluations."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from aubench import Modality, Task
from aubench.core.conditions import CLEAN
from aubench.core.registry import find_method
from aubench.core.suites import find_suite
from aubench.evaluation.corruptions import FrameNoise
from aubench.evaluation.multi_condition import MultiConditionPredictor
from aubench.evaluation.predictor import Predictor

TARGET = 0.40
MODALITIES = (Modality.VISUAL, Modality.DEPTH)
AUS = tuple(range(1, 13))
BATCHES, BATCH = 2, 32


@pytest.fixture(autouse=True)
def evaluating_process() -> None:
    """Use one thread, as the evaluating processes do."""
    torch.set_num_threads(1)


def both_ways(
    name: str, preset: str, batches: int, batch: int, **overrides: object
) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """Build both evaluations of the suite. Each draws the noise that it needs."""
    method_class = find_method(name).method_class
    recipe = method_class.Recipe.from_preset(preset, {"weights": "none", **overrides})
    torch.manual_seed(0)
    method = method_class(Task(MODALITIES, AUS, recipe.crop), recipe).to(memory_format=torch.channels_last).eval()
    conditions = [CLEAN, *find_suite("amf").conditions(MODALITIES)]
    assert len(conditions) == 15
    size = recipe.image_size
    stored = [
        {m: torch.randint(0, 256, (batch, size, size, m.channels), dtype=torch.uint8) for m in MODALITIES}
        for _ in range(batches)
    ]
    names = [[("F001", "T1", i * batch + j) for j in range(batch)] for i in range(batches)]

    def together() -> Tensor:
        predictor = MultiConditionPredictor(method, conditions)
        return torch.cat(
            [predictor.predict_all(images, FrameNoise(0, n)) for images, n in zip(stored, names, strict=True)], 1
        )

    def one_by_one() -> Tensor:
        predictor = Predictor(method)
        probs = [
            [predictor.probabilities(images, c, FrameNoise(0, n)) for images, n in zip(stored, names, strict=True)]
            for c in conditions
        ]
        return torch.stack([torch.cat(batches) for batches in probs])

    return together, one_by_one


@pytest.mark.parametrize("name", ["late_fusion", "amf"])
@pytest.mark.parametrize(
    ("preset", "batches", "batch", "rounds"),
    [pytest.param("small", BATCHES, BATCH, 12, id="small"), pytest.param("paper", 1, 8, 4, id="paper")],
)
def test_suite(
    compare, check_target, smoke: bool, name: str, preset: str, batches: int, batch: int, rounds: int
) -> None:
    small = {"image_size": 64, "crop": 56} if smoke else {}
    together, one_by_one = both_ways(name, preset, batches, 2 if smoke else batch, **small)
    assert torch.allclose(together(), one_by_one(), atol=1e-6)
    label = f"{name}, {preset}: 15 conditions together over fifteen evaluations"
    check_target(compare(one_by_one, together, rounds=rounds, label=label), at_most=TARGET)
