"""``synth``, the data set that needs no licence: persons who do not exist, drawn by a formula."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aubench.core.errors import UsageError
from aubench.core.task import Modality
from aubench.data.store import Store
from aubench.data.store_writer import Sequence, StoreWriter
from aubench.datasets.synth import identity, rendering, tracks
from aubench.datasets.synth.anatomy import AUS

VERSION = "1"
"""Changes with any change in what is drawn or coded."""

_MEANING = {
    Modality.VISUAL: "red, green, blue, gamma 2",
    Modality.DEPTH: "nearness, 130 grey levels per face unit (about 9 cm), 0 where nothing is",
    Modality.THERMAL: "skin temperature, 15 grey levels per degree Celsius from 20",
}
_CROP = "drawn in place: the image is 2.2 face units wide, the face about 1.6; no detector"
_WORKERS = 2


@dataclass(frozen=True)
class SynthSettings:
    """All that decides the bytes of a synthetic store.

    Attributes:
        subjects: How many persons, the first of :data:`aubench.datasets.synth.identity.ROSTER`.
        sequences: How many tasks of each.
        frames: Frames of each sequence, at 25 per second.
        size: Height and width of the images in pixels.
        seed: Another seed gives other persons.

    Raises:
        UsageError: A number is out of bounds.
    """

    subjects: int = len(identity.ROSTER)
    sequences: int = len(tracks.TASKS)
    frames: int = 32
    size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        bounds = {
            "subjects": (1, len(identity.ROSTER)),
            "sequences": (1, len(tracks.TASKS)),
            "frames": (1, 10_000),
            "size": (32, 256),
            "seed": (0, 2**63 - 1),
        }
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"synth cannot have {name} = {getattr(self, name)}", hint=f"choose {low} to {high}")


def generate(path: Path, settings: SynthSettings, progress: Callable[[int, int], None]) -> Store:
    """Draw the data set and write its store; what an earlier, stopped call has drawn is kept.

    The bytes depend on the settings alone, not on the machine or on how the work is shared out.

    Args:
        path: Where the store shall be.
        settings: What to draw.
        progress: Called with sequences done and sequences in all.

    Returns:
        The store, opened.

    Raises:
        DataError: A store is there already, a half-made one has other settings, or the disk is full.
    """
    writer = StoreWriter(path, {"dataset": "synth", "version": VERSION, **asdict(settings)})
    wanted = [
        (who, task) for who in identity.ROSTER[: settings.subjects] for task in tracks.TASKS[: settings.sequences]
    ]
    missing = [key for key in wanted if not writer.has(*key)]
    done = len(wanted) - len(missing)
    progress(done, len(wanted))
    with ThreadPoolExecutor(_WORKERS) as pool:  # the drawing releases the interpreter's lock
        try:
            for job in as_completed([pool.submit(_draw, writer, settings, *key) for key in missing]):
                job.result()
                done += 1
                progress(done, len(wanted))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return writer.finish(dataset="synth", version=VERSION, size=settings.size, modalities=_MEANING, crop=_CROP)


def _draw(writer: StoreWriter, settings: SynthSettings, subject: str, task: str) -> None:
    track = tracks.make_track(settings.seed, subject, task, settings.frames)
    images = rendering.sequence(settings.seed, subject, task, track, settings.size)
    number = np.arange(1, settings.frames + 1)
    frames = pd.DataFrame(
        {
            "frame": number,
            "source": [f"synth/{subject}/{task}/{n:04d}" for n in number],
            "labelled": track.labelled,
            "missing": "",
            **{f"AU{au}": track.labels[:, column] for column, au in enumerate(AUS)},
        }
    )
    counts = {"frames": settings.frames, "labelled": int(track.labelled.sum())}
    writer.add(Sequence(subject, task, images, frames, notes=dict(counts)))
