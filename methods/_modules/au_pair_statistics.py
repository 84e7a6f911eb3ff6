"""What AU pairs do within a frame and from frame to frame (AU-vMAE §3.4), of labels and of predictions alike.

States are numbers in [0, 1], labels or probabilities, with -1 for what is unknown. Pairs that cannot be told have -1 in
the matrices too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field

from aubench import LogUniform, Recipe

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

TRANSITIONS = 16
"""States of two AUs in two consecutive frames."""

Norm = Literal["frobenius", "mean"]


class PairStatisticsRecipe(Recipe):
    """What methods that learn with knowledge share."""

    finetune_only: ClassVar[frozenset[str]] = frozenset(
        {"weight_cls", "weight_intra", "weight_inter", "norm", "class_weights"}
    )

    weight_cls: float = Field(1.0, ge=0, description="λ_cls of eq. 9.")
    weight_intra: Annotated[float, LogUniform(1e-4, 1)] = Field(0.01, ge=0, description="λ_intra of eq. 9.")
    weight_inter: Annotated[float, LogUniform(1e-4, 1)] = Field(0.01, ge=0, description="λ_inter of eq. 9.")
    norm: Norm = Field("frobenius", description="Of eqs. 5 and 8; 'mean' divides it by the root of the entries.")
    class_weights: bool = Field(True, description="Weigh AUs by eq. 2.")


class PairTargets(NamedTuple):
    """What is known of AU pairs.

    Attributes:
        intra: (A, A), eq. (3).
        inter: (A, A, 16), eqs. (6) and (7); state s of AUs i and j has the bits i now, j now, i next, j next, from
            the lowest. Undefined where i = j, as only four of the states are possible there.
    """

    intra: Tensor
    inter: Tensor


def pair_targets(sequences: Sequence[Float[Tensor, "frames au"]]) -> PairTargets:
    """The knowledge in labels, or in probabilities.

    Args:
        sequences: States of consecutive frames; no pair of frames is made across sequences.
    """
    now, after = (torch.cat([x[part] for x in sequences]).double() for part in (slice(None, -1), slice(1, None)))
    intra, inter = co_occurrence(torch.cat(list(sequences)).double()), transitions(now, after)
    return PairTargets(intra.float(), inter.float())


def class_weights(sequences: Sequence[Int[Tensor, "frames au"]]) -> Float[Tensor, " au"]:
    """The weights of eq. (2): the inverse of each AU's rate, with mean 1.

    An AU that is never positive weighs 1 and counts in no other's weight.
    """
    labels = torch.cat(list(sequences))
    positives = (labels > 0).sum(0).double()
    inverse = torch.where(positives > 0, (labels >= 0).sum(0) / positives, 0)
    met = positives > 0
    return torch.where(met, met.sum() * inverse / inverse.sum(), 1).float()


def weighted_bce(
    probabilities: Float[Tensor, "*n au"], labels: Int[Tensor, "*n au"], weights: Float[Tensor, " au"]
) -> Float[Tensor, ""]:
    """Eq. (2): summed over a frame's known AUs, averaged over the frames that have any; 0 where none has."""
    known = labels >= 0
    chance = probabilities.clamp(1e-7, 1 - 1e-7)
    terms = torch.where(labels > 0, chance.log(), (1 - chance).log()) * weights * known
    return -terms.sum() / known.any(-1).sum().clamp(min=1)


def thresholded(states: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """The Iverson bracket [p > 0.5] of eq. (4), with the gradient of p."""
    return (states > 0.5).to(states.dtype) + (states - states.detach())


def co_occurrence(states: Float[Tensor, "n au"]) -> Float[Tensor, "au au"]:
    """Eq. (3) of labels and eq. (4) of probabilities: how often both AUs are present where either is.

    Args:
        states: Of any frames.
    """
    known = (states >= 0).to(states.dtype)
    present = thresholded(states) * known
    absent = known - present
    with torch.autocast(states.device.type, enabled=False):  # bfloat16 counts to 256
        either = known.T @ known - absent.T @ absent
        both = present.T @ present
    return torch.where(either > 0.5, both / either.clamp(min=0.5), -1)


def transitions(now: Float[Tensor, "n au"], after: Float[Tensor, "n au"]) -> Float[Tensor, "au au 16"]:
    """Eq. (7), averaged over frames: the probability of each of the 16 states of two AUs.

    eq. (6) is read as D_k(x) = x where s_k = 1, so that labels fall on the state that they spell. As printed, it
    would exchange s and 15 - s in labels and in probabilities alike, which changes no distance.

    Args:
        now: Of any frames.
        after: Of the frames that follow them.
    """
    known = ((now >= 0) & (after >= 0)).to(now.dtype)
    single = torch.stack([a * b for b in (1 - after, after) for a in (1 - now, now)], -1)  # bit 0 is now, bit 1 next
    single = single * known[..., None]
    aus = now.shape[1]
    with torch.autocast(now.device.type, enabled=False):
        both = torch.einsum("nix,njy->ijxy", single, single).reshape(aus, aus, 2, 2, 2, 2)  # i j i' i j' j
        frames = (known.T @ known).fill_diagonal_(0)[..., None]
    states = both.permute(0, 1, 4, 2, 5, 3).reshape(aus, aus, TRANSITIONS)
    return torch.where(frames > 0.5, states / frames.clamp(min=0.5), -1)


def distance(wanted: Float[Tensor, "*pairs"], learned: Float[Tensor, "*pairs"], norm: Norm) -> Float[Tensor, ""]:
    """Eqs. (5) and (8): how far predictions are from knowledge, over the entries that both define.

    Args:
        wanted: K.
        learned: C or S.
        norm: Frobenius as printed; ``mean`` divides it by the root of the number of entries.
    """
    compared = (wanted >= 0) & (learned >= 0)
    far: Tensor = torch.linalg.vector_norm(torch.where(compared, wanted - learned, 0))
    return far if norm == "frobenius" else far / compared.sum().clamp(min=1).sqrt()
