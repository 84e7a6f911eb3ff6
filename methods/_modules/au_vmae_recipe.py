# Installed as aubench.methods._modules.au_vmae_recipe.
"""Hyper-parameters of AU-vMAE."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from aubench import LogUniform, Uniform
from aubench.methods._modules.au_pair_statistics import PairStatisticsRecipe
from aubench.methods._modules.pretraining_checks import check_mask, check_warmups
from aubench.methods._modules.rare_au_clips import RareAUClipsRecipe
from aubench.methods._modules.video import count_masked
from aubench.methods._modules.video_autoencoder import VideoAutoencoderRecipe


class AUvMAERecipe(VideoAutoencoderRecipe, PairStatisticsRecipe, RareAUClipsRecipe):
    """Hyper-parameters of AU-vMAE.

    For the paper's Table 3, ``level`` selects the column, and ``weight_intra=0`` and ``weight_inter=0`` select the row.
    For its Table 4, ``minority_clips=false`` is the row of raw data.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {
            **{"image_size": 64, "crop": 64, "clip_frames": 8, "segment": 8, "patch": 16, "positions": "grid"},
            **{"width": 96, "depth": 4, "heads": 4, "decoder_width": 64, "decoder_depth": 1, "decoder_heads": 2},
            **{"pretrain_epochs": 8, "pretrain_batch_size": 8, "pretrain_frames_per_epoch": 4800},
            **{"pretrain_learning_rate": 3e-3, "pretrain_warmup_epochs": 1},
            **{"epochs": 20, "frames_per_epoch": 5600, "batch_size": 4, "learning_rate": 3e-3},
            **{
                "learning_rate_schedule": "cosine",
                "warmup_epochs": 1.5,
                "layer_decay": 1.0,
                "drop_path": 0.0,
                "minority_crop": 1.0,
            },
        },
        "small": {"mask": 0.75, "batch_size": 2, "learning_rate": 1.5e-3, "validation_stride": 1},
    }

    finetune_only: ClassVar[frozenset[str]] = frozenset({"warmup_epochs", "layer_decay", "drop_path", "patch_mask"})

    input: Literal["visual", "depth", "thermal", "early"] = Field(
        "visual", description="Input modality. 'early' concatenates the channels of all modalities."
    )
    level: Literal["video", "frame", "patch"] = Field(
        "video",
        description="Input frames: all (video), every fourth (frame), or all with half of the patches masked (patch).",
    )
    frame_stride: int = Field(4, ge=1, description="Stride of the frame level's input frames.")
    patch_mask: float = Field(0.5, ge=0, lt=1, description="Share of patches masked at the patch level.")

    image_size: int = Field(224, ge=16, description="Images are resized to this.")
    flip: bool = Field(False, description="Mirror half of all training clips, not only those of rare AUs.")
    epochs: int = Field(20, ge=1, description="Maximum number of epochs of fine-tuning.")
    patience: int = Field(20, ge=1, description="Epochs without a better validation F1 before training stops.")
    batch_size: int = Field(8, ge=1, description="Clips per step.")
    learning_rate: Annotated[float, LogUniform(1e-5, 1e-2)] = Field(2.5e-4, gt=0)
    learning_rate_schedule: Literal["constant", "triangular", "cosine"] = Field(  # type: ignore[assignment]
        "cosine", description="'cosine' rises during the warm-up and falls along half a cosine to 0."
    )
    warmup_epochs: float = Field(5, ge=0)
    layer_decay: Annotated[float, Uniform(0.6, 1)] = Field(
        0.75, gt=0, le=1, description="Factor of the learning rate from each block to the preceding one."
    )
    drop_path: Annotated[float, Uniform(0, 0.3)] = Field(
        0.1, ge=0, lt=1, description="Probability that the last block's branches are skipped."
    )

    @property
    def stride(self) -> int:
        """Stride of the input frames of a clip."""
        return self.frame_stride if self.level == "frame" else 1

    @property
    def segment_frames(self) -> int:
        """Frames per input of the encoder: a segment, or all input frames if these are fewer."""
        return min(self.segment, self.clip_frames // self.stride)

    @model_validator(mode="after")
    def _pieces_fit(self) -> Self:
        if self.clip_frames < self.stride:
            raise ValueError(f"clip_frames {self.clip_frames} is smaller than frame_stride {self.stride}")
        multiples = {
            "clip_frames": (self.clip_frames, self.stride * self.segment_frames),
            "segment": (self.segment_frames, self.tubelet),
            "crop": (self.crop, self.patch),
            "width": (self.width, math.lcm(8, self.heads)),
            "decoder_width": (self.decoder_width, math.lcm(8, self.decoder_heads)),
        }
        for name, (value, factor) in multiples.items():
            if value % factor:
                raise ValueError(f"{name} must be a multiple of {factor} here, got {value}")
        check_warmups(self, uses_warmup=self.learning_rate_schedule == "cosine")
        check_mask(self, count_masked)
        return self

    def pretraining_config(self) -> dict[str, Any]:
        """Return the fields that determine pre-trained weights. Patch and video level share them."""
        return {**super().pretraining_config(), "level": "frame" if self.level == "frame" else "video"}
