"""Job of Slurm, as submitit pickles it when it is submitted."""

from __future__ import annotations

import atexit
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aubench._util.ranks import Group
from aubench.core.errors import AubenchError
from aubench.engines import cluster_worker
from aubench.runs import sweeps

if TYPE_CHECKING:
    from aubench.engines.cluster import Outcome
    from aubench.runs.devices import DeviceChoice
    from aubench.runs.engine import Job

STORE_SECONDS = 5.0
"""Time in which the nodes of a fold that fails store their errors."""


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
        group = self._group() if self.nodes > 1 else None
        outcome = cluster_worker.work(self.job, self.choice, self.working_dir, group)
        if group and isinstance(outcome, AubenchError):
            _end_all_nodes(group)
        return outcome

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


def _end_all_nodes(group: Group) -> None:
    """Let this process end with an error once submitit has stored the outcome, so that srun ends the other nodes.

    They may still wait for this one. The first node, whose error may follow from that of another, stores its own later.
    """
    if group.has_first:
        time.sleep(STORE_SECONDS)
    atexit.register(os._exit, 1)
    atexit.register(time.sleep, 2 * STORE_SECONDS)  # called first
