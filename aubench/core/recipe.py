"""Hyper-parameters: typed, closed, with named presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from aubench.core.errors import RecipeError, suggest
from aubench.core.search_space import LogUniform, Range


@dataclass(frozen=True)
class PretrainingSource:
    """What first weights had seen before a method's own training began.

    Attributes:
        source: Where the weights come from.
        datasets: The datasets they were trained on, ``unknown`` where nobody says.
    """

    source: str
    datasets: tuple[str, ...]


class Recipe(BaseModel):
    """Hyper-parameters that every method has; methods add their own in a subclass.

    Defaults are the papers'. ``presets`` holds named changes to them, and a subclass's presets add to
    those of its bases. A field whose type carries a range of :mod:`aubench.core.search_space` can be searched.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "tiny": {
            "epochs": 7,
            "frames_per_epoch": 2000,
            "batch_size": 32,
            "learning_rate": 1e-2,
            "learning_rate_schedule": "triangular",
            "image_size": 64,
            "crop": 56,
            "validation_stride": 4,
        },
    }

    finetune_only: ClassVar[frozenset[str]] = frozenset(
        {
            *("epochs", "frames_per_epoch", "batch_size", "learning_rate", "learning_rate_schedule"),
            *("weight_decay", "patience", "validation_stride"),
        }
    )
    """Fields that no pre-training stage looks at; a subclass's add to those of its bases. Runs that differ in these
    alone share their pre-trained weights."""

    epochs: int = Field(30, ge=1, description="Most epochs of training.")
    frames_per_epoch: int | None = Field(None, ge=1, description="Frames drawn for an epoch; all when empty.")
    batch_size: int = Field(50, ge=1)
    learning_rate: Annotated[float, LogUniform(1e-5, 3e-2)] = Field(1e-4, gt=0)
    learning_rate_schedule: Literal["constant", "triangular"] = Field(
        "constant",
        description="'triangular' raises the learning rate over a quarter of the steps, then lowers it to 0.",
    )
    weight_decay: Annotated[float, LogUniform(1e-6, 1e-2)] = Field(0.0, ge=0)
    patience: int = Field(10, ge=1, description="Epochs without a better validation F1 before training stops.")
    validation_stride: int = Field(1, ge=1, description="Every how many frames of the validation role are scored.")
    image_size: int = Field(256, ge=16, description="Images are resized to this before cropping.")
    crop: int = Field(224, ge=16, description="Side of the random crop in training, of the centre crop otherwise.")
    flip: bool = Field(True, description="Mirror half of the training frames.")

    @property
    def clip_length(self) -> int | None:
        """Frames of a clip, where a method looks at several consecutive ones at once; None for single frames."""
        return None

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.crop > self.image_size:
            raise ValueError(f"crop {self.crop} is larger than image_size {self.image_size}")
        return self

    def pretraining_sources(self) -> tuple[PretrainingSource, ...]:
        """What the first weights of this recipe had seen; nothing by default."""
        return ()

    @classmethod
    def all_presets(cls) -> dict[str, dict[str, Any]]:
        """Every preset with the changes of the base classes included."""
        merged: dict[str, dict[str, Any]] = {}
        for base in reversed(cls.__mro__):
            for name, changes in vars(base).get("presets", {}).items():
                merged.setdefault(name, {}).update(changes)
        return merged

    @classmethod
    def finetune_fields(cls) -> frozenset[str]:
        """``finetune_only`` with that of the base classes."""
        return frozenset[str]().union(*(vars(base).get("finetune_only", ()) for base in cls.__mro__))

    @classmethod
    def search_ranges(cls) -> dict[str, Range]:
        """The fields that can be searched, and where."""
        found = {name: [m for m in field.metadata if isinstance(m, Range)] for name, field in cls.model_fields.items()}
        return {name: ranges[-1] for name, ranges in found.items() if ranges}

    def pretraining_config(self) -> dict[str, Any]:
        """The values that decide pre-trained weights, as plain data."""
        return self.model_dump(mode="json", exclude=set(self.finetune_fields()))

    @classmethod
    def from_preset(cls, preset: str, changes: Mapping[str, Any]) -> Self:
        """The recipe of a preset, with some values changed.

        Args:
            preset: Name of a preset.
            changes: Values by field name; text is read as the field's type.

        Raises:
            RecipeError: No such preset or field, or a value that does not fit.
        """
        presets = cls.all_presets()
        if preset not in presets:
            raise RecipeError(f"no preset '{preset}'", where="--preset", hint=suggest(preset, presets))
        for name in changes:
            if name not in cls.model_fields:
                raise RecipeError(f"no recipe key '{name}'", where="--set", hint=suggest(name, cls.model_fields))
        try:
            return cls(**{**presets[preset], **changes})
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"])) or "recipe"
            raise RecipeError(f"{first['msg']} (got {first['input']!r})", where=f"recipe key '{name}'") from None
