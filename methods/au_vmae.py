"""AU-vMAE: a video masked autoencoder that learns how AUs go together and follow each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from aubench import (
    AnyRecipe,
    Batch,
    Fidelity,
    Inputs,
    Method,
    MethodCard,
    Modality,
    Progress,
    Reconstruction,
    Stage,
    Task,
)
from aubench.methods._modules import au_pair_statistics, video, video_weights
from aubench.methods._modules.au_vmae_recipe import AUvMAERecipe
from aubench.methods._modules.rare_au_clips import rare_au_spans
from aubench.methods._modules.transformer import parameter_groups, warmup_cosine
from aubench.methods._modules.video_autoencoder import VideoDecoder, VideoEncoder

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

MASKS_SEED = 20240716
"""Of the masks that the patch level predicts with."""


class AUvMAE(Method):
    """VideoMAE, then its encoder with one linear layer, under the guidance of what AU pairs do."""

    Recipe = AUvMAERecipe
    recipe: AUvMAERecipe
    card = MethodCard(
        title="AU-vMAE",
        paper="Jin, Shi, Dou and Ni: AU-vMAE: Knowledge-Guide Action Units Detection via Video Masked Autoencoder, "
        "2024",
        fidelity=Fidelity.RESOLVED,
        deviations=(
            "Pre-training sees the training role's frames; the paper's half a million face videos are of five other "
            "datasets. pretrain_scope=all adds all subjects, and weights=videomae begins with Kinetics-400.",
            "A clip of 128 frames goes through the encoder in segments of 16 (of every fourth frame at the frame "
            "level): the paper's 2.81 G per frame are the multiply-accumulates of two such segments in 128 frames.",
            "Eq. 1 is VideoMAE's mean squared error of hidden patches, each normalised by channel: the paper calls it "
            "L2 and writes a norm.",
            "The frame level sees the third of every four frames (the paper only says one of four).",
            "Tokens are averaged over places, interpolated linearly in time to every frame, normalised and classified "
            "by one linear layer: the paper does not say how every frame gets its prediction.",
            "At test time the patch level hides half of the places too, by one mask for each segment of a clip, drawn "
            "once.",
            "Learning rates are VideoMAE's, scaled to the 64 segments that a step has at the video and the patch "
            "level; the frame level has the same ones, though its steps have 16. Warm-up, layer decay, drop path and "
            "Adam's betas are VideoMAE's too; the paper states none of them. Adam has no weight decay.",
            "Eq. 2 sums over AUs as printed and is averaged over frames; an AU without any positive weighs 1.",
            "Eq. 6 is read so that D_k keeps x where s_k = 1; as printed, labels would fall on the state of their "
            "complement. It is used for labels and predictions alike, so no distance depends on it.",
            "S of eq. 7 is averaged over the steps of a batch before it is compared (eq. 8), pairs of an AU with "
            "itself are left out, and predictions enter it without a threshold.",
            "C and S look at frames with labels alone, as K does, and entries without any frame are left out.",
            "Clips of rare AUs end after 15 frames without one; frames without any AU count among these. What is left "
            "of the last clip is filled with its last frame, whose repetitions have no labels; the paper does not say.",
            "Fine-tuned weights are those of the epoch with the best F1 on validation subjects; the paper does not say "
            "which of its 20 it takes.",
            "Modalities other than visual, and input=early, are ours.",
        ),
    )

    knowledge_intra: Tensor
    knowledge_inter: Tensor
    au_weights: Tensor
    masks: Tensor

    def __init__(self, task: Task, recipe: AUvMAERecipe) -> None:
        super().__init__(task, recipe)
        self.rows = task.image_size // recipe.patch
        self.segments = recipe.clip_frames // recipe.stride // recipe.together
        grid, aus = (recipe.together // recipe.tubelet, self.rows), len(task.aus)
        values = recipe.tubelet * recipe.patch**2 * task.channels
        place, decoder_place = (
            video.positions(recipe.positions, *grid, width) for width in (recipe.width, recipe.decoder_width)
        )
        self.encoder = VideoEncoder(place, values, recipe.depth, recipe.heads)
        self.head = nn.Sequential(nn.LayerNorm(recipe.width), nn.Linear(recipe.width, aus))
        if recipe.pretrain_epochs:
            self.decoder = VideoDecoder(decoder_place, values, recipe.width, recipe.decoder_depth, recipe.decoder_heads)
        self.register_buffer("au_weights", torch.ones(aus))
        self.register_buffer("knowledge_intra", -torch.ones(aus, aus))
        self.register_buffer("knowledge_inter", -torch.ones(aus, aus, au_pair_statistics.TRANSITIONS))
        cpu = torch.device("cpu")
        drawn = torch.rand(
            self.segments, self.rows**2, device=cpu, generator=torch.Generator(cpu).manual_seed(MASKS_SEED)
        )
        self.register_buffer("masks", drawn, persistent=False)
        video_weights.load_into(self, recipe.weights, task.channels)

    @classmethod
    def unsupported_reason(cls, task: Task, recipe: AnyRecipe) -> str | None:
        """Refuse a task without the modality of the recipe, or early fusion of a single one."""
        wanted = _input_of(recipe)
        if wanted == "early":
            return None if len(task.modalities) > 1 else "fuses two or three modalities, and there is one"
        return None if wanted in task.modalities else f"needs {wanted} images"

    @classmethod
    def select_modalities(cls, task: Task, recipe: AnyRecipe) -> tuple[Modality, ...]:
        """The one modality of the recipe, or all."""
        wanted = _input_of(recipe)
        return task.modalities if wanted == "early" else (Modality(wanted),)

    def stages(self) -> Sequence[Stage]:
        """Pre-training, then fine-tuning."""
        recipe = self.recipe
        pretraining = Stage(
            "pretrain",
            recipe.pretrain_epochs,
            recipe.pretrain_batch_size,
            frames_per_epoch=recipe.pretrain_frames_per_epoch,
            pretraining=True,
            include_all_subjects=recipe.pretrain_scope == "all",
        )
        finetuning = Stage("finetune", recipe.epochs, recipe.batch_size, recipe.patience, recipe.frames_per_epoch)
        return (pretraining, finetuning) if recipe.pretrain_epochs else (finetuning,)

    def on_train_labels(self, labels: Sequence[Int[Tensor, "frames au"]]) -> None:
        """Take class weights and knowledge from the training role (eqs. 2, 3, 6 and 7)."""
        self.au_weights.copy_(au_pair_statistics.class_weights(labels))
        known = au_pair_statistics.pair_targets(labels)
        self.knowledge_intra.copy_(known.intra)
        self.knowledge_inter.copy_(known.inter)

    def extra_clip_spans(self, labels: Int[Tensor, "frames au"]) -> Sequence[tuple[int, int]]:
        """Clips of rare AUs."""
        if not self.recipe.minority_clips:
            return ()
        return rare_au_spans(labels, [self.task.aus.index(au) for au in self.recipe.minority(self.task.aus)])

    def optimizer(self, stage: Stage) -> torch.optim.Optimizer:
        """Adam on the encoder and either the decoder or the classifier."""
        recipe = self.recipe
        other = "decoder." if stage.pretraining else "head."
        trained = [(name, p) for name, p in self.named_parameters() if name.startswith(("encoder.", other))]
        if stage.pretraining:
            groups = parameter_groups(trained, recipe.pretrain_learning_rate, recipe.pretrain_weight_decay)
            return torch.optim.AdamW(groups, betas=(0.9, 0.95))
        groups = parameter_groups(trained, recipe.learning_rate, recipe.weight_decay, recipe.depth, recipe.layer_decay)
        return torch.optim.AdamW(groups)

    def learning_rate_factor(self, stage: Stage, progress: Progress) -> float:
        """Warm-up and half a cosine, or the recipe's other schedule of fine-tuning."""
        if stage.pretraining:
            return warmup_cosine(progress, self.recipe.pretrain_warmup_epochs, 0.0)
        if self.recipe.learning_rate_schedule == "cosine":
            return warmup_cosine(progress, self.recipe.warmup_epochs, 0.0)
        return super().learning_rate_factor(stage, progress)

    def loss(self, batch: Batch, stage: Stage, progress: Progress) -> dict[str, Tensor]:
        """Eq. (1) in pre-training, eq. (9) with its terms beside it in fine-tuning."""
        recipe = self.recipe
        self.encoder.blocks.set_drop_path(0.0 if stage.pretraining else recipe.drop_path)
        cut = self.tubelets(batch.inputs)
        if stage.pretraining:
            return {"total": self.reconstruction(cut)}
        found = self.detected(cut, self.drawn(cut, recipe.patch_mask)[0] if recipe.level == "patch" else None)
        states = torch.where(batch.labels >= 0, found, -1)
        c = au_pair_statistics.co_occurrence(states.flatten(0, 1))  # eq. (4)
        s = au_pair_statistics.transitions(states[:, :-1].flatten(0, 1), states[:, 1:].flatten(0, 1))  # eq. (7)
        weights = self.au_weights if recipe.class_weights else torch.ones_like(self.au_weights)
        cls = au_pair_statistics.weighted_bce(found, batch.labels, weights)  # eq. (2)
        intra = au_pair_statistics.distance(self.knowledge_intra, c, recipe.norm)  # eq. (5)
        inter = au_pair_statistics.distance(self.knowledge_inter, s, recipe.norm)  # eq. (8)
        total = recipe.weight_cls * cls + recipe.weight_intra * intra + recipe.weight_inter * inter  # eq. (9)
        return {"total": total, "cls": cls, "intra": intra, "inter": inter}

    def forward(self, inputs: Inputs) -> Float[Tensor, "n t au"]:
        """AU probabilities of every frame."""
        cut = self.tubelets(inputs)
        if self.recipe.level != "patch":
            return self.detected(cut)
        shown, _ = video.tubes(self.masks, self.recipe.patch_mask)
        return self.detected(cut, shown.repeat(len(cut) // self.segments, 1))

    def tubelets(self, inputs: Inputs) -> Float[Tensor, "segments steps places values"]:
        """What the encoder sees of clips, each clip's segments one after the other."""
        stride = self.recipe.stride
        clips = torch.cat([inputs[m] for m in self.task.modalities], 2)[:, stride // 2 :: stride]
        segments = clips.reshape(-1, self.recipe.together, *clips.shape[2:])
        return video.tubelets(segments, self.recipe.tubelet, self.recipe.patch)

    def drawn(self, cut: Float[Tensor, "n steps places values"], hidden: float) -> tuple[Tensor, Tensor]:
        """Tube masks by chance, one for each segment: the places shown and the places hidden."""
        masks: tuple[Tensor, Tensor] = video.tubes(torch.rand(len(cut), self.rows**2, device=cut.device), hidden)
        return masks

    def reconstruction(self, cut: Float[Tensor, "n steps places values"]) -> Float[Tensor, ""]:
        """Eq. (1): how far hidden patches are from what the decoder makes of the others."""
        shown, hidden = self.drawn(cut, self.recipe.mask)
        found = self.decoder(self.encoder(cut, shown), shown, hidden)
        return functional.mse_loss(
            found.float(), video.normalize_tubelets(video.at_places(cut, hidden), self.task.channels)
        )

    def detected(
        self, cut: Float[Tensor, "segments steps places values"], shown: Int[Tensor, "segments k"] | None = None
    ) -> Float[Tensor, "n t au"]:
        """AU probabilities of every frame from what is shown of its clip."""
        features = self.encoder(cut, shown).mean(2)
        features = features.reshape(-1, self.segments * features.shape[1], features.shape[2])
        logits: Tensor = self.head(video.over_frames(features, self.recipe.clip_frames))
        return logits.float().sigmoid()

    def reconstruct(self, inputs: Inputs, mask: float) -> Reconstruction:
        """What pre-training sees of clips, and what it makes of it; nothing without pre-training.

        Each tubelet that is filled in gets the mean and deviation that it had, since the decoder does not learn them.

        Args:
            inputs: Clips.
            mask: Share of places to hide.
        """
        if not self.recipe.pretrain_epochs:
            return Reconstruction({}, {}, {})
        cut = self.tubelets(inputs)
        shown, hidden = self.drawn(cut, mask)
        mean, deviation = (video.at_places(x, hidden) for x in video.statistics(cut, self.task.channels))
        told = self.decoder(self.encoder(cut, shown), shown, hidden) * deviation + mean
        seen = self._frames(video.fill_masked(cut, hidden, torch.zeros_like(told)))
        restored = self._frames(video.fill_masked(cut, hidden, told))
        return Reconstruction(self._frames(cut), {m.value: x for m, x in seen.items()}, restored)

    def pair_statistics(
        self, states: Sequence[Float[Tensor, "frames au"]]
    ) -> tuple[Float[Tensor, "au au"], Float[Tensor, "au au 16"]]:
        """Eqs. (3) and (4), and eq. (7), of labels or of probabilities.

        Args:
            states: Of the consecutive frames of each sequence, -1 where unknown.
        """
        return au_pair_statistics.pair_targets(states)

    def _frames(self, cut: Float[Tensor, "segments steps places values"]) -> dict[Modality, Tensor]:
        segments = video.untubelets(cut, self.recipe.tubelet, self.recipe.patch, self.rows)
        clips = segments.reshape(-1, self.segments * segments.shape[1], *segments.shape[2:])
        parts = torch.split(clips, [m.channels for m in self.task.modalities], 2)
        return dict(zip(self.task.modalities, parts, strict=True))


def _input_of(recipe: AnyRecipe) -> str:
    assert isinstance(recipe, AUvMAERecipe)
    return recipe.input
