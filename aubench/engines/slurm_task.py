"""Job of Slurm, as submitit pickles it when it is submitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aubench.engines import cluster_worker

if TYPE_CHECKING:
    from aubench.engines.cluster import Outcome
    from aubench.runs.devices import DeviceChoice
    from aubench.runs.engine import Job


@dataclass(frozen=True)
class FoldTask:
    """Work on a fold. It says nothing about resuming, which the state in the fold's folder decides at each start.

    Attributes:
        job: The job.
        choice: Kind of device.
        working_dir: Working directory of the command.
    """

    job: Job
    choice: DeviceChoice
    working_dir: str

    def __call__(self) -> Outcome:
        """Run the job on its node."""
        return cluster_worker.work(self.job, self.choice, self.working_dir)

    def checkpoint(self) -> Any:
        """Return the same task, which Slurm starts again. Called before the time limit and at preemption."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)
