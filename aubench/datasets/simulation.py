"""Label files of a data set at its full size, with random labels, for tests of protocols, samplers and leaderboards.

The files have the layout of the owners and are read back by the readers of the deliveries. Numbers of subjects,
sequences and frames are those of the data set. AUs last for 20 frames on average and have its base rates.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aubench._util import atomic
from aubench.core import registry
from aubench.core.errors import DataError, UsageError, suggest
from aubench.core.task import Modality
from aubench.data.store import Store
from aubench.data.store_format import LabelKind
from aubench.data.store_writer import Sequence as StoredSequence
from aubench.data.store_writer import StoreWriter, frame_table
from aubench.datasets.base import Progress
from aubench.datasets.bp4d import labels as occurrence
from aubench.datasets.bp4d.layout import SCORED
from aubench.datasets.disfa import intensities

SUFFIX = "_simulated"
"""End of the names of simulated data sets and of their protocols."""
STORE = "store"
"""Folder of the store in the folder of the label files."""

_BOUT = 20  # mean number of frames of an AU
_UNKNOWN = 9
_OTHER_RATE = 0.05  # of AUs without a published rate


@dataclass(frozen=True)
class Simulation:
    """Size and labels of a data set.

    Attributes:
        protocols: Protocols of the data set alone.
        frames: Numbers of labelled frames of groups of subjects.
        tasks: Sequences of each subject.
        rates: Base rate of AUs, from intensity 2 on if the labels are intensities.
        kind: Kind of the labels.
        modalities: Modalities of the data set.
        write: Function that writes the label files of a sequence: folder, subject, sequence, frame numbers, and labels
            (F, A) of all AUs of the data set.
        read: Function that reads the label files of a sequence.
    """

    protocols: tuple[str, ...]
    frames: Mapping[tuple[str, ...], int]
    tasks: tuple[str, ...]
    rates: Mapping[int, float]
    kind: LabelKind
    modalities: tuple[Modality, ...]
    write: Callable[[Path, str, str, np.ndarray, np.ndarray], None]
    read: Callable[[Path, str, str], pd.DataFrame]

    @property
    def aus(self) -> tuple[int, ...]:
        """AUs with a label."""
        return occurrence.AUS if self.kind == "occurrence" else intensities.AUS


def simulate(dataset: str, out: Path, seed: int, progress: Progress) -> list[str]:
    """Write label files, a store with images of one pixel, and the protocols of a data set at full size.

    Args:
        dataset: ``bp4d``, ``bp4dplus`` or ``disfa``.
        out: New folder; it is complete when it appears.
        seed: Seed of the labels.
        progress: Called with the numbers of written and of all sequences.

    Returns:
        Lines of a summary.

    Raises:
        UsageError: There is no such data set.
        DataError: The folder is not empty or cannot be written.
    """
    simulations = _simulations()
    if dataset not in list(simulations):  # from Python, it may be of any type
        raise UsageError(f"cannot simulate '{dataset}'", where="DATASET", hint=suggest(dataset, simulations))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError("is not an empty folder", where=out, hint="name a new folder with --out")
    simulation = simulations[dataset]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", suffix=".tmp") as partial:
            written = Path(partial, "simulation")
            store = _write(simulation, dataset, written, np.random.default_rng(seed), progress)
            paths = [_write_protocol(name, dataset, written) for name in simulation.protocols]
            written.replace(out)
    except OSError as error:
        raise atomic.write_error(error, out) from None
    frames = store.frames
    counts = f"{frames['subject'].nunique()} subjects, {frames[['subject', 'sequence']].drop_duplicates().shape[0]}"
    return [
        f"{out}: label files of {counts} sequences, {len(frames)} frames",
        f"{out / STORE}: random labels and images of one pixel, digest {store.info.digest}",
        *(f"{out / path.name}: protocol" for path in paths),
    ]


def _write(simulation: Simulation, dataset: str, out: Path, rng: np.random.Generator, progress: Progress) -> Store:
    sequences = list(_lengths(simulation, rng))
    with StoreWriter(out / STORE, {"dataset": dataset + SUFFIX}) as writer:
        for done, (subject, sequence, count) in enumerate(sequences, 1):
            first = 1 if simulation.kind == "intensity" or rng.random() < 0.36 else int(rng.integers(2, 2000))
            labels = _labels(simulation, count, rng)
            simulation.write(out, subject, sequence, np.arange(first, first + count), labels)
            table = simulation.read(out, subject, sequence)
            images = {m: np.zeros((count, 1, 1, m.channels), np.uint8) for m in simulation.modalities}
            writer.add(StoredSequence(subject, sequence, images, table))
            progress(done, len(sequences))
        return writer.finish(
            dataset=dataset + SUFFIX,
            version="1",
            size=1,
            modalities=dict.fromkeys(simulation.modalities, "one black pixel"),
            crop="none",
            labels=simulation.kind,
        )


def _lengths(simulation: Simulation, rng: np.random.Generator) -> Iterator[tuple[str, str, int]]:
    """Yield subject, sequence and number of frames, so that the numbers of each group have their sum."""
    for subjects, total in simulation.frames.items():
        keys = [(subject, task) for subject in subjects for task in simulation.tasks]
        shares = rng.uniform(0.4, 1.6, len(keys))
        bounds = np.rint(np.cumsum(shares) / shares.sum() * total).astype(int)
        yield from ((*key, int(n)) for key, n in zip(keys, np.diff(bounds, prepend=0), strict=True))


def _labels(simulation: Simulation, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return labels (F, A): bouts and pauses of random length in turns, with the base rates on average."""
    columns = []
    for au in simulation.aus:
        rate = simulation.rates.get(au, _OTHER_RATE)
        pause = _BOUT * (1 - rate) / rate
        present = np.zeros(count, bool)
        at, is_on = 0, bool(rng.random() < rate)
        while at < count:
            length = int(rng.geometric(1 / (_BOUT if is_on else max(pause, 1.0))))
            present[at : at + length] = is_on
            at, is_on = at + length, not is_on
        high = rng.integers(2, 6, count)
        low = rng.integers(0, 2, count) if simulation.kind == "intensity" else np.zeros(count, int)
        columns.append(np.where(present, high if simulation.kind == "intensity" else 1, low))
    return np.stack(columns, axis=1)


def _write_protocol(name: str, dataset: str, out: Path) -> Path:
    """Write an installed protocol under another name, on the simulated data set."""
    text = registry.builtin_protocols()[name].read_text(encoding="utf-8")
    for key, value in (("name", name), ("dataset", dataset)):
        text = re.sub(rf'^{key} = "{value}"', f'{key} = "{value}{SUFFIX}"', text, count=1, flags=re.MULTILINE)
    path = out / f"{name}{SUFFIX}.toml"
    atomic.write_text(path, text)
    return path


def _write_codes(header: Sequence[int]) -> Callable[[Path, str, str, np.ndarray, np.ndarray], None]:
    """Return the writer of files of occurrence codes with a header, whose first cell is that of the frame."""
    aus = list(header)[1:]
    columns = [(1 + aus.index(au), i) for i, au in enumerate(occurrence.AUS) if au in aus]

    def write(out: Path, subject: str, sequence: str, frames: np.ndarray, labels: np.ndarray) -> None:
        cells = np.full((len(frames), len(header)), _UNKNOWN)
        cells[:, 0] = frames
        for column, i in columns:
            cells[:, column] = labels[:, i]
        lines = [",".join(map(str, row)) for row in [list(header), *cells.tolist()]]
        atomic.write_text(_codes(out, subject, sequence), "\n".join(lines) + "\n")

    return write


def _read_codes(out: Path, subject: str, sequence: str) -> pd.DataFrame:
    file = occurrence.read_label_file(_codes(out, subject, sequence))
    return frame_table(file.frames, "", True, occurrence.AUS, file.labels)


def _codes(out: Path, subject: str, sequence: str) -> Path:
    return out / "AUCoding" / "AU_OCC" / f"{subject}_{sequence}.csv"


def _write_intensities(out: Path, subject: str, sequence: str, frames: np.ndarray, labels: np.ndarray) -> None:
    for path, values in zip(_intensity_files(out, subject).values(), labels.T, strict=True):
        lines = (f"{frame},{value}\n" for frame, value in zip(frames.tolist(), values.tolist(), strict=True))
        atomic.write_text(path, "".join(lines))


def _read_intensities(out: Path, subject: str, sequence: str) -> pd.DataFrame:
    first, values = intensities.read_all_intensities(_intensity_files(out, subject))
    return frame_table(np.arange(first, first + len(values)), "", True, intensities.AUS, values)


def _intensity_files(out: Path, subject: str) -> dict[int, Path]:
    folder = out / "ActionUnit_Labels" / subject
    return {au: folder / f"{subject}_au{au}.txt" for au in intensities.AUS}


def _simulations() -> dict[str, Simulation]:
    """Return all simulations by data set.

    Frames of BP4D by part and of DISFA are those of ME-GraphAU's lists, frames of BP4D+ those of FMAE-IAT. Rates of
    BP4D+ are those of rPPG-Toolbox. Rates of BP4D and DISFA are approximate values from the literature.
    """
    bp4d, plus, disfa = map(registry.find_protocol, ("bp4d_3fold", "bp4dplus_bigsmall3", "disfa_3fold"))
    bp4d_rates = (0.211, 0.171, 0.203, 0.461, 0.549, 0.594, 0.562, 0.466, 0.169, 0.344, 0.165, 0.152)
    plus_rates = (0.094, 0.078, 0.056, 0.488, 0.654, 0.641, 0.571, 0.592, 0.105, 0.126, 0.166, 0.038)
    named = [1, 1, 2, 4, 5, 6, 7, *range(9, 21), 22, 23, 24, *range(27, 40)]
    of_disfa: dict[tuple[str, ...], int] = {
        (subject,): 4844 if subject == "SN010" else 4845 for subject in sorted(disfa.subjects)
    }
    return {
        "bp4d": Simulation(
            protocols=("bp4d_3fold",),
            frames=dict(zip(bp4d.parts.values(), (50_631, 50_182, 46_034), strict=True)),
            tasks=tuple(f"T{task}" for task in range(1, 9)),
            rates=dict(zip(SCORED, bp4d_rates, strict=True)),
            kind="occurrence",
            modalities=(Modality.VISUAL, Modality.DEPTH),
            write=_write_codes(range(100)),
            read=_read_codes,
        ),
        "bp4dplus": Simulation(
            protocols=("bp4dplus_bigsmall3", "bp4dplus_fmae4"),
            frames={tuple(sorted(plus.subjects)): 197_756},
            tasks=("T1", "T6", "T7", "T8"),
            rates=dict(zip(SCORED, plus_rates, strict=True)),
            kind="occurrence",
            modalities=tuple(Modality),
            write=_write_codes(named),
            read=_read_codes,
        ),
        "disfa": Simulation(
            protocols=("disfa_3fold",),
            frames=of_disfa,
            tasks=("left",),
            rates={1: 0.05, 2: 0.04, 4: 0.15, 6: 0.081, 9: 0.043, 12: 0.132, 25: 0.278, 26: 0.089},
            kind="intensity",
            modalities=(Modality.VISUAL,),
            write=_write_intensities,
            read=_read_intensities,
        ),
    }
