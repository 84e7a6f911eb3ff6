"""A training step never makes the CPU wait for the device.

The meta device stands for a GPU: its tensors have no values, so that nothing can read one. Only a GPU notices tensors
made of Python's numbers and lists as indices.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from aubench.core.conditions import Condition
from aubench.core.landmarks import COUNT
from aubench.core.method import Progress, Stage
from aubench.core.registry import builtin_methods
from aubench.data import clips, loader, transforms
from aubench.evaluation import inference
from aubench.evaluation.corruptions import FrameNoise
from aubench.evaluation.predictor import Predictor
from aubench.runs import devices
from aubench.runs.config import RunConfig
from aubench.training.state import TrainState
from aubench.training.train_phase import TrainContext, TrainPhase
from aubench.training.trainer import Trainer
from aubench.training.training_step import TrainingStep

META = torch.device("meta")
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2", "unique_dim"}
"""Operations that need values of their tensors on the CPU."""
COPIES = {"to", "_to_copy", "copy_"}


class NoWaiting(TorchDispatchMode):
    """Refusal of operations for which the CPU would wait for a GPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, func.overloadpacket.__name__
        tensors = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        there = [x for x in tensors if x.device == META]
        here = [x for x in tensors if x.device != META and x.ndim]
        if there:
            assert name not in WAITING, f"{name} of a tensor on the device"
            assert not (name == "index" and any(x.dtype == torch.bool for x in tensors)), "mask as an index"
            assert name == "copy_" or not here, f"{name} of tensors on the CPU and on the device"
        named = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | kwargs
        target = args[0].device if name == "copy_" else named.get("device")
        if name in COPIES and target is not None and {x.device for x in tensors} != {target}:
            assert target == META, "copy to the CPU"
            assert named.get("non_blocking"), "copy to the device that the CPU waits for"
        return func(*args, **kwargs)


@pytest.mark.parametrize(
    "waits",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).any()),
        lambda x: x[x > 0],
        lambda x: (x > 0).nonzero(),
        lambda x: x.cpu(),
        lambda x: x[torch.tensor([2, 0, 1])],
        lambda x: torch.arange(3).to(x.device),
        lambda x: x.copy_(torch.arange(3.0)),
        lambda x: torch.where(torch.tensor([True, False, True]), x, x),
    ],
)
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.inference_mode])
def test_every_kind_of_wait_is_noticed(waits, mode):
    with mode(), NoWaiting(), pytest.raises((AssertionError, RuntimeError, NotImplementedError)):
        waits(torch.ones(3, device=META))


def test_mirrored_landmarks_wait_for_nothing():
    windows = transforms.random_crops(4, 32, 28, flip=True, generator=torch.Generator().manual_seed(0))
    transforms._mirror(META)  # kept from the first step on
    with NoWaiting():
        assert transforms.landmarks_in_views(torch.rand(4, COUNT, 2, device=META), windows.to(META)).device == META


@dataclass
class Steps:
    """Training steps of a fold's method on a device, without optimisation to an end."""

    config: RunConfig
    fabric: Any

    def __post_init__(self) -> None:
        data, split = self.config.load_data(1)
        self.method = self.config.build_initial_method(1).to(self.fabric.device)
        context = TrainContext("a method", 0, "0", 1, data, self.fabric, self.method.train(), lambda event: None)
        phase = TrainPhase((), split.train, split.val, Path(), self.config.identity(1))
        self.trainer = Trainer(context, phase, TrainState())

    def run(self, stage: Stage) -> dict[str, torch.Tensor]:
        """Take a step; every second clip is an extra one."""
        task, progress = self.method.task, Progress(4, 5, 1, 5)
        fused = self.fabric.device.type != "meta"  # PyTorch has no fused optimisers on the meta device
        optimizer = self.method.optimizer(stage) if fused else torch.optim.Adam(self.method.parameters())
        rows, extra = self.trainer._order(stage)
        extra = None if extra is None else torch.arange(4) % 2 == 0
        (batch,) = loader.iter_batches(self.trainer.data, task.modalities, [rows[:4]], device=self.fabric.device)
        step = TrainingStep(self.trainer.context, stage, optimizer)
        step.graph = None
        return step.take(batch, extra, progress)


@pytest.fixture
def small(decide, tmp_path) -> Callable[[str], RunConfig]:
    def make(name: str) -> RunConfig:
        clips = {"clip_frames": 32, "crop": 32} if name == "au_vmae" else {"crop": 28}
        protocol = "synth_vdt_3fold" if name == "resnet_thermal" else "synth_3fold"
        return decide(tmp_path, name, protocol=protocol, image_size=32, **clips)

    return make


@pytest.mark.slow
@pytest.mark.parametrize("name", builtin_methods())
def test_no_step_of_a_built_in_method_waits_for_the_device(small, monkeypatch, name):
    monkeypatch.setattr(torch, "autocast", lambda *args, **options: nullcontext())  # which the meta device lacks
    steps = Steps(small(name), SimpleNamespace(device=META, autocast=nullcontext, backward=torch.Tensor.backward))
    for stage in steps.method.stages():
        with NoWaiting():
            assert all(term.device == META for term in steps.run(stage).values())


@pytest.mark.slow
@pytest.mark.parametrize("name", builtin_methods())
def test_no_prediction_of_a_built_in_method_waits_for_the_device(small, name):
    config = small(name)
    data, split = config.load_data(1)
    method = config.build_method().to(META)
    conditions = [Condition.parse(text) for text in ("clean", "noise:all:0.5", "mask:all:0.5", "missing:visual")]
    for batch in inference.iter_batches(method, data, split.test[:70], META):
        noise = FrameNoise(0, data.names(clips.image_rows(batch.rows).ravel()))
        with NoWaiting():
            for condition in conditions:
                assert Predictor(method).predict(batch.images, condition, noise).device == META


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", builtin_methods())
def test_on_a_gpu_no_step_of_a_built_in_method_waits_for_it(small, name):
    steps = Steps(small(name), devices.fabric_for("cuda", 0, "32-true"))
    for stage in steps.method.stages():
        steps.run(stage)  # the first time, libraries set themselves up
        torch.cuda.set_sync_debug_mode("error")
        try:
            steps.run(stage)
        finally:
            torch.cuda.set_sync_debug_mode("default")
