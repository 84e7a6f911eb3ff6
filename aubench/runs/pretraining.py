"""What a method learns without labels, before it is trained on a fold: made once, kept, and shared.

Runs that agree in everything that decides pre-trained weights find the same folder: a digest of
the method and its source, the recipe without what comes later, the data, the fold's subjects and
the seed. The folder is locked while it is made, and a killed pre-training goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from aubench._util import atomic
from aubench.core import hashing
from aubench.core.errors import CheckpointError
from aubench.data.splits import FoldSplit
from aubench.results.run_folder import EPOCHS, WEIGHTS
from aubench.runs.config import RunConfig
from aubench.training import checkpoint
from aubench.training.checkpoint import CheckpointIdentity
from aubench.training.state import TrainState
from aubench.training.trainer import TrainContext, Trainer, TrainPhase

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = "pretrained"
DONE = "pretraining.json"


@dataclass(frozen=True)
class PretrainingResult:
    """What was done before the labels came.

    Attributes:
        ledger: Entries of the record's ledger: stage, source, datasets, fold, subjects.
        seconds: What it took, whoever did it.
        epochs: One entry per epoch, as in ``epochs.jsonl``.
    """

    sources: list[dict[str, Any]]
    seconds: float
    epochs: tuple[dict[str, Any], ...]


def pretrain_or_load(place: TrainContext, roles: FoldSplit) -> PretrainingResult | None:
    """Bring the method through its pre-training stages, or fetch what another run left of them.

    Test subjects are never among those whose images are read, unless a stage asks for everyone.

    Args:
        place: The method under the initial weights of its seed; afterwards it has the pre-trained ones.
        roles: The fold's.

    Returns:
        What was done; None where the method has no such stage.
    """
    stages = tuple(stage for stage in place.method.stages() if stage.pretraining)
    if not stages:
        return None
    plan, data = place.plan, place.data
    everyone = any(stage.include_all_subjects for stage in stages)
    subjects = sorted(plan.protocol.subjects if everyone else set(data.subjects[roles.train].tolist()))
    key = _key(plan, subjects)
    folder, identity = _folder(plan, key, place.fold), _identity(plan, key, place.fold)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if not (folder / DONE).exists():
            frames = data.all_rows(set(subjects))
            _pretrain(place, TrainPhase(stages, frames, frames[:0], folder, identity), subjects)
    place.method.load_state_dict(checkpoint.read(folder / WEIGHTS, identity).tensors)
    done = json.loads((folder / DONE).read_text())
    epochs = tuple(json.loads(line) for line in (folder / EPOCHS).read_text().splitlines())
    return PretrainingResult(done["ledger"], done["seconds"], epochs)


def weights(plan: RunConfig, fold: int, ledger: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Read back what a fold's supervised training began with.

    Args:
        plan: The run.
        fold: Number of the fold.
        ledger: The fold's, as in :class:`Pretrained`; not empty.

    Raises:
        CheckpointError: They are not there any more, or are of another method, protocol, fold or seed.
    """
    key = ledger[-1]["source"].removeprefix(f"{plan.entry.name} ")
    path = _folder(plan, key, fold) / WEIGHTS
    if not path.exists():
        raise CheckpointError(
            "is not there any more", where=path, hint="`aubench run` into another --runs makes it anew"
        )
    return checkpoint.read(path, _identity(plan, key, fold)).tensors


def _folder(plan: RunConfig, key: str, fold: int) -> Path:
    return plan.runs / FOLDER / plan.protocol.name / plan.entry.name / key / f"fold{fold}"


def _identity(plan: RunConfig, key: str, fold: int) -> CheckpointIdentity:
    return CheckpointIdentity(key, plan.entry.name, plan.protocol.digest, fold, plan.seed)


def _pretrain(place: TrainContext, part: TrainPhase, subjects: list[str]) -> None:
    training = Trainer(place, part, TrainState())
    training.run()
    source = f"{place.plan.entry.name} {part.identity.run}"
    entry = {"source": source, "datasets": [place.plan.store.dataset], "fold": place.fold, "subjects": subjects}
    said = {
        "recipe": place.plan.recipe_model.pretraining_config(),
        "frames": len(part.train),
        "seconds": round(training.state.wall, 3),
        "ledger": [{"stage": stage.name, **entry} for stage in part.stages],
    }
    atomic.write_json(part.folder / DONE, said)
    training.remove_resume_files()


def _key(plan: RunConfig, subjects: list[str]) -> str:
    parts = {
        "method": plan.entry.name,
        "source": _source(plan),
        "recipe": plan.recipe_model.pretraining_config(),
        "protocol": plan.protocol.digest,
        "store": plan.store.digest,
        "subjects": subjects,
        "seed": plan.seed,
        "precision": plan.precision,
    }
    return hashing.hash_json(parts)[:16]


def _source(plan: RunConfig) -> str:
    """The code that makes the weights: the method's file, and what the built-in methods share."""
    import inspect

    from aubench.methods import _modules

    files = [Path(inspect.getfile(plan.entry.method_class))]
    if plan.entry.source == "builtin":
        files += sorted(Path(_modules.__path__[0]).glob("*.py"))
    return hashing.hash_json([hashing.hash_file(file) for file in files])
