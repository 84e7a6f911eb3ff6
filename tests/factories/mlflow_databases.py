"""MLflow databases without runs, as copies of one, because MLflow takes seconds to create one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aubench.tracking import mlflow_client


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    mlflow_client.connect(f"sqlite:///{path}")
    return path


@pytest.fixture
def mlflow_uri(tmp_path: Path, empty_database: Path) -> str:
    path = shutil.copy(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{path}"
