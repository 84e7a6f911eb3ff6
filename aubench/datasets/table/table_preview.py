"""Description of a manifest before it is read: ``aubench data prepare table --dry-run``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tabulate import tabulate

from aubench.datasets.table.manifest import STILLS, Manifest
from aubench.datasets.table.table_columns import KEEP
from aubench.datasets.table.table_protocol import fold_remark

if TYPE_CHECKING:
    from aubench.datasets.table.table_dataset import TableOptions

_LISTED = 12
_GIB = 1 << 30


def preview_lines(manifest: Manifest, options: TableOptions) -> list[str]:
    """Return what would be read, one string per line."""
    frames = [frame for of_sequence in manifest.sequences.values() for frame in of_sequence]
    files = {picture.path for frame in frames for picture in frame.pictures.values()}
    channels = sum(m.channels for m in manifest.modalities)
    stills = sum(sequence == STILLS for _, sequence in manifest.sequences)
    parts = Counter(part or "none" for part in manifest.parts.values())
    stated = ", ".join(f"{part}: {count}" for part, count in parts.items())
    without: list[list[str | int]] = [
        [f"without {m}", sum(m not in frame.pictures for frame in frames)] for m in manifest.modalities
    ]
    counts: list[list[str | int]] = [
        ["subjects", len(manifest.subjects)],
        ["sequences", len(manifest.sequences)],
        ["of them stills", stills],
        ["frames", len(frames)],
        *without,
        ["files", len(files)],
        ["first frame of videos", "no videos" if manifest.first_frame is None else manifest.first_frame],
        ["labels", _label_rule(options.intensity)],
        ["label columns", listed(manifest.label_columns)],
        ["landmarks", "49 points of each frame" if manifest.has_points else "none"],
        ["boxes", sum(frame.box is not None for frame in frames)],
        ["subjects of parts", stated or f"none, so {options.folds} folds are drawn with seed {options.seed}"],
        ["columns not read", listed(manifest.unused)],
        ["size of the store", f"{len(frames) * channels * options.size**2 / _GIB:.2f} GiB"],
    ]
    values = [*range(6 if options.intensity == KEEP else 2), -1]
    labels = Counter((au, label) for frame in frames for au, label in zip(manifest.aus, frame.labels, strict=True))
    rows = [["unknown" if v < 0 else v, *(labels[au, v] for au in manifest.aus)] for v in values]
    table = tabulate(rows, headers=["frames by label", *(f"AU{au}" for au in manifest.aus)])
    remark = fold_remark(manifest, options.folds)
    remarks = [] if remark is None else [remark, ""]
    return [
        *tabulate(counts, tablefmt="plain").splitlines(),
        "",
        *table.splitlines(),
        "",
        *remarks,
        "nothing was written",
    ]


def _label_rule(intensity: str | None) -> str:
    if intensity is None:
        return "occurrence"
    return "intensities 0 to 5" if intensity == KEEP else f"present from intensity {intensity} on"


def listed(names: list[str]) -> str:
    """Join the first names, and count the others."""
    more = len(names) - _LISTED
    return " ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "") or "none"
