"""Function that measures the figures of the page on performance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

from aubench._util.progress import print_line
from aubench.api import speed_runs
from aubench.api.planning import AnyPath, find_narrowed
from aubench.core.user_paths import user_path


def bench(out: AnyPath, *, device: str = "auto") -> Path:
    """Measure the figures of the page on performance.

    Methods train and predict on random images, and bare loops train the same networks. Repeat the call to resume:
    cases that the file has for this device, these versions and this commit are not measured again.

    Args:
        out: File of the figures, as JSON. Figures of another device, version or commit are replaced.
        device: ``auto``, ``cpu`` or ``cuda``.

    Returns:
        The file.

    Raises:
        AubenchError: An argument is invalid. A failed measurement is an entry with its ``error``.
    """
    from aubench._util import atomic
    from aubench._util.output_paths import check_output_file
    from aubench.core.errors import AubenchError, UsageError
    from aubench.runs.fold_process import preload_workers

    preload_workers()  # imports at the same time as this process below

    from aubench.runs import devices, speed_report

    path, choice = user_path(out), devices.choose(device)
    if choice.kind not in speed_report.CASES:
        raise UsageError(f"has no measurements for {choice.kind}", where="--device", hint="use cpu or cuda")
    check_output_file(path)
    machine = {
        **speed_runs.describe_machine({"kind": choice.kind, "name": choice.name}),
        **speed_report.versions(choice.kind),
    }
    results = _measured_cases(path, machine)
    measured = {(case["method"], case["preset"], case["precision"]) for case in results}
    for case in speed_report.CASES[choice.kind]:
        if astuple(case) in measured:
            continue
        print_line(f"{case.method}, {case.preset}, {case.precision}")
        with speed_runs.scratch_folder() as scratch:
            config = speed_runs.configure_run(
                case.method, find_narrowed("synth_3fold", None), case.preset, {}, case.precision, None, scratch
            )
            try:
                figures = speed_runs.run_first_fold(config, choice, speed_report.speed_job)
            except AubenchError as error:
                figures = {"error": str(error)}
        results.append({**speed_runs.describe_run(config), **figures})
        atomic.write_json(path, {**machine, "cases": results})
    return path


def _measured_cases(path: Path, machine: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the cases of a file that were measured without error on a machine, none if it is of another.

    Raises:
        UsageError: The file is neither empty nor one that :func:`bench` has written.
    """
    from aubench.core.errors import UsageError

    try:
        text = path.read_text(encoding="utf-8")
        if not text:
            return []
        content = json.loads(text)
        cases = [case for case in content["cases"] if "error" not in case]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError):
        hint = "name another file with --out, or delete this one"
        raise UsageError("holds no figures of `aubench bench`", where=path, hint=hint) from None
    return cases if all(content.get(name) == value for name, value in machine.items() if name != "date") else []
