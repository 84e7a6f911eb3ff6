"""Every method on modalities beyond three: it refuses with a reason, or trains and predicts."""

from __future__ import annotations

import pytest
import torch
from factories.paper_methods import PAPER_METHODS

from aubench import Batch, Modality, Progress, Task
from aubench.core.registry import builtin_methods, find_method
from aubench.methods._modules import gumbel_selection

FLOW, INFRARED = Modality("flow-2"), Modality("near_infrared-1")
SETS = [(*Modality, FLOW), (FLOW, INFRARED), (Modality.VISUAL, FLOW), (*Modality, FLOW, INFRARED)]
SMALL = {"mcm": {"pretrain_epochs": 0}, "au_vmae": {"input": "early", "pretrain_epochs": 0, "width": 16, "depth": 1}}
REFUSED = {"temt_net", "mcm", "resnet_visual", "resnet_depth", "resnet_thermal"}


@pytest.mark.parametrize("modalities", SETS, ids="+".join)
@pytest.mark.parametrize("name", builtin_methods())
def test_a_method_refuses_or_runs(name, modalities):
    method_class = find_method(name).method_class
    recipe = method_class.Recipe.from_preset("tiny", SMALL.get(name, {}))
    task = Task(modalities, (1, 6, 12), recipe.crop)
    reason = method_class.unsupported_reason(task, recipe)
    if reason:
        is_expected = name in REFUSED and reason.startswith(("needs ", "generates exactly one"))
        assert is_expected or name not in PAPER_METHODS
        return
    used = method_class.select_modalities(task, recipe)
    torch.manual_seed(0)
    method = method_class(Task(used, task.aus, task.image_size), recipe).train()
    lead = (2,) if recipe.clip_length is None else (2, recipe.clip_length)
    inputs = {m: torch.rand(*lead, m.channels, task.image_size, task.image_size) * 2 - 1 for m in used}
    labels = torch.randint(0, 2, (*lead, 3))
    method.on_train_labels([labels.flatten(0, -2)])
    stage = method.stages()[-1]
    batch = method.augment(Batch(inputs, labels), torch.Generator().manual_seed(0))
    method.loss(batch, stage, Progress(0, 1, 0, 1))["total"].backward()
    with torch.no_grad():
        probs = method.eval()({**inputs, used[-1]: torch.zeros_like(inputs[used[-1]])})
    assert probs.shape == labels.shape and ((probs >= 0) & (probs <= 1)).all()


@pytest.mark.parametrize("modalities", [2, 3, 4, 5])
def test_gumbel_draws_follow_the_scores(modalities):
    torch.manual_seed(1)
    scores = torch.rand(modalities, 1, 1) + 0.1
    noise = gumbel_selection.Noise.sample(modalities, 1, 3, 20_000)
    edges = gumbel_selection.log_odds(scores) + noise.differences()
    hard = gumbel_selection.hard_selection(edges.expand(-1, -1, -1, -1)).mean((1, 2, 3))
    expected = (scores / scores.sum(0)).flatten()[:-1]
    assert hard == pytest.approx(expected.numpy(), abs=0.01)
    soft = gumbel_selection.relaxed_selection(edges.clone(), 0.7)
    full = torch.cat([edges / 0.7, torch.zeros_like(edges[:1])]).softmax(0)[:-1]
    assert torch.allclose(soft, full, atol=1e-5)


def test_a_tie_of_two_others_selects_the_last():
    edges = torch.tensor([2.0, 2.0, -1.0]).view(3, 1, 1, 1)
    assert gumbel_selection.hard_selection(edges).sum() == 0
    edges[1] = 1
    assert gumbel_selection.hard_selection(edges).flatten().tolist() == [1, 0, 0]
