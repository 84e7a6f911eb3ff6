"""Protocol of a store of a manifest: parts of the manifest, or parts that are drawn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import numpy as np
from pydantic import ValidationError

from aubench.core.errors import DataError, ProtocolError
from aubench.core.protocol import Protocol
from aubench.core.value_problems import problem_with_value
from aubench.data.splits import ProtocolDataset
from aubench.data.store import Store
from aubench.datasets.label_text import shorten
from aubench.datasets.table.manifest import Manifest

_DRAWS = 2000
_ROLES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_LOWEST = 2
"""Intensity from which on an AU counts as present: that of published work on DISFA."""


def is_split(parts: Iterable[str]) -> bool:
    """Return whether parts are the roles of a fixed split."""
    return all(part.lower() in _ROLES for part in parts)


def check_parts(manifest: Manifest) -> None:
    """Check that the parts of a manifest are all roles of a fixed split, or all names of folds.

    Raises:
        DataError: Some are roles and others are not.
    """
    parts = sorted({part for part in manifest.parts.values() if part})
    roles = [part for part in parts if part.lower() in _ROLES]
    others = [part for part in parts if part.lower() not in _ROLES]
    if roles and others:
        what = f"part '{shorten(others[0])}' is none of train, validation and test, and '{shorten(roles[0])}' is"
        hint = "write all parts of a fixed split so, or give folds other names; leave out people with an empty part"
        raise DataError(what, where=manifest.path, hint=hint)


def fold_remark(manifest: Manifest, folds: int) -> str | None:
    """Return why the store of a manifest will have no protocol, with the remedy; None if people and parts suffice.

    Args:
        manifest: Manifest, whose parts are used if it states any.
        folds: Number of parts to draw otherwise.
    """
    labelled = {
        subject
        for (subject, _), frames in manifest.sequences.items()
        if any(label >= 0 for frame in frames for label in frame.labels)
    }
    if any(manifest.parts.values()):
        return _part_remark({part for subject, part in manifest.parts.items() if part and subject in labelled})
    if len(labelled) >= folds:
        return None
    remedy = f"; give --folds {len(labelled)} for one" if len(labelled) > 1 else ""
    return f"fewer subjects with labels ({len(labelled)}) than folds ({folds}), so there will be no protocol{remedy}"


def _part_remark(parts: set[str]) -> str | None:
    roles = {_ROLES.get(part.lower()) for part in parts}
    if {"train", "test"} <= roles or (not is_split(parts) and len(parts) > 1):
        return None
    named = shorten(", ".join(sorted(parts))) or "none"
    remedy = "write train and test, or the names of two folds or more"
    return f"parts of people with labels: {named}, so there will be no protocol; {remedy}"


def draw_parts(store: Store, folds: int, seed: int) -> dict[str, str]:
    """Draw a part of each subject, so that parts have about the same number of subjects and the same AU rates.

    Of 2,000 random draws, the one with the smallest sum of differences between the AU rates of the parts and those of
    all frames is used. A part also differs by its number of labelled frames.

    Args:
        store: Store with labels.
        folds: Number of parts.
        seed: Seed of the draws.

    Returns:
        Name of the part by subject.
    """
    frames = store.frames[store.frames["labelled"]]
    subjects = sorted(frames["subject"].unique())
    labels = frames[[f"AU{au}" for au in store.aus]].to_numpy()
    least = _LOWEST if store.info.labels == "intensity" else 1
    codes = np.searchsorted(subjects, frames["subject"].to_numpy(str))
    sums = np.stack([np.bincount(codes, column) for x in (labels >= least, labels >= 0) for column in x.T])
    counts = np.bincount(codes)
    positive, known = np.split(sums, 2)  # (A, S) each
    rate = positive.sum(1) / known.sum(1).clip(1)
    rng = np.random.RandomState(seed)
    best, smallest = np.zeros(len(subjects), int), np.inf
    for _ in range(_DRAWS):
        part = np.arange(len(subjects))[rng.permutation(len(subjects))] % folds
        member = part == np.arange(folds)[:, None]  # (K, S)
        rates = (member @ positive.T) / (member @ known.T).clip(1)
        share = member @ counts / counts.sum()
        difference = float(np.abs(rates - rate).sum() + np.abs(share - 1 / folds).sum())
        if difference < smallest:
            best, smallest = part, difference
    return {subject: f"part{number + 1}" for subject, number in zip(subjects, best.tolist(), strict=True)}


def protocol_text(name: str, title: str, store: Store, parts: Mapping[str, str]) -> tuple[Protocol, str]:
    """Return a proven protocol of a store, and its file.

    Args:
        name: Name of the protocol.
        title: Title of the protocol.
        store: Finished store.
        parts: Part of each subject. Subjects without labelled frames and with an empty part are left out.

    Raises:
        ProtocolError: The parts are no protocol, e.g. there is one part alone, or no AU is present.
    """
    is_intensity = store.info.labels == "intensity"
    labelled = store.frames[store.frames["labelled"]]
    members: dict[str, list[str]] = {}
    for subject in sorted(labelled["subject"].unique()):
        if part := parts.get(subject, ""):
            members.setdefault(_ROLES[part.lower()] if is_split(parts.values()) else part, []).append(subject)
    members = {part: members[part] for part in sorted(members, key=lambda part: (len(part), part))}
    of_members = labelled[labelled["subject"].isin([subject for part in members.values() for subject in part])]
    values: dict[str, object] = {
        "name": name,
        "version": 1,
        "title": title,
        "dataset": store.info.dataset,
        "modalities": [m.value for m in store.info.modalities],
        "aus": [au for au in store.aus if (of_members[f"AU{au}"] >= (_LOWEST if is_intensity else 1)).any()],
        "labels": f"intensity >= {_LOWEST}" if is_intensity else "occurrence",
        "threshold": "fixed:0.5",
        "preset": "small",
    }
    if not values["aus"]:
        raise ProtocolError("no AU is present in any frame; --intensity says from which intensity on it is", where=name)
    roles = {role: [role] for role in ("train", "validation", "test") if role in members}
    if not is_split(parts.values()) or "validation" not in members:
        values["validation"] = {"fraction": 0.2, "candidates": 200}
    values["parts"] = members
    if is_split(parts.values()):
        values["split"] = {"train": [], "test": [], **roles}
    else:
        values["folds"] = [{"train": [other for other in members if other != part], "test": [part]} for part in members]
    try:
        protocol = Protocol.model_validate(values)
    except ValidationError as error:
        raise ProtocolError(problem_with_value(error.errors()[0]), where=name) from None
    return protocol, _toml(values)


def training_remark(store: Store, protocol: Protocol) -> str | None:
    """Return which AUs nobody in training shows, by fold; None if somebody shows each in all folds."""
    data, absent = ProtocolDataset(store, protocol), []
    for fold in protocol.fold_numbers():
        is_shown = (data.labels[data.labelled_rows(protocol.train_subjects(fold))] == 1).any(axis=0)
        aus = [f"AU{au}" for au, shown in zip(protocol.aus, is_shown.tolist(), strict=True) if not shown]
        absent += [f"{', '.join(aus)} in fold {fold}"] if aus else []
    if not absent:
        return None
    return f"nobody in training shows {'; '.join(absent)}, where a model cannot learn them; leave out their columns"


def _toml(values: Mapping[str, object]) -> str:
    lines = [f"{key} = {_value(value)}" for key, value in values.items() if key not in {"parts", "split", "folds"}]
    for key in ("parts", "split"):
        table = values.get(key)
        if isinstance(table, dict):
            lines += ["", f"[{key}]", *(f"{_value(name)} = {_value(entry)}" for name, entry in table.items())]
    folds = values.get("folds")
    for fold in folds if isinstance(folds, list) else ():
        lines += ["", "[[folds]]", *(f"{name} = {_value(entry)}" for name, entry in fold.items())]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(entry)}" for key, entry in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # which TOML escapes, unlike JSON
