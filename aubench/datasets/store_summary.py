"""Summary of a prepared store of delivered files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd
from tabulate import tabulate

from aubench.data import store_files
from aubench.data.store import UNCERTAIN_CROP, Store
from aubench.datasets.file_search import printable

_LISTED = 20
_WITHOUT = ("without_face", "without_mesh", "without_thermal")


def summary_lines(store: Store, labels: list[str] | None = None) -> list[str]:
    """Return the counts of a finished store as text, one string per line, with ``labels`` instead of its own table."""
    frames = store.frames
    notes, skipped = store.sequence_notes(), store.skipped()
    files = skipped[skipped["frame"] < 0]
    without: list[list[str | int]] = [[n.replace("_", " "), int(notes[n].sum())] for n in _WITHOUT if n in notes]
    counts: list[list[str | int]] = [
        ["subjects", frames["subject"].nunique()],
        ["sequences", int((notes["frames"] > 0).sum())],
        ["frames", len(frames)],
        ["labelled", int(frames["labelled"].sum())],
        *without,
        *_crop_counts(frames),
        *_offsets(notes[notes["frames"] > 0]),
        ["skipped", len(skipped)],
    ]
    missing = [" ".join(filter(None, row)) for row in files[["subject", "sequence", "reason"]].to_numpy()]
    return [
        *tabulate(counts, tablefmt="plain").splitlines(),
        "",
        *(_label_lines(store) if labels is None else labels),
        *_missing_lines(missing),
        f"store: {printable(str(store.path))}",
        f"skipped frames and files, with reasons: {printable(str(store.path / store_files.SKIPPED))}",
    ]


def unknown_lines(store: Store, aus: Sequence[int]) -> list[str]:
    """Return a table of the labelled frames with an unknown code, by AU."""
    labelled = store.frames[store.frames["labelled"]]
    table = tabulate([[(labelled[f"AU{au}"] < 0).sum() for au in aus]], headers=[f"AU{au}" for au in aus])
    return ["unknown codes in labelled frames", *table.splitlines(), ""]


def _offsets(notes: pd.DataFrame) -> list[list[str | int]]:
    """Return the sequences by photo number minus frame number, and by the reason for this number."""
    if "offset" not in notes:
        return []
    offsets = sorted(Counter(notes["offset"].tolist()).items())
    reasons = Counter(notes["offset_because"].tolist())
    rows: list[list[str | int]] = [[f"sequences with photo = frame {offset:+d}", count] for offset, count in offsets]
    return rows + [[f"- {reason}", count] for reason, count in reasons.items()]


def _crop_counts(frames: pd.DataFrame) -> list[list[str | int]]:
    if "crop_source" not in frames:
        return []
    sources = Counter(frames["crop_source"].tolist()).most_common()
    uncertain = int((frames["crop_score"] < UNCERTAIN_CROP).sum())
    rows: list[list[str | int]] = [[f"crop from {source}", n] for source, n in sources]
    return [*rows, [f"crop score below {UNCERTAIN_CROP}", uncertain]]


def _label_lines(store: Store) -> list[str]:
    """Return a table of the labelled frames by AU and label."""
    if not store.aus:
        return []
    labelled = store.frames[store.frames["labelled"]]
    values = [*range(6 if store.info.labels == "intensity" else 2), -1]
    rows = [
        [value if value >= 0 else "unknown", *((labelled[f"AU{au}"] == value).sum() for au in store.aus)]
        for value in values
    ]
    table = tabulate(rows, headers=[store.info.labels, *(f"AU{au}" for au in store.aus)])
    return ["labelled frames by label", *table.splitlines(), ""]


def _missing_lines(missing: list[str]) -> list[str]:
    if not missing:
        return []
    more = len(missing) - _LISTED
    return [
        f"missing or unused ({len(missing)})",
        *(f"- {line}" for line in missing[:_LISTED]),
        *([f"- and {more} more in the list of skipped files"] if more > 0 else []),
        "",
    ]
