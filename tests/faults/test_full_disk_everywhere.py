"""A full disk at each kind of write: one line that names the file, exit code 2, and the old file intact."""

from __future__ import annotations

import ast
import errno
import io
import os
import resource
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from factories.processes import in_processes

from aubench._util import atomic
from aubench.core.errors import AubenchError, DataError
from aubench.core.task import Modality
from aubench.data.store import Store
from aubench.data.store_writer import Sequence, StoreWriter
from aubench.engines import node_stores
from aubench.evaluation import inference
from aubench.leaderboard import build
from aubench.plots import style
from aubench.results import counts, epochs, histograms
from aubench.results.run_folder import EPOCHS, RESULT, RUN_FILE, RUNNING, STATE
from aubench.runs import condition_scores, fold_process, fold_status, run_file, sweeps
from aubench.runs.condition_scores import ConditionScores
from aubench.runs.engine import Job
from aubench.runs.fold_result import FoldResult
from aubench.training import checkpoint
from aubench.training.checkpoint import CheckpointIdentity
from aubench.training.state import TrainState
from aubench.tuning import study_files
from aubench.tuning.storage import open_storage

ROOT = Path(__file__).parents[2]
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FullDisk(io.FileIO):
    """A file of which the disk takes ten bytes."""

    def write(self, content: Any) -> int:
        super().write(bytes(content)[:10])
        raise FULL


@pytest.fixture
def fill(monkeypatch) -> Callable[[], None]:
    """Fill the disk: each write that follows fails after some bytes."""

    def now() -> None:
        monkeypatch.setattr(os, "fdopen", lambda handle, mode: io.BufferedWriter(FullDisk(handle, mode), 64))

    return now


@pytest.fixture
def example(request, tmp_path) -> SimpleNamespace:
    """What the writes need, each on its first use."""
    value = request.getfixturevalue

    class Example:
        folder = tmp_path / "out"
        record = property(lambda self: value("make_record")("late_fusion", pretraining_epochs=2))
        config = property(lambda self: value("decide")(tmp_path / "runs", "late_fusion"))
        fake_run = property(lambda self: value("fake_run")())

    return Example()


IDENTITY = CheckpointIdentity("1", "amf", "2", 1, 0)


def write_store_part(example: Any) -> None:
    table = pd.DataFrame({"frame": [0], "source": "x", "labelled": True, "missing": "", "AU1": np.int8(1)})
    images = {Modality.DEPTH: np.full((1, 8, 8, 1), 7, np.uint8)}
    with StoreWriter(example.folder / "store", {"size": 8}) as writer:
        writer.add(Sequence("F001", "T1", images, table))


def write_predictions(example: Any) -> None:
    frames = pd.DataFrame({"subject": ["F001"] * 40, "sequence": "T1", "frame": range(40)})
    data = SimpleNamespace(
        store=SimpleNamespace(frames=frames), protocol=SimpleNamespace(aus=[1]), labels=np.zeros((40, 1), np.int8)
    )
    inference.write_predictions(example.folder / "predictions.parquet", np.zeros((40, 1)), data, np.arange(40))


def write_figure(example: Any) -> None:
    from matplotlib.figure import Figure

    style.save(Figure(), example.folder / "figure.png")


def save_fold(example: Any) -> None:
    FoldResult({"fold": 1}, example.record.counts, example.record.histograms).save(example.folder)


def save_conditions(example: Any) -> None:
    record = example.record
    condition_scores.save(example.config, 1, None, ConditionScores(("clean",), record.counts, record.histograms, {}))


def write_trial(example: Any) -> None:
    trial = SimpleNamespace(number=3, params={}, intermediate_values={}, user_attrs={})
    trial.state, trial.value = SimpleNamespace(name="COMPLETE"), 0.5
    search = SimpleNamespace(folder=example.folder)
    study_files.write_trial(search, {"epochs": 4}, trial)


def write_study(example: Any) -> None:
    base = SimpleNamespace(protocol=SimpleNamespace(name="synth_3fold"))
    search = SimpleNamespace(folder=example.folder, name="mine", epochs=4, base_config=base, binding=dict)
    study_files.write_study(search, "id")


def write_sweep(example: Any) -> None:
    with sweeps.SweepFile("local", [Job(example.config, 1, print)]):
        pass


def track_fold(example: Any) -> None:
    example.folder.mkdir(exist_ok=True)
    with fold_status.track(example.folder, "cpu", print):
        pass


def stamp_of_node(example: Any) -> None:
    store = SimpleNamespace(path=example.folder, info=SimpleNamespace(digest="5" * 64), verify=lambda full: None)
    node_stores._verify_once(store)


def state_of_tracking(example: Any) -> None:
    from aubench.tracking.uploader import Uploader

    Uploader(SimpleNamespace(), SimpleNamespace(run_dir=example.fake_run.run_dir), "sqlite:///x.db")._save()


WRITES: dict[str, tuple[Callable[[Any], object], str]] = {
    "counts": (lambda x: counts.write(x.record.counts, x.folder), counts.FILE),
    "histograms": (lambda x: histograms.write(x.record.histograms, x.folder), histograms.FILE),
    "learning curves": (lambda x: epochs.write(x.record.epochs, x.folder), epochs.FILE),
    "record": (lambda x: x.record.write(x.folder), counts.FILE),
    "predictions": (write_predictions, "predictions.parquet"),
    "checkpoint": (
        lambda x: checkpoint.write(x.folder / STATE, IDENTITY, {"weight": torch.zeros(9)}, {}),
        STATE,
    ),
    "epochs": (lambda x: TrainState(epochs=[{"loss": 0.25}] * 9).write(x.folder / EPOCHS), EPOCHS),
    "fold": (save_fold, counts.FILE),
    "conditions": (save_conditions, counts.FILE),
    "run": (lambda x: run_file.write(x.config, {}), RUN_FILE),
    "running fold": (track_fold, RUNNING),
    "sweep": (write_sweep, ".json"),
    "study": (write_study, study_files.STUDY_FILE),
    "trial": (write_trial, "00003.json"),
    "store": (write_store_part, "plan.json"),
    "figure": (write_figure, "figure.png"),
    "stamp of a node": (stamp_of_node, "-verified-"),
    "tracking": (state_of_tracking, "tracking.json"),
    "JSON": (lambda x: atomic.write_json(x.folder / RESULT, {"fold": 1}), RESULT),
}
"""Every kind of file that is written without a command of its own, and the name in the message."""


def temporary_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".tmp")]


@pytest.mark.parametrize(("write", "name"), WRITES.values(), ids=WRITES)
@pytest.mark.usefixtures("small_store")
def test_write_on_a_full_disk_names_its_file(example, fill, tmp_path, monkeypatch, write, name):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    example.folder.mkdir()
    fill()
    with pytest.raises(DataError) as raised:
        write(example)
    assert str(raised.value).endswith(": the disk is full; free some space and repeat the command")
    assert name in Path(str(raised.value.where)).name and raised.value.exit_code == 2
    assert not temporary_files(tmp_path) and not [p for p in tmp_path.rglob("*.lock") if p.name != ".lock"]


COMMANDS: dict[str, tuple[str, ...]] = {
    "pages of a leaderboard": ("leaderboard", "build", "--root", "{board}"),
    "export": ("leaderboard", "export", "{folder}/rows.csv", "--root", "{board}"),
    "export as Parquet": ("leaderboard", "export", "{folder}/rows.parquet", "--root", "{board}"),
    "comparison": ("compare", "late_fusion@synth_3fold", "amf@synth_3fold", "--root", "{board}", "--out", "{folder}/c"),
    "record in a leaderboard": ("leaderboard", "add", "{record}", "--root", "{board}"),
    "export of a store": ("data", "export", "{store}", "--out", "{folder}/copy"),
    "simulated labels": ("data", "simulate", "disfa", "--labels-only", "--out", "{folder}/simulated"),
    "store": ("data", "prepare", "synth", "--store", "{folder}/store"),
}


def tree(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_command_on_a_full_disk_leaves_everything_as_it_was(call, request, fill, tmp_path, monkeypatch, words):
    places: dict[str, Path] = {"folder": tmp_path / "out"}
    places["folder"].mkdir()
    text = " ".join(words)
    if "{board}" in text:
        places["board"] = request.getfixturevalue("small_board")
        (places["board"] / "README.md").write_text(f"{build.STAMP}\nold\n")
    if "{store}" in text:
        write_store(tmp_path / "store")
        places["store"] = tmp_path / "store"
    if "{record}" in text:
        places["record"] = tmp_path / "record"
        request.getfixturevalue("make_record")("amf", seed=7).write(places["record"])
    before = tree(tmp_path)
    fill()
    original = Path.write_bytes

    def write_bytes(path: Path, content: bytes) -> int:
        original(path, content[:10])
        raise FULL

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    monkeypatch.setattr(Path, "write_text", lambda path, content, **_: write_bytes(path, content.encode()))
    answer = call(*(word.format(**places) for word in words))
    lines = [line for line in answer.err.splitlines() if line.startswith("aubench: ")]
    assert answer.code == 2 and len(lines) == 1 and "Traceback" not in answer.err, answer
    assert "disk is full" in lines[0] or "No space left on device" in lines[0]
    assert not temporary_files(tmp_path)
    after = tree(tmp_path)
    assert {path: after.get(path) for path in before} == before
    assert all(".partial" in str(path) for path in after if path not in before)


def write_store(path: Path) -> None:
    table = pd.DataFrame({"frame": [0], "source": "x", "labelled": True, "missing": "", "AU1": np.int8(1)})
    with StoreWriter(path, {"size": 8}) as writer:
        writer.add(Sequence("F001", "T1", {Modality.VISUAL: np.full((1, 8, 8, 3), 7, np.uint8)}, table))
        writer.finish(dataset="any", version="1", size=8, modalities={Modality.VISUAL: "d"}, crop="")
    assert len(Store(path).frames) == 1


def write_whole_store(folder: Path, record: Any) -> None:
    write_store(folder / "store")


def write_record(folder: Path, record: Any) -> None:
    record.write(folder / "record")


def save_fold_files(folder: Path, record: Any) -> None:
    TrainState(epochs=[{"loss": 0.25}]).write(folder / EPOCHS)
    checkpoint.write(folder / STATE, IDENTITY, {"weight": torch.zeros(9)}, {})
    FoldResult({"fold": 1}, record.counts, record.histograms).save(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "files"),
    [(write_whole_store, 8), (write_record, 4), (save_fold_files, 5)],
    ids=["store", "record", "fold"],
)
def test_disk_that_is_full_at_any_of_several_files(make_record, tmp_path, monkeypatch, write, files):
    """Each attempt gets one file further, and the last one has the content of an attempt on an empty disk."""
    record, original = make_record("late_fusion", pretraining_epochs=2), os.fdopen
    names = []
    for number in range(files + 1):
        opened = 0

        def open_some(handle: int, mode: str, limit: int = number) -> Any:
            nonlocal opened
            opened += 1
            return original(handle, mode) if opened <= limit else io.BufferedWriter(FullDisk(handle, mode), 64)

        folder = tmp_path / f"attempt{number}"
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdopen", open_some)
            if number == files:
                write(folder, record)
            else:
                with pytest.raises(DataError, match="the disk is full; free some space") as raised:
                    write(folder, record)
                names.append(Path(str(raised.value.where)).name)
        assert not temporary_files(folder)
        if number < files:
            write(folder, record)
    assert len(set(names)) == files, "each file once"
    trees = [
        {
            path.relative_to(tmp_path / f"attempt{number}"): content
            for path, content in tree(tmp_path / f"attempt{number}").items()
        }
        for number in range(files + 1)
    ]
    assert all(other == trees[-1] for other in trees)


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (errno.ENOSPC, "the disk is full; free some space and repeat the command"),
        (errno.EDQUOT, f"the disk is full ({os.strerror(errno.EDQUOT)}); free some space and repeat the command"),
        (errno.EROFS, f"cannot be written ({os.strerror(errno.EROFS)}); check the folder and its permissions"),
        (errno.EACCES, f"cannot be written ({os.strerror(errno.EACCES)}); check the folder and its permissions"),
        (errno.EXDEV, f"cannot be written ({os.strerror(errno.EXDEV)}); check the folder and its permissions"),
        (errno.EIO, f"cannot be written ({os.strerror(errno.EIO)}); check the folder and its permissions"),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else "",
)
@pytest.mark.parametrize("function", ["tempfile.mkstemp", "os.fsync", "pathlib.Path.replace", "pathlib.Path.mkdir"])
def test_any_refusal_of_the_system_names_the_file(tmp_path, monkeypatch, function, number, what):
    path = tmp_path / "record.json"
    path.write_text("old")

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number), "the name of a temporary file")

    with monkeypatch.context() as patch:
        patch.setattr(function, refuse)
        with pytest.raises(DataError) as raised:
            atomic.write_text(path, "new")
    assert str(raised.value) == f"{path}: {what}"
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("record.json", "old")]


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit of file sizes")
def test_journal_of_a_search_on_a_full_disk_loses_only_the_new_entry(tmp_path):
    """The system refuses a part of the line, as a full disk would."""
    import optuna

    path = tmp_path / "study.log"
    study = optuna.create_study(storage=open_storage(f"journal:{path}"), study_name="mine")
    study.tell(study.ask(), 0.5)
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)

    def ask_with_too_little_space(index: int) -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 30, limits[1]))
        try:
            study.ask()
        except DataError as error:
            return str(error)
        return ""

    (message,) = in_processes(1, ask_with_too_little_space)
    assert message.startswith(f"{path}: the disk is full (") and path.read_bytes() == before
    study.tell(study.ask(), 0.7)
    again = optuna.load_study(storage=open_storage(f"journal:{path}"), study_name="mine")
    assert [trial.value for trial in again.trials] == [0.5, 0.7]


@pytest.mark.parametrize("length", [30, 100_000])
def test_journal_of_a_search_drops_what_a_worker_left_that_died_while_it_wrote(tmp_path, length):
    import optuna

    path = tmp_path / "study.log"
    study = optuna.create_study(storage=open_storage(f"journal:{path}"), study_name="mine")
    study.tell(study.ask(), 0.5)
    with path.open("a") as file:
        file.write('{"op_code":4,"worker_id":"' + "x" * length)
    beside = optuna.load_study(storage=open_storage(f"journal:{path}"), study_name="mine")
    assert [trial.value for trial in beside.trials] == [0.5]
    study.tell(study.ask(), 0.7)
    again = optuna.load_study(storage=open_storage(f"journal:{path}"), study_name="mine")
    assert [trial.value for trial in again.trials] == [trial.value for trial in study.trials] == [0.5, 0.7]


def test_error_of_the_content_stays_itself(tmp_path):
    with pytest.raises(FileNotFoundError), atomic.atomic_write(tmp_path / "new") as file:
        file.write(Path("nowhere").read_bytes())
    assert not list(tmp_path.iterdir())


def test_fold_on_a_full_or_read_only_disk_is_one_line_without_a_traceback(tmp_path):
    for number, what in ((errno.ENOSPC, "the disk is full"), (errno.EROFS, "cannot be written (Read-only file")):
        error = OSError(number, os.strerror(number), str(tmp_path / ".lock"))
        answer = fold_process.unexpected_error(error, "fold 1 of amf", tmp_path / "traceback.txt")
        assert isinstance(answer, AubenchError) and answer.exit_code == 2
        assert str(answer).startswith(f"{tmp_path / '.lock'}: {what}") and not list(tmp_path.iterdir())


DIRECT = {
    ("_util/atomic.py", "mkstemp"): "the helper itself",
    ("_util/atomic.py", "fdopen"): "the helper itself",
    ("_util/atomic.py", "open"): "the helper itself, of a device or a pipe",
    ("_util/atomic.py", "write_bytes"): "the helper itself",
    ("_util/atomic.py", "write_text"): "the helper itself",
    ("_util/locks.py", "open"): "locks, which are empty",
    ("_util/streams.py", "open"): "closed standard streams",
    ("_util/output_paths.py", "TemporaryFile"): "an empty file without a name, as a check",
    ("api/speed_runs.py", "mkdtemp"): "scratch",
    ("datasets/simulation.py", "TemporaryDirectory"): "a new folder, which is renamed when it is complete",
    ("datasets/table/store_export.py", "TemporaryDirectory"): "a new folder, which is renamed when it is complete",
    ("datasets/table/store_export.py", "write_bytes"): "in that folder",
    ("datasets/table/store_export.py", "write_text"): "in that folder",
    ("leaderboard/add.py", "TemporaryDirectory"): "a new folder, whose records are renamed when all are complete",
    ("leaderboard/record_index.py", "connect"): "a cache in SQLite, without which everything is computed again",
    ("leaderboard/reproductions.py", "TemporaryDirectory"): "a new folder, which is renamed when it is complete",
    ("leaderboard/rerun.py", "TemporaryDirectory"): "scratch",
    ("leaderboard/rerun.py", "symlink_to"): "in that folder",
    ("leaderboard/review.py", "TemporaryDirectory"): "scratch",
    ("leaderboard/review.py", "write_bytes"): "in that folder",
    ("leaderboard/submit.py", "TemporaryDirectory"): "scratch",
    ("plots/style.py", "savefig"): "into memory",
    ("runs/local_engine.py", "mkdtemp"): "scratch",
    ("runs/measured_trainer.py", "TemporaryDirectory"): "scratch",
    ("runs/measured_trainer.py", "export_chrome_trace"): "in that folder",
    ("tracking/mlflow_client.py", "connect"): "the SQLite file of MLflow",
    ("tracking/studies.py", "log_artifact"): "MLflow",
    ("tracking/uploader.py", "log_artifact"): "MLflow",
    ("tuning/journal.py", "open"): "entries, which are appended, and removed if they are incomplete",
}
"""Writes that bypass ``aubench._util.atomic``, by module and function, with the reason."""

WRITERS = {
    *("write_text", "write_bytes", "mkstemp", "NamedTemporaryFile", "TemporaryFile", "TemporaryDirectory", "mkdtemp"),
    *("fdopen", "to_csv", "to_parquet", "to_json", "to_pickle", "to_excel", "to_feather", "to_hdf", "to_html"),
    *("savefig", "write_html", "write_image", "imwrite", "VideoWriter", "imsave", "save_file", "serialize_file"),
    *("savez", "savez_compressed", "savetxt", "tofile", "memmap", "open_memmap", "copy2", "copyfile", "copytree"),
    *("symlink_to", "hardlink_to", "export_chrome_trace", "log_artifact", "log_artifacts", "log_dict", "log_figure"),
    *("touch", "dump"),
}
TO_MEMORY = {"to_csv", "to_parquet", "to_json", "to_html"}
"""Functions that return text or bytes without a first argument, or write to an open file."""
OPEN_FILES = {"file", "table", "buffer"}


def direct_writes(path: Path, module: str) -> set[tuple[str, str]]:
    """Find the calls in a module that may write a file by themselves."""
    writes = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        owner = getattr(getattr(node.func, "value", None), "id", "")
        words = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        words += [keyword.value.value for keyword in node.keywords if isinstance(keyword.value, ast.Constant)]
        modes = [word for word in words if isinstance(word, str) and 0 < len(word) <= 3 and set(word) <= set("rwaxbt+")]
        is_write = name in WRITERS and owner != "atomic"
        if name in TO_MEMORY:
            first = node.args[0] if node.args else None
            is_write = first is not None and not (
                isinstance(first, ast.Name) and first.id in {"file", "table", "buffer"}
            )
            is_write &= not (isinstance(node.func, ast.Name))
        is_write |= name in {"open", "ZipFile"} and any(set("wax+") & set(mode) for mode in modes)
        is_write |= (owner, name) in {("os", "open"), ("sqlite3", "connect"), ("np", "save"), ("torch", "save")}
        is_write |= owner == "shutil" and name in {"copy", "move"}
        if is_write:
            writes.add((module, name))
    return writes


@pytest.mark.slow
def test_every_write_goes_through_the_helper_or_is_listed():
    """A new write uses ``aubench._util.atomic``, which names the file of a full disk and leaves the old one."""
    folders = (ROOT / "aubench", ROOT / "methods")
    modules = [(path, path.relative_to(folder).as_posix()) for folder in folders for path in folder.rglob("*.py")]
    writes = set().union(*(direct_writes(path, module) for path, module in modules))
    assert not writes - set(DIRECT)
