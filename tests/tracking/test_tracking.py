from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from factories.records import COMMIT
from typer.testing import CliRunner

from aubench import api
from aubench._util import atomic
from aubench.cli import commands
from aubench.core.errors import CheckFailed, UsageError
from aubench.metrics.scores import summary_of
from aubench.results.record import Record
from aubench.results.record_info import RecordInfo
from aubench.tracking import background as background_module
from aubench.tracking import mlflow_client, studies
from aubench.tracking.background import background
from aubench.tracking.run_export import find_runs
from aubench.tracking.sync import SyncResult, Tracker, send_all

SEND = """
import sys
from pathlib import Path
from aubench.tracking.sync import Tracker
print(Tracker(Path(sys.argv[1])).sync())
"""


def test_a_run_with_several_names_counts_once(tmp_path, fake_run):
    one, other = fake_run("amf").run_dir, fake_run("cam").run_dir
    names = [other, Path(one.name), Path(other.name), one / ".." / one.name]
    assert find_runs(tmp_path / "runs", names) == [other, one]
    (one.parent / "0-link").symlink_to(one)
    (other.parent / "zip").symlink_to(other)
    assert find_runs(tmp_path / "runs", []) == [one, other]


class Server:
    """A real tracking server on loopback."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder, self.uri = folder, f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Server:
        self.folder.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder / 'server.db'}"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=os.environ | quiet, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                    return self
            except OSError:
                time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server")).start()
    yield server
    server.stop()


@pytest.fixture
def sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path, mlflow_uri: str) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_database, tmp_path / "other.db")
    return mlflow_uri


@pytest.fixture
def unreachable() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


class StoredRuns:
    """Runs in MLflow for one run folder."""

    def __init__(self, uri: str, run: Any) -> None:
        self.client = mlflow_client.connect(uri)
        found = self.client.get_experiment_by_name("aubench/synth_3fold")
        runs = self.client.search_runs([found.experiment_id], f"tags.`aubench.run_id` = '{run.id}'") if found else []
        self.parents = [each for each in runs if "mlflow.parentRunId" not in each.data.tags]
        self.children = {int(each.data.tags["aubench.fold"]): each for each in runs if each not in self.parents}
        self.count = len(runs)

    @property
    def parent(self) -> Any:
        assert len(self.parents) == 1
        return self.parents[0]

    def history(self, fold: int, name: str) -> list[tuple[int, float]]:
        points = self.client.get_metric_history(self.children[fold].info.run_id, name)
        return sorted((point.step, point.value) for point in points)

    def files(self, run: Any, folder: str | None = None) -> set[str]:
        return {file.path for file in self.client.list_artifacts(run.info.run_id, folder)}


def assert_complete(uri: str, run: Any, epochs: int = 10) -> None:
    stored = StoredRuns(uri, run)
    assert stored.count == 1 + len(run.folds)
    assert stored.parent.info.status == "FINISHED"
    for fold in run.folds:
        child = stored.children[fold]
        assert child.data.tags["mlflow.parentRunId"] == stored.parent.info.run_id
        assert child.info.status == "FINISHED"
        assert [step for step, _ in stored.history(fold, "train/loss/total")] == list(range(epochs))
        assert stored.history(fold, "train/validation/f1")[3][1] == pytest.approx(0.6 - 0.4 * 0.8**3 - 0.02 * fold)
        assert stored.files(child) == {"predictions.parquet"}
    assert {"record", "run.json"} <= stored.files(stored.parent)


@pytest.fixture(params=["sqlite", "server"])
def uri(request: pytest.FixtureRequest) -> str:
    found = request.getfixturevalue(request.param)
    return found if isinstance(found, str) else found.uri


@pytest.mark.slow
def test_everything_of_a_run_arrives(uri: str, fake_run: Any, tmp_path: Path) -> None:
    run = fake_run(recipe={f"extra_{i}": i for i in range(120)}).finish()
    (run.run_dir / "figures").mkdir()
    (run.run_dir / "figures" / "f1_per_au.png").write_bytes(b"picture")
    result = Tracker(run.run_dir, uri).sync()
    assert result == SyncResult(True, "sent 30 epochs, 8 files, 3 finished folds, 1 description, 1 headline")
    assert_complete(uri, run)
    stored, summary = StoredRuns(uri, run), summary_of(run.record)
    parent, child = stored.parent, stored.children[2]
    assert parent.info.run_name == f"amf-small-seed0-{run.id[:8]}"
    params = parent.data.params
    assert params["seed"] == "0" and params["preset"] == "small" and params["selection"] == "inner_val"
    recipe = run.record.info.recipe
    assert params["recipe/epochs"] == "32" and len(recipe) > 120
    assert {name for name in params if name.startswith("recipe/")} == {f"recipe/{name}" for name in recipe}
    tags = parent.data.tags
    assert tags["aubench.protocol_digest"] == run.header["protocol"]["digest"]
    assert tags["aubench.git_commit"] == tags["mlflow.source.git.commit"] == COMMIT
    assert tags["aubench.git_dirty"] == "False" and tags["aubench.store_digest"] == "5" * 64
    assert tags["aubench.run_id"] == run.id and tags["aubench.fidelity"] == "paper-with-resolutions"
    metrics = parent.data.metrics
    assert metrics["test/f1"] == summary.f1_mean and metrics["test/f1_pooled"] == summary.value("f1_pooled")
    assert (
        metrics["test_f1/AU12"] == summary.f1_by_au["AU12"] and metrics["test_auc/AU12"] == summary.by_au("auc")["AU12"]
    )
    compute = run.record.info.compute
    assert metrics["cost/flops"] == 2 * metrics["cost/macs"] == compute.total.flops > 0
    assert metrics["cost/parameters"] == compute.total.parameters
    assert metrics["cost_of/visual/macs"] == compute.parts["visual"].macs
    assert metrics["speed/train_frames_per_s"] == 740.5 and "speed/inference_frames_per_s" not in metrics
    assert child.data.metrics["test/f1"] == summary.f1_by_fold[1]
    assert child.data.metrics["test_f1/AU1"] == summary.f1_by_au["AU1"]
    assert (
        child.data.metrics["test_acc/AU24"] == summary.by_au("acc")["AU24"]
        and "test_auc/AU24" not in child.data.metrics
    )
    assert child.data.metrics["train/loss/align d_v"] == 0.1 and child.data.metrics["train/frames_per_s"] == 900
    assert stored.files(parent, "record") == {
        f"record/{name}" for name in ("record.json", "counts.csv", "histograms.csv")
    }
    assert stored.files(parent, "figures") == {"figures/f1_per_au.png"}
    got = stored.client.download_artifacts(child.info.run_id, "predictions.parquet", str(tmp_path))
    assert Path(got).read_bytes() == (run.run_dir / "fold2" / "predictions.parquet").read_bytes()


@pytest.mark.slow
def test_what_a_run_scored_under_conditions_arrives_when_it_is_there(uri: str, fake_run: Any) -> None:
    run = fake_run(seed=7).finish()
    assert Tracker(run.run_dir, uri).sync().ok
    assert not [name for name in StoredRuns(uri, run).parent.data.metrics if name.startswith("robustness")]
    clean, further = run.record, ["missing:visual+depth", "noise:all:0.5"]
    tables = [
        pd.concat([table, *(table.assign(condition=condition) for condition in further)])
        for table in (clean.counts, clean.histograms)
    ]
    info = RecordInfo.from_fields(clean.info.model_dump(mode="json") | {"conditions": ["clean", *further]})
    Record(info, *tables).write(run.run_dir / "record")
    assert Tracker(run.run_dir, uri).sync() == SyncResult(True, "sent 3 files, 1 headline")
    metrics = StoredRuns(uri, run).parent.data.metrics
    found = {name: value for name, value in metrics.items() if name.startswith("robustness")}
    f1 = pytest.approx(summary_of(clean).f1_mean, abs=1e-6)
    assert found == {"robustness/missing_visual_depth/f1": f1, "robustness/noise_all_0.5/f1": f1}
    assert metrics["test/f1"] == summary_of(clean).f1_mean


@pytest.mark.slow
def test_a_run_is_sent_as_it_goes_on(uri: str, fake_run: Any) -> None:
    run = fake_run(seed=1)
    run.train(1, 2)
    assert "2 epochs" in Tracker(run.run_dir, uri).sync().detail
    with (run.run_dir / "fold1" / "epochs.jsonl").open("a") as file:
        file.write('{"stage": "train", "epoch": 2, "sec')
    assert Tracker(run.run_dir, uri).sync() == SyncResult(True, "nothing new")
    stored = StoredRuns(uri, run)
    assert stored.parent.info.status == stored.children[1].info.status == "RUNNING"
    (run.run_dir / "fold1" / "epochs.jsonl").unlink()
    run.train(1, 5)
    assert "3 epochs" in Tracker(run.run_dir, uri).sync().detail
    run.finish()
    assert "25 epochs" in Tracker(run.run_dir, uri).sync().detail
    assert Tracker(run.run_dir, uri).sync() == SyncResult(True, "nothing new")
    assert_complete(uri, run)


@pytest.mark.slow
def test_a_run_without_all_folds_is_not_finished(sqlite: str, fake_run: Any, make_record: Any) -> None:
    run = fake_run(seed=1)
    run.train(1, 10).finish_fold(1).train(2, 3)
    make_record("amf", seed=1, folds=(1,)).write(run.run_dir / "record")
    failure = run.run_dir / "fold2" / "failed.json"
    failure.write_text('{"reason": "broke"}')
    assert Tracker(run.run_dir, sqlite).sync().ok
    stored = StoredRuns(sqlite, run)
    assert "test/f1" not in stored.parent.data.metrics and "test/f1" in stored.children[1].data.metrics
    statuses = [each.info.status for each in (stored.parent, stored.children[1], stored.children[2])]
    assert statuses == ["FAILED", "FINISHED", "FAILED"]
    failure.unlink()  # a new attempt
    assert Tracker(run.run_dir, sqlite).sync().ok
    stored = StoredRuns(sqlite, run)
    assert [each.info.status for each in (stored.parent, stored.children[2])] == ["RUNNING", "RUNNING"]
    run.finish()
    assert Tracker(run.run_dir, sqlite).sync().ok
    assert_complete(sqlite, run)
    assert "test/f1" in StoredRuns(sqlite, run).parent.data.metrics


@pytest.mark.slow
def test_a_deleted_fold_does_not_hold_up_its_run(sqlite: str, fake_run: Any) -> None:
    run = fake_run().train(1, 5)
    assert Tracker(run.run_dir, sqlite).sync().ok
    stored = StoredRuns(sqlite, run)
    stored.client.delete_run(stored.children[1].info.run_id)
    run.finish()
    assert Tracker(run.run_dir, sqlite).sync().ok
    assert StoredRuns(sqlite, run).parent.info.status == "FINISHED"


@pytest.mark.slow
def test_a_lost_or_damaged_state_file_duplicates_nothing(uri: str, fake_run: Any) -> None:
    run = fake_run(seed=2)
    run.train(1, 4)
    assert Tracker(run.run_dir, uri).sync().ok
    run.finish()
    state_file = run.run_dir / "tracking.json"
    for damage in (state_file.unlink, lambda: state_file.write_text('{"targets": 3')):
        damage()
        assert Tracker(run.run_dir, uri).sync().ok
    assert_complete(uri, run)


@pytest.mark.slow
@pytest.mark.parametrize("saved", [0, 1, 4])
def test_a_crash_before_the_state_is_written_duplicates_nothing(
    sqlite: str, fake_run: Any, monkeypatch: pytest.MonkeyPatch, saved: int
) -> None:
    run, writes = fake_run().finish(), []

    def die(path: Path, content: Any) -> None:
        writes.append(path)
        if len(writes) > saved:
            raise KeyboardInterrupt
        atomic_write(path, content)

    atomic_write = atomic.write_json
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "write_json", die)
        with pytest.raises(KeyboardInterrupt):
            Tracker(run.run_dir, sqlite).sync()
    assert Tracker(run.run_dir, sqlite).sync().ok
    assert_complete(sqlite, run)


@pytest.mark.slow
def test_stages_and_values_that_are_not_finite(sqlite: str, fake_run: Any) -> None:
    run = fake_run()
    run.train(1, 2, stage="pretrain", validation=None).train(1, 3, loss={"total": float("nan"), "bce": 1.0})
    with (run.run_dir / "fold1" / "epochs.jsonl").open("a") as file:
        file.write("half a line\n")
    detail = Tracker(run.run_dir, sqlite).sync().detail
    assert "sent 5 epochs" in detail
    assert "skipped: line 6 of fold1/epochs.jsonl (damaged), train/loss/total of step 0 (nan)" in detail
    stored = StoredRuns(sqlite, run)
    assert [step for step, _ in stored.history(1, "pretrain/loss/total")] == [0, 1]
    assert [step for step, _ in stored.history(1, "train/loss/bce")] == [0, 1, 2]
    assert stored.history(1, "train/loss/total") == []


@pytest.mark.slow
def test_the_same_run_in_another_environment_is_another(sqlite: str, fake_run: Any) -> None:
    run = fake_run().finish()
    assert Tracker(run.run_dir, sqlite).sync().ok
    (run.run_dir / "tracking.json").unlink()
    run.header["git"]["commit"] = "b" * 40
    (run.run_dir / "run.json").write_text(json.dumps(run.header))
    assert Tracker(run.run_dir, sqlite).sync().ok
    assert len(StoredRuns(sqlite, run).parents) == 2


@pytest.mark.slow
def test_a_lost_database_is_filled_again_and_a_deleted_run_is_not(sqlite: str, fake_run: Any) -> None:
    run = fake_run().finish()
    assert Tracker(run.run_dir, sqlite).sync().ok
    other = sqlite.replace("mlflow.db", "other.db")
    assert Tracker(run.run_dir, other).sync().ok
    state_file = json.loads((run.run_dir / "tracking.json").read_text())
    state_file["targets"][sqlite]["parent"] = "0" * 32
    (run.run_dir / "tracking.json").write_text(json.dumps(state_file))
    stored = StoredRuns(sqlite, run)
    for gone in (stored.parent, *stored.children.values()):
        stored.client.delete_run(gone.info.run_id)
    assert "sent 30 epochs" in Tracker(run.run_dir, sqlite).sync().detail
    assert_complete(sqlite, run)
    stored = StoredRuns(sqlite, run)
    stored.client.delete_run(stored.parent.info.run_id)
    assert Tracker(run.run_dir, sqlite).sync() == SyncResult(True, "was deleted in MLflow and is left alone")
    assert Tracker(run.run_dir, other).sync() == SyncResult(True, "nothing new")


@pytest.mark.slow
def test_an_unreachable_server_fails_fast(
    unreachable: str, sqlite: str, fake_run: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = [fake_run(seed=seed).finish().run_dir for seed in range(3)]
    begin = time.monotonic()
    results = [result for _, result in send_all(runs, unreachable)]
    assert time.monotonic() - begin < 5
    assert results == [SyncResult(False, f"{unreachable} cannot be reached", reachable=False)] * 3
    assert capfd.readouterr() == ("", "")
    for run in runs:
        assert Tracker(run, sqlite).sync().ok


@pytest.mark.slow
def test_a_server_that_accepts_and_never_answers(fake_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        begin = time.monotonic()
        result = Tracker(fake_run().run_dir, f"http://127.0.0.1:{mute.getsockname()[1]}").sync()
    assert not result.ok and not result.reachable
    assert time.monotonic() - begin < 8


@pytest.mark.slow
def test_bad_uris_give_one_line(tmp_path: Path, fake_run: Any) -> None:
    run = fake_run().finish()
    (tmp_path / "text.db").write_text("this is no database" * 100)
    (tmp_path / "file").touch()
    for uri, words in (
        (f"sqlite:///{tmp_path / 'text.db'}", "not a database"),
        (f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}", "cannot be used as MLflow's database"),
        ("http://me:secret@127.0.0.1:9", "http://***@127.0.0.1:9 cannot be reached"),
        ("nonsense://x", "nonsense"),
    ):
        begin = time.monotonic()
        result = Tracker(run.run_dir, uri).sync()
        assert not result.ok and words in result.detail and "\n" not in result.detail and "secret" not in result.detail
        assert time.monotonic() - begin < 5
    (run.run_dir / "run.json").write_text("{")
    assert "run.json: is not JSON" in Tracker(run.run_dir, "http://127.0.0.1:9").sync().detail


@pytest.mark.slow
def test_a_server_killed_in_the_middle_gets_the_rest_later(
    server: Server, tmp_path: Path, fake_run: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    run, messages = fake_run(seed=9), []
    try:
        with background([run.run_dir, tmp_path / "runs" / "not_yet"], server.uri, interval=0.1, say=messages.append):
            run.train(1, 5)
            _wait(lambda: '"train": 5' in _read(run.run_dir / "tracking.json"))
            server.stop()
            run.train(1, 5).finish_fold(1).train(2, 3)
            _wait(lambda: messages)
            run.finish()
        assert messages == [
            f"tracking: {server.uri} cannot be reached; nothing is lost, 'aubench track sync' sends it later"
        ]
        assert not Tracker(run.run_dir, server.uri).sync().ok
    finally:
        server.start()
    assert "25 epochs" in Tracker(run.run_dir, server.uri).sync().detail
    assert_complete(server.uri, run)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_leaving_the_background_sends_the_rest_and_waits_no_longer_than_patience(
    sqlite: str, fake_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, messages = fake_run(), []
    with background([run.run_dir], interval=600, say=messages.append):
        run.finish()
    assert_complete(sqlite, run)
    assert messages == []
    monkeypatch.setattr(background_module, "_JOIN_SECONDS", 0.2)
    monkeypatch.setattr(background_module, "send_all", lambda *_: time.sleep(3) or [])
    begin = time.monotonic()
    with background([run.run_dir], interval=600, say=messages.append):
        pass
    assert time.monotonic() - begin < 1
    assert messages == ["tracking: sending takes more than 0.2 s; nothing is lost, 'aubench track sync' sends it later"]


@pytest.mark.slow
@pytest.mark.nightly
def test_many_processes_may_create_the_database_quietly(tmp_path: Path, fake_run: Any) -> None:
    runs = [fake_run(seed=seed).train(1, 2).run_dir for seed in range(2)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DO_NOT"))}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SEND, str(run)],
            cwd=tmp_path,
            env=clean,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for run in runs
    ]
    for process in processes:
        messages, noise = process.communicate(timeout=60)
        assert "ok=True" in messages and "2 epochs" in messages
        assert noise == ""
    assert (tmp_path / "mlflow.db").is_file()


@pytest.mark.slow
def test_telemetry_is_off_unless_the_user_speaks_of_it(monkeypatch: pytest.MonkeyPatch, sqlite: str) -> None:
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    mlflow_client.connect(sqlite)
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    mlflow_client.connect(sqlite)
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "false"
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY")
    monkeypatch.setenv("DO_NOT_TRACK", "false")
    mlflow_client.connect(sqlite)
    assert "MLFLOW_DISABLE_TELEMETRY" not in os.environ


@pytest.mark.slow
def test_track_sync_sends_what_is_unsent(sqlite: str, fake_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cli = CliRunner()
    assert isinstance(cli.invoke(commands.track, ["sync"]).exception, UsageError)
    Path("runs").mkdir()
    assert cli.invoke(commands.track, ["sync"]).output == "runs: no runs\n"
    one, two = fake_run().finish(), fake_run(seed=1).finish()
    done = cli.invoke(commands.track, ["sync", one.id])
    assert done.exit_code == 0 and done.output.startswith(f"{one.run_dir.relative_to(Path.cwd())}: sent 30 epochs")
    lines = cli.invoke(commands.track, ["sync"]).output.splitlines()
    assert sorted(line.partition(": ")[2][:14] for line in lines) == ["nothing new", "sent 30 epochs"]
    results = api.sync_runs([one.run_dir, two.run_dir])
    assert list(results) == [one.run_dir, two.run_dir] and {each.detail for each in results.values()} == {"nothing new"}
    assert isinstance(cli.invoke(commands.track, ["sync", "zzz"]).exception, UsageError)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    refused = cli.invoke(commands.track, ["sync"])
    assert refused.stderr.count("not sent: http://127.0.0.1:9 cannot be reached") == 2
    assert isinstance(refused.exception, CheckFailed) and "2 of 2 could not be sent" in str(refused.exception)


def test_without_mlflow_a_run_and_a_search_go_on_and_the_command_names_the_package(
    fake_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mlflow", "sqlalchemy"):  # a part of MLflow and Optuna
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run, lines, trained = fake_run().finish(), [], False
    with background([run.run_dir], say=lines.append):
        trained = True
    studies.Tracking(tmp_path, lines.append).send()
    missing = "tracking: needs the package 'mlflow', which is not installed; pip install 'aubench[track]'"
    assert trained and len(lines) == 2 and all(line.startswith(missing) for line in lines)
    with pytest.raises(UsageError, match="needs the package 'mlflow'"):
        api.sync_runs([run.run_dir])


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("loss", "total"), "loss/total"),
        (("loss", "a:b→c"), "loss/a_b_c"),
        (("..", "x//y", "."), "x/y"),
        (("",), "_"),
        (("/etc/", "AU 1"), "etc/AU 1"),
    ],
)
def test_names_are_made_such_as_mlflow_allows(parts: tuple[str, ...], name: str) -> None:
    assert mlflow_client.key(*parts) == name


def _wait(done: Any) -> None:
    until = time.monotonic() + 20
    while not done():
        assert time.monotonic() < until
        time.sleep(0.05)


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_an_installation_without_mlflow_and_its_packages_has_no_request_that_failed(monkeypatch):
    monkeypatch.setitem(sys.modules, "requests.exceptions", None)
    monkeypatch.setitem(sys.modules, "requests", None)
    assert mlflow_client.describe_no_answer(ModuleNotFoundError("No module named 'mlflow'")) is None
