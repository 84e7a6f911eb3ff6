"""Function that measures where the time and the memory of a method go."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench._util.progress import print_line
from aubench.api import speed_runs
from aubench.api.dataframe_view import DataFrameView
from aubench.api.planning import AnyPath, Names, Stores, check_count, check_overrides, find_narrowed
from aubench.core.user_paths import user_path

if TYPE_CHECKING:
    import pandas as pd

    from aubench.runs.profiling import Profile

_SHARES = {
    "waiting": "waiting for data",
    "preparing": "crops and augmentation",
    "training": "forward and backward pass",
    "optimizing": "optimiser",
}


@dataclass(frozen=True, repr=False)
class ProfileResults(DataFrameView):
    """Profile of a method.

    Attributes:
        info: Method, preset, modalities, precision, data, device, versions and date.
        profile: Figures.
        paths: Files of the table and the traces.
    """

    info: Mapping[str, Any]
    profile: Profile
    paths: tuple[Path, ...] = ()

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per figure.

        Returns:
            Columns ``part`` (a stage of training, a part of the method, ``prediction`` or ``device``), ``figure``,
            ``value`` (missing if unknown) and ``unit``.
        """
        import pandas as pd

        profile = self.profile
        rows: list[tuple[str, str, float | None, str]] = []
        for stage in profile.stages:
            rows.append((stage.name, "training", stage.frames_per_s, "frames/s"))
            rows += [(stage.name, title, 100 * stage.shares[name], "% of time") for name, title in _SHARES.items()]
            rows.append((stage.name, "peak memory", stage.memory / 2**20, "MiB"))
            rows.append((stage.name, "operations, forward and backward", stage.flops / 1e9, "GFLOP/frame"))
            if stage.repeated is not None:
                rows.append((stage.name, "steps from a CUDA graph", 100 * stage.repeated, "% of steps"))
            rows.append((stage.name, "MFU", None if stage.mfu is None else 100 * stage.mfu, "%"))
        total = sum(part.seconds for part in profile.parts)
        for part in profile.parts:
            rows.append((part.name, "operations, prediction", part.flops / 1e9, "GFLOP/frame"))
            rows.append((part.name, "time, prediction", 1000 * part.seconds, "ms/frame"))
            rows.append((part.name, "time, prediction", 100 * part.seconds / total, "% of time"))
        batch = "batch 1" if profile.clip_length is None else f"batch 1, a clip of {profile.clip_length} frames"
        for name, seconds in zip(("p50", "p95"), profile.latency, strict=True):
            rows.append(("prediction", f"latency at {batch}, {name}", 1000 * seconds, "ms"))
        rows.append(("prediction", "inference", profile.inference_frames_per_s, "frames/s"))
        peak = None if profile.peak is None else profile.peak / 1e12
        rows.append(("device", f"peak speed ({profile.peak_source})", peak, "TFLOP/s"))
        return pd.DataFrame(rows, columns=["part", "figure", "value", "unit"]).astype({"value": float})


def profile(
    method: str,
    *,
    preset: str | None = None,
    protocol: str = "synth_3fold",
    overrides: Mapping[str, Any] | None = None,
    modalities: Names | None = None,
    store: Stores = None,
    device: str = "auto",
    precision: str = "32-true",
    steps: int = 20,
    out: AnyPath | None = None,
) -> ProfileResults:
    """Measure speed, memory and operations of a method.

    A few steps of each stage of its training run as in a fold, then predictions. Without a store, the images are random
    and of the recipe's size. Initial weights are random.

    Args:
        method: Name of a method, or a ``.py`` file.
        preset: Recipe preset [default: the protocol's].
        protocol: Name of a protocol, or a ``.toml`` file.
        overrides: Recipe values that differ from the preset.
        modalities: Modalities to narrow the protocol to, e.g. ``visual,depth``.
        store: Store to read [default: random images].
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        precision: ``32-true``, ``tf32`` (NVIDIA GPUs) or ``bf16-mixed``.
        steps: Measured steps of training.
        out: Folder for the table as JSON, and for a trace of each stage in Chrome's format.

    Returns:
        The figures.

    Raises:
        AubenchError: An argument is invalid, or the method failed.
    """
    from aubench._util import atomic
    from aubench._util.output_paths import check_output_folder
    from aubench.runs.fold_process import preload_workers

    steps = check_count(steps, "--steps")
    narrowed, folder = find_narrowed(protocol, modalities), None if out is None else user_path(out).absolute()
    if folder is not None:
        check_output_folder(folder)
    os.environ.setdefault("KINETO_LOG_LEVEL", "9")  # the profiler of PyTorch would print its start and stop
    preload_workers()  # imports at the same time as this process below

    from aubench.runs import devices, profiling
    from aubench.runs.measured_trainer import Extent, trace_path
    from aubench.training.state import GraphFailed

    choice = devices.choose(device)
    with speed_runs.scratch_folder() as scratch:
        config = speed_runs.configure_run(
            method, narrowed, preset, check_overrides(overrides), precision, store, scratch
        )
        choice.require(precision)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        settings = profiling.ProfileSettings(Extent(steps=steps, traces=folder), random=not store)
        print_line(f"{config.entry.name}: {steps} steps of preset {config.preset} on {choice.name}")
        figures: Profile = speed_runs.run_first_fold(config, choice, partial(profiling.profile_job, settings))
    for stage in figures.stages:
        if stage.graph_failure:
            print_line(str(GraphFailed(stage.name, stage.graph_failure)))
    info = {**speed_runs.describe_run(config), "data": _data_text(store), **speed_runs.describe_machine(figures.device)}
    if folder is None:
        return ProfileResults(info, figures)
    paths = (folder / "profile.json", *(trace_path(folder, stage.name) for stage in figures.stages))
    for path in _traces_of(folder):
        if path not in paths:
            path.unlink(missing_ok=True)
    atomic.write_json(paths[0], {"info": info, **asdict(figures)})
    return ProfileResults(info, figures, paths)


def _traces_of(folder: Path) -> list[Path]:
    """Return the traces of the profile in a folder; none without a profile."""
    from aubench.runs.measured_trainer import trace_path

    try:
        content = json.loads((folder / "profile.json").read_text(encoding="utf-8"))
        return [trace_path(folder, stage["name"]) for stage in content["stages"]]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []


def _data_text(store: Stores) -> str:
    if isinstance(store, Mapping):
        store = [f"{name}={folder}" for name, folder in store.items()]
    return ", ".join(map(str, [store] if isinstance(store, str | Path) else store or ["random"]))
