"""Tables of ``docs/performance.md`` from the figures of ``aubench bench``.

    aubench bench --device cuda --out benchmarks/performance/cuda.json
    python benchmarks/performance_tables.py

writes the tables of both kinds of device between the markers of the page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from aubench._util import atomic

ROOT = Path(__file__).parents[1]
PAGE, FOLDER = ROOT / "docs/performance.md", ROOT / "benchmarks/performance"
KINDS = {"cuda": "an NVIDIA GPU", "cpu": "a CPU"}
BLOCK = re.compile(r"(<!-- figures of (\w+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def fill(page: str, folder: Path) -> str:
    """Return a page with the tables of the files ``cuda.json`` and ``cpu.json`` of a folder between its markers."""
    return BLOCK.sub(lambda m: f"{m[1]}\n{section(m[2], folder / f'{m[2]}.json')}\n{m[3]}", page)


def section(kind: str, path: Path) -> str:
    """Return the text of one kind of device, which says so if there are no figures."""
    if not path.exists():
        command = f"aubench bench --device {kind} --out benchmarks/performance/{kind}.json"
        return f"Figures of {KINDS[kind]} are missing. `{command}` measures them.\n"
    figures = json.loads(path.read_text(encoding="utf-8"))
    cases = [case for case in figures["cases"] if "error" not in case]
    failed = [
        f"- `{case['method']}`, {case['preset']}, {case['precision']}: {case['error']}"
        for case in figures["cases"]
        if "error" in case
    ]
    parts = [machine(figures), training(cases), prediction(cases), scaling(cases)]
    return "\n\n".join([*parts, *(["Not measured:", "\n".join(failed)] if failed else [])]) + "\n"


def machine(figures: dict[str, Any]) -> str:
    """Return a sentence on device, versions and date."""
    device, packages = figures["device"], figures["packages"]
    versions = [f"driver {figures['driver']}", f"CUDA {figures['cuda']}"] if figures.get("driver") else []
    versions += [f"PyTorch {packages['torch']}", f"Python {packages['python']}"]
    where = device["name"] if device["kind"] == "cuda" else f"{device['name']}, one thread"
    return f"{where}, {', '.join(versions)}, {figures['date']}."


def training(cases: Iterable[dict[str, Any]]) -> str:
    """Return the table of training, with a row for each stage."""
    rows = []
    for case in cases:
        *others, last = case["profile"]["stages"]
        for stage in (*others, last):
            speeds = case["training"] if stage is last else {}
            speed = speeds.get("harness", stage["frames_per_s"])
            rows.append(
                (
                    *_name(case),
                    stage["name"],
                    str(stage["frames"]),
                    _number(speed),
                    *(_ratio(speed, speeds.get(loop)) for loop in ("bare", "networks")),
                    f"{100 * stage['shares']['waiting']:.1f} %",
                    f"{stage['memory'] / 2**20:,.0f} MiB",
                    _percent(None if stage["mfu"] is None else stage["mfu"] * speed / stage["frames_per_s"]),
                )
            )
    headers = (
        *("method", "preset", "precision", "stage", "frames a step", "frames/s", "over the bare loop"),
        *("over its networks alone", "waiting for data", "peak memory", "MFU"),
    )
    return _table(headers, rows)


def prediction(cases: Iterable[dict[str, Any]]) -> str:
    """Return the table of prediction by batch size."""
    rows = [
        (
            *_name(case),
            f"{entry['batch']} clips" if case["profile"].get("clip_length") else str(entry["batch"]),
            _number(entry["frames_per_s"]),
            *(f"{1000 * entry[name]:.3g} ms" for name in ("p50", "p95")),
        )
        for case in cases
        for entry in case["inference"]
    ]
    return _table(("method", "preset", "precision", "batch", "frames/s", "median of a batch", "95th percentile"), rows)


def scaling(cases: Iterable[dict[str, Any]]) -> str:
    """Return the table of the time of training by number of frames, relative to the first."""
    rows, factors = [], []
    for case in cases:
        first, *_ = entries = case["scaling"]
        factors = [f"{entry['factor']} ×" for entry in entries]
        times = [f"{entry['seconds'] / first['seconds']:.2f}" for entry in entries]
        rows.append((*_name(case), f"{first['frames']:,}", *times))
    return _table(("method", "preset", "precision", "frames", *factors), rows)


def _name(case: dict[str, Any]) -> tuple[str, str, str]:
    return f"`{case['method']}`", case["preset"], case["precision"]


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:.1f} %"


def _ratio(speed: float, other: float | None) -> str:
    return "" if other is None else f"{speed / other:.3f}"


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    atomic.write_text(PAGE, fill(PAGE.read_text(encoding="utf-8"), FOLDER))
