"""Storages that a user may type: a study, or one line that names the mistake and its remedy."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from aubench.core.errors import AubenchError, UsageError
from aubench.tracking import mlflow_client
from aubench.tuning.storage import open_storage

pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def databases(tmp_path_factory) -> Path:
    """Folder with databases and files of several kinds."""
    import optuna

    folder = tmp_path_factory.mktemp("databases")
    for name in ("good", "newer", "cut"):
        optuna.storages.RDBStorage(f"sqlite:///{folder}/{name}.db")
    execute(folder / "newer.db", "UPDATE alembic_version SET version_num = 'v9.9.0.a'")
    cut = (folder / "good.db").read_bytes()
    (folder / "cut.db").write_bytes(cut[: len(cut) // 2])
    for name in ("mlflow", "airflow"):
        execute(folder / f"{name}.db", "CREATE TABLE alembic_version (version_num VARCHAR(32))")
        execute(folder / f"{name}.db", "INSERT INTO alembic_version VALUES ('1bd49d398cd23')")
    execute(folder / "mlflow.db", "CREATE TABLE experiments (experiment_id INTEGER)")
    execute(folder / "theirs.db", "CREATE TABLE trials (patient INTEGER)")
    (folder / "text.db").write_text("no database" * 50)
    (folder / "text.log").write_text("not JSON\n")
    (folder / "half.log").write_text('{"study_name":"mi')
    (folder / "part.log").write_text('{"op_code":0,"study_na')
    (folder / "folder").mkdir()
    (folder / "empty.db").touch()
    return folder


def execute(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def refusal(storage: str) -> str:
    with pytest.raises(UsageError) as caught:
        open_storage(storage)
    line = str(caught.value)
    assert "secret" not in line and "pip install -U" not in line and "\n" not in line
    return line


@pytest.mark.slow
@pytest.mark.parametrize(
    "storage",
    [
        *("good.db", "empty.db", "missing/folder/new.db", "good.db?timeout=5"),
        *("journal:new.log", "journal:missing/new.log", "journal:part.log"),
    ],
)
def test_a_file_is_opened_or_created(databases, monkeypatch, storage):
    monkeypatch.chdir(databases)
    url = storage if storage.startswith("journal:") else f"sqlite:///{storage}"
    assert open_storage(url).get_all_studies() == []


@pytest.mark.slow
def test_the_driver_of_sqlite_may_be_named(databases):
    assert open_storage(f"sqlite+pysqlite:///{databases}/good.db").get_all_studies() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("storage", "parts"),
    [
        ("sqlite:///mlflow.db", ("another application", "experiments", "database of its own")),
        ("sqlite:///airflow.db", ("another application", "database of its own")),
        ("sqlite:///theirs.db", ("another application", "trials")),
        ("sqlite:///newer.db", ("another version of Optuna",)),
        ("sqlite:///text.db", ("not a database",)),
        ("sqlite:///cut.db", ("malformed",)),
        ("sqlite:///folder", ("is a folder",)),
        ("sqlite://", ("in memory", "sqlite:///FILE")),
        ("sqlite:///", ("in memory", "sqlite:///FILE")),
        ("sqlite:///:memory:", ("in memory", "sqlite:///FILE")),
        ("sqlite:////proc/none/studies.db", ("sqlite:////proc/none/studies.db",)),
        ("good.db", ("is not a storage", "sqlite:///good.db")),
        ("sqlite:good.db", ("is not a storage", "sqlite:///FILE")),
        ("", ("is not a storage",)),
        ("postgres://me:secret@host/base", ("postgresql://",)),
        ("mysql://me:secret@host/base", ("mysql+pymysql://",)),
        ("postgresql+none://me:secret@host/base", ("postgresql+none", "postgresql://")),
        ("mongodb://me:secret@host/base", ("mongodb", "sqlite, postgresql, mysql")),
        ("http://me:secret@host:5000", ("http", "sqlite, postgresql, mysql")),
        ("postgresql://me:secret@host:port/base", ("not a valid URL",)),
        ("postgresql://me:top@secret@host:port/base", ("not a valid URL",)),
        ("://x", ("not a valid URL",)),
        ("journal:folder", ("is a folder",)),
        ("journal:", ("names no file",)),
        ("journal://new.log", ("journal:PATH",)),
        ("journal:sqlite:///x.db", ("journal:PATH",)),
        ("journal:text.log", ("text.log", "not a journal")),
        ("journal:half.log", ("half.log", "not a journal")),
        ("journal:good.db", ("good.db", "not a journal")),
    ],
)
def test_a_mistake_is_one_line_with_its_remedy(databases, monkeypatch, storage, parts):
    monkeypatch.chdir(databases)
    before = {path.name for path in databases.iterdir() if not path.name.startswith(".")}
    line = refusal(storage)
    assert all(part in line for part in parts), line
    assert {path.name for path in databases.iterdir() if not path.name.startswith(".")} == before


@pytest.mark.slow
def test_a_refused_database_gets_no_tables(databases):
    refusal(f"sqlite:///{databases}/mlflow.db")
    with contextlib.closing(sqlite3.connect(databases / "mlflow.db")) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert names == {"alembic_version", "experiments"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("sqlite:///good.db", ("another application", "studies", "database of its own")),
        ("sqlite:///airflow.db", ("another application",)),
        ("sqlite:///:memory:", ("in memory",)),
        ("sqlite://", ("in memory",)),
        ("sqlite:///folder", ("is a folder",)),
        ("sqlite:///text.db", ("not a database",)),
        ("postgres://me:secret@host/base", ("postgresql://",)),
        ("mysql://me:secret@host/base", ("mysql+pymysql://",)),
        ("postgresql://me:secret@host:port/base", ("not a valid URL",)),
        ("sqlite:good.db", ("not a valid URL",)),
    ],
)
def test_a_tracking_uri_of_these_kinds_is_one_line(databases, monkeypatch, name, parts):
    pytest.importorskip("mlflow")
    monkeypatch.chdir(databases)
    with pytest.raises(AubenchError) as caught:
        mlflow_client.connect(mlflow_client.resolve(name))
    assert all(part in str(caught.value) for part in parts), caught.value
    assert "secret" not in str(caught.value)
