"""Robustness suites: which conditions a run's test inputs are put under. Data, read from TOML."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aubench.core.conditions import Condition, Corruption, Kind, missing, subsets
from aubench.core.errors import ProtocolError, UsageError, suggest
from aubench.core.task import Modality

_MAX_BYTES = 64 * 1024

On = Annotated[tuple[Literal["each", "all"], ...], Field(min_length=1)]
Sigmas = Annotated[tuple[Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)], ...], Field(min_length=1)]
Shares = Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)]


class _StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Missing(_StrictModel):
    """Modalities without images.

    Attributes:
        which: Each one alone, or every set of them.
        fill: What stands in their place.
    """

    which: Literal["each", "subsets"]
    fill: Literal["zero", "black", "mean"] = "zero"


class Noise(_StrictModel):
    """Gaussian noise.

    Attributes:
        on: Each modality alone, all at once.
        sigma: Standard deviations, on images in [-1, 1].
    """

    on: On
    sigma: Sigmas


class Mask(_StrictModel):
    """Hidden patches.

    Attributes:
        on: Each modality alone, all at once.
        share: Of the patches.
    """

    on: On
    share: Shares


class Suite(_StrictModel):
    """A list of conditions for any set of modalities.

    Attributes:
        name: Its name, also that of its file.
        version: Raised whenever its conditions change.
        title: One line for people.
        missing: Modalities without images.
        noise: Gaussian noise.
        mask: Hidden patches.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]
    version: int = Field(ge=1)
    title: str = Field(max_length=200)
    missing: tuple[Missing, ...] = ()
    noise: tuple[Noise, ...] = ()
    mask: tuple[Mask, ...] = ()

    def with_noise(self, sigmas: tuple[float, ...]) -> Suite:
        """The same suite with other standard deviations wherever it has noise.

        Raises:
            UsageError: It has none, or a value is no standard deviation.
        """
        if not self.noise:
            raise UsageError(f"suite '{self.name}' has no noise to change", where="--noise")
        try:
            changed = tuple(Noise(on=noise.on, sigma=sigmas) for noise in self.noise)
        except ValidationError as error:
            raise UsageError(f"{error.errors()[0]['msg']}", where="--noise", hint="e.g. 0.1,0.2,0.5,0.8") from None
        return self.model_copy(update={"noise": changed})

    def conditions(self, modalities: tuple[Modality, ...]) -> tuple[Condition, ...]:
        """Its conditions for some modalities, each once, without ``clean``."""
        found: list[Condition] = []
        for part in self.missing:
            each = [missing((m,), part.fill) for m in modalities]
            found += each if part.which == "each" else subsets(modalities, part.fill)
        for noise in self.noise:
            found += _levels("noise", noise.on, noise.sigma, modalities)
        for mask in self.mask:
            found += _levels("mask", mask.on, mask.share, modalities)
        return tuple(dict.fromkeys(found))


def _levels(kind: Kind, on: On, levels: tuple[float, ...], modalities: tuple[Modality, ...]) -> list[Condition]:
    places = [place for what in on for place in ([(m,) for m in modalities] if what == "each" else [()])]
    return [Condition(kind, place, Corruption(kind, level)) for place in places for level in levels]


def builtin_suites() -> list[str]:
    """Names of the suites that come with aubench."""
    folder = resources.files("aubench.protocols") / "suites"
    return sorted(Path(str(file)).stem for file in folder.iterdir() if str(file).endswith(".toml"))


def find_suite(name: str) -> Suite:
    """A suite by name, or by the path of a TOML file.

    Raises:
        UsageError: There is no such suite.
        ProtocolError: The file is no suite.
    """
    if name.endswith(".toml"):
        return _load(Path(name))
    if name not in builtin_suites():
        raise UsageError(f"no suite '{name}'", where="--suite", hint=suggest(name, builtin_suites()))
    return _load(Path(str(resources.files("aubench.protocols") / "suites" / f"{name}.toml")))


def _load(path: Path) -> Suite:
    try:
        content = path.read_bytes()
    except OSError:
        raise UsageError("no such file", where=path, hint="give a path to a suite in TOML") from None
    if len(content) > _MAX_BYTES:
        raise ProtocolError(f"is larger than {_MAX_BYTES} bytes", where=path)
    try:
        return Suite.model_validate(tomllib.loads(content.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"is not TOML ({error})", where=path) from None
    except ValidationError as error:
        first = error.errors()[0]
        raise ProtocolError(f"key '{'.'.join(map(str, first['loc']))}': {first['msg']}", where=path) from None
