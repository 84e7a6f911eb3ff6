"""Recipes: typed hyper-parameters with named presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from aubench.core.errors import RecipeError, suggest
from aubench.core.search_space import LogUniform, Range
from aubench.core.value_problems import problem, problem_with_value

_LARGEST = 2**63 - 1


def _types(annotation: Any) -> list[Any]:
    """List a type annotation and all types that it consists of."""
    return [annotation, *(kind for part in get_args(annotation) for kind in _types(part))]


@dataclass(frozen=True)
class PretrainingSource:
    """Origin of initial weights.

    Attributes:
        source: Name or publisher of the weights.
        datasets: Data sets of their training, ``unknown`` if not published.
    """

    source: str
    datasets: tuple[str, ...]


class Recipe(BaseModel):
    """Hyper-parameters of all methods. A method adds fields in a subclass.

    Defaults are the papers'. ``presets`` contains named changes to them. Presets of a subclass add to those of its
    bases. The preset ``small`` also has the changes of ``tiny`` that it does not replace. A field with a range of
    :mod:`aubench.core.search_space` in its type can be searched.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "tiny": {
            "epochs": 4,
            "frames_per_epoch": 2000,
            "batch_size": 16,
            "learning_rate": 1e-2,
            "learning_rate_schedule": "triangular",
            "image_size": 64,
            "crop": 56,
            "validation_stride": 4,
        },
        "small": {"epochs": 32, "frames_per_epoch": 4000, "patience": 32, "learning_rate": 5e-3},
    }

    finetune_only: ClassVar[frozenset[str]] = frozenset(
        {
            *("epochs", "frames_per_epoch", "batch_size", "learning_rate", "learning_rate_schedule"),
            *("weight_decay", "patience", "validation_stride"),
        }
    )
    """Fields without influence on pre-training, in addition to those of the base classes. Runs that differ in these
    fields only share their pre-trained weights."""

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
    validation_stride: int = Field(1, ge=1, description="Validate on every n-th frame, or on one of n clips.")
    image_size: int = Field(256, ge=16, description="Images are resized to this before cropping.")
    crop: int = Field(224, ge=16, description="Side of the random crop in training, of the centre crop otherwise.")
    flip: bool = Field(True, description="Mirror half of the training frames.")

    @property
    def clip_length(self) -> int | None:
        """Number of consecutive frames per clip; None for methods of single frames."""
        return None

    @field_validator("*", mode="before")
    @classmethod
    def _check_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse truth values as numbers, and integers of more than 64 bits."""
        kinds = _types(cls.model_fields[str(info.field_name)].annotation)
        if isinstance(value, bool) and bool not in kinds and (int in kinds or float in kinds):
            raise ValueError("is a number, not true or false")
        if isinstance(value, int) and int in kinds and abs(value) > _LARGEST:
            raise ValueError(f"is beyond ±{_LARGEST:,}")
        return value

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.crop > self.image_size:
            raise ValueError(f"crop {self.crop} is larger than image_size {self.image_size}")
        return self

    def pretraining_sources(self) -> tuple[PretrainingSource, ...]:
        """Return the sources of the initial weights. The default is none."""
        return ()

    @classmethod
    def all_presets(cls) -> dict[str, dict[str, Any]]:
        """Return all presets, including the changes of the base classes."""
        merged: dict[str, dict[str, Any]] = {}
        for base in reversed(cls.__mro__):
            for name, changes in vars(base).get("presets", {}).items():
                merged.setdefault(name, {}).update(changes)
        return {**merged, "small": merged["tiny"] | merged["small"]}

    @classmethod
    def finetune_fields(cls) -> frozenset[str]:
        """Return the fields that affect fine-tuning only, including those of the base classes."""
        return frozenset[str]().union(*(vars(base).get("finetune_only", ()) for base in cls.__mro__))

    @classmethod
    def search_ranges(cls) -> dict[str, Range]:
        """Return the search ranges by field name."""
        ranges = {name: [m for m in field.metadata if isinstance(m, Range)] for name, field in cls.model_fields.items()}
        return {name: declared[-1] for name, declared in ranges.items() if declared}

    def pretraining_config(self) -> dict[str, Any]:
        """Return the values that determine the pre-trained weights, as plain data."""
        return self.model_dump(mode="json", exclude=set(self.finetune_fields()))

    @classmethod
    def from_preset(cls, preset: str, changes: Mapping[str, Any]) -> Self:
        """Create the recipe of a preset, with some values changed.

        Args:
            preset: Name of a preset.
            changes: Values by field name. Text is converted to the field's type.

        Raises:
            RecipeError: No such preset or field, or an invalid value.
        """
        presets = cls.all_presets()
        if not isinstance(preset, str) or preset not in presets:
            raise RecipeError(f"no preset '{preset}'", where="--preset", hint=suggest(preset, presets))
        for name in changes:
            if name not in cls.model_fields:
                raise RecipeError(f"no recipe key '{name}'", where="--set", hint=suggest(name, cls.model_fields))
        return cls.from_values({**presets[preset], **changes})

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Create a recipe. Fields without a value have their default.

        Args:
            values: Values by field name. Text is converted to the field's type.

        Raises:
            RecipeError: No such field, or an invalid value.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            if not first["loc"]:
                raise RecipeError(problem(first), where="recipe") from None
            name = ".".join(map(str, first["loc"]))
            field = cls.model_fields.get(str(first["loc"][0]))
            hint = field.description if field and first["type"] == "string_pattern_mismatch" else None
            raise RecipeError(problem_with_value(first), where=f"recipe key '{name}'", hint=hint) from None
