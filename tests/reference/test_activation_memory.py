"""Gradient accumulation and activation checkpointing: the same numbers with less memory."""

import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from aubench import Progress
from aubench._util.seeds import seed_everything
from aubench.core import registry
from aubench.evaluation import flops
from aubench.methods._modules.transformer import Blocks
from aubench.testing.cases import Case, supported_cases
from aubench.testing.short_training import stage_batches

SMALL = {
    "au_vmae": {"crop": 32, "image_size": 32, "clip_frames": 16, "segment": 4, "width": 48, "decoder_width": 48},
    "mcm": {"crop": 32, "image_size": 32, "patch": 8, "weights": "none", "width": 48, "decoder_width": 48},
}
SAVING = [
    {"gradient_accumulation": 3},
    {"activation_checkpointing": True},
    {"gradient_accumulation": 4, "activation_checkpointing": True},
    {"gradient_accumulation": 1000},
]


def case_of(name, **changes):
    method = registry.find_method(name).method_class
    recipe = method.Recipe.from_preset("tiny", {**SMALL[name], "drop_path": 0.3, **changes})
    return Case(method, list(supported_cases(method, recipe))[-1], recipe)


def steps(case):
    """Losses and gradients of the first step of each stage."""
    method = case.build().train()
    recipe = case.recipe
    for blocks in (module for module in method.modules() if isinstance(module, Blocks)):
        assert (blocks.parts, blocks.recompute) == (recipe.gradient_accumulation, recipe.activation_checkpointing)
    for stage, batch in stage_batches(case, method):
        method.zero_grad()
        seed_everything(4)
        terms = method.loss(batch, stage, Progress(0, stage.epochs, 0, 1))
        terms["total"].backward()
        gradients = {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}
        yield {name: term.detach() for name, term in terms.items()}, gradients, torch.rand(1)


@pytest.mark.slow
@pytest.mark.parametrize("saving", SAVING, ids=str)
@pytest.mark.parametrize("name", SMALL)
def test_saving_memory_changes_no_number_beyond_rounding(name, saving):
    stages = list(zip(steps(case_of(name)), steps(case_of(name, **saving)), strict=True))
    assert len(stages) == 2
    for expected, actual in stages:
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", SMALL)
def test_predictions_do_not_depend_on_saving_memory(name):
    plain, saving = (case_of(name, **changes).build().eval() for changes in ({}, SAVING[2]))
    inputs = case_of(name).batch().inputs
    assert torch.equal(plain(inputs), saving(inputs))


class PeakMemory(TorchDispatchMode):
    """Largest number of bytes of live tensors that operations create."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.known = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in filter(torch.is_tensor, tree_leaves(result)):
            storage = tensor.untyped_storage()
            if storage not in self.known:
                self.known[storage] = True
                self.now += storage.nbytes()
                weakref.finalize(storage, self.free, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return result

    def free(self, size):
        self.now -= size


def peak_bytes(parts, recompute):
    """Memory of a training step with blocks of AU-vMAE's and MCM's kind, besides parameters and their gradients."""
    torch.manual_seed(0)
    blocks = Blocks(64, depth=6, heads=4)
    blocks.parts, blocks.recompute = parts, recompute
    tokens = torch.randn(16, 64, 64, requires_grad=True)
    for p in blocks.parameters():
        p.grad = torch.zeros_like(p)
    with PeakMemory() as memory:
        blocks(tokens).square().mean().backward()
    return memory.peak / tokens.untyped_storage().nbytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parts", "recompute", "most"), [(1, True, 0.4), (4, False, 0.4), (16, False, 0.2), (4, True, 0.2)]
)
def test_a_step_needs_less_memory(parts, recompute, most):
    assert peak_bytes(parts, recompute) < most * peak_bytes(1, False)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_saving_memory_changes_no_count_of_operations(name):
    plain, saving = (case_of(name, **changes) for changes in ({}, SAVING[2]))
    assert flops.count_flops(plain.method, plain.task, plain.recipe) == flops.count_flops(
        saving.method, saving.task, saving.recipe
    )
