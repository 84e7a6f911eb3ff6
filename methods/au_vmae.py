# Installed as aubench.methods.au_vmae.
"""AU-vMAE: a video masked autoencoder guided by co-occurrences and transitions of AUs."""

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
    MethodCard,
    Modality,
    Progress,
    Reconstruction,
    Stage,
    Task,
)
from aubench.methods._modules import au_pair_statistics, video, video_weights
from aubench.methods._modules.activation_memory import configure_memory
from aubench.methods._modules.au_vmae_recipe import AUvMAERecipe
from aubench.methods._modules.method_bases import ConstantLoss
from aubench.methods._modules.rare_au_clips import crop_and_mirror, rare_au_spans
from aubench.methods._modules.transformer import parameter_groups, warmup_cosine
from aubench.methods._modules.video_autoencoder import VideoDecoder, VideoEncoder

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

MASKS_SEED = 20240716
"""Seed of the masks that the patch level uses for predictions."""


class AUvMAE(ConstantLoss):
    """VideoMAE, fine-tuned with one linear layer and losses on the statistics of AU pairs."""

    Recipe = AUvMAERecipe
    recipe: AUvMAERecipe
    card = MethodCard(
        title="AU-vMAE",
        paper="Jin, Shi, Dou and Ni: AU-vMAE: Knowledge-Guide Action Units Detection via Video Masked Autoencoder, "
        "2024",
        fidelity=Fidelity.RESOLVED,
        deviations=(
            "Pre-training uses the frames of the training role. The paper uses half a million face videos of five "
            "other datasets. pretrain_scope=all adds all subjects, and weights=videomae starts from Kinetics-400.",
            "The encoder takes a clip of 128 frames in segments of 16 frames (every fourth frame at the frame level). "
            "The paper's 2.81 G per frame equal the multiply-accumulates of two such segments per 128 frames.",
            "Eq. 1 is VideoMAE's mean squared error of masked patches, each normalised per channel. The paper calls it "
            "L2 and prints a norm.",
            "The frame level uses the third of every four frames. The paper only states one of four.",
            "Tokens are averaged over space, interpolated linearly in time to every frame, normalised and classified "
            "by one linear layer. The paper does not specify the prediction of every frame.",
            "The preset small masks 75 % of the cells in pre-training. Of its 16 cells, the paper's 90 % leave two.",
            "At test time the patch level masks half of the positions, with one fixed mask for each segment of a clip.",
            "Learning rates are VideoMAE's, scaled to the 64 segments in a step of the video and patch levels. The "
            "frame level uses the same rates with 16 segments in a step. Warm-up, layer decay, drop path and Adam's "
            "betas are VideoMAE's. The paper states none of them. Adam has no weight decay.",
            "Eq. 2 sums over AUs as printed and is averaged over frames. An AU without positives has weight 1.",
            "Eq. 6 is read so that D_k = x where s_k = 1. As printed, labels would fall on the state of their "
            "complement. Labels and predictions use the same reading, so no distance depends on it.",
            "S of eq. 7 is averaged over the steps of a batch before the comparison (eq. 8), pairs of an AU with "
            "itself are excluded, and predictions enter it without a threshold.",
            "C and S use only frames with labels, as K does, and entries without any frame are excluded.",
            "Clips of rare AUs end after 15 frames without one, including frames without any AU. Copies of the last "
            "frame pad the last clip and have no labels. The paper does not specify the padding.",
            "Clips of rare AUs are cropped to 7/8 of the image's side, resized and mirrored with probability 1/2. The "
            "paper does not state these values. As in the paper, all other clips are whole images. The presets "
            "tiny and small only mirror them, as the short training of tiny does not learn from 4 x 4 patches that "
            "shift.",
            "A task without AU9 has BP4D's rare AUs. Runs that train on DISFA without it, as disfa_to_bp4d does, need "
            "minority_aus=1,2.",
            "Each epoch of training cuts sequences into clips from another random frame on. The paper cuts them once. "
            "Clips at both ends of a sequence overlap with their neighbours, whose frames have no labels there.",
            "Fine-tuned weights come from the epoch with the best F1 on validation subjects. The paper does not state "
            "which of its 20 epochs it uses.",
            "Modalities other than visual, and input=early, are our extensions.",
        ),
    )

    knowledge_intra: Tensor
    knowledge_inter: Tensor
    au_weights: Tensor
    masks: Tensor

    def __init__(self, task: Task, recipe: AUvMAERecipe) -> None:
        super().__init__(task, recipe)
        self.rows = task.image_size // recipe.patch
        self.segments = recipe.clip_frames // recipe.stride // recipe.segment_frames
        grid, aus = (recipe.segment_frames // recipe.tubelet, self.rows), len(task.aus)
        values = recipe.tubelet * recipe.patch**2 * task.channels
        positions, decoder_positions = (
            video.position_embeddings(recipe.positions, *grid, width) for width in (recipe.width, recipe.decoder_width)
        )
        self.encoder = VideoEncoder(positions, values, recipe.depth, recipe.heads)
        self.head = nn.Sequential(nn.LayerNorm(recipe.width), nn.Linear(recipe.width, aus))
        if recipe.pretrain_epochs:
            self.decoder = VideoDecoder(
                decoder_positions, values, recipe.width, recipe.decoder_depth, recipe.decoder_heads
            )
        self.register_buffer("au_weights", torch.ones(aus))
        self.register_buffer("knowledge_intra", -torch.ones(aus, aus))
        self.register_buffer("knowledge_inter", -torch.ones(aus, aus, au_pair_statistics.TRANSITIONS))
        cpu = torch.device("cpu")
        scores = torch.rand(
            self.segments, self.rows**2, device=cpu, generator=torch.Generator(cpu).manual_seed(MASKS_SEED)
        )
        self.register_buffer("masks", scores, persistent=False)
        configure_memory(self, recipe)
        video_weights.load_into(self, recipe.weights, task.channels)

    @classmethod
    def unsupported_reason(cls, task: Task, recipe: AnyRecipe) -> str | None:
        """Return an error message for a task without the recipe's input or rare AUs, or with one modality to fuse."""
        assert isinstance(recipe, AUvMAERecipe)
        if unknown := recipe.unknown_minority(task.aus):
            return f"its recipe's minority_aus names AU{unknown[0]}, which the task does not have"
        source = _input_of(recipe)
        if source == "early":
            return None if len(task.modalities) > 1 else "needs two or more modalities for input=early, got one"
        return None if source in task.modalities else f"needs {source} images"

    @classmethod
    def select_modalities(cls, task: Task, recipe: AnyRecipe) -> tuple[Modality, ...]:
        """Return the modality of the recipe's input, or all modalities for early fusion."""
        source = _input_of(recipe)
        return task.modalities if source == "early" else (Modality(source),)

    def stages(self) -> Sequence[Stage]:
        """Return the stages: pre-training, if it has epochs, and fine-tuning."""
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
        """Compute class weights and pair statistics from training labels (eqs. 2, 3, 6 and 7)."""
        self.au_weights.copy_(au_pair_statistics.class_weights(labels))
        targets = au_pair_statistics.pair_targets(labels)
        self.knowledge_intra.copy_(targets.intra)
        self.knowledge_inter.copy_(targets.inter)

    def extra_clip_spans(self, labels: Int[Tensor, "frames au"]) -> Sequence[tuple[int, int]]:
        """Return the clips of rare AUs."""
        if not self.recipe.minority_clips:
            return ()
        return rare_au_spans(labels, [self.task.aus.index(au) for au in self.recipe.minority(self.task.aus)])

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Crop and mirror the clips of rare AUs."""
        return crop_and_mirror(batch, self.recipe.minority_crop, generator)

    def optimizer(self, stage: Stage) -> torch.optim.Optimizer:
        """Create Adam for the encoder and either the decoder or the classifier."""
        recipe = self.recipe
        other = "decoder." if stage.pretraining else "head."
        trained = [(name, p) for name, p in self.named_parameters() if name.startswith(("encoder.", other))]
        if stage.pretraining:
            groups = parameter_groups(trained, recipe.pretrain_learning_rate, recipe.pretrain_weight_decay)
            return torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=True)
        groups = parameter_groups(trained, recipe.learning_rate, recipe.weight_decay, recipe.depth, recipe.layer_decay)
        return torch.optim.AdamW(groups, fused=True)

    def learning_rate_factor(self, stage: Stage, progress: Progress) -> float:
        """Return the factor of the learning rate: warm-up and half a cosine, or the recipe's schedule."""
        if stage.pretraining:
            return warmup_cosine(progress, self.recipe.pretrain_warmup_epochs, 0.0)
        if self.recipe.learning_rate_schedule == "cosine":
            return warmup_cosine(progress, self.recipe.warmup_epochs, 0.0)
        return super().learning_rate_factor(stage, progress)

    def loss(self, batch: Batch, stage: Stage, progress: Progress) -> dict[str, Tensor]:
        """Return eq. (1) in pre-training, or eq. (9) and its terms in fine-tuning."""
        recipe = self.recipe
        self.encoder.blocks.set_drop_path(0.0 if stage.pretraining else recipe.drop_path)
        cut = self.tubelets(batch.inputs)
        if stage.pretraining:
            return {"total": self.reconstruction_loss(cut)}
        visible = self.sample_masks(cut, recipe.patch_mask)[0] if recipe.level == "patch" else None
        logits = self.frame_logits(cut, visible)
        probs = logits.sigmoid()
        states = torch.where(batch.labels >= 0, probs, -1)
        c = au_pair_statistics.co_occurrence(states.flatten(0, 1))  # eq. (4)
        s = au_pair_statistics.transitions(states[:, :-1].flatten(0, 1), states[:, 1:].flatten(0, 1))  # eq. (7)
        weights = self.au_weights if recipe.class_weights else torch.ones_like(self.au_weights)
        cls = au_pair_statistics.weighted_bce(logits, batch.labels, weights)  # eq. (2)
        intra = au_pair_statistics.distance(self.knowledge_intra, c, recipe.norm)  # eq. (5)
        inter = au_pair_statistics.distance(self.knowledge_inter, s, recipe.norm)  # eq. (8)
        total = recipe.weight_cls * cls + recipe.weight_intra * intra + recipe.weight_inter * inter  # eq. (9)
        return {"total": total, "cls": cls, "intra": intra, "inter": inter}

    def forward(self, inputs: Inputs) -> Float[Tensor, "n t au"]:
        """Return AU probabilities of every frame."""
        cut = self.tubelets(inputs)
        if self.recipe.level != "patch":
            return self.frame_logits(cut).sigmoid()
        visible, _ = video.tube_masks(self.masks, self.recipe.patch_mask)
        return self.frame_logits(cut, visible.repeat(len(cut) // self.segments, 1)).sigmoid()

    def tubelets(self, inputs: Inputs) -> Float[Tensor, "segments steps cells values"]:
        """Return the encoder's input, the tubelets of each clip's segments in order."""
        stride = self.recipe.stride
        clips = torch.cat([inputs[m] for m in self.task.modalities], 2)[:, stride // 2 :: stride]
        segments = clips.reshape(-1, self.recipe.segment_frames, *clips.shape[2:])
        return video.tubelets(segments, self.recipe.tubelet, self.recipe.patch)

    def sample_masks(self, cut: Float[Tensor, "n steps cells values"], share: float) -> tuple[Tensor, Tensor]:
        """Sample a tube mask per segment and return the visible and the masked cells."""
        masks: tuple[Tensor, Tensor] = video.tube_masks(torch.rand(len(cut), self.rows**2, device=cut.device), share)
        return masks

    def reconstruction_loss(self, cut: Float[Tensor, "n steps cells values"]) -> Float[Tensor, ""]:
        """Return eq. (1), the mean squared error of masked patches."""
        visible, masked = self.sample_masks(cut, self.recipe.mask)
        predicted = self.decoder(self.encoder(cut, visible), visible, masked)
        target = video.normalize_tubelets(video.gather_cells(cut, masked), self.task.channels)
        return functional.mse_loss(predicted.float(), target)

    def frame_logits(
        self, cut: Float[Tensor, "segments steps cells values"], visible: Int[Tensor, "segments k"] | None = None
    ) -> Float[Tensor, "n t au"]:
        """Return the logits of AUs of every frame from the visible cells of its clip, all cells by default."""
        features = self.encoder(cut, visible).mean(2)
        features = features.reshape(-1, self.segments * features.shape[1], features.shape[2])
        logits: Tensor = self.head(video.interpolate_to_frames(features, self.recipe.clip_frames))
        return logits.float()

    def reconstruct(self, inputs: Inputs, mask: float) -> Reconstruction:
        """Return original, masked and restored clips, empty without pre-training.

        Restored tubelets get the mean and standard deviation of the original, which the decoder does not learn.

        Args:
            inputs: Clips.
            mask: Share of cells to mask.
        """
        if not self.recipe.pretrain_epochs:
            return Reconstruction({}, {}, {})
        cut = self.tubelets(inputs)
        visible, masked = self.sample_masks(cut, mask)
        mean, deviation = (video.gather_cells(x, masked) for x in video.statistics(cut, self.task.channels))
        predicted = self.decoder(self.encoder(cut, visible), visible, masked) * deviation + mean
        zeroed = self._frames(video.fill_masked(cut, masked, torch.zeros_like(predicted)))
        restored = self._frames(video.fill_masked(cut, masked, predicted))
        return Reconstruction(self._frames(cut), {m.value: x for m, x in zeroed.items()}, restored)

    def pair_statistics(
        self, states: Sequence[Float[Tensor, "frames au"]]
    ) -> tuple[Float[Tensor, "au au"], Float[Tensor, "au au 16"]]:
        """Return eqs. (3) or (4), and eq. (7), of labels or probabilities.

        Args:
            states: States of the consecutive frames of each sequence, -1 where unknown.
        """
        return au_pair_statistics.pair_targets(states)

    def _frames(self, cut: Float[Tensor, "segments steps cells values"]) -> dict[Modality, Tensor]:
        segments = video.untubelets(cut, self.recipe.tubelet, self.recipe.patch, self.rows)
        clips = segments.reshape(-1, self.segments * segments.shape[1], *segments.shape[2:])
        parts = torch.split(clips, [m.channels for m in self.task.modalities], 2)
        return dict(zip(self.task.modalities, parts, strict=True))


def _input_of(recipe: AnyRecipe) -> str:
    assert isinstance(recipe, AUvMAERecipe)
    return recipe.input
