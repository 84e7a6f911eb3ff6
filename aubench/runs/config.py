"""What a run is: method, recipe, protocol, store, seed, selection rule. Its id is a digest of these."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from aubench._util import atomic
from aubench.core import hashing
from aubench.core.errors import UsageError
from aubench.core.method import Method
from aubench.core.protocol import Protocol
from aubench.core.recipe import Recipe
from aubench.core.registry import MethodEntry, find_method
from aubench.core.task import Task
from aubench.data.splits import FoldSplit, ProtocolDataset
from aubench.data.store import Store
from aubench.results import run_folder
from aubench.training.checkpoint import CheckpointIdentity

Selection = Literal["inner_val", "last", "oracle_test"]
SELECTIONS: tuple[Selection, ...] = ("inner_val", "last", "oracle_test")


@dataclass(frozen=True)
class StoreRef:
    """The store that a run reads: where it is, what must not change, and how many points its frames have."""

    path: Path
    dataset: str
    version: str
    digest: str
    landmarks: int = 0

    @classmethod
    def from_store(cls, store: Store) -> Self:
        """What there is to know of an opened store."""
        info = store.info
        return cls(store.path.resolve(), info.dataset, info.version, info.digest, store.landmark_count)


@dataclass(frozen=True)
class RunConfig:
    """One run, decided in full before it starts; travels to worker processes.

    Attributes:
        method: A name or path that the registry finds.
        protocol: As narrowed.
        preset: Where the recipe started.
        recipe: Every recipe value, as plain data.
        seed: The run's seed.
        selection: How the scored epoch is chosen.
        precision: Lightning Fabric's name of the arithmetic.
        store: What it reads.
        runs: The folder of all runs.
        search: What finding the recipe has cost, as the record says it; None where nothing was searched.
    """

    method: str
    protocol: Protocol
    preset: str
    recipe: dict[str, Any]
    seed: int
    selection: Selection
    precision: str
    store: StoreRef
    runs: Path
    search: dict[str, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: a worker process finds the method itself, since a class from a file does not travel."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def entry(self) -> MethodEntry:
        """The method's class and where it was found."""
        return find_method(self.method)

    @cached_property
    def run_id(self) -> str:
        """Sixteen hexadecimal digits that stand for all that decides the numbers."""
        parts = {
            "method": self.entry.name,
            "source": self._file_digest or self.entry.source,
            "protocol": self.protocol.digest,
            "store": self.store.digest,
            "recipe": self.recipe,
            "seed": self.seed,
            "selection": self.selection,
            "precision": self.precision,
            **self._search_fields,
        }
        return hashing.hash_json(parts)[:16]

    @cached_property
    def _file_digest(self) -> str | None:
        """Digest of the file of a method given by path."""
        return hashing.hash_file(self.entry.path) if self.entry.path else None

    @property
    def _search_fields(self) -> dict[str, Any]:
        return {} if self.search is None else {"search": self.search}

    @property
    def run_dir(self) -> Path:
        """The run's folder."""
        return self.runs / self.protocol.name / self.entry.name / self.run_id

    def fold_dir(self, fold: int) -> Path:
        """A fold's folder."""
        return run_folder.fold_dir(self.run_dir, fold)

    def identity(self, fold: int) -> CheckpointIdentity:
        """What a fold's checkpoints are bound to."""
        return CheckpointIdentity(self.run_id, self.entry.name, self.protocol.digest, fold, self.seed)

    @cached_property
    def recipe_model(self) -> Recipe:
        """The recipe as the method's own type."""
        return self.entry.method_class.Recipe(**self.recipe)

    @cached_property
    def overrides(self) -> tuple[str, ...]:
        """Names of the recipe's values that are not the preset's."""
        preset = self.entry.method_class.Recipe.from_preset(self.preset, {}).model_dump(mode="json")
        return tuple(key for key, value in self.recipe.items() if preset[key] != value)

    @cached_property
    def task(self) -> Task:
        """What the method is asked: the protocol's AUs on the modalities, and with the points, that it uses."""
        method, offered = self.entry.method_class, self.protocol.task(self.recipe_model.crop)
        landmarks = self.store.landmarks if method.needs_landmarks else 0
        return Task(method.select_modalities(offered, self.recipe_model), offered.aus, offered.image_size, landmarks)

    def load_data(self, fold: int) -> tuple[ProtocolDataset, FoldSplit]:
        """The store's frames, and which of them a fold trains on, is chosen by and is scored on."""
        data = ProtocolDataset(Store(self.store.path), self.protocol)
        return data, data.split(fold, validation=self.selection == "inner_val")

    def build_method(self) -> Method:
        """The method, with weights drawn from the global generator."""
        return self.entry.method_class(self.task, self.recipe_model)

    @property
    def request(self) -> dict[str, Any]:
        """What it takes to plan it again: where the method is found, and the protocol in full."""
        method = str(self.entry.path.absolute()) if self.entry.path else self.method
        return {"method": method, "protocol": self.protocol.model_dump(mode="json")}

    def to_dict(self) -> dict[str, Any]:
        """What ``run.json`` says."""
        method = self.entry.method_class
        return {
            "schema_version": 1,
            "run_id": self.run_id,
            "protocol": {
                "name": self.protocol.name,
                "version": self.protocol.version,
                "digest": self.protocol.digest,
                "modalities": list(self.protocol.modalities),
            },
            "method": {
                "name": self.entry.name,
                "title": method.card.title,
                "fidelity": str(method.card.fidelity),
                "modalities": list(self.task.modalities),
                "source": self.entry.source,
                **({"file": self._file_digest} if self._file_digest else {}),
            },
            "preset": self.preset,
            "recipe": self.recipe,
            "seed": self.seed,
            "selection": self.selection,
            "precision": self.precision,
            **self._search_fields,
            "store": {"dataset": self.store.dataset, "version": self.store.version, "digest": self.store.digest},
            "asked": self.request,
        }

    def init_run_dir(self, extra: dict[str, Any]) -> None:
        """Write ``run.json`` if it is not there yet.

        Args:
            extra: Facts about the surroundings (git, packages, device), kept from the first start.
        """
        path = self.run_dir / run_folder.RUN_FILE
        if not path.exists():
            atomic.write_json(path, self.to_dict() | extra)


def create_run_config(
    entry_name: str,
    entry: MethodEntry,
    protocol: Protocol,
    *,
    preset: str,
    changes: dict[str, Any],
    seed: int,
    selection: Selection,
    precision: str,
    store: StoreRef,
    runs: Path,
) -> RunConfig:
    """Decide a run.

    Args:
        entry_name: What the user called the method.
        entry: The method.
        protocol: As narrowed.
        preset: Name of a preset.
        changes: Recipe values that differ from the preset.
        seed: The run's seed.
        selection: How the scored epoch is chosen.
        precision: Lightning Fabric's name of the arithmetic.
        store: What it reads.
        runs: The folder of all runs.

    Raises:
        UsageError: The method refuses the protocol's task.
        RecipeError: A preset, key or value that the method does not have.
    """
    recipe = entry.method_class.Recipe.from_preset(preset, changes)
    reason = entry.method_class.unsupported_reason(protocol.task(recipe.crop), recipe)
    if reason is not None:
        raise UsageError(f"refuses {protocol.name} ({', '.join(protocol.modalities)}): {reason}", where=entry.name)
    plain = json.loads(recipe.model_dump_json())
    return RunConfig(entry_name, protocol, preset, plain, seed, selection, precision, store, runs)
