"""Each check detects the method that breaks it, and accepts a sound one."""

import random
from typing import ClassVar, Literal

import pytest
import torch
from pydantic import ConfigDict
from torch import nn
from torch.nn import functional

import aubench
from aubench import Batch, BranchedMethod, Fidelity, MethodCard, Modality
from aubench.core.errors import RecipeError
from aubench.core.registry import MethodEntry
from aubench.testing.check_method import CHECKS, check_method


class SmallRecipe(aubench.Recipe):
    presets: ClassVar = {"tiny": {"image_size": 20, "crop": 16, "learning_rate": 0.1}}


class Sound(BranchedMethod):
    """Mean colours into one linear layer."""

    Recipe = SmallRecipe
    card = MethodCard(title="Sound", paper="none", fidelity=Fidelity.EXACT)

    def __init__(self, task, recipe):
        super().__init__(task, recipe)
        self.head = nn.Linear(task.channels, len(task.aus))

    def encode(self, modality, images):
        return images.mean((2, 3))

    def fuse(self, features):
        return self.head(torch.cat([features[m] for m in self.task.modalities], 1)).sigmoid()


class GivesEmptyReason(Sound):
    @classmethod
    def unsupported_reason(cls, task, recipe):
        return None if Modality.VISUAL in task.modalities else ""


class SupportsNothing(Sound):
    @classmethod
    def unsupported_reason(cls, task, recipe):
        return "not implemented"


class SelectsMissingModalities(Sound):
    @classmethod
    def select_modalities(cls, task, recipe):
        return (Modality.VISUAL,)


class SupportsOnlyLargeImages(Sound):
    @classmethod
    def unsupported_reason(cls, task, recipe):
        return None if task.image_size > 16 else "needs larger images"


class IgnoresModalities(Sound):
    """Has one encoder for all modalities, and sees the first one only."""

    def fuse(self, features):
        joined = torch.cat([features[self.task.modalities[0]].mean(1, keepdim=True)] * self.task.channels, 1)
        return self.head(joined).sigmoid()


class LaxRecipe(Sound):
    class Recipe(SmallRecipe):
        model_config = ConfigDict(extra="ignore")


class RemembersOutsideOfState(Sound):
    """Pulls predictions towards an average of earlier steps, which no checkpoint has."""

    def __init__(self, task, recipe):
        super().__init__(task, recipe)
        self.average = torch.zeros(())

    def loss(self, batch, stage, progress):
        mean = self(batch.inputs).mean()
        self.average = 0.5 * self.average + 0.5 * mean.detach()
        terms = super().loss(batch, stage, progress)
        return {**terms, "total": terms["total"] + (mean - self.average) ** 2}


class RemembersInState(RemembersOutsideOfState):
    def __init__(self, task, recipe):
        super().__init__(task, recipe)
        del self.average
        self.register_buffer("average", torch.zeros(()))


class AddsUpLabels(Sound):
    """Has two stages, and counts the labels that it receives once."""

    def __init__(self, task, recipe):
        super().__init__(task, recipe)
        self.register_buffer("count", torch.zeros(()))

    def stages(self):
        recipe = self.recipe
        return tuple(aubench.Stage(name, recipe.epochs, recipe.batch_size) for name in ("first", "second"))

    def on_train_labels(self, labels):
        self.count += sum(map(len, labels))


class GivesLogits(Sound):
    def fuse(self, features):
        return 10 * self.head(torch.cat([features[m] for m in self.task.modalities], 1))


class GivesOneAu(Sound):
    def fuse(self, features):
        return super().fuse(features)[:, :1].squeeze(1)

    def loss(self, batch, stage, progress):
        return {
            "total": aubench.masked_bce(
                super().fuse({m: self.encode(m, x) for m, x in batch.inputs.items()}), batch.labels
            )
        }


class DividesByContrast(Sound):
    def encode(self, modality, images):
        return (images / images.std((1, 2, 3), keepdim=True)).mean((2, 3))


class CentresOnTheBatch(Sound):
    def encode(self, modality, images):
        return images.mean((2, 3)) - images.mean((0, 2, 3))


class PredictsRandomly(Sound):
    def encode(self, modality, images):
        return images.mean((2, 3)) + torch.rand(len(images), modality.channels) * 5e-5


class UsesUnseededRandomness(Sound):
    def augment(self, batch, generator):
        return batch.map_inputs(lambda x: x + random.SystemRandom().random())


class HasOtherLogits(Sound):
    def forward_logits(self, inputs):
        return 2 * self(inputs).logit()


class HasUnusedParameters(Sound):
    def __init__(self, task, recipe):
        super().__init__(task, recipe)
        self.spare = nn.Linear(3, 3)


class DividesByKnownLabels(Sound):
    def loss(self, batch, stage, progress):
        known = batch.labels >= 0
        return {"total": functional.binary_cross_entropy(self(batch.inputs)[known], batch.labels[known].float())}


class DividesZeroByZero(Sound):
    """Has a finite loss without known labels, whose gradient is not."""

    def loss(self, batch, stage, progress):
        known = batch.labels >= 0
        losses = functional.binary_cross_entropy(
            self(batch.inputs), batch.labels.clamp(min=0).float(), reduction="none"
        )
        mean = (losses * known).sum() / known.sum()
        return {"total": torch.where(known.any(), mean, 0.0)}


class HidesItsSchedule(Sound):
    def loss_constants(self, stage, progress):
        return ()

    def loss(self, batch, stage, progress):
        return {"total": (1 + progress.epoch) * super().loss(batch, stage, progress)["total"]}


class WarmsUpInSecret(Sound):
    def loss_constants(self, stage, progress):
        return ()

    def loss(self, batch, stage, progress):
        return {"total": (1 + (progress.epoch > 4)) * super().loss(batch, stage, progress)["total"]}


class EndsInSecret(Sound):
    def loss_constants(self, stage, progress):
        return ()

    def loss(self, batch, stage, progress):
        is_late = progress.epoch >= 0.75 * progress.epochs
        return {"total": (1 + is_late) * super().loss(batch, stage, progress)["total"]}


class DropsBranchesInPython(Sound):
    def loss_constants(self, stage, progress):
        return (progress.epoch,)

    def loss(self, batch, stage, progress):
        return {"total": (1 + random.random()) * super().loss(batch, stage, progress)["total"]}


class WritesToLabels(Sound):
    def loss(self, batch, stage, progress):
        batch.labels.clamp_(min=0)
        return super().loss(batch, stage, progress)


class FillsUnknownPoints(Sound):
    """Replaces unknown points in its batch by the centre."""

    needs_landmarks = True

    def loss(self, batch, stage, progress):
        if batch.landmarks is not None:
            batch.landmarks.nan_to_num_()
        return super().loss(batch, stage, progress)


class OmitsItsOffset(Sound):
    def __init__(self, task, recipe):
        super().__init__(task, recipe)
        self.offset = torch.randn(task.channels)

    def fuse(self, features):
        joined = torch.cat([features[m] for m in self.task.modalities], 1)
        return self.head(joined + self.offset.to(joined.device)).sigmoid()


class BranchesOnValues(Sound):
    def fuse(self, features):
        probabilities = super().fuse(features)
        return probabilities if probabilities.sum().item() > 0 else 1 - probabilities


class OverridesForward(Sound):
    def forward(self, inputs):
        return super().forward(inputs) * 0.5


class PretrainsWithFinetuneRate(Sound):
    """Pre-trains with the learning rate of fine-tuning, so that runs would share wrong weights."""

    def stages(self):
        return (aubench.Stage("pretrain", 1, 4, pretraining=True), *super().stages())

    def loss(self, batch, stage, progress):
        if stage.pretraining:
            return {"total": self(batch.inputs).square().mean()}
        return super().loss(batch, stage, progress)


class PretrainsForFinetuneEpochs(PretrainsWithFinetuneRate):
    """Pre-trains for the epochs of fine-tuning."""

    def stages(self):
        return (aubench.Stage("pretrain", self.recipe.epochs, 4, pretraining=True), *Sound.stages(self))

    def optimizer(self, stage):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class DecaysWithFinetuneWeight(PretrainsWithFinetuneRate):
    """Pre-trains with the weight decay of fine-tuning, which is 0 in most presets."""

    def optimizer(self, stage):
        return torch.optim.SGD(self.parameters(), lr=0.1, weight_decay=self.recipe.weight_decay)


class IgnoresUnknownPoints(Sound):
    """Learns from points without a mask for unknown ones."""

    needs_landmarks = True

    def loss(self, batch, stage, progress):
        terms = super().loss(batch, stage, progress)
        if batch.landmarks is None:
            return terms
        return {"total": terms["total"] * batch.landmarks.mean()}


class HasAnOldHook(Sound):
    @classmethod
    def refuses(cls, task, recipe):
        return None


class HasALongTitle(Sound):
    card = MethodCard(title="S" * 301, paper="none", fidelity=Fidelity.EXACT)


BROKEN = {
    HasAnOldHook: "hooks have their current names",
    HasALongTitle: "name, title and sources of weights fit into a record",
    GivesEmptyReason: "gives reasons for unsupported tasks",
    SupportsNothing: "gives reasons for unsupported tasks",
    SelectsMissingModalities: "gives reasons for unsupported tasks",
    SupportsOnlyLargeImages: "supports a set of modalities with the preset",
    IgnoresModalities: "uses each of its modalities",
    DividesZeroByZero: "accepts unknown labels",
    LaxRecipe: "recipe rejects unknown keys",
    GivesLogits: "gives probabilities",
    GivesOneAu: "gives probabilities",
    DividesByContrast: "survives each modality missing",
    CentresOnTheBatch: "ignores batch neighbours",
    PredictsRandomly: "same frames, same prediction",
    UsesUnseededRandomness: "same seed, same training",
    RemembersOutsideOfState: "interrupted training, same training",
    HasUnusedParameters: "gradients reach every parameter",
    HasOtherLogits: "forward is the sigmoid of forward_logits",
    HidesItsSchedule: "loss depends on its constants only",
    WarmsUpInSecret: "loss depends on its constants only",
    EndsInSecret: "loss depends on its constants only",
    DropsBranchesInPython: "loss depends on its constants only",
    DividesByKnownLabels: "accepts unknown labels",
    WritesToLabels: "preserves its inputs",
    OmitsItsOffset: "survives saving and loading",
    BranchesOnValues: "FLOPs can be counted",
    OverridesForward: "forward is the fusion of encoded modalities",
    PretrainsWithFinetuneRate: "pre-training ignores fine-tuning fields",
    PretrainsForFinetuneEpochs: "pre-training ignores fine-tuning fields",
    DecaysWithFinetuneWeight: "pre-training ignores fine-tuning fields",
}


def failed(method) -> dict[str, str]:
    return {
        result.name: result.detail for result in check_method(MethodEntry("x", method, "builtin")) if not result.passed
    }


@pytest.mark.slow
def test_a_sound_method_passes_every_check():
    assert [(result.name, result.passed) for result in check_method(MethodEntry("x", Sound, "builtin"))] == [
        (name, True) for name in CHECKS
    ]


def test_every_check_has_a_method_that_breaks_it():
    assert set(BROKEN.values()) == set(CHECKS)


@pytest.mark.slow
@pytest.mark.parametrize("method", [RemembersInState, AddsUpLabels])
def test_state_in_buffers_survives_an_interruption(method):
    assert failed(method) == {}


@pytest.mark.slow
@pytest.mark.parametrize(("method", "check"), BROKEN.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_the_right_check_detects_the_breach(method, check):
    details = failed(method)
    assert check in details
    assert details[check], "does not describe the breach"


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        HasAnOldHook,
        HasUnusedParameters,
        HasOtherLogits,
        WritesToLabels,
        OverridesForward,
        UsesUnseededRandomness,
        RemembersOutsideOfState,
        DividesByKnownLabels,
        DividesZeroByZero,
        IgnoresModalities,
        PretrainsForFinetuneEpochs,
        DecaysWithFinetuneWeight,
        BranchesOnValues,
    ],
)
def test_a_single_breach_fails_a_single_check(method):
    assert set(failed(method)) == {BROKEN[method]}


@pytest.mark.slow
def test_unknown_points_that_become_known_are_a_change_of_the_input():
    details = failed(FillsUnknownPoints)
    assert set(details) == {"preserves its inputs"} and "with landmarks" in details["preserves its inputs"]


def old_hook(owner, name):
    """Return a method with an attribute of an old name, or one whose recipe has it."""
    if owner == "Method":
        return type("Old", (Sound,), {name: classmethod(lambda cls, *_: ())})
    hooks = {name: classmethod(lambda cls, *_: ()), "__module__": __name__}
    return type("Old", (Sound,), {"Recipe": type("OldRecipe", (SmallRecipe,), hooks)})


@pytest.mark.parametrize(
    ("owner", "old", "new"),
    [
        ("Method", "refuses", "unsupported_reason"),
        ("Method", "uses", "select_modalities"),
        ("Method", "meet", "on_train_labels"),
        ("Method", "spans", "extra_clip_spans"),
        ("Method", "wants_landmarks", "needs_landmarks"),
        ("Method", "picked", "modality_selection"),
        ("Method", "pair_knowledge", "pair_statistics"),
        ("Recipe", "seen", "pretraining_sources"),
        ("Recipe", "after_pretraining", "finetune_only"),
        ("Recipe", "later", "finetune_fields"),
    ],
)
def test_an_old_hook_is_reported_with_its_current_name(owner, old, new):
    detail = failed(old_hook(owner, old))["hooks have their current names"]
    assert f"{owner}.{old} is now {new}" in detail and "\n" not in detail
    public = (aubench.Method, aubench.SupportsModalitySelection, aubench.SupportsPairStatistics)
    assert any(hasattr(cls, new) for cls in (public if owner == "Method" else (aubench.Recipe,)))


@pytest.mark.slow
def test_a_recipe_field_may_have_the_name_of_an_old_hook():
    class Fields(Sound):
        class Recipe(SmallRecipe):
            seen: int = 3

    assert not failed(Fields)


@pytest.mark.slow
def test_any_type_of_fields_can_be_of_finetuning_only():
    class Fields(PretrainsForFinetuneEpochs):
        class Recipe(SmallRecipe):
            finetune_only = frozenset({"rates", "name", "depth"})
            rates: tuple[float, ...] = (0.1, 0.2)
            name: str | None = None
            depth: Literal[1, 2, 3] = 3

        def stages(self):
            return (aubench.Stage("pretrain", 1, 4, pretraining=True), *Sound.stages(self))

    assert not failed(Fields)


@pytest.mark.slow
def test_a_loss_may_have_a_term_of_later_epochs():
    class Late(Sound):
        def __init__(self, task, recipe):
            super().__init__(task, recipe)
            self.late = nn.Parameter(torch.ones(()))

        def loss(self, batch, stage, progress):
            total = super().loss(batch, stage, progress)["total"]
            return {"total": total + self.late * (progress.epoch >= progress.epochs // 2)}

    assert not failed(Late)


@pytest.mark.slow
def test_a_method_may_ignore_the_sign_of_differences():
    class Edges(Sound):
        def encode(self, modality, images):
            return ((images[..., 1:] - images[..., :-1]).abs() > 0.2).float().mean((2, 3))

    assert not failed(Edges)


@pytest.mark.slow
def test_clips_say_which_of_them_are_extra():
    class Clips(Sound):
        class Recipe(SmallRecipe):
            @property
            def clip_length(self):
                return 2

        def encode(self, modality, images):
            return images.mean((-2, -1))

        def fuse(self, features):
            return self.head(torch.cat([features[m] for m in self.task.modalities], -1)).sigmoid()

        def loss(self, batch, stage, progress):
            weight = torch.where(batch.is_extra, 0.5, 1.0).mean()
            return {"total": weight * super().loss(batch, stage, progress)["total"]}

    class MarksAllClips(Clips):
        def loss(self, batch, stage, progress):
            batch.is_extra.fill_(True)
            return super().loss(batch, stage, progress)

    assert not failed(Clips)
    assert "marks of extra clips" in failed(MarksAllClips)["preserves its inputs"]


@pytest.mark.slow
def test_unknown_points_must_not_reach_the_weights():
    assert failed(IgnoresUnknownPoints)["gradients reach every parameter"] == (
        "on V with landmarks: the gradient of 'head.weight' is not finite"
    )


@pytest.mark.slow
def test_a_method_that_needs_no_points_receives_none():
    class Looks(Sound):
        def loss(self, batch, stage, progress):
            assert batch.landmarks is None
            return super().loss(batch, stage, progress)

    assert not failed(Looks)


@pytest.mark.slow
def test_the_detail_names_the_modalities_and_the_parameter():
    assert (
        failed(HasUnusedParameters)["gradients reach every parameter"]
        == "on V: no gradient reaches spare.bias, spare.weight"
    )


def test_an_unknown_preset_is_refused():
    with pytest.raises(RecipeError, match="no preset 'huge'"):
        check_method(MethodEntry("x", Sound, "builtin"), "huge")


def test_a_batch_is_not_changed_by_map_inputs():
    batch = Batch({Modality.DEPTH: torch.ones(1, 1, 2, 2)}, torch.zeros(1, 1))
    assert batch.map_inputs(lambda x: x * 2).inputs[Modality.DEPTH].sum() == 8
    assert batch.inputs[Modality.DEPTH].sum() == 4
