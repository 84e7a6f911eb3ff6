"""Configuration of a run: method, recipe, protocol, store, seed and selection rule. Its digest is the run id."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aubench._util.seeds import derive, seed_everything
from aubench.core.errors import UsageError
from aubench.core.method import Method, build_method
from aubench.core.protocol import Protocol
from aubench.core.recipe import Recipe
from aubench.core.registry import MethodEntry, find_method
from aubench.core.task import Task
from aubench.data.splits import FoldSplit, ProtocolDataset
from aubench.data.store import Store
from aubench.results import run_folder
from aubench.results.run_id import run_id, source_of
from aubench.runs import recipe_files
from aubench.runs.run_options import RunOptions
from aubench.runs.source_runs import SourceRun, choose_source
from aubench.runs.store_ref import StoreRef
from aubench.training.checkpoint import CheckpointIdentity

if TYPE_CHECKING:
    from aubench.results.run_costs import Compute


@dataclass(frozen=True)
class RunContent:
    """Content of the files that the configuration of a run names.

    Attributes:
        code: SHA-256 of the code of a method that is not built in, see :class:`~aubench.core.registry.MethodEntry`.
        files: SHA-256 of the files that recipe values name, e.g. initial weights, by recipe key.
    """

    code: str | None
    files: Mapping[str, str]


@dataclass(frozen=True)
class RunConfig:
    """Configuration of one run, complete before it starts and sent to worker processes.

    Attributes:
        method: Name of a registered method, or path of its file.
        protocol: Protocol, narrowed to the offered modalities.
        preset: Name of the recipe preset.
        recipe: All recipe values, as JSON data.
        seed: Seed of the run.
        selection: Rule that chooses the scored epoch.
        precision: One of :data:`~aubench.runs.devices.PRECISIONS`.
        store: Store to read.
        runs: Folder of all runs.
        search: Cost of the search that chose the recipe, as in the record; None if there was no search.
        start: Finished run whose weights the run starts from; None for those of the recipe.
        pretraining_store: Store of pre-training; that of the run if None.
    """

    method: str
    protocol: Protocol
    preset: str
    recipe: dict[str, Any]
    seed: int
    selection: str
    precision: str
    store: StoreRef
    runs: Path
    search: dict[str, Any] | None = None
    start: SourceRun | None = None
    pretraining_store: StoreRef | None = None

    @classmethod
    def create(cls, method: str, protocol: Protocol, store: StoreRef, options: RunOptions, seed: int = 0) -> Self:
        """Create the configuration of a run from names and options.

        Args:
            method: Name of a method, or path of its file.
            protocol: Protocol, narrowed to the offered modalities.
            store: Store to read.
            options: Recipe, selection rule, precision and folder.
            seed: Seed of the run.

        Raises:
            UsageError: There is no such method, it does not support the protocol's task, or there is no run to start
                from.
            RecipeError: The method's recipe has no such preset, key or value.
        """
        entry, preset = find_method(method), options.preset or protocol.preset
        recipe = entry.create_recipe(preset, options.overrides)
        reason = entry.unsupported_reason(protocol, recipe)
        if reason is not None:
            offered = ", ".join(protocol.modalities)
            raise UsageError(f"does not support {protocol.name} ({offered}): {reason}", where=entry.name)
        return cls(
            method,
            protocol,
            preset,
            json.loads(recipe.model_dump_json()),
            seed,
            options.selection,
            options.precision,
            store,
            options.runs,
            options.search,
            choose_source(entry, protocol, preset, seed, options.from_runs),
            options.pretraining_store,
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields and the content of the files that they name.

        Classes from files do not pickle, so worker processes load the method themselves.
        """
        return {"content": self.content, **{field.name: getattr(self, field.name) for field in fields(self)}}

    @cached_property
    def entry(self) -> MethodEntry:
        """Class and origin of the method."""
        return find_method(self.method)

    @cached_property
    def content(self) -> RunContent:
        """Digests of the files that the configuration names, as they were when it was created."""
        return self._read_content()

    def _read_content(self) -> RunContent:
        return RunContent(self.entry.digest, recipe_files.file_digests(self.entry.method_class.Recipe, self.recipe))

    @cached_property
    def run_id(self) -> str:
        """First 16 hexadecimal digits of the digest of everything that determines the numbers."""
        return run_id(
            method=self.entry.name,
            source=self.source,
            protocol=self.protocol.digest,
            store=self.store.digest,
            recipe={**self.recipe, **self.content.files},
            seed=self.seed,
            selection=self.selection,
            precision=self.precision,
            search=self.search,
            start=self.start.run if self.start else None,
            pretraining_store=self.pretraining_store.digest if self.pretraining_store else None,
        )

    @property
    def source(self) -> str:
        """Digest of the code of a method that is not built in, or its kind of origin, with its version from 2 on."""
        return source_of(self.entry.source, self.entry.version, self.content.code)

    @property
    def run_dir(self) -> Path:
        """Folder of the run."""
        return self.runs / self.protocol.name / self.entry.name / self.run_id

    def fold_dir(self, fold: int) -> Path:
        """Return the folder of a fold."""
        return run_folder.fold_dir(self.run_dir, fold)

    def identity(self, fold: int) -> CheckpointIdentity:
        """Return the identity that the checkpoints of a fold carry."""
        return CheckpointIdentity(self.run_id, self.entry.name, self.protocol.digest, fold, self.seed)

    @cached_property
    def recipe_model(self) -> Recipe:
        """Recipe as an instance of the method's recipe class.

        Raises:
            RecipeError: The method does not accept the recipe, which may be that of an earlier version.
        """
        return self.entry.method_class.Recipe.from_values(self.recipe)

    def count_flops(self) -> Compute:
        """Count the operations and parameters of the method on the task."""
        from aubench.evaluation.flops import count_flops

        return count_flops(self.entry.method_class, self.task, self.recipe_model)

    @cached_property
    def overrides(self) -> tuple[str, ...]:
        """Names of the recipe values that differ from the preset."""
        preset = self.entry.create_recipe(self.preset, {}).model_dump(mode="json")
        return tuple(key for key, value in self.recipe.items() if preset[key] != value)

    @cached_property
    def task(self) -> Task:
        """Task of the method: the protocol's AUs, the modalities that the method uses, and landmarks if needed."""
        offered = self.protocol.task(self.recipe_model.crop)
        landmarks = self.store.landmarks if self.entry.method_class.needs_landmarks else 0
        modalities = self.entry.select_modalities(offered, self.recipe_model)
        return Task(modalities, offered.aus, offered.image_size, landmarks)

    def open_store(self) -> Store:
        """Open the store.

        Raises:
            UsageError: It is no longer the store of this configuration.
        """
        return self.store.open_store()

    def load_data(self, fold: int) -> tuple[ProtocolDataset, FoldSplit]:
        """Open the store and return its frames with the training, validation and test rows of a fold."""
        data = ProtocolDataset(self.open_store(), self.protocol)
        return data, self.split(data, fold)

    def split(self, data: ProtocolDataset, fold: int) -> FoldSplit:
        """Return the training, validation and test rows of a fold in the frames of the store."""
        return data.split(fold, validation=self.selection == "inner_val")

    def build_method(self) -> Method:
        """Build the method with weights from PyTorch's global generator.

        Raises:
            UsageError: The method's code or a file that the recipe names has changed since the command started.
        """
        method = build_method(self.entry.method_class, self.task, self.recipe_model)
        present = self._read_content()
        names = [name for name, digest in self.content.files.items() if present.files.get(name) != digest]
        changed = [str(self.recipe[name]) for name in names]
        if present.code != self.content.code:
            changed.append(self.method)
        if changed:
            raise UsageError("has changed since the command started", where=changed[0], hint="repeat the command")
        return method

    def build_initial_method(self, fold: int) -> Method:
        """Build the method of a fold as at the start of its training, also tensors that no checkpoint holds.

        Raises:
            UsageError: As of :meth:`build_method`.
        """
        seed_everything(derive(self.seed, self.protocol.seed, fold, self.entry.name, "initialisation"))
        return self.build_method()

    @property
    def request(self) -> dict[str, Any]:
        """Location of the method and the full protocol, sufficient to create the configuration again."""
        method = str(self.entry.path.absolute()) if self.entry.path else self.method
        return {"method": method, "protocol": self.protocol.model_dump(mode="json")}
