"""Two workers on a real PostgreSQL server, one killed: skipped where there is no server or no driver."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from factories.searches import check_trials, kill_one_of_two, search_words

pytest.importorskip("optuna")
pytest.importorskip("psycopg")
PATHS = os.pathsep.join([os.environ["PATH"], *map(str, Path("/usr/lib/postgresql").glob("*/bin"))])
"""Where servers are; Debian keeps them off the path."""
INITDB, POSTGRES = (shutil.which(name, path=PATHS) for name in ("initdb", "postgres"))
pytestmark = pytest.mark.skipif(not (INITDB and POSTGRES), reason="no PostgreSQL")


def free_port() -> int:
    with socket.socket() as server_socket:
        server_socket.bind(("127.0.0.1", 0))
        return int(server_socket.getsockname()[1])


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that another user can reach, as those of pytest cannot be."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    """The URL of an empty database on a server of its own, on loopback."""
    port = free_port()
    as_other = {"user": "postgres"} if os.geteuid() == 0 else {}  # PostgreSQL does not run as root
    if as_other:
        shutil.chown(folder, "postgres")
    name = as_other.get("user") or getpass.getuser()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder} | as_other
    subprocess.run([INITDB, "-D", folder / "data", "-A", "trust", "-U", name], check=True, **quiet)
    words = [POSTGRES, "-D", folder / "data", "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"]
    with subprocess.Popen(words, **quiet) as process:
        try:
            wait_for_answer(port, process)
            yield f"postgresql+psycopg://{name}@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def wait_for_answer(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(200):
        assert process.poll() is None, "the server has ended"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            time.sleep(0.5)
            return
    raise AssertionError("the server does not answer")


@pytest.mark.slow
@pytest.mark.nightly
def test_two_workers_share_the_trials_and_one_is_killed(call, server, small_store, tmp_path):
    import optuna

    from aubench.tuning.storage import open_storage

    words = search_words(small_store, 4, "--storage", server, "--fold", "1")
    kill_one_of_two(call, tmp_path, words)
    check_trials(optuna.load_study(study_name="two", storage=open_storage(server)), 4)
