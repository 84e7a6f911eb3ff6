"""MCM: a masked autoencoder of faces whose patches mix the channels of all modalities, then fine-tuned on AUs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import logsigmoid

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
from aubench.methods._modules import channel_mixing
from aubench.methods._modules import masked_autoencoder as mae
from aubench.methods._modules.cut_switch import replicate_channels
from aubench.methods._modules.mcm_recipe import Image, MCMRecipe
from aubench.methods._modules.missing_modality import is_present
from aubench.methods._modules.transformer import parameter_groups, patchify, unpatchify, warmup_cosine

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

PAPER = (
    "Zhang, Yang, Wang, Li and Yin: Multimodal Channel-Mixing: Channel and Spatial Masked AutoEncoder on Facial Action "
    "Unit Detection, WACV 2024"
)
PATTERNS_SEED = 20220925
"""Of the mixes that predictions are made with."""
PRETRAIN_BETAS, BETAS = (0.9, 0.95), (0.9, 0.99)
"""Of AdamW, by stage."""


def positive_weights(rates: Float[Tensor, " au"], how: str) -> Float[Tensor, " au"]:
    """Eq. (4): p_k as printed, which weights frequent AUs up; its inverse; or 1.

    Args:
        rates: Share of frames that show each AU; one that never occurs weighs 1 and sways no other's weight.
        how: As ``class_weights`` of :class:`MCMRecipe`.
    """
    if how == "none":
        return torch.ones_like(rates)
    occurs = rates > 0
    least = torch.where(occurs, rates, torch.inf).min()
    weights = rates / least if how == "as_printed" else rates.max() / rates  # eq. (4)
    return torch.where(occurs, weights, 1)


def weighted_bce(
    logits: Float[Tensor, "n au"], labels: Int[Tensor, "n au"], weights: Float[Tensor, " au"]
) -> Float[Tensor, ""]:
    """Eq. (5): cross-entropy with weighted positives, summed over AUs, averaged over frames; unknown labels add 0."""
    logits = logits.float()
    terms = torch.where(labels > 0, weights * logsigmoid(logits), logsigmoid(-logits))
    return -(terms * (labels >= 0)).sum() / len(labels)  # eq. (5)


class MCM(Method):
    """One vision transformer for one modality or all, pre-trained to tell every modality from a masked mix."""

    Recipe = MCMRecipe
    recipe: MCMRecipe
    card = MethodCard(
        title="MCM",
        paper=PAPER,
        fidelity=Fidelity.RESOLVED,
        deviations=(
            "Two modalities follow the paper's first version (four channels, one dropped in each patch), three its "
            "second (five channels, two dropped, three decoders), which pre-trains for 100 epochs; 30 is the default.",
            "Pre-training sees the training role's subjects alone; pretrain_scope=all sees everyone's frames, as a "
            "random split of all frames does in the paper.",
            "The encoder is 768 wide, which the paper's first weights demand; the 512 it prints is the decoders'.",
            "Blocks are pre-norm, as the first weights are; eqs. 1 and 2 print post-norm.",
            "The reconstruction is the squared error over masked patches, decoders added with weight 1; the paper does "
            "not say which patches count (loss_on=all), nor whether targets are normalised (norm_pix_loss).",
            "All channels meet the first weights with one mean and deviation, those of ImageNet's channels together, "
            "since mixing puts any channel anywhere; weights=imagenet is a supervised ViT whose learned positions give "
            "way to the sine-cosine ones.",
            "Pre-training keeps its last weights; the paper goes on with those of epoch 25 of 30.",
            "Fine-tuned weights are those of the epoch with the best F1 on validation subjects; the paper does not say "
            "which of its 5 it takes.",
            "A single modality is refused, as there is nothing to mix. The paper's rows of RGB or depth alone "
            "(inputs=visual or depth) are runs on both and count as V+D; its Table II, which goes on from BP4D's model "
            "with the visual images of DISFA, cannot be run.",
            "Learning rates are taken as printed, not scaled by the batch size.",
            "The classifier sees the mean of the patch tokens after the encoder's norm; the paper does not say "
            "(pool=cls).",
            "The reduction by ten when the second epoch starts multiplies the cosine from then on, down to the same "
            "least rate; learning_rate_cut=1 leaves it out.",
            "Eq. 4 as printed weights frequent AUs up, against its purpose; class_weights=inverse gives the rarer ones "
            "the larger weight, as_printed and none are the others. An AU that never occurs weighs 1 and is not among "
            "those that are compared.",
            "Predictions use one mix, drawn once for all frames (mixes=k averages k); the paper does not say.",
            "An image that is zero or black all over (a frame without a mesh, say) is missing. Its decoder's loss "
            "leaves the frame out, and predictions mix no channel of it as long as another can take its place; "
            "missing=mix mixes it, as the paper's reconstructions of DISFA do, and so does training.",
            "Plain early fusion, inputs=conv, has the 1x1 convolution to three channels in both stages if asked for; "
            "the paper says so for fine-tuning alone.",
        ),
    )

    patterns: Tensor
    rates: Tensor

    def __init__(self, task: Task, recipe: MCMRecipe) -> None:
        super().__init__(task, recipe)
        side = task.image_size // recipe.patch
        self.cells = side**2
        self.encoder = mae.ViT(
            task.image_size, recipe.patch, recipe.width, recipe.depth, recipe.heads, source=recipe.weights
        )
        self.decoders = nn.ModuleDict({m.value: self._decoder(m, side) for m in self._reconstructed()})
        self.classifier = nn.Linear(recipe.width, len(task.aus))
        self.fuse = nn.Conv2d(task.channels, 3, 1)
        self.fuse.requires_grad_("conv" in (recipe.inputs, recipe.pretrain_inputs if recipe.pretrain_epochs else None))
        generator = torch.Generator().manual_seed(PATTERNS_SEED)
        drawn = torch.rand(recipe.mixes, self.cells, task.channels, generator=generator, device="cpu")
        self.register_buffer("patterns", drawn.to(self.fuse.weight.device), persistent=False)
        self.register_buffer("rates", torch.full((len(task.aus),), 0.5))

    @classmethod
    def unsupported_reason(cls, task: Task, recipe: AnyRecipe) -> str | None:
        """Refuse a task without visual images, with nothing to mix them with, or without the chosen inputs."""
        assert isinstance(recipe, MCMRecipe)
        if Modality.VISUAL not in task.modalities:
            return "needs visual images: its three channels are what a mix begins from"
        if len(task.modalities) == 1:
            return "mixes the channels of two or three modalities, and there is one"
        for wanted in (recipe.inputs, recipe.pretrain_inputs):
            if wanted in tuple(Modality) and wanted not in task.modalities:
                return f"its recipe wants {wanted} images alone, and there are none"
        return None

    def stages(self) -> Sequence[Stage]:
        """Reconstruction, unless it has no epoch; then AUs."""
        recipe = self.recipe
        if not recipe.pretrain_epochs:
            return super().stages()
        first = Stage(
            "pretrain",
            recipe.pretrain_epochs,
            recipe.pretrain_batch_size,
            frames_per_epoch=recipe.pretrain_frames_per_epoch,
            pretraining=True,
            include_all_subjects=recipe.pretrain_scope == "all",
        )
        return (first, *super().stages())

    def on_train_labels(self, labels: Sequence[Int[Tensor, "frames au"]]) -> None:
        """Note how often each AU occurs."""
        every = torch.cat(list(labels))
        self.rates.copy_((every > 0).sum(0) / (every >= 0).sum(0).clamp(min=1))  # eq. (3), but for a common factor

    def optimizer(self, stage: Stage) -> torch.optim.Optimizer:
        """AdamW; in fine-tuning with learning rates that decay towards the input."""
        recipe, named = self.recipe, self._trained(stage)
        if stage.pretraining:
            groups = parameter_groups(named, recipe.pretrain_learning_rate, recipe.pretrain_weight_decay)
            return torch.optim.AdamW(groups, betas=PRETRAIN_BETAS)
        groups = parameter_groups(named, recipe.learning_rate, recipe.weight_decay, recipe.depth, recipe.layer_decay)
        return torch.optim.AdamW(groups, betas=BETAS)

    def learning_rate_factor(self, stage: Stage, progress: Progress) -> float:
        """Warm-up and a cosine; in fine-tuning cut from the second epoch on."""
        recipe = self.recipe
        if stage.pretraining:
            floor = recipe.final_learning_rate / recipe.pretrain_learning_rate
            return warmup_cosine(progress, recipe.pretrain_warmup_epochs, floor)
        if recipe.learning_rate_schedule != "paper":
            return super().learning_rate_factor(stage, progress)
        cut = recipe.learning_rate_cut if progress.epoch else 1.0
        return cut * warmup_cosine(
            progress, recipe.warmup_epochs, recipe.final_learning_rate / recipe.learning_rate / cut
        )

    def loss(self, batch: Batch, stage: Stage, progress: Progress) -> dict[str, Tensor]:
        """The reconstruction of each modality, or eq. (5)."""
        self.encoder.blocks.set_drop_path(0.0 if stage.pretraining else self.recipe.drop_path)
        if stage.pretraining:
            terms = self._reconstruction(batch.inputs)
            return {"total": torch.stack(list(terms.values())).sum(), **terms}
        logits = self._logits(self._image(batch.inputs, self.recipe.inputs))
        return {"total": weighted_bce(logits, batch.labels, positive_weights(self.rates, self.recipe.class_weights))}

    def forward(self, inputs: Inputs) -> Float[Tensor, "n au"]:
        """AU probabilities of images under fixed mixes, or of what the recipe looks at instead."""
        if self.recipe.inputs != "mixed":
            return self._logits(self._image(inputs, self.recipe.inputs)).sigmoid()
        fused, there = self._fused(inputs), self._present(inputs)
        skips = self.recipe.missing == "skip"
        votes = []
        for keys in self.patterns.unsqueeze(1):
            taken = (
                channel_mixing.sample_picks_of_present(keys, there)
                if skips
                else channel_mixing.sample_channel_picks(keys)
            )
            votes.append(self._logits(channel_mixing.mix_channels(fused, taken, self.recipe.patch)).sigmoid())
        return torch.stack(votes).mean(0)

    @torch.no_grad()
    def reconstruct(self, inputs: Inputs, mask: float) -> Reconstruction:
        """What pre-training sees of images, and what it makes of it.

        Where the loss was on masked patches alone, restored images have the original's other patches.

        Args:
            inputs: Images in [-1, 1].
            mask: Share of patches to mask.
        """
        wanted = self.recipe.pretrain_inputs
        image = self._image(inputs, wanted)
        kept = mae.kept_patches(len(image), self.cells, mask, image.device)
        masked = mae.masked_patches(kept, self.cells)[..., None]
        shown = self._pixels(patchify(image, self.recipe.patch).masked_fill(masked, 0))
        tokens = self.encoder(image, kept)
        restored = {}
        for name, decoder in self.decoders.items():
            original = patchify(inputs[Modality(name)], self.recipe.patch)
            told = decoder(tokens, kept)
            if self.recipe.norm_pix_loss:
                told = told * (original.var(-1, keepdim=True) + 1e-6).sqrt() + original.mean(-1, keepdim=True)
            whole = torch.where(masked, told, original) if self.recipe.loss_on == "masked" else told
            restored[Modality(name)] = self._pixels(whole)
        return Reconstruction(inputs, {wanted: shown}, restored)

    def _reconstruction(self, inputs: Inputs) -> dict[str, Tensor]:
        image = self._image(inputs, self.recipe.pretrain_inputs)
        kept = mae.kept_patches(len(image), self.cells, self.recipe.mask, image.device)
        judged = mae.masked_patches(kept, self.cells)
        if self.recipe.loss_on == "all":
            judged = torch.ones_like(judged)
        tokens = self.encoder(image, kept)
        terms = {}
        for name, decoder in self.decoders.items():
            wanted = inputs[Modality(name)]
            target = patchify(wanted, self.recipe.patch)
            target = mae.normalize_patches(target) if self.recipe.norm_pix_loss else target
            terms[name] = mae.mean_squared_error(decoder(tokens, kept), target, judged & is_present(wanted)[:, None])
        return terms

    def _image(self, inputs: Inputs, wanted: Image) -> Float[Tensor, "n 3 h w"]:
        """What the encoder looks at in training; mixes are drawn anew for each patch."""
        if wanted in inputs:
            return replicate_channels(inputs[Modality(wanted)])
        fused = self._fused(inputs)
        if wanted == "conv":
            image: Tensor = self.fuse(fused)
            return image
        keys = torch.rand(len(fused), self.cells, fused.shape[1], device=fused.device)
        return channel_mixing.mix_channels(fused, channel_mixing.sample_channel_picks(keys), self.recipe.patch)

    def _logits(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n au"]:
        tokens = self.encoder(image)
        logits: Tensor = self.classifier(tokens[:, 0] if self.recipe.pool == "cls" else tokens[:, 1:].mean(1))
        return logits.float()

    def _fused(self, inputs: Inputs) -> Float[Tensor, "n c h w"]:
        return torch.cat([inputs[m] for m in self.task.modalities], 1)

    def _present(self, inputs: Inputs) -> Bool[Tensor, "n c"]:
        return torch.cat([is_present(inputs[m])[:, None].expand(-1, m.channels) for m in self.task.modalities], 1)

    def _pixels(self, patches: Float[Tensor, "n cells values"]) -> Float[Tensor, "n c h w"]:
        return unpatchify(patches, self.recipe.patch, self.task.image_size // self.recipe.patch)

    def _trained(self, stage: Stage) -> Iterator[tuple[str, nn.Parameter]]:
        wanted = self.recipe.pretrain_inputs if stage.pretraining else self.recipe.inputs
        heads = [self.decoders if stage.pretraining else self.classifier, *([self.fuse] if wanted == "conv" else [])]
        return chain(self.encoder.named_parameters(), *(head.named_parameters("head") for head in heads))

    def _reconstructed(self) -> tuple[Modality, ...]:
        if not self.recipe.pretrain_epochs:
            return ()
        return tuple(m for m in self.task.modalities if self.recipe.pretrain_inputs in (m, "mixed", "conv"))

    def _decoder(self, modality: Modality, side: int) -> mae.Decoder:
        recipe = self.recipe
        depth = recipe.decoder_depth if modality is Modality.VISUAL else recipe.other_decoder_depth
        values = recipe.patch**2 * modality.channels
        return mae.Decoder(side, recipe.width, recipe.decoder_width, depth, recipe.decoder_heads, values)
