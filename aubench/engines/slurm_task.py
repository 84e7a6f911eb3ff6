"""Job of Slurm, as submitit pickles it when it is submitted."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aubench._util.ranks import Group
from aubench.engines import cluster_worker
from aubench.runs import sweeps

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
        nodes: Number of nodes, on each of which Slurm calls this task.
    """

    job: Job
    choice: DeviceChoice
    working_dir: str
    nodes: int = 1

    def __call__(self) -> Outcome:
        """Run the job on its node, together with the other nodes."""
        return cluster_worker.work(self.job, self.choice, self.working_dir, self._group() if self.nodes > 1 else None)

    def _group(self) -> Group:
        """Return the processes of this node, which meet at a file that each start of the job has for itself."""
        from submitit import JobEnvironment

        environment, devices = JobEnvironment(), self.choice.per_fold
        start = f"{environment.job_id}-{os.environ.get('SLURM_RESTART_COUNT', '0')}"
        meeting = self.job.config.runs / sweeps.FOLDER / sweeps.SLURM_JOBS / f"{start}.ranks"
        return Group(environment.global_rank * devices, self.nodes * devices, meeting)

    def checkpoint(self) -> Any:
        """Return the same task, which Slurm starts again. Called before the time limit and at preemption."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)
