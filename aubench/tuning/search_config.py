"""Configuration of a search: method, protocol, search space, sampler and pruner, complete before the first trial."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from aubench._util.seeds import derive
from aubench.core.errors import RecipeError, UsageError
from aubench.core.protocol import Protocol
from aubench.runs.config import RunConfig
from aubench.runs.run_options import RunOptions
from aubench.runs.store_ref import StoreRef
from aubench.tuning.space import Space

STUDIES = "studies"
"""Name of the folder in ``runs`` that contains a folder per study."""


@dataclass(frozen=True)
class TrialConfig(RunConfig):
    """Configuration of a trial: a run in another folder, without a test.

    Attributes:
        study: Name of its study.
    """

    study: str = ""

    @property
    def run_dir(self) -> Path:
        """Folder of the trial. Trials with equal recipes share it, so that an interrupted trial resumes."""
        return self.runs / STUDIES / self.study / "trials" / self.run_id


@dataclass(frozen=True)
class SearchConfig:
    """Configuration of a search.

    Attributes:
        name: Name of the study.
        base_config: Method, protocol, preset, store and the seed that all trials share.
        fixed: Recipe values that differ from the preset in every trial, as JSON data.
        folds: Numbers of the folds whose validation F1 is averaged.
        space: Search space.
        seed: Seed given by the user.
        sampler: Name of the sampler.
        pruner: Name of the pruner.
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
        """Folder of the study."""
        return self.base_config.runs / STUDIES / self.name

    @cached_property
    def epochs(self) -> int:
        """Maximum number of supervised epochs per fold."""
        import torch

        try:
            with torch.device("meta"):
                method = self.base_config.build_method()
        except Exception:  # a constructor may compute values, which the meta device cannot
            method = self.base_config.build_method()
        for stage in method.stages():
            if stage.include_all_subjects:
                raise UsageError(
                    f"stage '{stage.name}' reads test subjects, which a search must not do",
                    where=self.base_config.entry.name,
                    hint="pre-train on the training role",
                )
        return sum(stage.epochs for stage in method.stages() if not stage.pretraining)

    def trial_config(self, values: Mapping[str, Any]) -> TrialConfig:
        """Return the configuration of a trial with some values of the searched fields.

        Raises:
            RecipeError: The values are not valid together, or the task does not support them.
        """
        base = self.base_config
        recipe = base.entry.create_recipe(base.preset, {**self.fixed, **values})
        reason = base.entry.unsupported_reason(base.protocol, recipe)
        if reason is not None:
            raise RecipeError(reason, where=base.entry.name)
        shared = {field.name: getattr(base, field.name) for field in fields(RunConfig)}
        return TrialConfig(**{**shared, "recipe": json.loads(recipe.model_dump_json())}, study=self.name)

    def binding(self) -> dict[str, Any]:
        """Return the options that all workers of the study share, as JSON data."""
        base = self.base_config
        return {
            "protocol": base.protocol.digest,
            "method": base.entry.name,
            "source": base.source,
            "preset": base.preset,
            "fixed": dict(self.fixed),
            "store": base.store.digest,
            "folds": list(self.folds),
            "space": self.space.to_dict(),
            "seed": self.seed,
            "sampler": self.sampler,
            "pruner": self.pruner,
            "precision": base.precision,
            **({"files": dict(base.content.files)} if base.content.files else {}),
        }


def trials_seed(seed: int) -> int:
    """Return the seed of all trials of a search, derived from the search's seed."""
    return derive(seed, "search")


def create_search(
    method: str,
    protocol: Protocol,
    store: StoreRef,
    options: RunOptions,
    *,
    folds: Sequence[int],
    space: Sequence[str] | None = None,
    seed: int = 0,
    sampler: str = "tpe",
    pruner: str = "hyperband",
    name: str | None = None,
) -> SearchConfig:
    """Create the configuration of a search from names and options.

    Args:
        method: Name of the method, or path of its file.
        protocol: Protocol, narrowed to the offered modalities.
        store: Store to read.
        options: Options of every trial.
        folds: Numbers of the folds.
        space: Names of the fields to search; if None all with a range that has the preset's value.
        seed: Seed of the suggestions and of all trials.
        sampler: Name of the sampler.
        pruner: Name of the pruner.
        name: Name of the study; composed of method, protocol, preset and sampler if None.

    Raises:
        UsageError: The method does not support the task, reads test subjects, or has nothing to search, or the name is
            invalid.
        RecipeError: A preset, value or range is invalid.
    """
    base = RunConfig.create(method, protocol, store, options, trials_seed(seed))
    name = name or f"{base.entry.name}-{protocol.name}-{base.preset}-{sampler}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", name):
        raise UsageError(f"'{name}' is not a valid study name", where="--study", hint="use letters, digits, - and _")
    fixed = {name: base.recipe[name] for name in options.overrides}
    unsupported_reason = partial(base.entry.unsupported_reason, protocol)
    searched = Space.of(base.entry.method_class.Recipe, base.preset, fixed, space, unsupported_reason)
    search = SearchConfig(name, base, fixed, tuple(folds), searched, seed, sampler, pruner)
    _ = search.epochs  # raises if the method reads test subjects
    return search
