"""Checks of what a method predicts."""

from __future__ import annotations

from collections.abc import Callable

import torch
from safetensors.torch import load, save

from aubench._util.seeds import seed_everything
from aubench.core.conditions import CLEAN, missing
from aubench.core.method import BranchedMethod
from aubench.core.state_dict import join_state, split_state
from aubench.evaluation import flops
from aubench.evaluation.predictor import Predictor
from aubench.testing.cases import FRAMES, Case, ContractViolation
from aubench.testing.short_training import train_few_steps

TOLERANCE = 1e-4
"""Tolerance of probabilities, since the order of operations may depend on the batch size."""


def _gives_probabilities(case: Case) -> None:
    images = case.images()
    predictor = Predictor(case.build())
    predictor.probabilities(images)
    predictor.probabilities({m: x[:1] for m, x in images.items()})


def _survives_missing(case: Case) -> None:
    predictor = Predictor(case.build())
    for modality in case.task.modalities:
        predictor.probabilities(case.images(), missing((modality,)))


def _ignores_neighbours(case: Case) -> None:
    images = case.images()
    predictor = Predictor(train_few_steps(case, case.build()))
    together = predictor.probabilities(images)
    alone = torch.cat([predictor.probabilities({m: x[i : i + 1] for m, x in images.items()}) for i in range(FRAMES)])
    backwards = predictor.probabilities({m: x.flip(0) for m, x in images.items()}).flip(0)
    for other, when in ((alone, "alone in the batch"), (backwards, "in a reversed batch")):
        if (difference := (together - other).abs().max().item()) > TOLERANCE:
            raise ContractViolation(f"probabilities of a frame differ by {difference:.2g} when it is {when}")


def _repeats_prediction(case: Case) -> None:
    predictor = Predictor(case.build())
    predictions = []
    for seed in (1, 2):
        seed_everything(seed)
        predictions.append(predictor.probabilities(case.images()))
    if not torch.equal(*predictions):
        raise ContractViolation("a second prediction for the same frames differs from the first")


def _survives_saving(case: Case) -> None:
    method = train_few_steps(case, case.build(seed=1))
    tensors, plain = split_state(method.state_dict())
    other = case.build(seed=2)
    other.load_state_dict(join_state(load(save(tensors)), plain))
    if not torch.equal(*(Predictor(m).probabilities(case.images(), CLEAN) for m in (method, other))):
        raise ContractViolation("predictions differ after its state is saved and loaded")


def _flops_can_be_counted(case: Case) -> None:
    flops.count_flops(case.method, case.task, case.recipe)


def _forward_is_fusion(case: Case) -> None:
    method = case.build().eval()
    if not isinstance(method, BranchedMethod):
        return
    inputs = case.batch().inputs
    with torch.inference_mode():
        fused = method.fuse({m: method.encode(m, inputs[m]) for m in case.task.modalities})
        if not torch.equal(fused, method(inputs)):
            raise ContractViolation("forward differs from the fusion of the encoded modalities")


def _forward_is_sigmoid_of_logits(case: Case) -> None:
    method, inputs = case.build().eval(), case.batch().inputs
    with torch.inference_mode():
        logits = method.forward_logits(inputs)
        if logits is not None and not torch.allclose(logits.float().sigmoid(), method(inputs).float(), atol=TOLERANCE):
            raise ContractViolation("forward differs from the sigmoid of forward_logits")


PREDICTION_CHECKS: dict[str, Callable[[Case], None]] = {
    "gives probabilities": _gives_probabilities,
    "survives each modality missing": _survives_missing,
    "ignores batch neighbours": _ignores_neighbours,
    "same frames, same prediction": _repeats_prediction,
    "survives saving and loading": _survives_saving,
    "FLOPs can be counted": _flops_can_be_counted,
    "forward is the fusion of encoded modalities": _forward_is_fusion,
    "forward is the sigmoid of forward_logits": _forward_is_sigmoid_of_logits,
}
"""Checks of predictions on a task, by name. Each raises :class:`ContractViolation`."""
