"""Rules of partial stores: their lock, the files of finished sequences, and when they may be resumed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from aubench.core import hashing
from aubench.core.errors import DataError
from aubench.core.system_files import children, descendants
from aubench.data import store_files
from aubench.data.inputs import Inputs, changes


def lock_path(path: Path) -> Path:
    """Return the file that the writer of a store locks."""
    return path.with_name(path.name + ".lock")


def check_target(path: Path) -> None:
    """Refuse a folder that is not empty, and a link, which a finished store could not replace.

    Raises:
        DataError: A store or other files are there.
    """
    if store_files.is_store(path):
        raise DataError("a store is here already", where=path, hint="delete it first, or choose another --store")
    if path.is_symlink():
        raise DataError("is a symbolic link", where=path, hint="name the folder that it points to")
    if path.exists() and (not path.is_dir() or path.is_mount() or children(path)):
        raise DataError("is not an empty folder", where=path, hint="name one inside it with --store")


def check_plan(partial: Path, plan: Mapping[str, object]) -> None:
    """Refuse a partial store with sequences of another plan, or with files of an unknown one.

    Raises:
        DataError: The folder has files without a plan, or sequences of a plan that differs; the message names each
            difference.
    """
    try:
        begun = json.loads((partial / store_files.PLAN).read_bytes())
    except FileNotFoundError:
        if all(file.is_dir() for file in descendants(partial)):
            return
        begun = None
    except (OSError, ValueError):
        begun = None
    if not isinstance(begun, dict):
        hint = "delete it and repeat the command"
        raise DataError("its options and source are unknown", where=partial, hint=hint)
    now = json.loads(json.dumps(plan))
    differences = [
        f"{key} was {begun.get(key)} and is {now.get(key)}"
        for key in dict.fromkeys([*begun, *now])
        if begun.get(key) != now.get(key)
    ]
    if differences and finished_parts(partial):
        what = f"was begun with other options: {', '.join(differences)}"
        raise DataError(what, where=partial, hint="delete it, or repeat its options")


def part_path(partial: Path, subject: str, sequence: str) -> Path:
    """Return the file that describes a finished sequence."""
    return partial / "parts" / subject / f"{sequence}.json"


def key_of_part(part: Path) -> tuple[str, str]:
    """Return the names of subject and sequence of a path of :func:`part_path`."""
    return part.parent.name, part.stem


def finished_parts(partial: Path) -> list[Path]:
    """Return the files of all finished sequences, in the order of the store."""
    return sorted(children(partial / "parts", "*/*.json"), key=_natural)


def _natural(part: Path) -> tuple[list[object], str]:
    subject, sequence = key_of_part(part)
    words = re.split(r"(\d+)", f"{subject}_{sequence}")
    return [int(word) if word.isdigit() else word for word in words], subject


def change(part: Path, inputs: Mapping[tuple[str, str], Inputs]) -> str:
    """Return why a finished sequence cannot be used and what happens to it, empty if it can be used."""
    key = key_of_part(part)
    if key not in inputs:
        return "no longer there; it is left out"
    reason = "damaged" if (before := _inputs(part)) is None else changes(before, inputs[key])
    return f"{reason}; it is prepared again" if reason else ""


def _inputs(part: Path) -> Inputs | None:
    """Return the state of the files that a sequence was made from; None if its own files are damaged."""
    try:
        summary = json.loads(part.read_bytes())
        digests = {part.parents[2] / name: digest for name, digest in summary["arrays"].items()}
        digests[part.with_suffix(".parquet")] = summary["table"]
        is_intact = all(hashing.hash_file(file) == digest for file, digest in digests.items())
        return dict(summary["inputs"] or {}) if is_intact else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
