"""Tracking servers that answer errors, hang or die, and many processes on one database: runs lose nothing."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from factories.processes import in_processes

from aubench.tracking import background as background_module
from aubench.tracking import mlflow_client, sync
from aubench.tracking.background import background
from aubench.tracking.sync import SyncResult, Tracker, send_all

LATER = "; nothing is lost, 'aubench track sync' sends it later"
EXPERIMENT = {"experiment": {"experiment_id": "1", "name": "aubench/synth_3fold", "lifecycle_stage": "active"}}


class Server(http.server.ThreadingHTTPServer):
    """A tracking server whose answers a test chooses: status, headers and seconds of silence before them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.headers, self.silence, self.requests = 500, dict[str, str](), 0.0, list[str]()
        self.dies_after = 0
        self.uri = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *request: object) -> None:
        """Print nothing of clients that have gone, since other tests read stderr."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.requests.append(self.path)
        if len(server.requests) == server.dies_after:
            server.socket.close()  # before the answer, after which the client may connect again at once
            self.close_connection = True
        time.sleep(server.silence)
        body = json.dumps(EXPERIMENT).encode()
        self.send_response(server.status)
        for name, value in (server.headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server, and the settings of a user who sets none, except the seconds of silence."""
    for name in mlflow_client._DEFAULTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def train(run: Any, uri: str) -> tuple[list[str], float]:
    """Train a run with tracking. Return the lines on stderr and the seconds that tracking took afterwards."""
    lines: list[str] = []
    with background([run.run_dir], uri, interval=0.1, say=lines.append):
        run.train(1, 2)
        time.sleep(0.3)
        run.finish()
        end = time.monotonic()
    return lines, time.monotonic() - end


def files(run: Any) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in run.run_dir.rglob("*") if path.is_file() and path.name[0] != "."}


@pytest.mark.slow
@pytest.mark.parametrize("status", [500, 503])
def test_server_that_answers_errors_costs_one_line(server, fake_run, status, capfd):
    server.status, server.headers = status, {"Retry-After": "3600"}
    run = fake_run()
    lines, seconds = train(run, server.uri)
    assert lines == [f"tracking: {server.uri} answers with the error {status}{LATER}"]
    assert seconds < 20 and len(server.requests) >= 2
    assert capfd.readouterr() == ("", "")
    before = files(run)
    assert [result.ok for _, result in send_all([run.run_dir] * 3, server.uri)] == [False] * 3
    assert files(run) == before and (run.run_dir / "record" / "record.json").exists()


@pytest.mark.slow
def test_server_that_never_answers_delays_the_end_by_a_stated_time(server, fake_run, monkeypatch):
    server.silence = 60
    monkeypatch.setattr(background_module, "_JOIN_SECONDS", 0.5)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    lines, seconds = train(fake_run(), server.uri)
    assert seconds < 10
    assert lines == [f"tracking: sending takes more than 0.5 s{LATER}"]
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    begin = time.monotonic()
    result = Tracker(fake_run(seed=1).run_dir, server.uri).sync()
    assert result == SyncResult(False, f"{server.uri} does not answer within 1 s", reachable=False)
    assert time.monotonic() - begin < 20, "two attempts"


def test_seconds_of_a_server_without_an_answer_are_few(server, monkeypatch):
    defaults = mlflow_client._DEFAULTS
    attempts = 1 + int(defaults["MLFLOW_HTTP_REQUEST_MAX_RETRIES"])
    in_flight_and_last = 2 * attempts * int(defaults["MLFLOW_HTTP_REQUEST_TIMEOUT"])
    assert in_flight_and_last <= background_module._JOIN_SECONDS == 30


def test_interrupted_command_does_not_wait_for_the_server(server, fake_run, monkeypatch):
    server.silence = 60
    monkeypatch.setattr(background_module, "_INTERRUPTED_JOIN_SECONDS", 0.2)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    lines: list[str] = []
    run = fake_run()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt), background([run.run_dir], server.uri, say=lines.append):
        raise KeyboardInterrupt
    assert time.monotonic() - begin < 10
    assert lines == [f"tracking: sending takes more than 0.2 s{LATER}"]


@pytest.mark.slow
def test_server_that_dies_in_the_middle_costs_one_line(server, fake_run):
    server.status, server.dies_after = 200, 1
    lines, seconds = train(fake_run(), server.uri)
    assert lines == [f"tracking: {server.uri} cannot be reached{LATER}"]
    assert seconds < 20 and len(server.requests) == 1


def test_locked_database_is_tried_again_until_a_limit(fake_run, monkeypatch):
    answers: list[object] = [RuntimeError("(sqlite3.OperationalError) database is locked")] * 2
    answers.append(SyncResult(True, "sent 1 epoch"))

    def attempt(self: Tracker) -> SyncResult:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(Tracker, "_sync", attempt)
    monkeypatch.setattr(sync, "_PAUSE_SECONDS", 0.01)
    run = fake_run()
    assert Tracker(run.run_dir, "sqlite:///x.db").sync() == SyncResult(True, "sent 1 epoch")
    monkeypatch.setattr(sync, "_DATABASE_SECONDS", -1)
    answers += [RuntimeError("database\nis locked")] * 2
    assert Tracker(run.run_dir, "sqlite:///x.db").sync() == SyncResult(False, "database is locked")


@pytest.mark.slow
def test_eight_processes_that_send_one_run_say_so_in_one_line(fake_run, monkeypatch, tmp_path):
    run, refused = fake_run(), tmp_path / "refused"
    refused.mkdir()

    def attempt(self: Tracker) -> SyncResult:
        until = time.monotonic() + 60
        while len(list(refused.iterdir())) < 7:
            assert time.monotonic() < until
            time.sleep(0.02)
        return SyncResult(True, "sent")

    def work(index: int) -> SyncResult:
        result = Tracker(run.run_dir, "sqlite:///x.db").sync()
        (refused / str(index)).touch()
        return result

    monkeypatch.setattr(Tracker, "_sync", attempt)
    monkeypatch.setattr(sync, "_LOCK_SECONDS", 0.1)
    results = in_processes(8, work)
    assert results.count(SyncResult(True, "sent")) == 1
    assert results.count(SyncResult(False, "another process is sending this run")) == 7


@pytest.mark.slow
def test_eight_runs_at_once_on_one_new_database_lose_and_double_nothing(fake_run, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    runs = [fake_run(seed=seed).train(1, 2) for seed in range(8)]
    results = in_processes(8, lambda index: Tracker(runs[index].run_dir).sync())
    assert results == [SyncResult(True, "sent 2 epochs, 1 description, 1 file")] * 8
    assert capfd.readouterr() == ("", "")
    client = mlflow_client.connect(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name LIKE 'aubench/%'")
    stored = client.search_runs([experiment.experiment_id])
    parents = {run.data.tags["aubench.run_id"] for run in stored if "aubench.fold" not in run.data.tags}
    assert len(stored) == 16 and parents == {run.id for run in runs}
    for run in stored:
        if "aubench.fold" in run.data.tags:
            steps = [point.step for point in client.get_metric_history(run.info.run_id, "train/loss/total")]
            assert sorted(steps) == [0, 1]
