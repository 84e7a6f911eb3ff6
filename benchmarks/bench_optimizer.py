"""A training step with the fused Adam of the methods, against PyTorch's default Adam on the same model and images."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from aubench import Batch, Modality, Progress, Task
from aubench.core.registry import find_method

PRESET, FRAMES = "small", 16
TARGET = 1.05
"""At least 5 % more steps a second."""


def step_of(name: str, optimizer_class: type[torch.optim.Optimizer] | None) -> Callable[[], None]:
    """Build a training step with the method's own optimiser, or with another one on the same parameters."""
    method_class = find_method(name).method_class
    recipe = method_class.Recipe.from_preset(PRESET, {})
    task = Task((Modality.VISUAL, Modality.DEPTH), tuple(range(1, 13)), recipe.crop)
    torch.manual_seed(0)
    method = method_class(task, recipe).to(memory_format=torch.channels_last)
    stage = method.stages()[-1]
    optimizer = method.optimizer(stage)
    if optimizer_class is not None:
        optimizer = optimizer_class(method.parameters(), lr=recipe.learning_rate)
    images = {m: torch.randn(FRAMES, m.channels, recipe.crop, recipe.crop) for m in task.modalities}
    batch = Batch(images, torch.randint(-1, 2, (FRAMES, len(task.aus))))

    def step() -> None:
        method.loss(batch, stage, Progress(0, recipe.epochs, 0, 1))["total"].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


@pytest.mark.parametrize("name", ["late_fusion", "amf"])
def test_fused_adam(compare, check_target, smoke: bool, name: str) -> None:
    torch.set_num_threads(1)
    fused, default = step_of(name, None), step_of(name, torch.optim.Adam)
    ratio = compare(
        fused, default, rounds=60, label=f"{name}, {PRESET}: a step with default Adam over one with fused Adam"
    )
    check_target(ratio, at_least=TARGET)
