"""Pre-training of a fold's method, stored once and shared by runs.

Runs that agree in everything that determines the pre-trained weights use the same folder. Its name is a digest of the
method and its source, the recipe without fine-tuning fields, the data, the fold's subjects and the seed. The folder is
locked during pre-training, and interrupted pre-training resumes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aubench._util import atomic, ranks
from aubench._util.seeds import derive
from aubench.core import hashing
from aubench.core.errors import CheckpointError, UsageError
from aubench.core.protocol import Protocol
from aubench.core.system_files import children
from aubench.data.splits import FoldSplit, ProtocolDataset, Rows
from aubench.data.store_format import read_info
from aubench.datasets.catalog import DATASETS
from aubench.datasets.person_names import comparable
from aubench.results.run_folder import EPOCHS, WEIGHTS, read_json, read_json_lines, remove_resume_files, retrain_hint
from aubench.runs.config import RunConfig
from aubench.runs.source_runs import load_weights
from aubench.runs.store_ref import StoreRef
from aubench.training import checkpoint
from aubench.training.state import TrainState
from aubench.training.train_phase import TrainContext, TrainPhase
from aubench.training.trainer import Trainer

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = "pretrained"
DONE = "pretraining.json"


@dataclass(frozen=True)
class PretrainingResult:
    """Result of pre-training.

    Attributes:
        sources: Entries of the record's pre-training ledger: stage, source, datasets, fold, subjects, frames, seconds.
        seconds: Wall time of pre-training, also if another run did it.
        epochs: One entry per epoch, as in ``epochs.jsonl``.
    """

    sources: list[dict[str, Any]]
    seconds: float
    epochs: tuple[dict[str, Any], ...]


def prepare_weights(config: RunConfig, context: TrainContext, split: FoldSplit) -> PretrainingResult | None:
    """Run the pre-training stages of a fold's method, or load the weights that another run trained.

    Images of test subjects are not read, unless a stage includes all subjects.

    Args:
        config: The run.
        context: Method with its initial weights; it has the weights of another run or of pre-training afterwards.
        split: Rows of the fold.

    Returns:
        None if the weights are those of the recipe.
    """
    if config.start:
        load_weights(context.method, config.start, split.fold, config.recipe_model)
        return PretrainingResult(config.start.ledger(split.fold, config.protocol), 0.0, ())
    stages = tuple(stage for stage in context.method.stages() if stage.pretraining)
    if not stages:
        return None
    data, include_all = context.data, any(stage.include_all_subjects for stage in stages)
    subjects = sorted(config.protocol.subjects if include_all else _training_subjects(data, split))
    if config.pretraining_store:
        data = ProtocolDataset.unlabelled(config.pretraining_store.open_store(), config.protocol)
        context = replace(context, data=data)
        subjects = _subjects_of_store(config, data, config.protocol.subjects.difference(subjects))
    key = _key(config, subjects)
    folder, identity = _folder(config, key, split.fold), replace(config.identity(split.fold), run=key)
    folder.mkdir(parents=True, exist_ok=True)
    with ranks.exclusive(folder / ".lock"):
        if not (folder / DONE).exists():
            rows = _hold_out(data.all_rows(set(subjects)), max(stage.held_out for stage in stages), context)
            _pretrain(config, context, TrainPhase(stages, rows, rows[:0], folder, identity), subjects)
        else:
            for stage in stages:
                context.create_optimizer(stage)  # the hook may change the method, e.g. freeze layers
        if ranks.is_first():
            remove_resume_files(folder)
    with checkpoint.restoring(folder / WEIGHTS):
        context.method.load_state_dict(checkpoint.read(folder / WEIGHTS, identity).tensors)
    summary = read_json(folder / DONE, ("ledger", "seconds"), retrain_hint(folder))
    epochs = tuple(read_json_lines(folder / EPOCHS, retrain_hint(folder)))
    return PretrainingResult([_with_cost(entry, epochs) for entry in summary["ledger"]], summary["seconds"], epochs)


def check_pretraining_store(config: RunConfig) -> None:
    """Check that a run can pre-train on the store that it names, if it names one.

    Raises:
        UsageError: The method does not pre-train, or the store lacks images or landmarks that it uses, or people that a
            fold may pre-train on.
    """
    store, option, task = config.pretraining_store, "--pretrain-on", config.task
    if store is None:
        return
    if config.start:
        what = f"runs of {config.protocol.name} start from other runs and do not pre-train"
        raise UsageError(what, where=option, hint="omit this option")
    stages = [stage for stage in config.build_initial_method(1).stages() if stage.pretraining]
    if not stages:
        raise UsageError(f"{config.entry.name} does not pre-train", where=option, hint="omit this option")
    held = read_info(store.path).modalities
    if missing := [m for m in task.modalities if m not in held]:
        hint = f"narrow the protocol with --modalities {','.join(held)}"
        raise UsageError(f"has no {missing[0]} images", where=store.path, hint=hint)
    if task.landmarks and not store.landmarks:
        hint = "prepare the store with landmarks"
        raise UsageError(f"has no landmarks, which {config.entry.name} uses", where=store.path, hint=hint)
    if not any(stage.include_all_subjects for stage in stages):
        _require_people(config, ProtocolDataset.unlabelled(store.open_store(), config.protocol))


def _require_people(config: RunConfig, data: ProtocolDataset) -> None:
    """Check that each fold has people to pre-train on besides those of its validation and test.

    Args:
        config: The run.
        data: Frames of the store of pre-training.

    Raises:
        UsageError: A fold has none.
    """
    labelled = ProtocolDataset(config.open_store(), config.protocol)
    for fold in config.protocol.fold_numbers():
        left_out = config.protocol.subjects - _training_subjects(labelled, config.split(labelled, fold))
        if not _subjects_of_store(config, data, left_out):
            what = f"has no people besides those of validation and test of fold {fold}"
            raise UsageError(what, where=data.store.path, hint="give a store with others to pre-train on")


def _training_subjects(data: ProtocolDataset, split: FoldSplit) -> set[str]:
    return set(data.subjects[split.train].tolist())


def _subjects_of_store(config: RunConfig, data: ProtocolDataset, left_out: frozenset[str]) -> list[str]:
    """Return the subjects of the store of pre-training, except the people of some subjects of the protocol.

    If the user has named the people of either, as in a store of videos or of a manifest, a subject of the same name is
    the same person, also if one of the stores has another spelling of it.
    """
    people = {config.protocol.qualified_person(subject) for subject in left_out}
    dataset = data.store.info.dataset
    own = {name for name in {dataset, *config.protocol.datasets} if not _is_published(name)}
    same = {comparable(s.rpartition(":")[2]) for s in left_out if own & {dataset, config.protocol.dataset_of(s)}}
    names = sorted(name for name in set(data.subjects.tolist()) if comparable(name) not in same)
    return [name for name in names if config.protocol.qualified_person(f"{dataset}:{name}") not in people]


def _is_published(dataset: str) -> bool:
    """Return whether the owners of a data set have named its people."""
    return dataset in DATASETS.names() and bool(DATASETS.get(dataset).aus)


def _with_cost(source: dict[str, Any], epochs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Add the frames that a stage trained on, and its training time."""
    of_stage = [epoch for epoch in epochs if epoch["stage"] == source["stage"]]
    seconds = round(sum(epoch["seconds"] for epoch in of_stage), 3)
    return {**source, "frames": sum(epoch["frames"] for epoch in of_stage), "seconds": seconds}


def weights(config: RunConfig, fold: int, sources: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Read the weights from which a fold's supervised training started.

    Args:
        config: The run.
        fold: Number of the fold.
        sources: The fold's, as in :class:`PretrainingResult`; not empty.

    Raises:
        CheckpointError: The file is missing, or belongs to another method, protocol, fold or seed.
    """
    key = sources[-1]["source"].removeprefix(f"{config.entry.name} ")
    path = _folder(config, key, fold) / WEIGHTS
    if not path.exists():
        raise CheckpointError(
            "no longer exists", where=path, hint="repeat the run with another --runs to pre-train again"
        )
    return checkpoint.read(path, replace(config.identity(fold), run=key)).tensors


def _folder(config: RunConfig, key: str, fold: int) -> Path:
    return config.runs / FOLDER / config.protocol.name / config.entry.name / key / f"fold{fold}"


def _hold_out(rows: Rows, share: float, context: TrainContext) -> Rows:
    """Return the rows without a random share of them, at least one row. Protocol and fold determine the share."""
    if not share:
        return rows
    rng = np.random.default_rng(derive(context.protocol_seed, context.fold, "held out"))
    return np.sort(rng.permutation(rows)[: max(1, round(len(rows) * (1 - share)))])


def _pretrain(config: RunConfig, context: TrainContext, phase: TrainPhase, subjects: list[str]) -> None:
    trainer = Trainer(context, phase, TrainState())
    trainer.run()
    entry = {"source": f"{config.entry.name} {phase.identity.run}", "fold": context.fold}
    entry |= _data_entry(config.protocol, config.pretraining_store, subjects)
    summary = {
        "recipe": config.recipe_model.pretraining_config(),
        "frames": len(phase.train),
        "seconds": round(trainer.state.wall, 3),
        "ledger": [{"stage": stage.name, **entry} for stage in phase.stages],
    }
    if ranks.is_first():
        atomic.write_json(phase.folder / DONE, summary)


def _data_entry(protocol: Protocol, store: StoreRef | None, subjects: Sequence[str]) -> dict[str, Any]:
    """Return data sets, subjects and store of an entry of the ledger; no subjects of other data than the protocol's."""
    if store is None:
        return {"datasets": sorted({protocol.dataset_of(subject) for subject in subjects}), "subjects": list(subjects)}
    prefix = "" if protocol.dataset else f"{store.dataset}:"
    names = [prefix + subject for subject in subjects] if store.dataset in protocol.datasets else []
    return {"datasets": [store.dataset], "subjects": names, "store": store.digest}


def _key(config: RunConfig, subjects: list[str]) -> str:
    recipe = config.recipe_model.pretraining_config()
    parts = {
        "method": config.entry.name,
        "source": _source(config),
        "recipe": {**recipe, **{name: digest for name, digest in config.content.files.items() if name in recipe}},
        "protocol": config.protocol.digest,
        "store": (config.pretraining_store or config.store).digest,
        "subjects": subjects,
        "seed": config.seed,
        "precision": config.precision,
    }
    return hashing.hash_json(parts)[:16]


def _source(config: RunConfig) -> str:
    """Return the digest of the method's code and, for built-in methods, of the modules that they share."""
    import inspect

    from aubench.methods import _modules

    if config.content.code:
        return hashing.hash_json([config.content.code])
    method_file, modules = Path(inspect.getfile(config.entry.method_class)), Path(_modules.__path__[0])
    return hashing.hash_json([hashing.hash_file(file) for file in (method_file, *children(modules, "*.py"))])
