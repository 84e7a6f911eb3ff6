"""Methods written as PyTorch allows: shared and tied modules, lazy ones, extra state, generators of other libraries."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from aubench import Fidelity, Method, MethodCard, Modality, Recipe, Task
from aubench.core.errors import MethodError
from aubench.core.method import build_method
from aubench.core.registry import find_method
from aubench.evaluation.flops import count_flops
from aubench.runs import fold as fold_module
from aubench.runs import loading, run_file
from aubench.runs.config import RunConfig
from aubench.testing.check_method import check_method

HEAD = """
import random
import numpy as np
import torch
from torch import nn
from aubench import Fidelity, Method, MethodCard

class Mine(Method):
    card = MethodCard(title="Mine", paper="None", fidelity=Fidelity.EXACT)

    def features(self, inputs):
        return torch.cat([inputs[m].mean((2, 3)) for m in self.task.modalities], 1)
"""
METHODS = {
    "one encoder under two names": """
        def __init__(self, task, recipe):
            super().__init__(task, recipe)
            encoder = nn.Sequential(nn.Conv2d(3, 4, 5, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.encoders = nn.ModuleDict({str(m): encoder for m in task.modalities})
            self.head = nn.Linear(4 * len(task.modalities), len(task.aus))

        def forward(self, inputs):
            seen = [self.encoders[str(m)](inputs[m].expand(-1, 3, -1, -1)) for m in self.task.modalities]
            return self.head(torch.cat(seen, 1)).float().sigmoid()
    """,
    "tied and transposed weights": """
        def __init__(self, task, recipe):
            super().__init__(task, recipe)
            self.down, self.up = nn.Linear(task.channels, 3), nn.Linear(task.channels, 3)
            self.up.weight = self.down.weight
            self.across = nn.Parameter(torch.randn(task.channels, 3).t())
            self.images = nn.Conv2d(task.channels, 3, 3).to(memory_format=torch.channels_last)
            self.register_buffer("flat", torch.ones(6))
            self.register_buffer("first", self.flat[:3])
            self.head = nn.Linear(3, len(task.aus))

        def forward(self, inputs):
            x = self.features(inputs)
            maps = self.images(torch.cat([inputs[m] for m in self.task.modalities], 1)).mean((2, 3))
            x = self.down(x) + self.up(x) + nn.functional.linear(x, self.across) + maps
            return self.head(x * self.first).float().sigmoid()
    """,
    "lists of parameters and buffers of every type": """
        def __init__(self, task, recipe):
            super().__init__(task, recipe)
            self.scales = nn.ParameterList([nn.Parameter(torch.ones(task.channels)) for _ in range(2)])
            self.named = nn.ParameterDict({"shift": nn.Parameter(torch.zeros(task.channels))})
            self.head = nn.Linear(task.channels, len(task.aus))
            self.register_buffer("count", torch.tensor(0))
            self.register_buffer("mask", torch.tensor([True, False]))
            self.register_buffer("nothing", torch.zeros(0))
            self.register_buffer("absent", None)
            self.register_buffer("temporary", torch.ones(task.channels), persistent=False)

        def loss(self, batch, stage, progress):
            self.count += 1
            return super().loss(batch, stage, progress)

        def forward(self, inputs):
            x = self.features(inputs) * self.scales[0] * self.scales[1] + self.named["shift"]
            return self.head(x * self.temporary).float().sigmoid()
    """,
    "lazy modules": """
        def __init__(self, task, recipe):
            super().__init__(task, recipe)
            self.hidden, self.norm, self.head = nn.LazyLinear(5), nn.LazyBatchNorm1d(), nn.LazyLinear(len(task.aus))

        def forward(self, inputs):
            return self.head(self.norm(self.hidden(self.features(inputs)))).float().sigmoid()
    """,
    "modules built in the first forward pass": """
        def __init__(self, task, recipe):
            super().__init__(task, recipe)
            self.head = None

        def forward(self, inputs):
            x = self.features(inputs)
            if self.head is None:
                self.head = nn.Linear(x.shape[1], len(self.task.aus)).to(x.device)
            return self.head(x).float().sigmoid()
    """,
    "extra state": """
        def __init__(self, task, recipe):
            super().__init__(task, recipe)
            self.head = nn.Linear(task.channels, len(task.aus))
            self.steps, self.mean = 0, torch.zeros(2)

        def get_extra_state(self):
            return {"steps": self.steps, "mean": self.mean, "names": ["a", None], "size": (1, 2), "by": {3: 0.5}}

        def set_extra_state(self, state):
            assert state["size"] == (1, 2) and state["by"] == {3: 0.5} and state["names"] == ["a", None]
            self.steps, self.mean = state["steps"], state["mean"]

        def loss(self, batch, stage, progress):
            self.steps, self.mean = self.steps + 1, self.mean + 0.5
            loss = super().loss(batch, stage, progress)["total"]
            return {"total": loss * (1 + 0.1 * self.steps) * self.mean[0]}

        def forward(self, inputs):
            return self.head(self.features(inputs)).float().sigmoid()
    """,
    "constants and values computed from tensors": """
        EPSILON = 1e-3
        GRID = torch.linspace(-1, 1, 3)

        def __init__(self, task, recipe):
            super().__init__(task, recipe)
            self.scale = float(torch.tensor(2.0).sqrt())
            self.values = torch.linspace(0, 1, task.channels).tolist()
            self.array = np.eye(task.channels, dtype=np.float32)
            self.head = nn.Linear(task.channels, len(task.aus))

        def forward(self, inputs):
            x = self.features(inputs) * self.scale + self.EPSILON
            x = x @ torch.from_numpy(self.array).to(x.device) + x.new_tensor(self.values)
            return self.head(x + self.GRID.to(x.device).sum()).float().sigmoid()
    """,
    "generators of NumPy and Python": """
        def __init__(self, task, recipe):
            super().__init__(task, recipe)
            self.head = nn.Linear(task.channels, len(task.aus))
            with torch.no_grad():
                self.head.bias.copy_(torch.from_numpy(np.random.rand(len(task.aus))) + random.random())

        def on_train_labels(self, labels):
            with torch.no_grad():
                self.head.bias.add_(np.random.rand() + random.random() + float(torch.rand(())))

        def augment(self, batch, generator):
            factor = random.uniform(0.5, 1.5)
            inputs = {m: x * factor + np.random.normal() for m, x in batch.inputs.items()}
            return type(batch)(inputs, batch.labels, batch.landmarks)

        def optimizer(self, stage):
            return torch.optim.SGD(self.parameters(), lr=np.float64(0.1 + 0.01 * random.random()), momentum=0.9)

        def forward(self, inputs):
            return self.head(self.features(inputs)).float().sigmoid()
    """,
}

LINEAR = """
        def __init__(self, task, recipe):
            super().__init__(task, recipe)
            self.head = nn.Linear(task.channels, len(task.aus))

        def forward(self, inputs):
            x = self.features(inputs)
            return self.head(x).sigmoid()
"""


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


@pytest.fixture
def config_for(decide, tmp_path) -> Callable[..., RunConfig]:
    small = {"image_size": 32, "crop": 28, "frames_per_epoch": 64, "epochs": 2, "validation_stride": 8}
    return partial(decide, modalities=["visual", "depth"], **small)


def write_method(folder: Path, body: str) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / "mine.py"
    path.write_text(HEAD + textwrap.indent(textwrap.dedent(body), "    "))
    return str(path)


def files(config: RunConfig) -> dict[str, bytes]:
    return {name: (config.fold_dir(1) / name).read_bytes() for name in ("checkpoint.safetensors", "histograms.csv")}


def train(config: RunConfig, kill_after: int | None = None) -> None:
    events: list[object] = []

    def report(event: object) -> None:
        events.append(event)
        if len(events) == kill_after:
            raise Killed

    fold_module.run_fold(config, 1, "cpu", 0, report)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_a_run_saves_resumes_and_scores(name, config_for, tmp_path):
    method = write_method(tmp_path / "code", METHODS[name])
    uninterrupted, resumed = config_for(tmp_path / "runs", method), config_for(tmp_path / "other", method)
    train(uninterrupted)
    with pytest.raises(Killed):
        train(resumed, kill_after=1)
    torch.rand(3)
    train(resumed)
    assert files(resumed) == files(uninterrupted)
    assert loading.load_method(uninterrupted, 1).training is False
    assert run_file.to_dict(uninterrupted)["method"]["source"] == "path"


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_the_contract_accepts_it_and_its_operations_are_counted(name, tmp_path):
    results = check_method(find_method(write_method(tmp_path, METHODS[name])))
    assert {result.name: result.detail for result in results if not result.passed} == {}


@pytest.mark.slow
def test_extra_state_that_no_file_can_hold_is_one_line(config_for, tmp_path):
    body = METHODS["extra state"].replace('"steps": self.steps', '"steps": self.steps, "object": object()')
    with pytest.raises(MethodError, match="extra state") as caught:
        train(config_for(tmp_path / "runs", write_method(tmp_path, body)))
    assert "object" in str(caught.value)


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        ("self.head(x).sigmoid()[:, :1]", r"the loss received \(\d+, 1\) instead of \(\d+, 12\)"),
        ("torch.cat([self.head(x).sigmoid()] * 2, 1)", r"the loss received \(\d+, 24\) instead of \(\d+, 12\)"),
        ("{'probabilities': self.head(x).sigmoid()}", r"the loss received dict instead of \(\d+, 12\)"),
        ("None", "the loss received NoneType instead"),
    ],
)
def test_a_forward_of_another_shape_is_one_line(forward, message, config_for, tmp_path):
    body = LINEAR.replace("self.head(x).sigmoid()", forward)
    with pytest.raises(MethodError, match=message):
        train(config_for(tmp_path / "runs", write_method(tmp_path, body)))


def test_layers_in_a_plain_list_are_one_line(config_for, tmp_path):
    body = LINEAR.replace("nn.Linear(task.channels, len(task.aus))", "[nn.Linear(task.channels, len(task.aus))]")
    body = body.replace("self.head(x)", "self.head[0](x)")
    with pytest.raises(MethodError, match=r"has no parameter to train; .*ModuleList"):
        train(config_for(tmp_path / "runs", write_method(tmp_path, body)))


@pytest.mark.slow
def test_random_tensors_outside_the_state_are_drawn_again_when_a_run_is_loaded(config_for, tmp_path):
    buffer = "self.register_buffer('mask', torch.randn(4), persistent=False); self.head ="
    body = LINEAR.replace("self.head =", buffer)
    config = config_for(tmp_path / "runs", write_method(tmp_path, body))
    train(config)
    masks = [loading.load_method(config, 1).get_buffer("mask") for _ in range(2)]
    assert torch.equal(*masks)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("raise ValueError('no such depth')", r"cannot be built \(ValueError: no such depth\)$"),
        ("self.aus = task.actionunits", r"cannot be built \(AttributeError: .*\)$"),
    ],
)
def test_an_error_of_the_constructor_is_not_blamed_on_counting(line, message, config_for, tmp_path):
    config = config_for(
        tmp_path / "runs", write_method(tmp_path, LINEAR.replace("self.head =", f"{line}; self.head ="))
    )
    with pytest.raises(MethodError, match=message):
        count_flops(config.entry.method_class, config.task, config.recipe_model)


def test_an_error_of_forward_is_not_blamed_on_counting(config_for, tmp_path):
    config = config_for(tmp_path / "runs", write_method(tmp_path, LINEAR.replace("self.features(", "self.feature(")))
    with pytest.raises(MethodError, match=r"forward fails \(AttributeError: .*'feature'\)$"):
        count_flops(config.entry.method_class, config.task, config.recipe_model)


def test_whole_numbers_of_a_frozen_part_are_counted(config_for, tmp_path):
    quantized = "self.scale = nn.Parameter(torch.ones(1, dtype=torch.int8), requires_grad=False); self.head ="
    config = config_for(tmp_path / "runs", write_method(tmp_path, LINEAR.replace("self.head =", quantized)))
    assert count_flops(config.entry.method_class, config.task, config.recipe_model).total.parameters > 1


def test_a_method_in_the_package_of_built_in_ones_may_have_lazy_modules():
    class Lazy(Method):
        card = MethodCard(title="Lazy", paper="None", fidelity=Fidelity.EXACT)

        def __init__(self, task, recipe):
            super().__init__(task, recipe)
            self.head = nn.LazyLinear(len(task.aus))

        def forward(self, inputs):
            return self.head(torch.cat([inputs[m].mean((2, 3)) for m in self.task.modalities], 1)).sigmoid()

    Lazy.__module__ = "aubench.methods.lazy"
    task = Task((Modality.VISUAL, Modality.DEPTH), (1, 2), 16)
    method = build_method(Lazy, task, Recipe(image_size=16, crop=16))
    assert method.head.weight.shape == (2, 4)
