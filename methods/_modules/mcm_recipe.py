"""What can be chosen of MCM."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from aubench import Categorical, LogUniform, PretrainingSource, Recipe, Uniform
from aubench.methods._modules.masked_autoencoder import REPOSITORIES

Image = Literal["mixed", "conv", "visual", "depth", "thermal"]
"""What the encoder looks at: channel-mixing, a 1x1 convolution of all channels to three, or one modality."""


class MCMRecipe(Recipe):
    """MCM's own hyper-parameters.

    Its Table IV: ``pretrain_inputs`` and ``inputs`` say where channels are mixed; ``pretrain_epochs=0`` leaves
    pre-training to the first weights.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {
            **{"weights": "none", "patch": 14, "width": 96, "depth": 4, "heads": 4, "image_size": 56},
            **{"decoder_width": 64, "decoder_heads": 4, "decoder_depth": 2, "other_decoder_depth": 1},
            **{"pretrain_epochs": 8, "pretrain_warmup_epochs": 0.5, "pretrain_batch_size": 32},
            **{"pretrain_learning_rate": 1e-3, "pretrain_frames_per_epoch": 3000},
            **{"epochs": 8, "frames_per_epoch": 5000, "learning_rate": 2e-3, "learning_rate_schedule": "paper"},
            **{"learning_rate_cut": 1.0, "layer_decay": 1.0},
        }
    }
    finetune_only: ClassVar[frozenset[str]] = frozenset(
        {
            *("inputs", "pool", "drop_path", "layer_decay", "warmup_epochs", "learning_rate_cut", "class_weights"),
            *("mixes", "missing"),
        }
    )

    weights: str = Field("mae", description="First weights: 'mae', 'imagenet', 'none' or a .safetensors file.")
    patch: int = Field(16, ge=1, description="Side of a patch in pixels; divides crop.")
    width: int = Field(768, ge=4, multiple_of=4, description="Of the encoder's tokens.")
    depth: int = Field(12, ge=1, description="Blocks of the encoder.")
    heads: int = Field(12, ge=1, description="Of the encoder's attention; divides width.")
    decoder_width: int = Field(512, ge=4, multiple_of=4)
    decoder_heads: int = Field(16, ge=1)
    decoder_depth: int = Field(8, ge=1, description="Blocks of the decoder of visual images.")
    other_decoder_depth: int = Field(4, ge=1, description="Blocks of each other decoder.")

    pretrain_inputs: Image = Field("mixed", description="What the encoder sees in pre-training.")
    pretrain_scope: Literal["train", "all"] = Field("train", description="Whose frames; 'all' includes test subjects.")
    pretrain_epochs: int = Field(30, ge=0, description="0 leaves pre-training out.")
    pretrain_batch_size: int = Field(64, ge=1)
    pretrain_frames_per_epoch: int | None = Field(None, ge=1)
    pretrain_learning_rate: float = Field(2e-4, gt=0)
    pretrain_weight_decay: float = Field(0.05, ge=0)
    pretrain_warmup_epochs: float = Field(5, ge=0)
    mask: float = Field(0.5, gt=0, lt=1, description="Share of patches that the encoder does not see.")
    loss_on: Literal["masked", "all"] = Field("masked", description="Which patches the reconstruction is judged by.")
    norm_pix_loss: bool = Field(False, description="Targets have mean 0 and variance 1 in each patch.")

    inputs: Image = Field("mixed", description="What the encoder sees in fine-tuning and prediction.")
    pool: Literal["mean", "cls"] = Field("mean", description="The classifier's input: mean of patches, or class token.")
    epochs: int = Field(5, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: Annotated[float, LogUniform(1e-5, 1e-2)] = Field(4e-4, gt=0)
    learning_rate_schedule: Literal["paper", "constant", "triangular"] = Field(  # type: ignore[assignment]
        "paper", description="Of fine-tuning; 'paper' warms up, falls along a cosine, and is cut once."
    )
    learning_rate_cut: Annotated[float, LogUniform(0.05, 1)] = Field(
        0.1, gt=0, le=1, description="Factor from the second epoch on; 1 cuts nothing."
    )
    final_learning_rate: float = Field(1e-6, ge=0, description="Where the cosine of either stage ends.")
    weight_decay: Annotated[float, LogUniform(1e-3, 0.3)] = Field(0.05, ge=0)
    warmup_epochs: float = Field(1, ge=0)
    drop_path: Annotated[float, Uniform(0, 0.3)] = Field(
        0.1, ge=0, lt=1, description="Of the last block in fine-tuning; less before it."
    )
    layer_decay: Annotated[float, Uniform(0.6, 1)] = Field(
        0.75, gt=0, le=1, description="From each layer's learning rate to the one before it."
    )
    class_weights: Annotated[Literal["inverse", "as_printed", "none"], Categorical("inverse", "none")] = Field(
        "inverse", description="p_k of eq. 4."
    )
    mixes: int = Field(1, ge=1, description="Mixes of a frame whose predictions are averaged.")
    missing: Literal["skip", "mix"] = Field("skip", description="Whether predictions mix in missing channels' zeros.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.crop % self.patch:
            raise ValueError(f"crop {self.crop} is no multiple of patch {self.patch}")
        for width, heads in ((self.width, self.heads), (self.decoder_width, self.decoder_heads)):
            if width % heads:
                raise ValueError(f"{heads} heads do not divide a width of {width}")
        return self

    def pretraining_sources(self) -> tuple[PretrainingSource, ...]:
        """ImageNet, or nobody knows what, unless the weights are random."""
        if self.weights == "none":
            return ()
        if self.weights in REPOSITORIES:
            return (PretrainingSource(REPOSITORIES[self.weights], ("ImageNet-1k",)),)
        return (PretrainingSource(Path(self.weights).name, ("unknown",)),)
