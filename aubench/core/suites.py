"""Robustness suites: lists of test conditions, read from TOML."""

from __future__ import annotations

import os
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from aubench.core import system_files
from aubench.core.conditions import Condition, CorruptionLevel, missing, subsets
from aubench.core.corruption_registry import CORRUPTIONS
from aubench.core.errors import ProtocolError, UsageError, suggest
from aubench.core.plugins import suggest_plugin
from aubench.core.protocol_rules import Name, StrictModel
from aubench.core.task import Modality
from aubench.core.user_paths import require_file, user_path
from aubench.core.value_problems import problem, problem_with_value

_MAX_BYTES = 64 * 1024


class Missing(StrictModel):
    """Missing modalities.

    Attributes:
        which: Each modality alone, or every set of them.
        fill: Images that replace those of the missing modalities.
    """

    which: Literal["each", "subsets"]
    fill: Literal["zero", "black", "mean"] = "zero"


class Levels(StrictModel):
    """Levels of a corruption.

    Attributes:
        on: Each modality alone, all at once, or both.
        levels: Levels, e.g. standard deviations of noise.
    """

    on: Annotated[tuple[Literal["each", "all"], ...], Field(min_length=1)]
    levels: Annotated[tuple[float, ...], Field(min_length=1)]

    def conditions(self, name: str, modalities: tuple[Modality, ...]) -> list[Condition]:
        """Return the conditions of a corruption."""
        targets = [target for on in self.on for target in ([(m,) for m in modalities] if on == "each" else [()])]
        return [Condition(name, target, CorruptionLevel(name, level)) for target in targets for level in self.levels]


class Suite(StrictModel):
    """List of conditions for any set of modalities.

    Attributes:
        name: Name, equal to that of its file.
        version: Number that increases whenever the conditions change.
        title: One-line description.
        missing: Missing modalities.
        corruptions: Levels of each corruption by its name, in TOML a section of this name.
    """

    name: Name
    version: int = Field(ge=1)
    title: str = Field(max_length=200)
    missing: tuple[Missing, ...] = ()
    corruptions: dict[str, tuple[Levels, ...]] = Field({})

    @model_validator(mode="before")
    @classmethod
    def _collect_sections(cls, data: dict[str, Any]) -> dict[str, Any]:
        if "corruptions" in data:
            raise ValueError("key 'corruptions' is not permitted, name a section like its corruption")
        sections = {name: _rename_levels(name, data[name]) for name in CORRUPTIONS.names() if name in data}
        return {**{key: value for key, value in data.items() if key not in sections}, "corruptions": sections}

    @field_validator("corruptions")
    @classmethod
    def _check_levels(cls, corruptions: dict[str, tuple[Levels, ...]]) -> dict[str, tuple[Levels, ...]]:
        for name, sections in corruptions.items():
            _check(name, tuple(level for section in sections for level in section.levels))
        return corruptions

    def with_noise(self, sigmas: tuple[float, ...]) -> Suite:
        """Return the suite with other standard deviations of noise.

        Raises:
            UsageError: The suite has no noise, or a value is no standard deviation.
        """
        if "noise" not in self.corruptions:
            raise UsageError(f"suite '{self.name}' has no noise to change", where="--noise")
        try:
            _check("noise", sigmas)
        except ValueError as error:
            raise UsageError(str(error), where="--noise", hint="e.g. 0.1,0.2,0.5,0.8") from None
        noise = tuple(Levels(on=section.on, levels=sigmas) for section in self.corruptions["noise"])
        return self.model_copy(update={"corruptions": {**self.corruptions, "noise": noise}})

    def conditions(self, modalities: tuple[Modality, ...]) -> tuple[Condition, ...]:
        """Return the conditions for some modalities, without duplicates and ``clean``."""
        conditions: list[Condition] = []
        for section in self.missing:
            each = [missing((m,), section.fill) for m in modalities]
            conditions += each if section.which == "each" else subsets(modalities, section.fill)
        for name, sections in self.corruptions.items():
            conditions += [condition for section in sections for condition in section.conditions(name, modalities)]
        return tuple(dict.fromkeys(conditions))


def _rename_levels(name: str, sections: Any) -> Any:
    """Name the levels of each section ``levels``."""
    key = CORRUPTIONS.get(name).levels_key
    if not isinstance(sections, list | tuple) or not all(isinstance(section, dict) for section in sections):
        return sections
    return [
        {"levels" if word == key and "levels" not in section else word: value for word, value in section.items()}
        for section in sections
    ]


def _check(name: str, levels: tuple[float, ...]) -> None:
    corruption = CORRUPTIONS.get(name)
    if not levels:
        raise ValueError(f"{name} needs at least one level")
    for level in levels:
        if not corruption.is_valid(level):
            kind = "an integer" if corruption.integer_levels else "a number"
            raise ValueError(f"level {level:g} of {name} is not {kind} above 0 and at most {corruption.max_level:g}")


def builtin_suites() -> list[str]:
    """Return the names of the built-in suites."""
    folder = resources.files("aubench.protocols") / "suites"
    return [path.stem for path in system_files.children(Path(str(folder)), "*.toml")]


def find_suite(name: str | os.PathLike[str]) -> Suite:
    """Return a suite by name, or by the path of a TOML file.

    Raises:
        UsageError: There is no such suite.
        ProtocolError: The file is not a valid suite.
    """
    text = str(name)
    if text.endswith(".toml"):
        path = user_path(text)
        require_file(path, "give the path of a suite in TOML")
        return _load(path)
    if text not in builtin_suites():
        raise UsageError(f"no suite '{name}'", where="--suite", hint=suggest(name, builtin_suites()))
    return _load(Path(str(resources.files("aubench.protocols") / "suites" / f"{text}.toml")))


def _load(path: Path) -> Suite:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=path) from None
    if len(content) > _MAX_BYTES:
        raise ProtocolError(f"is larger than {_MAX_BYTES} bytes", where=path)
    try:
        return Suite.model_validate(tomllib.loads(content.decode("utf-8-sig")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"is not TOML ({error})", where=path) from None
    except ValidationError as error:
        raise ProtocolError(_describe(error), where=path) from None


def _describe(error: ValidationError) -> str:
    """Describe the first invalid key, which is named as in the file."""
    first = min(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")  # before a missing one
    parts = list(map(str, first["loc"]))
    if parts[:1] == ["corruptions"]:
        parts = [CORRUPTIONS.get(parts[1]).levels_key if part == "levels" else part for part in parts[1:]]
    key = ".".join(parts)
    if first["type"] == "extra_forbidden" and len(parts) == 1:
        known = [*(name for name in Suite.model_fields if name != "corruptions"), *CORRUPTIONS.names()]
        return f"unknown key '{key}'; {suggest_plugin(key, known)}"
    return f"key '{key}': {problem_with_value(first)}" if key else problem(first)
