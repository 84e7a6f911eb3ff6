"""What ``prepare`` says at its end."""

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
    """The closing table.

    Attributes:
        store: Where the store is.
        subjects: People with at least one frame.
        sequences: Sequences with at least one frame.
        frames: All frames.
        labelled: Frames that the delivery codes.
        without_face: Photos in which no face was found (their crop comes from their neighbours).
        without_mesh: Frames without a depth map.
        unknown: Labelled frames whose code is unknown, by AU.
        offsets: Sequences by photo number minus frame number.
        skipped: Rows of ``skipped_file``.
        skipped_file: What was left out, and why.
    """

    store: Path
    subjects: int
    sequences: int
    frames: int
    labelled: int
    without_face: int
    without_mesh: int
    unknown: dict[int, int]
    offsets: dict[int, int]
    skipped: int
    skipped_file: Path

    @staticmethod
    def from_store(store: Store, aus: Sequence[int]) -> PrepareSummary:
        """Sum up a finished store.

        Args:
            store: The store.
            aus: The AUs whose unknown codes are counted.
        """
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
        """The table as text, a line each."""
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
            f"what was skipped and why: {self.skipped_file}",
        ]
