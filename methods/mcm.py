# Installed as aubench.methods.mcm.
"""MCM: a masked autoencoder of patches with mixed channels of all modalities, fine-tuned on AUs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
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
    MethodCard,
    Modality,
    Progress,
    Reconstruction,
    Stage,
    Task,
)
from aubench.methods._modules import channel_mixing
from aubench.methods._modules import masked_autoencoder as mae
from aubench.methods._modules.activation_memory import configure_memory
from aubench.methods._modules.cut_switch import replicate_channels
from aubench.methods._modules.mcm_recipe import Image, MCMRecipe
from aubench.methods._modules.method_bases import ConstantLoss
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
"""Seed of the channel mixes used for predictions."""
PRETRAIN_BETAS, BETAS = (0.9, 0.95), (0.9, 0.99)
"""Betas of AdamW in pre-training and in fine-tuning."""


def positive_weights(rates: Float[Tensor, " au"], kind: str) -> Float[Tensor, " au"]:
    """Return p_k of eq. (4) as printed, which weights frequent AUs up, its inverse, or 1.

    Args:
        rates: Share of frames with each AU. An AU that never occurs has weight 1 and no effect on other weights.
        kind: ``class_weights`` of :class:`MCMRecipe`.
    """
    if kind == "none":
        return torch.ones_like(rates)
    occurs = rates > 0
    minimum = torch.where(occurs, rates, torch.inf).min()
    weights = rates / minimum if kind == "as_printed" else rates.max() / rates  # eq. (4)
    return torch.where(occurs, weights, 1)


def weighted_bce(
    logits: Float[Tensor, "n au"], labels: Int[Tensor, "n au"], weights: Float[Tensor, " au"]
) -> Float[Tensor, ""]:
    """Return eq. (5): cross-entropy with weighted positives, summed over known AUs and averaged over frames."""
    logits = logits.float()
    terms = torch.where(labels > 0, weights * logsigmoid(logits), logsigmoid(-logits))
    return -(terms * (labels >= 0)).sum() / len(labels)  # eq. (5)


class MCM(ConstantLoss):
    """Vision transformer on mixed channels, pre-trained to reconstruct every modality from masked patches."""

    Recipe = MCMRecipe
    recipe: MCMRecipe
    card = MethodCard(
        title="MCM",
        paper=PAPER,
        fidelity=Fidelity.RESOLVED,
        deviations=(
            "Two modalities follow the paper's first version (four channels, one dropped in each patch). Three follow "
            "its second version (five channels, two dropped, three decoders). Its 100 epochs of pre-training are the "
            "preset paper_v2, which fine-tunes as the first version does. It pre-trains and fine-tunes on one data "
            "set. The paper's second version pre-trains on BP4D+ for BP4D and DISFA too (--pretrain-on).",
            "Pre-training uses only subjects of the training role. pretrain_scope=all uses the frames of all subjects, "
            "as the paper's random split of all frames does.",
            "The encoder is 768 wide, as the paper's initial weights require. The printed 512 is the decoders' width.",
            "Blocks are pre-norm, as in the initial weights. Eqs. 1 and 2 print post-norm.",
            "The reconstruction loss is the squared error over masked patches, summed over decoders with weight 1. The "
            "paper specifies neither the patches (loss_on=all) nor a normalisation of targets (norm_pix_loss).",
            "All channels are normalised with one mean and standard deviation, averaged over ImageNet's channels, "
            "since mixing changes the order of channels. weights=imagenet is a supervised ViT with its learned "
            "positions replaced by sine-cosine positions.",
            "The tenth of the frames that pre-training leaves out (pretrain_validation) selects nothing. The paper "
            "does not state its use.",
            "Frames are randomly cropped and mirrored in both stages, as for other methods of images here. The paper "
            "names no augmentation. The presets tiny and small do not crop, as the short training of tiny does not "
            "learn from 4 x 4 patches that shift, and small was better without it.",
            "A single depth or thermal image (inputs=depth) is replicated to three channels.",
            "Fine-tuned weights come from the epoch with the best F1 on validation subjects. The paper does not state "
            "which of its 5 epochs it uses.",
            "Without other modalities, the mix is a permutation of the three visual channels in each patch. The "
            "paper's rows of RGB or depth (inputs=visual or depth) are runs on both and count as V+D. Its Table II, "
            "which fine-tunes BP4D's model on RGB images of DISFA, is the protocol disfa_3fold_from_bp4d with "
            "inputs=visual.",
            "Learning rates are used as printed, without scaling by the batch size.",
            "The classifier takes the mean of the patch tokens, normalised by a new layer, as in fine-tuned masked "
            "autoencoders. The paper does not specify its input (pool=mean, pool=cls).",
            "The reduction by ten at the second epoch multiplies the cosine from then on, down to the same minimum "
            "rate. learning_rate_cut=1 disables it.",
            "Eq. 4 as printed weights frequent AUs up, contrary to its purpose. class_weights=inverse gives rarer AUs "
            "larger weights. The alternatives are as_printed and none. An AU that never occurs has weight 1 and is "
            "excluded from the comparison.",
            "Eq. 3 is computed from the share of an AU's known labels that are positive. Without unknown labels, this "
            "differs from the printed rate by a factor that all AUs share and eq. 4 cancels.",
            "Predictions use one mix, sampled once for all frames (mixes=k averages k). The paper does not specify it.",
            "An image with all pixels zero or black, such as a frame without a mesh, is missing. Its decoder's loss "
            "excludes the frame, and predictions use its channels only if no other channel is available. missing=mix "
            "mixes them, as the paper's reconstructions of DISFA and training do.",
            "Early fusion, inputs=conv, can use the 1x1 convolution to three channels in both stages. The paper "
            "describes it for fine-tuning only. Layer decay does not apply to the convolution, which is new.",
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
        norm = nn.LayerNorm(recipe.width, eps=1e-6) if recipe.pool == "fc_norm" else nn.Identity()
        self.encoder.norm.requires_grad_(bool(recipe.pretrain_epochs) or recipe.pool != "fc_norm")
        self.classifier = nn.Sequential(norm, nn.Linear(recipe.width, len(task.aus)))
        self.fuse = nn.Conv2d(task.channels, 3, 1)
        self.fuse.requires_grad_("conv" in (recipe.inputs, recipe.pretrain_inputs if recipe.pretrain_epochs else None))
        generator = torch.Generator().manual_seed(PATTERNS_SEED)
        keys = torch.rand(recipe.mixes, self.cells, task.channels, generator=generator, device="cpu")
        self.register_buffer("patterns", keys.to(self.fuse.weight.device), persistent=False)
        self.register_buffer("rates", torch.full((len(task.aus),), 0.5))
        configure_memory(self, recipe)

    @classmethod
    def unsupported_reason(cls, task: Task, recipe: AnyRecipe) -> str | None:
        """Return an error message for a task without visual images or the recipe's inputs."""
        assert isinstance(recipe, MCMRecipe)
        if Modality.VISUAL not in task.modalities:
            return "needs visual images"
        for source in (recipe.inputs, *([recipe.pretrain_inputs] if recipe.pretrain_epochs else [])):
            if source in tuple(Modality) and source not in task.modalities:
                return f"its recipe needs {source} images"
        return None

    def stages(self) -> Sequence[Stage]:
        """Return the stages: pre-training, if it has epochs, and fine-tuning."""
        recipe = self.recipe
        if not recipe.pretrain_epochs:
            return super().stages()
        first = Stage(
            "pretrain",
            min(recipe.pretrain_epochs, recipe.pretrain_checkpoint or recipe.pretrain_epochs),
            recipe.pretrain_batch_size,
            frames_per_epoch=recipe.pretrain_frames_per_epoch,
            pretraining=True,
            include_all_subjects=recipe.pretrain_scope == "all",
            held_out=recipe.pretrain_validation,
        )
        return (first, *super().stages())

    def on_train_labels(self, labels: Sequence[Int[Tensor, "frames au"]]) -> None:
        """Compute the rate of each AU in the training labels."""
        stacked = torch.cat(list(labels))
        self.rates.copy_((stacked > 0).sum(0) / (stacked >= 0).sum(0).clamp(min=1))  # eq. (3), see the card

    def optimizer(self, stage: Stage) -> torch.optim.Optimizer:
        """Create AdamW, in fine-tuning with learning rates that decay towards the encoder's input."""
        recipe, named = self.recipe, self._trained_parameters(stage)
        if stage.pretraining:
            groups = parameter_groups(named, recipe.pretrain_learning_rate, recipe.pretrain_weight_decay)
            return torch.optim.AdamW(groups, betas=PRETRAIN_BETAS, fused=True)
        groups = parameter_groups(named, recipe.learning_rate, recipe.weight_decay, recipe.depth, recipe.layer_decay)
        return torch.optim.AdamW(groups, betas=BETAS, fused=True)

    def learning_rate_factor(self, stage: Stage, progress: Progress) -> float:
        """Return the factor of warm-up and cosine, in fine-tuning cut from the second epoch on."""
        recipe = self.recipe
        if stage.pretraining:
            floor = recipe.final_learning_rate / recipe.pretrain_learning_rate
            return warmup_cosine(replace(progress, epochs=recipe.pretrain_epochs), recipe.pretrain_warmup_epochs, floor)
        if recipe.learning_rate_schedule != "paper":
            return super().learning_rate_factor(stage, progress)
        cut = recipe.learning_rate_cut if progress.epoch else 1.0
        return cut * warmup_cosine(
            progress, recipe.warmup_epochs, recipe.final_learning_rate / recipe.learning_rate / cut
        )

    def loss(self, batch: Batch, stage: Stage, progress: Progress) -> dict[str, Tensor]:
        """Return the reconstruction loss of each modality, or eq. (5)."""
        self.encoder.blocks.set_drop_path(0.0 if stage.pretraining else self.recipe.drop_path)
        if stage.pretraining:
            terms = self._reconstruction_losses(batch.inputs)
            return {"total": torch.stack(list(terms.values())).sum(), **terms}
        logits = self._logits(self._image(batch.inputs, self.recipe.inputs))
        return {"total": weighted_bce(logits, batch.labels, positive_weights(self.rates, self.recipe.class_weights))}

    def forward(self, inputs: Inputs) -> Float[Tensor, "n au"]:
        """Return AU probabilities of images under fixed mixes, or of the recipe's other inputs."""
        if self.recipe.inputs != "mixed":
            return self._logits(self._image(inputs, self.recipe.inputs)).sigmoid()
        fused, present = self._fused(inputs), self._present(inputs)
        probs = []
        for keys in self.patterns.unsqueeze(1):
            picks = (
                channel_mixing.sample_picks_of_present(keys, present)
                if self.recipe.missing == "skip"
                else channel_mixing.sample_channel_picks(keys)
            )
            probs.append(self._logits(channel_mixing.mix_channels(fused, picks, self.recipe.patch)).sigmoid())
        return torch.stack(probs).mean(0)

    @torch.no_grad()
    def reconstruct(self, inputs: Inputs, mask: float) -> Reconstruction:
        """Return original, masked and restored images.

        If the loss is on masked patches only, restored images have the original's visible patches.

        Args:
            inputs: Images in [-1, 1].
            mask: Share of patches to mask.
        """
        source = self.recipe.pretrain_inputs
        image = self._image(inputs, source)
        visible = mae.sample_visible_patches(len(image), self.cells, mask, image.device)
        masked = mae.masked_patches(visible, self.cells)[..., None]
        masked_image = self._pixels(patchify(image, self.recipe.patch).masked_fill(masked, 0))
        tokens = self.encoder(image, visible)
        restored = {}
        for name, decoder in self.decoders.items():
            original = patchify(inputs[Modality(name)], self.recipe.patch)
            patches = decoder(tokens, visible)
            if self.recipe.norm_pix_loss:
                patches = patches * (original.var(-1, keepdim=True) + 1e-6).sqrt() + original.mean(-1, keepdim=True)
            if self.recipe.loss_on == "masked":
                patches = torch.where(masked, patches, original)
            restored[Modality(name)] = self._pixels(patches)
        return Reconstruction(inputs, {source: masked_image}, restored)

    def _reconstruction_losses(self, inputs: Inputs) -> dict[str, Tensor]:
        image = self._image(inputs, self.recipe.pretrain_inputs)
        visible = mae.sample_visible_patches(len(image), self.cells, self.recipe.mask, image.device)
        scored = mae.masked_patches(visible, self.cells)
        if self.recipe.loss_on == "all":
            scored = torch.ones_like(scored)
        tokens = self.encoder(image, visible)
        terms = {}
        for name, decoder in self.decoders.items():
            images = inputs[Modality(name)]
            target = patchify(images, self.recipe.patch)
            target = mae.normalize_patches(target) if self.recipe.norm_pix_loss else target
            terms[name] = mae.mean_squared_error(decoder(tokens, visible), target, scored & is_present(images)[:, None])
        return terms

    def _image(self, inputs: Inputs, source: Image) -> Float[Tensor, "n 3 h w"]:
        """Return the encoder's input in training. Each patch has a new random mix."""
        if source in inputs:
            return replicate_channels(inputs[Modality(source)])
        fused = self._fused(inputs)
        if source == "conv":
            image: Tensor = self.fuse(fused)
            return image
        keys = torch.rand(len(fused), self.cells, fused.shape[1], device=fused.device)
        return channel_mixing.mix_channels(fused, channel_mixing.sample_channel_picks(keys), self.recipe.patch)

    def _logits(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n au"]:
        tokens = self.encoder(image, norm=self.recipe.pool != "fc_norm")
        pooled = tokens[:, 0] if self.recipe.pool == "cls" else tokens[:, 1:].mean(1)
        logits: Tensor = self.classifier(pooled)
        return logits.float()

    def _fused(self, inputs: Inputs) -> Float[Tensor, "n c h w"]:
        return torch.cat([inputs[m] for m in self.task.modalities], 1)

    def _present(self, inputs: Inputs) -> Bool[Tensor, "n c"]:
        return torch.cat([is_present(inputs[m])[:, None].expand(-1, m.channels) for m in self.task.modalities], 1)

    def _pixels(self, patches: Float[Tensor, "n cells values"]) -> Float[Tensor, "n c h w"]:
        return unpatchify(patches, self.recipe.patch, self.task.image_size // self.recipe.patch)

    def _trained_parameters(self, stage: Stage) -> Iterator[tuple[str, nn.Parameter]]:
        source = self.recipe.pretrain_inputs if stage.pretraining else self.recipe.inputs
        heads = [self.decoders if stage.pretraining else self.classifier, *([self.fuse] if source == "conv" else [])]
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
