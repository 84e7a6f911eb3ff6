"""Summary of a prepared BP4D store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from aubench.data.store import Store
from aubench.datasets.file_search import printable

_LISTED = 20


@dataclass(frozen=True)
class PrepareSummary:
    """Counts of a prepared store."""

    store: Path  # folder of the store
    subjects: int  # subjects with at least one frame
    sequences: int  # sequences with at least one frame
    frames: int  # all frames
    labelled: int  # coded frames
    without_face: int  # photos without a detected face, whose crop is interpolated
    without_mesh: int  # frames without a depth map
    crops: dict[str, int]  # frames by the source of their crop
    uncertain: int  # frames with a crop score below 50
    unknown: dict[int, int]  # labelled frames with an unknown code, by AU
    offsets: dict[int, int]  # sequences by photo number minus frame number
    offset_reasons: dict[str, int]  # sequences by the reason for this number
    missing: list[str]  # missing and unused files and sequences, with reasons
    skipped: int  # number of rows of ``skipped_file``
    skipped_file: Path  # list of skipped frames and files, with reasons

    @staticmethod
    def from_store(store: Store, aus: Sequence[int]) -> PrepareSummary:
        """Count the frames of a finished store; unknown codes are counted for ``aus``."""
        notes = pd.read_csv(store.path / "sequences.csv")
        skipped = pd.read_csv(store.path / "skipped.csv", keep_default_na=False)
        files = skipped[skipped["frame"] < 0]
        labelled = store.frames[store.frames["labelled"]]
        used = notes[notes["frames"] > 0]
        return PrepareSummary(
            store=store.path,
            subjects=store.frames["subject"].nunique(),
            sequences=len(used),
            frames=len(store.frames),
            labelled=len(labelled),
            without_face=int(notes["without_face"].sum()),
            without_mesh=int(notes["without_mesh"].sum()),
            crops=dict(Counter(store.frames["crop_source"].tolist()).most_common()),
            uncertain=int((store.frames["crop_score"] < 50).sum()),
            unknown={au: int((labelled[f"AU{au}"] < 0).sum()) for au in aus},
            offsets=dict(sorted(Counter(used["offset"].tolist()).items())),
            offset_reasons=dict(Counter(used["offset_because"].tolist())),
            missing=[" ".join(filter(None, row)) for row in files[["subject", "sequence", "reason"]].to_numpy()],
            skipped=len(skipped),
            skipped_file=store.path / "skipped.csv",
        )

    def lines(self) -> list[str]:
        """Return a table as text, one string per line."""
        counts = [
            ["subjects", self.subjects],
            ["sequences", self.sequences],
            ["frames", self.frames],
            ["labelled", self.labelled],
            ["without face", self.without_face],
            ["without mesh", self.without_mesh],
            *([f"crop from {source}", n] for source, n in self.crops.items()),
            ["crop score below 50", self.uncertain],
            *([f"sequences with photo = frame {offset:+d}", n] for offset, n in self.offsets.items()),
            *([f"- {reason}", n] for reason, n in self.offset_reasons.items()),
            ["skipped", self.skipped],
        ]
        unknown = tabulate([list(self.unknown.values())], headers=[f"AU{au}" for au in self.unknown])
        return [
            *tabulate(counts, tablefmt="plain").splitlines(),
            "",
            "unknown codes in labelled frames",
            *unknown.splitlines(),
            "",
            *self._missing_lines(),
            f"store: {printable(str(self.store))}",
            f"skipped frames and files, with reasons: {printable(str(self.skipped_file))}",
        ]

    def _missing_lines(self) -> list[str]:
        if not self.missing:
            return []
        more = len(self.missing) - _LISTED
        return [
            f"missing or unused ({len(self.missing)})",
            *(f"- {line}" for line in self.missing[:_LISTED]),
            *([f"- and {more} more in the list of skipped files"] if more > 0 else []),
            "",
        ]
