"""Checkpoints in safetensors, with an identity and JSON notes in the header."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from aubench._util import atomic, ranks
from aubench.core import hashing
from aubench.core.errors import CheckpointError, MethodError, is_out_of_memory, one_line
from aubench.core.state_dict import join_state, split_state
from aubench.results.run_folder import retrain_hint

if TYPE_CHECKING:
    import torch
    from torch import Tensor


_HEADER = "aubench"
"""Only key of the safetensors header. The order of several keys would differ between calls."""

MISFITS = (KeyError, RuntimeError, TypeError, ValueError)
"""Errors of a method or an optimiser that cannot restore a state."""


@dataclass(frozen=True)
class CheckpointIdentity:
    """Run and fold that a checkpoint belongs to.

    Attributes:
        run: Id of the run, the digest of method, recipe, protocol, store, seed and selection rule.
        method: Name of the method.
        protocol: Digest of the protocol.
        fold: Number of the fold.
        seed: Seed of the run.
    """

    run: str
    method: str
    protocol: str
    fold: int
    seed: int


@dataclass(frozen=True)
class Checkpoint:
    """Content of a checkpoint.

    Attributes:
        tensors: Tensors by name, and the extra state of modules.
        notes: JSON data.
    """

    tensors: dict[str, Any]
    notes: dict[str, Any]


def write(path: Path, identity: CheckpointIdentity, tensors: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically; of a group of processes, only process 0 does.

    Raises:
        MethodError: The extra state of a module or the state of an optimiser has a value that JSON cannot hold.
    """
    if not ranks.is_first():
        return
    split, extra = split_state(tensors)
    content = {"identity": vars(identity), "notes": notes} | ({"extra": extra} if extra else {})
    header = json.dumps(content, sort_keys=True, default=_plain_number)
    atomic.write_bytes(path, save(split, metadata={_HEADER: header}))


def _plain_number(value: Any) -> float | int:
    """Convert the number in a tensor or a NumPy scalar, e.g. a learning rate."""
    try:
        number: float | int = value.item()
    except (AttributeError, RuntimeError, ValueError):
        raise MethodError(
            f"the state of the optimiser has the type {type(value).__name__}, which no checkpoint can hold",
            hint="use an optimiser whose state has tensors and numbers",
        ) from None
    return number


def read(path: Path, identity: CheckpointIdentity) -> Checkpoint:
    """Read a checkpoint and check its identity.

    Raises:
        CheckpointError: The file is missing, is not a checkpoint in safetensors, or belongs to another run, protocol,
            fold or seed.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        stored, notes = dict(header["identity"]), dict(header["notes"])
        tensors = join_state(tensors, header.get("extra", {}))
    except FileNotFoundError:
        raise CheckpointError("is missing", where=path, hint=retrain_hint(path.parent)) from None
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        what = f"is not a checkpoint in safetensors ({type(error).__name__})"
        raise CheckpointError(what, where=path, hint=retrain_hint(path.parent)) from None
    for key, value in vars(identity).items():
        if stored.get(key) != value:
            what = f"belongs to {key} '{stored.get(key)}', not to '{value}'"
            raise CheckpointError(what, where=path, hint=retrain_hint(path.parent))
    return Checkpoint(tensors, notes)


def read_scored(path: Path, digest: str, identity: CheckpointIdentity) -> Checkpoint:
    """Read the checkpoint that a finished fold was scored with.

    Args:
        path: Path of the file.
        digest: SHA-256 of the file when the fold was scored.
        identity: Run and fold of the checkpoint.

    Raises:
        CheckpointError: The file is missing, cannot be read or is another one.
    """
    try:
        is_scored = hashing.hash_unchanged_file(path) == digest
    except OSError as error:
        what = f"is missing or cannot be read ({error.strerror})"
        raise CheckpointError(what, where=path, hint=retrain_hint(path.parent)) from None
    if not is_scored:
        raise CheckpointError("is not what the fold was scored with", where=path, hint=retrain_hint(path.parent))
    return read(path, identity)


@contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Convert errors of a block that restores the content of a checkpoint.

    Raises:
        CheckpointError: The content does not fit, as that of another version of the method or of a library may not.
    """
    try:
        yield
    except MISFITS as error:
        if is_out_of_memory(error):
            raise
        first_line, _, _ = str(error).partition("\n")
        reason = f"{type(error).__name__}: {one_line(first_line)}"
        what = f"was written by another version of the method, of aubench or of a library ({reason})"
        raise CheckpointError(what, where=path, hint=retrain_hint(path.parent)) from error


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state of an optimiser as named tensors and JSON data."""
    import torch

    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for index, values in state["state"].items():
        for key, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{index}.{key}"] = value
            else:
                plain.setdefault(str(index), {})[key] = value
    return tensors, {"groups": state["param_groups"], "plain": plain}


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], notes: Mapping[str, Any]
) -> None:
    """Load the output of :func:`flatten_optimizer` into a new optimiser of the same shape.

    Fused optimisers read parameters and state in the order of memory, which checkpoints do not keep.
    """
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in notes["plain"].items()}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "optimizer":
            index, key = rest.split(".", 1)
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": notes["groups"]})
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            if getattr(value, "shape", None) == parameter.shape:
                values[key] = value.new_empty_strided(value.shape, parameter.stride()).copy_(value)
