"""synth as an entry of the registry of data sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from aubench.core.task import Modality
from aubench.datasets.base import DatasetOptions, RenderedDataset, RenderedFrame
from aubench.rendering.constants import AUS, SUBJECTS, TASKS

if TYPE_CHECKING:
    import numpy as np

    from aubench.data.store_writer import Sequence


class SynthOptions(DatasetOptions):
    """Preparation options of synth."""

    subjects: int = Field(len(SUBJECTS), ge=1, le=len(SUBJECTS), description="Number of subjects.")
    sequences: int = Field(len(TASKS), ge=1, le=len(TASKS), description="Number of sequences of each subject.")
    frames: int = Field(32, ge=32, le=10_000, description="Frames of each sequence, at 25 per second.")
    size: int = Field(64, ge=32, le=256, description="Side of every image in pixels.")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="Seed of identities, expressions and noise.")


class SynthDataset(RenderedDataset):
    """Rendered faces of subjects that do not exist."""

    name, version, title = "synth", "1", "Rendered faces that need no licence"
    aus = AUS
    crop = "drawn in place: the image is 2.2 face units wide, the face about 1.6; no detector"
    modalities = {  # noqa: RUF012
        Modality.VISUAL: "red, green, blue, gamma 2",
        Modality.DEPTH: "nearness, 130 grey levels per face unit (about 9 cm), 0 where nothing is",
        Modality.THERMAL: "skin temperature, 15 grey levels per degree Celsius from 20",
    }
    workers = 2  # the renderer releases the interpreter's lock
    Options = SynthOptions
    example_subjects = ("F020", "M004")

    def sequences(self, source: Path | None, options: SynthOptions) -> Mapping[tuple[str, str], Callable[[], Sequence]]:
        """Return functions that render one sequence each; the bytes depend on the options alone."""
        keys = [(subject, task) for subject in SUBJECTS[: options.subjects] for task in TASKS[: options.sequences]]
        return {key: partial(_render_sequence, options, *key) for key in keys}

    def render_face(self, subject: str, aus: Mapping[int, float], size: int) -> Mapping[Modality, np.ndarray]:
        """Render a subject from the front without noise."""
        from aubench.rendering import frames as rendering
        from aubench.rendering import identity

        return rendering.single(identity.make_identity(0, subject), aus, size)

    def render_frame(self, index: int, size: int) -> RenderedFrame:
        """Render frame 21 of a sequence of the default store."""
        from aubench.rendering import frames as rendering
        from aubench.rendering import tracks

        subject, task = SUBJECTS[(index * 19 + 3) % len(SUBJECTS)], TASKS[index % len(TASKS)]
        track = tracks.make_track(0, subject, task, 32).only([20])
        images = rendering.sequence(0, subject, task, track, size)
        return RenderedFrame(subject, task, 21, track.labels[0], {m: frames[0] for m, frames in images.items()})


SYNTH = SynthDataset()


def _render_sequence(settings: SynthOptions, subject: str, task: str) -> Sequence:
    from aubench.data.store_writer import Sequence, frame_table
    from aubench.rendering import frames as rendering
    from aubench.rendering import tracks

    track = tracks.make_track(settings.seed, subject, task, settings.frames)
    images = rendering.sequence(settings.seed, subject, task, track, settings.size)
    numbers = range(1, settings.frames + 1)
    sources = [f"synth/{subject}/{task}/{n:04d}" for n in numbers]
    frames = frame_table(numbers, sources, track.labelled, AUS, track.labels)
    counts = {"frames": settings.frames, "labelled": int(track.labelled.sum())}
    return Sequence(subject, task, images, frames, notes=dict(counts))
