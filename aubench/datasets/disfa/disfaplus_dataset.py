"""DISFA+ as an entry of the registry of data sets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from aubench.core.task import Modality
from aubench.datasets.delivered import DeliveredDataset, DeliveredOptions, Job, Jobs
from aubench.datasets.disfa.intensities import AUS, PLUS_SUBJECTS

if TYPE_CHECKING:
    from aubench.datasets.disfa.disfaplus_trials import Trial


class DisfaplusDataset(DeliveredDataset):
    """DISFA+ in the folder layout of its owners."""

    name, version, title = "disfaplus", "1", "DISFA+ as delivered by its owners"
    aus = AUS
    modalities: ClassVar[Mapping[Modality, str]] = {Modality.VISUAL: "RGB of the image"}
    labels = "intensity"

    def find(self, source: Path, options: DeliveredOptions) -> Jobs:
        """Search the delivery, and read all label files.

        Raises:
            DataError: The layout is unknown, or a file is damaged.
        """
        from aubench.datasets.disfa.disfaplus_trials import find_disfaplus, read_labels, read_trial
        from aubench.faces.visual_crops import DETECTED

        trials, unused = find_disfaplus(source)
        rows = [("", "", -1, reason) for reason in unused]
        jobs = {}
        for trial in trials:
            read_labels(trial)
            rows += [(trial.subject, trial.name, -1, remark) for remark in trial.remarks()]
            if trial.images:
                read = partial(read_trial, trial, options.size)
                jobs[trial.subject, trial.name] = Job(read, len(trial.images), trial.inputs())
        return Jobs(jobs, DETECTED, rows + _missing(trials))


def _missing(trials: list[Trial]) -> list[tuple[str, str, int, str]]:
    present = {trial.subject for trial in trials}
    return [(subject, "", -1, "neither images nor label files") for subject in PLUS_SUBJECTS if subject not in present]


DISFAPLUS = DisfaplusDataset()
