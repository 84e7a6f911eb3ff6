# Installed as aubench.methods._modules.mcm_recipe.
"""Hyper-parameters of MCM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from aubench import Categorical, LogUniform, PretrainingSource, Uniform
from aubench.methods._modules import pretrained_weights
from aubench.methods._modules.activation_memory import ActivationMemoryRecipe
from aubench.methods._modules.masked_autoencoder import REPOSITORIES, count_masked
from aubench.methods._modules.pretraining_checks import check_mask, check_warmups

Image = Literal["mixed", "conv", "visual", "depth", "thermal"]
"""Encoder input: channel-mixing, a 1x1 convolution of all channels to three, or one modality."""


class MCMRecipe(ActivationMemoryRecipe):
    """Hyper-parameters of MCM.

    For the paper's Table IV, ``pretrain_inputs`` and ``inputs`` select the stages with channel-mixing, and
    ``pretrain_epochs=0`` skips pre-training. The preset ``paper_v2`` is the paper's second version, whose five channels
    are those of a protocol with three modalities.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {
            **{"weights": "none", "patch": 14, "width": 96, "depth": 4, "heads": 4, "image_size": 56},
            **{"decoder_width": 64, "decoder_heads": 4, "decoder_depth": 2, "other_decoder_depth": 1},
            **{"pretrain_epochs": 8, "pretrain_checkpoint": 8, "pretrain_warmup_epochs": 0.5},
            **{"pretrain_batch_size": 32, "pretrain_learning_rate": 1e-3, "pretrain_frames_per_epoch": 3000},
            **{"epochs": 8, "frames_per_epoch": 5000, "learning_rate": 2e-3, "learning_rate_schedule": "paper"},
            **{"learning_rate_cut": 1.0, "layer_decay": 1.0},
        },
        "small": {"learning_rate": 1e-3},
        "paper_v2": {"pretrain_epochs": 100, "pretrain_checkpoint": 100},
    }
    finetune_only: ClassVar[frozenset[str]] = frozenset(
        {
            *("inputs", "drop_path", "layer_decay", "warmup_epochs", "learning_rate_cut", "class_weights"),
            *("mixes", "missing"),
        }
    )

    weights: str = Field("mae", description="Initial weights: 'mae', 'imagenet', 'none' or a .safetensors file.")
    patch: int = Field(16, ge=1, description="Side of a patch in pixels, a divisor of crop.")
    width: int = Field(768, ge=4, multiple_of=4, description="Width of the encoder's tokens.")
    depth: int = Field(12, ge=1, description="Number of the encoder's blocks.")
    heads: int = Field(12, ge=1, description="Number of the encoder's attention heads, a divisor of width.")
    decoder_width: int = Field(512, ge=4, multiple_of=4)
    decoder_heads: int = Field(16, ge=1)
    decoder_depth: int = Field(8, ge=1, description="Number of blocks of the decoder of visual images.")
    other_decoder_depth: int = Field(4, ge=1, description="Number of blocks of each other decoder.")

    pretrain_inputs: Image = Field("mixed", description="Encoder input in pre-training.")
    pretrain_scope: Literal["train", "all"] = Field(
        "train", description="Subjects used for pre-training. 'all' includes test subjects."
    )
    pretrain_epochs: int = Field(30, ge=0, description="Epochs of pre-training (0 disables it).")
    pretrain_checkpoint: int | None = Field(
        25,
        ge=1,
        description="Epoch of pre-training whose weights are fine-tuned, at most the last, which is the default.",
    )
    pretrain_validation: float = Field(0.1, ge=0, lt=1, description="Share of frames held out of pre-training.")
    pretrain_batch_size: int = Field(64, ge=1)
    pretrain_frames_per_epoch: int | None = Field(None, ge=1)
    pretrain_learning_rate: float = Field(2e-4, gt=0)
    pretrain_weight_decay: float = Field(0.05, ge=0)
    pretrain_warmup_epochs: float = Field(5, ge=0)
    mask: float = Field(0.5, gt=0, lt=1, description="Share of masked patches.")
    loss_on: Literal["masked", "all"] = Field("masked", description="Patches in the reconstruction loss.")
    norm_pix_loss: bool = Field(False, description="Normalise targets to mean 0 and variance 1 in each patch.")

    inputs: Image = Field("mixed", description="Encoder input in fine-tuning and prediction.")
    pool: Literal["fc_norm", "mean", "cls"] = Field(
        "fc_norm",
        description="Classifier input: mean of patch tokens before a new norm, or after the encoder's, or class token.",
    )
    epochs: int = Field(5, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: Annotated[float, LogUniform(1e-5, 1e-2)] = Field(4e-4, gt=0)
    learning_rate_schedule: Literal["paper", "constant", "triangular"] = Field(  # type: ignore[assignment]
        "paper", description="Schedule of fine-tuning. 'paper' is warm-up, a cosine and one cut."
    )
    learning_rate_cut: Annotated[float, LogUniform(0.05, 1)] = Field(
        0.1, gt=0, le=1, description="Factor from the second epoch on (1 disables it), with the schedule 'paper'."
    )
    final_learning_rate: float = Field(1e-6, ge=0, description="Final learning rate of the cosine in both stages.")
    weight_decay: Annotated[float, LogUniform(1e-3, 0.3)] = Field(0.05, ge=0)
    warmup_epochs: float = Field(1, ge=0)
    drop_path: Annotated[float, Uniform(0, 0.3)] = Field(
        0.1, ge=0, lt=1, description="Drop rate of the last block in fine-tuning. Earlier blocks have lower rates."
    )
    layer_decay: Annotated[float, Uniform(0.6, 1)] = Field(
        0.75, gt=0, le=1, description="Factor of the learning rate from each layer to the preceding one."
    )
    class_weights: Annotated[Literal["inverse", "as_printed", "none"], Categorical("inverse", "none")] = Field(
        "inverse", description="Weights p_k of eq. 4."
    )
    mixes: int = Field(1, ge=1, description="Number of mixes per frame in the averaged prediction.")
    missing: Literal["skip", "mix"] = Field(
        "skip", description="Skip missing channels in predictions, or mix their zeros."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.crop % self.patch:
            raise ValueError(f"crop {self.crop} is not a multiple of patch {self.patch}")
        for width, heads in ((self.width, self.heads), (self.decoder_width, self.decoder_heads)):
            if width % heads:
                raise ValueError(f"width {width} is not a multiple of {heads} heads")
        check_warmups(self, uses_warmup=self.learning_rate_schedule == "paper")
        decaying = {
            "learning_rate": self.learning_rate_schedule == "paper",
            "pretrain_learning_rate": self.pretrain_epochs,
        }
        for name, decays in decaying.items():
            if decays and getattr(self, name) < self.final_learning_rate:
                raise ValueError(f"{name} is below final_learning_rate, which is {self.final_learning_rate:g}")
        check_mask(self, count_masked)
        return self

    def pretraining_sources(self) -> tuple[PretrainingSource, ...]:
        """Return the sources of the initial weights, none for random weights."""
        return pretrained_weights.sources(self.weights, {k: (v, "ImageNet-1k") for k, v in REPOSITORIES.items()})
