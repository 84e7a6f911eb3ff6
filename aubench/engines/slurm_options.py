"""Options of Slurm jobs, from ``KEY=VALUE,KEY=VALUE``."""

from __future__ import annotations

import re
from typing import Any

from aubench.core.errors import UsageError

DEFAULT_MINUTES = 240
_UNITS = {"": 1, "m": 1, "min": 1, "h": 60, "d": 24 * 60}
_SET_HERE = {"nodes", "ntasks", "ntasks_per_node", "array", "output", "error", "wrap", "job_name", "requeue"}
_LISTS = {"setup", "teardown", "srun_args", "additional_parameters", "map_count"}
"""Parameters of submitit that are not options of Slurm."""

_INTEGERS = {"array_parallelism", "cpus_per_gpu", "cpus_per_task", "gpus_per_node", "gpus_per_task", "num_gpus"}
_INTEGERS |= {"signal_delay_s", "stderr_to_stdout", "use_srun"}
"""Parameters of submitit that are numbers. Others may begin with zeros, such as an account ``0042``."""


def parse_options(text: str) -> dict[str, str]:
    """Return the options by name, with ``_`` in place of ``-``.

    A word without ``=`` continues the previous value, as in ``nodelist=a,b``. ``exclusive=`` is an option without a
    value.

    Raises:
        UsageError: An option has no name or is given twice, or aubench sets it.
    """
    options: dict[str, str] = {}
    name = ""
    for word in filter(None, (word.strip() for word in text.split(","))):
        key, equals, value = word.partition("=")
        if not equals and name:
            options[name] += f",{word}"
            continue
        name = key.strip().lstrip("-").replace("-", "_")
        if not equals or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise UsageError(f"'{word}' is not KEY=VALUE", where="--slurm", hint="e.g. partition=gpu,time=4h")
        if name in _SET_HERE:
            raise UsageError(f"'{name}' is set by aubench", where="--slurm", hint="omit it")
        if name in options:
            raise UsageError(f"'{name.replace('_', '-')}' is given twice", where="--slurm", hint="give it once")
        options[name] = value.strip()
    return options


_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d\d):\d\d")
_DAYS = re.compile(r"(\d+)-(\d+)(?::(\d\d))?")


def parse_minutes(text: str) -> int:
    """Return a time limit in minutes.

    Args:
        text: ``4h``, ``90m``, ``2d``, minutes, or Slurm's ``[days-]hours:minutes:seconds`` or ``days-hours[:minutes]``.

    Raises:
        UsageError: It is none of these. ``30:00`` is none, because Slurm takes it as minutes and seconds.
    """
    if match := re.fullmatch(r"(\d+)\s*(|m|min|h|d)", text):
        minutes = int(match[1]) * _UNITS[match[2]]
    elif match := _CLOCK.fullmatch(text) or _DAYS.fullmatch(text):
        minutes = int(match[1] or 0) * 24 * 60 + int(match[2]) * 60 + int(match[3] or 0)
    else:
        minutes = 0
    if minutes < 1:
        raise UsageError(f"'{text}' is not a time", where="--slurm time", hint="e.g. 4h, 90m or 1-12:00:00")
    return minutes


def check_devices(options: dict[str, str], kind: str, per_fold: int, nodes: int) -> None:
    """Check that the cores and GPUs that options ask for serve the devices of a fold.

    Args:
        options: As of :func:`parse_options`.
        kind: Kind of device. Only folds on GPUs need GPUs.
        per_fold: Number of devices of a node that train each fold together, with at least one core each.
        nodes: Number of nodes that train each fold together.

    Raises:
        UsageError: They do not.
    """
    for name, value in options.items():
        if kind != "cuda" and name != "cpus_per_task":
            continue
        asked, needed = _asked_devices(name, value), per_fold * (nodes if name == "gpus" else 1)
        if asked is not None and asked < needed:
            what = f"{name.replace('_', '-')} asks for {asked}, and each fold needs {needed}"
            raise UsageError(what, where="--slurm", hint=f"give {needed} or more, or omit it")


def _asked_devices(name: str, value: str) -> int | None:
    """Return the number of cores of a task, of GPUs of a node or, by ``gpus``, of all GPUs; None for other options."""
    if name == "cpus_per_task":
        return int(value) if value.isdecimal() else None
    if name not in ("gpus", "gpus_per_node", "gpus_per_task", "gres"):
        return None
    requests = [text for text in value.split(",") if name != "gres" or text.split(":")[0] == "gpu"]
    numbers = [re.search(r"(?:^|:)(\d+)(?:\(.*)?$", text) for text in requests]
    return sum(int(number[1]) if number else 1 for number in numbers) if requests else None


def submission_parameters(
    options: dict[str, str], kind: str, known: set[str], per_fold: int = 1, nodes: int = 1
) -> dict[str, Any]:
    """Return parameters of submitit's executor.

    Args:
        options: As of :func:`parse_options`.
        kind: Kind of device. On GPUs, each job asks for ``per_fold`` of them on each node unless an option asks for
            GPUs.
        known: Parameters that submitit knows. Others become lines of the batch file.
        per_fold: Number of devices of a node that train each fold together, with at least one core each.
        nodes: Number of nodes that train each fold together.

    Raises:
        UsageError: The time limit is not a time.
    """
    parameters: dict[str, Any] = {"job_name": "aubench", "time": DEFAULT_MINUTES}
    further: dict[str, Any] = {"requeue": True}
    for name, value in options.items():
        if name == "time":
            parameters["time"] = parse_minutes(value)
        elif name in known - _LISTS:
            parameters[name] = int(value) if name in _INTEGERS and value.isdecimal() else value or True
        else:
            further[name] = value or True
    if per_fold > 1 and "cpus_per_gpu" not in options:  # Slurm refuses both together
        parameters.setdefault("cpus_per_task", per_fold)
    if kind == "cuda" and not any(map(_asks_for_gpus, options, options.values())):
        further["gpus" if nodes == 1 else "gpus_per_node"] = per_fold
    if nodes > 1:
        parameters |= {"nodes": nodes, "ntasks_per_node": 1, "srun_args": ["--kill-on-bad-exit=1"]}
    return {**parameters, "additional_parameters": further}


def _asks_for_gpus(name: str, value: str) -> bool:
    """Return whether an option asks for GPUs; the names of a partition, an account or a node do not."""
    return name.startswith("gpus") or (name in ("gres", "tres_per_task") and "gpu" in value)
