"""What many tests share: a small store of synth, and short ways to call the command."""

from __future__ import annotations

import functools
import gc
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
import typer

import aubench as package  # noqa: F401  puts the torchvision guard in place before any test imports timm

pytest_plugins = [
    f"factories.{name}" for name in ("records", "boards", "bp4d", "disfa", "runs", "tables", "mlflow_databases")
]

if TYPE_CHECKING:
    from aubench.runs.config import RunConfig

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # small tensors on a busy machine: threads only wait for each other


LONGEST = (
    *("test_kill.py", "test_types.py", "test_methods.py", "test_tracking.py", "test_trainer.py", "test_study.py"),
    "test_prepare.py",
    *("test_slurm_engine.py", "test_ray_engine.py", "test_api.py", "test_own_leaderboard.py", "test_workers.py"),
    *("test_validity.py", "test_robustness.py", "test_run.py", "test_bad_delivery.py", "test_notebooks.py"),
    *("test_signals.py", "test_reproduce.py", "test_browser.py", "test_tracking_faults.py", "test_pretraining.py"),
    *("test_postgresql.py", "test_methods_page.py", "test_run_across.py", "bench_protocols.py", "bench_prepare.py"),
    *("bench_training.py", "bench_robustness.py", "bench_sweep.py"),
)
"""Files that take longest, longest first. The list has an influence on the duration of parallel tests only."""

if "CI" not in os.environ:  # with CI set, hypothesis has no deadline, which a busy machine misses
    hypothesis.settings.register_profile("aubench", deadline=None)
    hypothesis.settings.load_profile("aubench")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell
    signal.signal(signal.SIGINT, signal.default_int_handler)

gc.disable()  # until all tests are imported, because it doubles the time of imports


def pytest_collection_finish() -> None:
    """Pass over the imported modules in later garbage collections."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the longest files, so that parallel workers finish at about the same time."""
    slow_tests = Counter(item.path for item in items if item.get_closest_marker("slow"))
    order = {name: position for position, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (order.get(item.path.name, len(LONGEST)), -slow_tests[item.path]))


SMALL = ["--set", "image_size=32", "--set", "crop=28", "--set", "frames_per_epoch=64", "--set", "epochs=3"]
"""Recipe changes that make a run on the small store last seconds."""


@pytest.fixture(autouse=True)
def _working_directory() -> Iterator[None]:
    """Return to the working directory after a test, whose own folder is removed."""
    before = Path.cwd()
    yield
    os.chdir(before)


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All subjects of synth, one sequence each, at 32 pixels."""
    from tests.factories.synth import generate, short

    path = tmp_path_factory.mktemp("stores") / "synth"
    generate(path, short(sequences=1, frames=32, size=32), lambda done, total: None)
    return path


@pytest.fixture(scope="session")
def decide(small_store: Path) -> Callable[..., RunConfig]:
    """Decide a run on a small store, with the preset ``tiny``; takes recipe changes by name."""
    from aubench.core.registry import find_protocol
    from aubench.data.store import Store
    from aubench.runs.config import RunConfig
    from aubench.runs.run_options import RunOptions
    from aubench.runs.store_ref import StoreRef

    def made(
        runs: Path,
        method: str,
        *,
        protocol: str = "synth_3fold",
        modalities: Sequence[str] | None = None,
        seed: int = 5,
        selection: str = "inner_val",
        precision: str = "32-true",
        store: Path = small_store,
        **changes: object,
    ) -> RunConfig:
        options = RunOptions("tiny", changes, selection, precision, runs)
        return RunConfig.create(
            method, find_protocol(protocol, modalities), StoreRef.from_store(Store(store)), options, seed
        )

    return made


Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def aubench(tmp_path: Path) -> Command:
    """Call ``aubench`` as a user does, in an empty folder; returns exit code, stdout and stderr."""

    def call(*words: object, **settings: object) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"AUBENCH_STORES": str(tmp_path / "stores"), "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, "-m", "aubench.cli", *map(str, words)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            timeout=300,
            check=False,
            **settings,  # type: ignore[call-overload]
        )

    return call


@dataclass(frozen=True)
class Answer:
    """What a command called in this process left behind."""

    code: int
    out: str
    err: str


_get_command = functools.lru_cache(maxsize=8)(typer.main.get_command)
"""Builds the parser of the command once for all calls."""


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Call ``aubench`` in this process, in an empty folder: quicker than :func:`aubench`."""
    from aubench.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUBENCH_STORES", str(tmp_path / "stores"))
    monkeypatch.setattr(typer.main, "get_command", _get_command)

    def run(*words: object) -> Answer:
        capfd.readouterr()
        monkeypatch.setattr("sys.argv", ["aubench", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        said = capfd.readouterr()
        return Answer(int(ended.value.code or 0), said.out, said.err)

    return run
