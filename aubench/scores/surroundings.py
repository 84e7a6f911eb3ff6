"""Where a number comes from, as a record tells it: device, libraries, code."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from aubench.scores.parts import Count, Name, Part, Words

Packages = Annotated[dict[Words, Words], Field(max_length=100)]
"""Versions of the libraries that decide the numbers, and of Python."""


class Device(Part):
    """What it ran on: ``cpu``, ``cuda``, …; its name; CPU threads a fold; arithmetic precision."""

    kind: Name
    name: Words
    threads: Count
    precision: Words


class Git(Part):
    """Commit of the code that ran and whether the tree differed from it; ``null`` outside a repository."""

    commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")] | None
    dirty: bool | None


class Surroundings(Part):
    """What finished a fold: device, libraries, code."""

    device: Device
    packages: Packages
    git: Git
