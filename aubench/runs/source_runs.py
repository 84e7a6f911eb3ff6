"""Finished runs whose weights other runs start from, on protocols with ``starts_from``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aubench.core import hashing
from aubench.core.errors import CheckpointError, RecordError, UsageError
from aubench.core.method import Method, build_method
from aubench.core.protocol import Protocol
from aubench.core.recipe import Recipe
from aubench.core.registry import MethodEntry
from aubench.core.task import Task
from aubench.results import record
from aubench.results.record_info import RecordInfo
from aubench.results.run_folder import RECORD_DIR, WEIGHTS, fold_dir
from aubench.results.schema import INITIALISATION, FoldInfo
from aubench.training import checkpoint
from aubench.training.checkpoint import CheckpointIdentity

if TYPE_CHECKING:
    from torch import Tensor

_OPTION = "--from-run"


@dataclass(frozen=True)
class SourceRun:
    """Finished run whose weights another run starts from.

    Attributes:
        folder: Folder of the run.
        run: Id of the run.
        checkpoints: SHA-256 of the checkpoint of each fold.
    """

    folder: Path
    run: str
    checkpoints: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a finished run from its record.

        Raises:
            UsageError: The run is not finished.
        """
        info = _read_info(folder)
        checkpoints = tuple(fold.checkpoint for fold in info.folds if fold.checkpoint)
        if len(checkpoints) < info.protocol.fold_count:
            what = f"has {len(checkpoints)} of {info.protocol.fold_count} folds"
            raise UsageError(what, where=folder, hint="finish it with `aubench run`")
        return cls(folder.absolute(), info.run, checkpoints)

    @cached_property
    def info(self) -> RecordInfo:
        """Record of the run."""
        return _read_info(self.folder)

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Data sets of the training roles."""
        names = {_qualified(subject, self.info) for fold in self.info.folds for subject in fold.train}
        return tuple(sorted({name.partition(":")[0] for name in names}))

    def fold(self, fold: int) -> FoldInfo:
        """Return the fold whose weights a fold of another run starts from. Runs with fewer folds begin again."""
        return self.info.folds[(fold - 1) % len(self.checkpoints)]

    def subjects(self, fold: int) -> list[str]:
        """Return the subjects that the weights for a fold have seen, after their data set and a colon.

        They are those of training and validation, and of pre-training. The test role counts if it chose the epoch.
        """
        source = self.fold(fold)
        seen = {*source.train, *source.val, *(source.test if self.info.selection == "oracle_test" else ())}
        for item in self.info.pretraining:
            seen |= {*item.subjects} if item.fold in (None, source.fold) else set()
        return sorted(_qualified(subject, self.info) for subject in seen)

    def unnamed_data(self, fold: int) -> list[str]:
        """Return the data sets of pre-training whose people the record of the run does not name."""
        numbers = (None, self.fold(fold).fold)
        items = (item for item in self.info.pretraining if item.fold in numbers and item.store and not item.subjects)
        return sorted({name for item in items for name in item.datasets})

    def ledger(self, fold: int, protocol: Protocol) -> list[dict[str, Any]]:
        """Return the pre-training ledger of a fold that starts from the run: the run's own, and its training."""
        info, source = self.info, self.fold(fold)
        earlier = [
            {"stage": INITIALISATION, "source": item.source, "datasets": list(item.datasets), "fold": fold}
            for item in info.pretraining
            if item.fold in (None, source.fold)
        ]
        recipe = hashing.hash_json({**info.recipe, **info.files})[:8]
        own = f"{protocol.dataset}:"
        entry = {
            "stage": INITIALISATION,
            "source": f"{info.method.name} on {info.protocol.name} {info.protocol.digest[:8]}, recipe {recipe}",
            "datasets": list(self.trained_on),
            "fold": fold,
            "subjects": [subject.removeprefix(own) for subject in self.subjects(fold)],
            "run": self.run,
            "weights": source.checkpoint,
        }
        return [*earlier, entry]

    def read_weights(self, fold: int) -> dict[str, Tensor]:
        """Read the weights that a fold of another run starts from.

        Raises:
            CheckpointError: The file is missing, cannot be read, or is not the one that the run was scored with.
        """
        info, source = self.info, self.fold(fold)
        digest = self.checkpoints[(fold - 1) % len(self.checkpoints)]
        identity = CheckpointIdentity(self.run, info.method.name, info.protocol.digest, source.fold, info.seed)
        return checkpoint.read_scored(fold_dir(self.folder, source.fold) / WEIGHTS, digest, identity).tensors


def _read_info(folder: Path) -> RecordInfo:
    try:
        return record.read(folder / RECORD_DIR).info
    except RecordError as error:
        what = f"has no record of a finished run ({error.what})"
        raise UsageError(what, where=folder, hint="finish the run with `aubench run`") from None


def _qualified(subject: str, info: RecordInfo) -> str:
    return subject if ":" in subject else f"{info.dataset.name}:{subject}"


def choose_source(
    entry: MethodEntry, protocol: Protocol, preset: str, seed: int, folders: Sequence[Path]
) -> SourceRun | None:
    """Return the run among some folders that a run starts from: one of its method, of several the one of its seed.

    Args:
        entry: Method of the run.
        protocol: Protocol of the run.
        preset: Preset of the run.
        seed: Seed of the run.
        folders: Folders of finished runs.

    Returns:
        None if the protocol starts from no run.

    Raises:
        UsageError: There is no such run or there are several, it is not finished, its data sets, method, preset or
            version differ, or it has seen a person of a test role.
    """
    if not protocol.starts_from:
        if folders:
            what = f"{protocol.name} does not start from other runs"
            raise UsageError(what, where=_OPTION, hint="use a protocol with the key 'starts_from'")
        return None
    needed = f"{protocol.name} starts from a run of {entry.name} on {' and '.join(protocol.starts_from)}"
    runs = [run for run in map(SourceRun.read, folders) if run.info.method.name == entry.name]
    if len(runs) > 1:
        runs = [run for run in runs if run.info.seed == seed]
    if len(runs) != 1:
        what = f"{needed}, and there {f'are {len(runs)}' if runs else 'is none'} for seed {seed}"
        raise UsageError(what, where=_OPTION, hint="name the folder of one finished run for each method and seed")
    (run,) = runs
    _check(run, needed, entry, protocol, preset)
    return run


def _check(run: SourceRun, needed: str, entry: MethodEntry, protocol: Protocol, preset: str) -> None:
    info = run.info
    if set(run.trained_on) != set(protocol.starts_from):
        raise UsageError(f"was trained on {' and '.join(run.trained_on)}, but {needed}", where=run.folder)
    if (info.method.file, info.method.version or 1) != (entry.digest, entry.version):
        raise UsageError(f"has another version of {entry.name}", where=run.folder, hint="repeat that run")
    if info.preset != preset:
        hint = f"give --preset {info.preset}, or another run"
        raise UsageError(f"has the preset '{info.preset}', not '{preset}'", where=run.folder, hint=hint)
    for fold in protocol.fold_numbers():
        _, validation, test = protocol.roles(fold)
        people = {protocol.qualified_person(subject): subject for subject in validation | test}
        if shared := next(filter(protocol.shares_people, run.unnamed_data(fold)), None):
            what = f"was pre-trained on {shared}, and its record does not name the people"
            raise UsageError(what, where=run.folder, hint="start from a run without this pre-training")
        for subject in run.subjects(fold):
            if tested := people.get(protocol.qualified_person(subject)):
                what = f"has seen {subject}, who is {tested} of the test or validation role of fold {fold}"
                raise UsageError(what, where=run.folder, hint="start from a run without this person")


def load_weights(method: Method, run: SourceRun, fold: int, recipe: Recipe) -> None:
    """Load the weights of a finished run into a method, as far as they do not depend on AUs or modalities.

    Heads of other AUs and layers of other modalities keep their initial weights.

    Args:
        method: Method with its initial weights.
        run: Finished run.
        fold: Number of the fold of ``method``.
        recipe: Recipe of ``method``.

    Raises:
        CheckpointError: The weights have other shapes than the recipe yields, or the file is missing or differs.
    """
    import torch

    tensors, task, info = run.read_weights(fold), method.task, run.info

    def shapes(task: Task) -> dict[str, Any]:
        with torch.random.fork_rng(devices=[]):
            return _shapes(build_method(type(method), task, recipe).state_dict())

    of_source = shapes(replace(task, modalities=info.method.modalities, aus=info.protocol.aus))
    if of_source != _shapes(tensors):
        raise CheckpointError("has weights of another recipe", where=run.folder, hint="give its values with --set")
    state, own = method.state_dict(), _shapes(method.state_dict())
    with_another_au = own if info.protocol.aus == task.aus else shapes(replace(task, aus=(*task.aus, 0)))
    shared = {name for name, shape in own.items() if shape == of_source.get(name) == with_another_au[name]}
    method.load_state_dict({name: tensors[name] if name in shared else value for name, value in state.items()})


def _shapes(state: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(getattr(value, "shape", ())) for name, value in state.items()}
