"""Fields that ``record.json`` of submitted predictions does not have, because their training was not seen."""

from __future__ import annotations

from typing import Any

from aubench.core.errors import RecordError

SUBMITTED = "submitted"
"""Selection rule, and preset, of a record of submitted predictions."""

_RUN: dict[str, Any] = {
    "preset": SUBMITTED,
    "recipe": {},
    "overrides": [],
    "pretraining": [],
    "search": {"trials": 0},
    "compute": None,
    "speed": {"train_frames_per_s": None, "inference_frames_per_s": None},
    "time": None,
    "device": None,
    "packages": {},
    "git": {"commit": None, "dirty": None},
    "other_environments": [],
}
_METHOD: dict[str, Any] = dict.fromkeys(("fidelity", "source", "file", "version"))
_FOLD: dict[str, Any] = {"train": [], "val": [], "epochs": 0, "best_epoch": 0, "checkpoint": None, "node": None}
_FRAMES: dict[str, Any] = {"train": 0, "val": 0}


def add_unseen(fields: dict[str, Any], where: object) -> dict[str, Any]:
    """Return the content of a file with empty values for the fields of training.

    Raises:
        RecordError: The file has a field of training.
    """
    complete: dict[str, Any] = _added(fields, _RUN, "", where)
    complete["method"] = _added(fields.get("method"), _METHOD, "method.", where)
    if isinstance(folds := fields.get("folds"), list | tuple):
        complete["folds"] = [_with_fold(fold, f"folds.{i}.", where) for i, fold in enumerate(folds)]
    return complete


def drop_unseen(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the content without the fields of training, as :func:`add_unseen` expects it."""
    method, folds = _dropped(fields["method"], _METHOD), [_dropped(fold, _FOLD) for fold in fields["folds"]]
    folds = [{**fold, "frames": _dropped(fold["frames"], _FRAMES)} for fold in folds]
    return {**_dropped(fields, _RUN), "method": method, "folds": folds}


def _with_fold(fold: Any, path: str, where: object) -> Any:
    complete = _added(fold, _FOLD, path, where)
    if isinstance(complete, dict) and "frames" in complete:
        complete["frames"] = _added(complete["frames"], _FRAMES, f"{path}frames.", where)
    return complete


def _added(content: Any, unseen: dict[str, Any], path: str, where: object) -> Any:
    if not isinstance(content, dict):
        return content
    for name in unseen:
        if name in content:
            raise RecordError(f"{path}{name}: Extra inputs are not permitted", where=where)
    return {**content, **unseen}


def _dropped(content: dict[str, Any], unseen: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name not in unseen}
