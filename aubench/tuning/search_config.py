"""What a search is: one method, one protocol, one space; decided in full before the first trial."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from aubench._util.seeds import derive
from aubench.core import hashing
from aubench.core.errors import UsageError
from aubench.core.protocol import Protocol
from aubench.core.registry import MethodEntry
from aubench.runs.config import RunConfig, StoreRef
from aubench.tuning.space import Space

STUDIES = "studies"
"""What lies beside the runs: a folder for each study."""


@dataclass(frozen=True)
class TrialConfig(RunConfig):
    """The training of one trial: a run in all but its folder, and never scored.

    Attributes:
        study: The study it belongs to.
    """

    study: str = ""

    @property
    def run_dir(self) -> Path:
        """Folder of the trial. Trials with equal recipes share it, so that an interrupted trial resumes."""
        return self.runs / STUDIES / self.study / "trials" / self.run_id


@dataclass(frozen=True)
class SearchConfig:
    """A search.

    Attributes:
        name: Of its study.
        base: Method, protocol, preset, store and the seed that all trials share.
        fixed: Recipe values that differ from the preset in every trial.
        folds: Those whose validation F1 is averaged, by number.
        space: What is searched.
        seed: The user's.
        sampler: Name of what suggests.
        pruner: Name of what gives up early.
    """

    name: str
    base_config: RunConfig
    fixed: Mapping[str, Any]
    folds: tuple[int, ...]
    space: Space
    seed: int
    sampler: str
    pruner: str

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return self.base_config.runs / STUDIES / self.name

    @cached_property
    def epochs(self) -> int:
        """Most supervised epochs of a fold."""
        import torch

        with torch.device("meta"):
            stages = list(self.base_config.build_method().stages())
        for stage in stages:
            if stage.include_all_subjects:
                raise UsageError(
                    f"stage '{stage.name}' looks at test subjects, which a search may not",
                    where=self.base_config.entry.name,
                    hint="pre-train on the training role",
                )
        return sum(stage.epochs for stage in stages if not stage.pretraining)

    def trial_config(self, values: Mapping[str, Any]) -> TrialConfig:
        """The training of a trial.

        Args:
            values: Of the fields that are searched.

        Raises:
            RecipeError: They do not go together.
        """
        recipe = self.base_config.entry.method_class.Recipe.from_preset(
            self.base_config.preset, {**self.fixed, **values}
        )
        same = {field.name: getattr(self.base_config, field.name) for field in fields(RunConfig)}
        return TrialConfig(**{**same, "recipe": json.loads(recipe.model_dump_json())}, study=self.name)

    def binding(self) -> dict[str, Any]:
        """What all workers of the study must agree in, as plain data."""
        base, entry = self.base_config, self.base_config.entry
        return {
            "protocol": base.protocol.digest,
            "method": entry.name,
            "source": hashing.hash_file(entry.path) if entry.path else entry.source,
            "preset": base.preset,
            "fixed": dict(self.fixed),
            "store": base.store.digest,
            "folds": list(self.folds),
            "space": self.space.to_dict(),
            "seed": self.seed,
            "sampler": self.sampler,
            "pruner": self.pruner,
            "precision": base.precision,
        }


def trials_seed(seed: int) -> int:
    """The seed of all trials of a search with this seed: one that no run has by chance."""
    return derive(seed, "search")


def create_search(
    method: str,
    entry: MethodEntry,
    protocol: Protocol,
    *,
    preset: str,
    fixed: dict[str, Any],
    wanted: Sequence[str] | None,
    folds: Sequence[int],
    seed: int,
    sampler: str,
    pruner: str,
    precision: str,
    store: StoreRef,
    runs: Path,
    name: str | None = None,
) -> SearchConfig:
    """Decide a search.

    Args:
        method: What the user called the method.
        entry: The method.
        protocol: As narrowed.
        preset: Where every trial begins.
        fixed: Recipe values that differ from it in every trial.
        wanted: As of :meth:`Space.of`.
        folds: Numbers of folds.
        seed: Decides what is suggested, and the seed of all trials.
        sampler: Name of what suggests.
        pruner: Name of what gives up early.
        precision: Lightning Fabric's name of the arithmetic.
        store: What is read.
        runs: The folder of all runs.
        name: Of the study; made of method, protocol and preset where None.

    Raises:
        UsageError: The method refuses the task, looks at test subjects, or has nothing to search; a bad name.
        RecipeError: A preset, value or range that the method cannot have.
    """
    name = name or f"{entry.name}-{protocol.name}-{preset}-{sampler}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", name):
        raise UsageError(f"'{name}' cannot be a study's name", where="--study", hint="use letters, digits, - and _")
    base = RunConfig.create(
        method,
        protocol,
        preset=preset,
        overrides=fixed,
        seed=trials_seed(seed),
        selection="inner_val",
        precision=precision,
        store=store,
        runs=runs,
    )
    space = Space.of(entry.method_class.Recipe, preset, fixed, wanted)
    search = SearchConfig(name, base, fixed, tuple(folds), space, seed, sampler, pruner)
    _ = search.epochs
    return search
