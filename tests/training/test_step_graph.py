"""Training steps that are repeated from a graph equal those that Python computes."""

from __future__ import annotations

import random
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from factories.paper_methods import PAPER_METHODS
from torch import nn

from aubench.core.method import Progress
from aubench.core.registry import find_method
from aubench.core.task import Batch, Modality
from aubench.runs import devices
from aubench.runs import fold as fold_module
from aubench.runs.events import EpochFinished, GraphFailed
from aubench.training.step_graph import WARMUP, CUDAGraph, StepGraph, unused_cpu_generators
from aubench.training.training_step import TrainingStep

CHANGES = {"image_size": 32, "crop": 28, "frames_per_epoch": 96, "epochs": 2, "validation_stride": 8}
CLIPS = {
    **{"crop": 32, "frames_per_epoch": 960, "pretrain_frames_per_epoch": 960, "clip_frames": 32, "pretrain_epochs": 1},
    **{"batch_size": 3, "pretrain_batch_size": 3, "width": 16, "depth": 1, "decoder_width": 16},
    **{"pretrain_warmup_epochs": 0},
}


class RepeatedPython:
    """A graph for a CPU: a repetition calls the function again and writes into the memory of the first outputs."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.closed = module, False

    def record(self, work):
        buffers = [(x, x.clone()) for x in self.module.buffers()]
        outputs = work()
        for buffer, before in buffers:  # recording computes nothing
            buffer.copy_(before)
        assert not any(x.requires_grad for x in outputs.values())
        self.work, self.outputs = work, outputs
        self.gradients = [p.grad for p in self.module.parameters()]
        return self.outputs

    def replay(self) -> None:
        for parameter in self.module.parameters():
            parameter.grad = None
        outputs = self.work()
        with torch.no_grad():
            for name, value in outputs.items():
                self.outputs[name].copy_(value)
            for parameter, gradient in zip(self.module.parameters(), self.gradients, strict=True):
                assert (parameter.grad is None) == (gradient is None)
                if gradient is not None:
                    gradient.copy_(parameter.grad)
                parameter.grad = None

    def close(self) -> None:
        self.closed = True


class Line(nn.Module):
    """A line through noise, whose loss has a factor from the progress."""

    def __init__(self) -> None:
        super().__init__()
        self.slope, self.unused = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(()))
        self.calls = 0

    def compute(self, batch: Batch, progress: Progress) -> dict[str, torch.Tensor]:
        self.calls += 1
        noise = torch.rand(len(batch.labels))
        loss = (1 + progress.epoch) * (self.slope * batch.inputs[Modality.VISUAL].mean((1, 2, 3)) + noise).sum()
        loss.backward()
        return {"total": loss.detach(), "noise": noise.sum()}


def batch(seed: int, size: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch({Modality.VISUAL: torch.rand(size, 3, 2, 2, generator=generator)}, torch.zeros(size, 2))


def play(steps, graphed: bool, *, create=None):
    """Take steps (batch, epoch, constants). Return the terms and gradients of each, the line and the graph."""
    line, failures, graphs = Line(), [], []

    def new():
        graphs.append(create() if create else RepeatedPython(line))
        return graphs[-1]

    graph = StepGraph(line.compute, line.parameters(), new, failures.append)
    seen = []
    for number, (inputs, epoch, constants) in enumerate(steps):
        torch.manual_seed(number)
        progress = Progress(epoch, 9, number, len(steps))
        terms = graph.step(inputs, progress, constants) if graphed else line.compute(inputs, progress)
        seen.append(({name: x.detach() for name, x in terms.items()}, line.slope.grad.clone(), torch.rand(())))
        assert line.unused.grad is None
        line.slope.grad = None
    return seen, SimpleNamespace(line=line, graph=graph, failures=failures, graphs=graphs)


def same(first, second) -> bool:
    return all(
        a[0].keys() == b[0].keys()
        and all(torch.equal(a[0][name], b[0][name]) for name in a[0])
        and all(map(torch.equal, a[1:], b[1:]))
        for a, b in zip(first, second, strict=True)
    )


def test_repeated_steps_have_the_terms_gradients_and_random_numbers_of_pythons():
    steps = [(batch(n), 0, ()) for n in range(WARMUP + 5)]
    seen, played = play(steps, graphed=True)
    assert same(seen, play(steps, graphed=False)[0])
    assert played.graph.repeated == 5 and len(played.graphs) == 1


def test_returned_terms_do_not_change_later():
    steps = [(batch(n), 0, ()) for n in range(WARMUP + 3)]
    seen, _ = play(steps, graphed=True)
    totals = [terms["total"].item() for terms, *_ in seen]
    assert len(set(totals)) == len(steps)


def test_other_constants_are_recorded_again():
    steps = [(batch(n), n // 6, n // 6) for n in range(18)]
    seen, played = play(steps, graphed=True)
    assert same(seen, play(steps, graphed=False)[0])
    assert played.graph.repeated == (6 - WARMUP) + 5 + 5, "the first step with new constants is Python's"
    assert [graph.closed for graph in played.graphs] == [True, True, False]


@pytest.mark.parametrize("constants", [lambda n: n, lambda n: None])
def test_steps_without_repetition_are_never_recorded(constants):
    steps = [(batch(n), n % 9, constants(n)) for n in range(9)]
    seen, played = play(steps, graphed=True)
    assert same(seen, play(steps, graphed=False)[0])
    assert played.graph.repeated == 0 and not played.graphs


def test_other_shapes_and_layouts_are_not_repeated():
    transposed = batch(8)
    transposed = Batch({Modality.VISUAL: transposed.inputs[Modality.VISUAL].mT}, transposed.labels)
    smaller, marked = (
        batch(9, size=3),
        Batch(batch(7).inputs, batch(7).labels, is_extra=torch.ones(4, dtype=torch.bool)),
    )
    for odd in (transposed, smaller, marked):
        steps = [*((batch(n), 0, ()) for n in range(6)), (odd, 0, ()), *((batch(n), 0, ()) for n in range(3))]
        seen, played = play(steps, graphed=True)
        assert same(seen, play(steps, graphed=False)[0])
        assert played.graph.repeated == (6 - WARMUP) + 2 and played.graphs[0].closed


def test_a_failed_recording_leaves_all_steps_to_python():
    class Failing:
        def record(self, work):
            work()
            try:
                raise ValueError("the loss reads a value\nwith details")
            except ValueError:
                raise RuntimeError("the recording was not ended") from None

    steps = [(batch(n), 0, ()) for n in range(WARMUP + 5)]
    seen, played = play(steps, graphed=True, create=Failing)
    assert same(seen, play(steps, graphed=False)[0])
    assert played.failures == ["ValueError: the loss reads a value"]
    assert len(played.graphs) == 1 and played.graph.repeated == 0


def train(config, monkeypatch, graphed: bool):
    """Train fold 1 on the CPU. Return the bytes of its results, the events and the number of repeated steps."""
    graphs = []

    def create(self):
        graphs.append(
            StepGraph(
                self.compute_gradients,
                self.method.parameters(),
                lambda: RepeatedPython(self.method),
                lambda reason: self.context.report(GraphFailed(self.stage.name, reason)),
            )
        )
        return graphs[-1]

    monkeypatch.setattr(TrainingStep, "_create_graph", create if graphed else lambda *args: None)
    events = []
    fold_module.run_fold(config, 1, "cpu", 0, events.append)
    folder = config.fold_dir(1)
    results = {name: (folder / name).read_bytes() for name in ("predictions.parquet", "checkpoint.safetensors")}
    return results, events, sum(graph.repeated for graph in graphs)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["amf", "au_vmae", "late_fusion", "mtut"])
def test_a_fold_with_graphs_equals_one_without(decide, tmp_path, monkeypatch, name):
    changes = CHANGES | (CLIPS if name == "au_vmae" else {})
    plain, _, none = train(decide(tmp_path / "plain", name, seed=3, **changes), monkeypatch, graphed=False)
    graphed, events, repeated = train(decide(tmp_path / "graphed", name, seed=3, **changes), monkeypatch, graphed=True)
    assert not none and repeated > 5
    assert graphed == plain
    assert not [event for event in events if isinstance(event, GraphFailed)]


@pytest.mark.parametrize("name", PAPER_METHODS)
def test_every_method_of_the_papers_can_be_repeated(name):
    entry = find_method(name)
    method = SimpleNamespace(recipe=entry.method_class.Recipe.from_preset("small", {}))
    method.temperature = lambda progress: entry.method_class.temperature(method, progress)
    method.alignment_weight = lambda progress: entry.method_class.alignment_weight(method, progress)
    first, second = (entry.method_class.loss_constants(method, None, Progress(3, 9, step, 9)) for step in (1, 2))
    assert first is not None and first == second and hash(first) == hash(second)


@pytest.mark.slow
def test_only_an_nvidia_gpu_records_steps(decide, tmp_path):
    events: list[object] = []
    config = decide(tmp_path, "late_fusion", seed=3, **CHANGES)
    fold_module.run_fold(config, 1, "cpu", 0, events.append)
    assert [event for event in events if isinstance(event, EpochFinished)]
    context = SimpleNamespace(fabric=SimpleNamespace(device=torch.device("cpu")), data=None, method=nn.Linear(1, 1))
    assert TrainingStep(context, SimpleNamespace(name="train"), None).graph is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.filterwarnings("error:The AccumulateGrad node's stream")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", PAPER_METHODS)
def test_on_a_gpu_a_fold_with_graphs_equals_one_without(decide, tmp_path, monkeypatch, name, precision):
    original, events = devices.fabric_for, []

    def repeatable(*args):
        fabric = original(*args)
        monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
        monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
        return fabric

    monkeypatch.setattr(devices, "fabric_for", repeatable)
    changes = CHANGES | (CLIPS if name == "au_vmae" else {})
    create, graphs = TrainingStep._create_graph, []
    states = []
    for graphed in (False, True):
        protocol = "synth_vdt_3fold" if name == "resnet_thermal" else "synth_3fold"
        config = decide(tmp_path / str(graphed), name, protocol=protocol, seed=3, precision=precision, **changes)
        monkeypatch.setattr(
            TrainingStep,
            "_create_graph",
            (lambda self: graphs.append(create(self)) or graphs[-1]) if graphed else lambda *args: None,
        )
        fold_module.run_fold(config, 1, "cuda", 0, events.append)
        states.append((config.fold_dir(1) / "counts.csv").read_text())
    assert not [event for event in events if isinstance(event, GraphFailed)]
    assert sum(graph.repeated for graph in graphs) > 5
    assert states[0] == states[1]


@pytest.mark.parametrize(
    ("draw", "used"),
    [
        (lambda: torch.rand(1), "PyTorch's"),
        (np.random.rand, "NumPy's"),
        (lambda: np.random.bytes(624 * 4), "NumPy's"),  # as many numbers as the generator holds
        (random.random, "Python's"),
    ],
)
def test_a_draw_on_the_cpu_prevents_a_graph_and_is_repeated_in_python(draw, used):
    def states():
        return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()

    before = states()
    with pytest.raises(RuntimeError, match=f"on the CPU, with {used} generator"), unused_cpu_generators():
        draw()
    assert states() == before
    with unused_cpu_generators():
        pass


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_a_loss_that_draws_on_the_cpu_fails_with_its_reason():
    weight, failures = torch.ones(2, device="cuda", requires_grad=True), []

    def compute(inputs: Batch, progress: Progress) -> dict[str, torch.Tensor]:
        loss = weight.sum() * int(torch.randint(9, ()))
        loss.backward()
        return {"total": loss.detach()}

    graph, totals = StepGraph(compute, [weight], partial(CUDAGraph, weight.device), failures.append), []
    for step in range(WARMUP + 3):
        torch.manual_seed(step)
        expected = 2 * int(torch.randint(9, ()))
        torch.manual_seed(step)
        batch_on_gpu = Batch({}, torch.zeros(2, 2, device="cuda"))
        totals.append((graph.step(batch_on_gpu, Progress(0, 1, step, 9), ())["total"].item(), expected))
        weight.grad = None
    assert len(failures) == 1 and graph.repeated == 0 and all(total == expected for total, expected in totals)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_a_loss_that_reads_a_value_fails_with_its_reason():
    weight, failures = torch.ones(2, device="cuda", requires_grad=True), []

    def compute(inputs: Batch, progress: Progress) -> dict[str, torch.Tensor]:
        loss = (weight * (2.0 if inputs.labels.sum().item() else 1.0)).sum() + torch.rand((), device="cuda")
        loss.backward()
        return {"total": loss.detach()}

    graph, totals = StepGraph(compute, [weight], partial(CUDAGraph, weight.device), failures.append), []
    for step in range(WARMUP + 3):
        torch.manual_seed(0)
        labels = torch.zeros(2, 2, device="cuda")
        totals.append(graph.step(Batch({}, labels), Progress(0, 1, step, 9), ())["total"].item())
        assert weight.grad.tolist() == [1, 1]
        weight.grad = None
    assert len(failures) == 1 and graph.repeated == 0 and len(set(totals)) == 1
