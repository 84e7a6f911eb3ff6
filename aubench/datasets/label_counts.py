"""Label counts of a store that anyone can render, as committed in ``protocols/labels``.

A leaderboard compares the labels that the counts of a record imply with this file.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aubench.core.errors import DataError

if TYPE_CHECKING:
    from aubench.data.store import Store


def label_counts(store: Store) -> dict[str, Any]:
    """Count the labels of a store by subject.

    Returns:
        Identity of the store, its AUs, and by subject the numbers of frames and of labelled frames, and the numbers of
        positive and of known labels per AU among the labelled frames.

    Raises:
        DataError: The labels are intensities, of which a rule of the protocol says what is positive.
    """
    info, frames = store.info, store.frames
    if info.labels == "intensity":
        hint = "prepare a store of occurrence labels"
        raise DataError("holds intensities, and label counts are of occurrence", where=store.path, hint=hint)
    aus = sorted(store.aus)
    columns = [f"AU{au}" for au in aus]
    subjects = {}
    for subject, rows in frames.groupby("subject"):
        labels = rows.loc[rows["labelled"], columns].to_numpy()
        positive, known = (labels == 1).sum(0).tolist(), (labels >= 0).sum(0).tolist()
        subjects[str(subject)] = [len(rows), len(labels), positive, known]
    identity = {"dataset": info.dataset, "version": info.version, "digest": info.digest, "labels": info.labels}
    return {**identity, "aus": aus, "subjects": subjects}


def to_text(counts: dict[str, Any]) -> str:
    """Format label counts as JSON, one line for each subject."""
    lines = [f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in counts["subjects"].items()]
    head = [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in counts.items() if key != "subjects"]
    return "\n".join(["{", *head, ' "subjects": {', ",\n".join(lines), " }", "}"]) + "\n"
