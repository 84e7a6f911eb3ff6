"""Summary of a prepared BP4D store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from aubench.data.store import Store


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
    unknown: dict[int, int]  # labelled frames with an unknown code, by AU
    offsets: dict[int, int]  # sequences by photo number minus frame number
    skipped: int  # number of rows of ``skipped_file``
    skipped_file: Path  # list of skipped frames and files, with reasons

    @staticmethod
    def from_store(store: Store, aus: Sequence[int]) -> PrepareSummary:
        """Count the frames of a finished store; unknown codes are counted for ``aus``."""
        notes = pd.read_csv(store.path / "sequences.csv")
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
            unknown={au: int((labelled[f"AU{au}"] < 0).sum()) for au in aus},
            offsets=dict(sorted(Counter(used["offset"].tolist()).items())),
            skipped=len(pd.read_csv(store.path / "skipped.csv")),
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
            *([f"sequences with photo = frame {offset:+d}", n] for offset, n in self.offsets.items()),
            ["skipped", self.skipped],
        ]
        unknown = tabulate([list(self.unknown.values())], headers=[f"AU{au}" for au in self.unknown])
        return [
            *tabulate(counts, tablefmt="plain").splitlines(),
            "",
            "unknown codes in labelled frames",
            *unknown.splitlines(),
            "",
            f"store: {self.store}",
            f"skipped frames and files, with reasons: {self.skipped_file}",
        ]
