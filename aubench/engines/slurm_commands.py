"""Commands of Slurm, beside those that submitit calls."""

from __future__ import annotations

import getpass
import re
import subprocess
from collections.abc import Iterable, Sequence

ARRAY_SIZE = 1000
"""Largest array, unless the site's limit is lower."""
_SECONDS = 60.0
_IDS_PER_CALL = 500


def array_size() -> int:
    """Return the largest size of an array of jobs."""
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", _output("scontrol", "show", "config") or "", re.MULTILINE)
    return max(1, min(ARRAY_SIZE, int(match[1]))) if match else ARRAY_SIZE


def active_jobs() -> set[str] | None:
    """Return the ids of the user's jobs in the queue, elements of arrays one by one; None if Slurm does not answer."""
    text = _output("squeue", "--noheader", "--array", "--format=%i", f"--user={getpass.getuser()}")
    return None if text is None else set(text.split())


def last_state(job_id: str) -> str:
    """Return the state in which a job ended, as in Slurm's accounting."""
    text = _output("sacct", "--noheader", "--allocations", "--parsable2", "--format=State", f"--jobs={job_id}")
    return (text or "").strip().splitlines()[-1] if (text or "").strip() else "in an unknown state"


def cancel_jobs(job_ids: Sequence[str]) -> bool:
    """Remove jobs from the queue. Return whether Slurm has accepted the requests for all jobs that are in it.

    ``scancel`` fails if one of the jobs has left the queue. Those that are in it are then cancelled again.
    """
    if _cancel(job_ids):
        return True
    active = active_jobs()
    return active is not None and _cancel([job_id for job_id in job_ids if job_id in active])


def _cancel(job_ids: Sequence[str]) -> bool:
    parts = [job_ids[start : start + _IDS_PER_CALL] for start in range(0, len(job_ids), _IDS_PER_CALL)]
    outputs = [_output("scancel", *part) for part in parts]
    return None not in outputs


def _output(*words: str) -> str | None:
    try:
        done = subprocess.run(words, capture_output=True, encoding="utf-8", timeout=_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None


def is_limit(reason: str) -> bool:
    """Return whether ``sbatch`` refused jobs because of a limit on their number."""
    words: Iterable[str] = ("limit", "invalid job array specification", "slurmctld at capacity")
    message = reason.lower()
    return any(word in message for word in words) and "requested time limit" not in message
