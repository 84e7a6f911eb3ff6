"""Gradients of built-in methods at the first step: no parameter begins where the loss does not move it."""

import pytest
import torch

from aubench import Progress
from aubench._util.seeds import seed_everything
from aubench.core import registry
from aubench.methods._modules.backbones import Encoder
from aubench.testing.cases import Case, supported_cases
from aubench.testing.short_training import stage_batches

SMALL = {
    **{"crop": 64, "image_size": 64, "cut_switch_block": 8, "weights": "none", "patch": 16},
    **{"width": 48, "depth": 2, "heads": 4, "decoder_width": 48, "decoder_depth": 2, "decoder_heads": 4},
    **{"other_decoder_depth": 1, "clip_frames": 16, "segment": 4, "drop_path": 0.0},
}
"""Values that make each preset small. A method takes those that its recipe has."""
OTHER_STAGES = {
    ("au_vmae", "pretrain"): ("head.",),
    ("au_vmae", "finetune"): ("decoder.",),
    ("mcm", "pretrain"): ("classifier.",),
    ("mcm", "train"): ("decoders.", "encoder.norm."),
}
"""Parameters that another stage trains, by method and stage: the only ones that may lack a gradient."""
VARIANTS = {
    "amf": [{"guidance_trains": "all"}, {"detach_scored": True}, {"guidance": "oppose"}],
    "au_vmae": [{"level": "frame", "segment": 16, "tubelet": 2}, {"level": "patch"}, {"input": "early"}],
    "cam": [{"gate": "se"}, {"per_stream": True}],
    "late_fusion": [{"cut_switch": 0.5}],
    "mcm": [{"pretrain_inputs": "conv", "inputs": "conv"}, {"inputs": "visual"}, {"pool": "cls"}, {"loss_on": "all"}],
    "mft": [{"tokens": "linear"}, {"query": "visual"}],
    "mtut": [{"warm_up": 0}, {"scored": "visual"}],
    "temt_net": [{"weight_landmarks": 1.0}],
}
"""Other recipes of each method."""


def recipe_of(method, preset, **changes):
    small = {name: value for name, value in SMALL.items() if name in method.Recipe.model_fields}
    return method.Recipe.from_preset(preset, {**small, **changes})


def cases(name):
    method = registry.find_method(name).method_class
    for preset in method.Recipe.all_presets():
        recipe = recipe_of(method, preset)
        yield Case(method, list(supported_cases(method, recipe))[-1], recipe)
    for changes in VARIANTS.get(name, ()):
        recipe = recipe_of(method, "tiny", **changes)
        yield Case(method, next(supported_cases(method, recipe)), recipe)


def dead_parameters(case):
    """Parameters without a gradient at the first step of a stage, by stage."""
    method = case.build()
    for stage, batch in stage_batches(case, method):
        method.zero_grad()
        seed_everything(0)
        augmented = method.augment(batch, torch.Generator().manual_seed(0))
        method.loss(augmented, stage, Progress(0, stage.epochs, 0, 1))["total"].backward()
        for name, parameter in method.named_parameters():
            if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any()):
                yield stage.name, name


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.builtin_methods())
def test_every_parameter_has_a_gradient_at_the_first_step(name):
    dead = [
        f"{case}, {stage}: {parameter} ({case.recipe})"
        for case in cases(name)
        for stage, parameter in dead_parameters(case)
        if not parameter.startswith(OTHER_STAGES.get((name, stage), ("-",)))
    ]
    assert not dead, f"{len(dead)}: {dead[0]}"


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet18", "resnet34", "resnet50", "narrow"])
def test_a_random_resnet_begins_with_a_gradient_in_every_parameter(backbone):
    torch.manual_seed(0)
    encoder = Encoder(backbone, 3, "none")
    encoder(torch.rand(2, 3, 64, 64)).square().sum().backward()
    assert [name for name, p in encoder.named_parameters() if not p.grad.any()] == []
