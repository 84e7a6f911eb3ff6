"""Protocols, folds and epochs at the full size of BP4D, BP4D+ and DISFA, from simulated labels.

    python benchmarks/bench_protocols.py

The targets are 2 s of CPU time to load a protocol with the labels of its store and to draw its folds, 1 s to order an
epoch of 100,000 frames, as frames or as clips, and 500 MB of memory.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

EPOCH = 100_000


def seconds(function: Callable[[], object]) -> float:
    """Return the CPU time of a call, which other load on the machine hardly changes."""
    begin = time.process_time()
    function()
    return time.process_time() - begin


def measure(folder: Path) -> dict[str, tuple[float, float, float]]:
    """Return the time to load each protocol and to order an epoch of frames and of clips, in s."""
    from aubench.core import protocol_file
    from aubench.data import clips
    from aubench.data.loader import shuffled_epoch
    from aubench.data.splits import FoldSplit, ProtocolDataset
    from aubench.data.store import Store

    results = {}
    for path in sorted(folder.glob("*.toml")):
        loaded: list[tuple[ProtocolDataset, FoldSplit]] = []

        def load(path: Path = path, loaded: list[tuple[ProtocolDataset, FoldSplit]] = loaded) -> None:
            read = protocol_file.load(path)
            data = ProtocolDataset(Store(path.parent / "store"), read)
            loaded += [(data, data.split(fold, validation=True)) for fold in read.fold_numbers()]

        to_load = seconds(load)
        data, _ = loaded[0]
        rows = data.all_rows(data.protocol.subjects)
        frames = seconds(lambda rows=rows: shuffled_epoch(rows, EPOCH, 0))
        of_clips = seconds(lambda data=data, rows=rows: clips.sample_clips(data, rows, 16, EPOCH // 16, 0))
        results[path.stem] = to_load, frames, of_clips
    return results


def memory_of(folder: Path) -> float:
    """Return the peak memory in MB of a process that measures the protocols of a folder."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import bench_protocols; bench_protocols.report(sys.argv[2])"
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(folder)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def report(folder: str) -> None:
    """Print the peak memory of this process in MB after a measurement."""
    measure(Path(folder))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)


def _shortened(simulation: Any) -> Any:
    frames = {subjects: count // 100 for subjects, count in simulation.frames.items()}
    return replace(simulation, frames=frames, tasks=simulation.tasks[:1])


@pytest.mark.parametrize("dataset", ["bp4d", "bp4dplus", "disfa"])
def test_protocols(tmp_path: Path, smoke: bool, dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from aubench.datasets import simulation

    if smoke:
        full = simulation._simulations()
        short = {k: _shortened(x) for k, x in full.items()}
        monkeypatch.setattr(simulation, "_simulations", lambda: short)
    simulation.simulate(dataset, tmp_path / dataset, 0, lambda done, total: None)
    for name, (load, frames, of_clips) in measure(tmp_path / dataset).items():
        print(f"\n{name}: {load:.2f} s to load, {frames:.3f} s for an epoch of frames, {of_clips:.3f} s of clips")
        assert smoke or (load < 2 and frames < 1 and of_clips < 1)
    if smoke and dataset != "bp4d":  # the process for the memory takes longer than the rest
        return
    megabytes = memory_of(tmp_path / dataset)
    print(f"{dataset}: {megabytes:.0f} MB of memory")
    assert smoke or megabytes < 500


if __name__ == "__main__":
    from aubench.datasets.simulation import simulate

    with tempfile.TemporaryDirectory() as name:
        for dataset in ("bp4d", "bp4dplus", "disfa"):
            simulate(dataset, Path(name, dataset), 0, lambda done, total: None)
            for protocol, (load, frames, of_clips) in measure(Path(name, dataset)).items():
                print(f"{protocol}: {load:.2f} s to load, epochs: frames {frames:.3f} s, clips {of_clips:.3f} s")
            print(f"{dataset}: {memory_of(Path(name, dataset)):.0f} MB of memory")
