"""``~`` in arguments and environment variables, which no shell expands in Dockerfiles, ``.env`` files and URLs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import aubench
from aubench import api
from aubench._util import atomic
from aubench._util.paths import default_root, sqlite_url
from aubench.api.planning import check_overrides
from aubench.core.errors import AubenchError, ProtocolError, UsageError
from aubench.core.plugins import plugin_modules
from aubench.core.registry import find_protocol
from aubench.core.user_paths import expand_home
from aubench.leaderboard import verified_records
from aubench.tracking import mlflow_client
from aubench.tuning import storage


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A home folder that is not the working directory."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("~", "HOME"),
        ("~/stores", "HOME/stores"),
        ("--store=~/stores", "--store=HOME/stores"),
        ("weights=~/w.safetensors", "weights=HOME/w.safetensors"),
        ("amf,~/own.py,~/b.py", "amf,HOME/own.py,HOME/b.py"),
        ("~/a.py:~/b.py", "HOME/a.py:HOME/b.py"),
        ("journal:~/studies", "journal:HOME/studies"),
        ("sqlite:///~/studies.db", "sqlite:///HOME/studies.db"),
        ("/data/~/stores", "/data/~/stores"),
        ("notes~", "notes~"),
        ("~nobody_of_this_name/stores", "~nobody_of_this_name/stores"),
        ("postgresql://user:~x@host/db", "postgresql://user:~x@host/db"),
    ],
)
def test_tilde_is_expanded_at_the_start_of_a_path(home, text, expected):
    assert expand_home(text) == expected.replace("HOME", str(home))


def test_tilde_in_each_environment_variable_is_the_home_folder(home, monkeypatch):
    (home / "plugin.py").write_text("loaded = True\n", encoding="utf-8")
    for name, value in {
        "AUBENCH_STORES": "~/stores",
        "AUBENCH_CACHE": "~/cache",
        "AUBENCH_PLUGINS": "~/plugin.py",
        "MLFLOW_TRACKING_URI": "sqlite:///~/mlflow.db",
    }.items():
        monkeypatch.setenv(name, value)
    assert default_root() == home / "stores"
    assert verified_records.cache_path().parent == home / "cache"
    assert [module.loaded for module in plugin_modules()] == [True]
    assert mlflow_client.default_uri() == f"sqlite:///{home}/mlflow.db"


def test_tilde_in_an_option_is_no_folder_of_that_name(call, home):
    answer = call("data", "check", "synth", "--store=~/synth")
    assert (answer.code, answer.err.partition(": no store of synth here")[0]) == (2, f"aubench: {home / 'synth'}")


def test_tilde_in_an_argument_of_a_function_is_the_home_folder(home):
    (home / "mine.toml").write_text("x = 1\n", encoding="utf-8")
    with pytest.raises(ProtocolError, match=str(home / "mine.toml")):
        find_protocol("~/mine.toml")
    for call in (
        lambda: aubench.compare(["~/runs", "~/others"]),
        lambda: aubench.load_results("~/runs"),
        lambda: aubench.evaluate_robustness(suite="mask", runs="~/runs"),
    ):
        with pytest.raises(AubenchError, match=str(home / "runs")):
            call()
    assert check_overrides({"weights": "~/model.safetensors"}) == {"weights": str(home / "model.safetensors")}
    assert storage.storage_url("journal:~/studies.log", Path("runs")) == f"journal:{home}/studies.log"
    assert storage.storage_url("sqlite:///~/studies.db", Path("runs")) == f"sqlite:///{home}/studies.db"


def test_variable_from_a_file_of_windows_ends_without_cr(home, monkeypatch):
    monkeypatch.setenv("AUBENCH_STORES", "/data/stores\r")
    assert default_root() == Path("/data/stores")


def test_user_without_a_home_folder_is_told_the_variable(home, monkeypatch):
    monkeypatch.delenv("AUBENCH_STORES", raising=False)
    monkeypatch.delenv("AUBENCH_CACHE", raising=False)

    def unknown(*_, **__):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr("platformdirs.user_data_dir", unknown)
    monkeypatch.setattr("platformdirs.user_cache_dir", unknown)
    with pytest.raises(UsageError, match=r"^the home folder is unknown; set AUBENCH_STORES to a writable folder$"):
        default_root()
    assert verified_records.cache_path() is None
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(UsageError, match=r"^~/stores: the home folder is unknown; set HOME, or give an absolute path$"):
        expand_home("~/stores")


def test_home_folder_that_cannot_be_created_is_told_the_variable(home, monkeypatch):
    monkeypatch.delenv("AUBENCH_STORES", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", "/dev/null/home")
    with pytest.raises(UsageError, match="cannot be created; set AUBENCH_STORES to a writable folder"):
        default_root()


def test_undecodable_file_name_is_stored_and_read_again(tmp_path):
    atomic.write_json(tmp_path / "run.json", {"method": "caf\udce9/own.py"})
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8")) == {"method": "caf\udce9/own.py"}


def test_a_question_mark_in_a_folder_is_no_end_of_a_database_path(tmp_path, monkeypatch):
    folder = tmp_path / "done?"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for default in (mlflow_client.default_uri, lambda: storage.storage_url(None, Path("runs"))):
        with pytest.raises(UsageError, match="'\\?'"):
            default()


@pytest.mark.parametrize(
    ("draw", "name"),
    [
        (lambda: api.plot_reconstructions("~/runs/one"), "runs/one/plots/reconstructions.png"),
        (lambda: api.plot_knowledge("~/runs/one"), "runs/one/plots/knowledge.png"),
        (lambda: api.plot_selection("~/runs/one"), "runs/one/plots/selection.png"),
        (lambda: api.plot_cut_switch("~/runs/one"), "runs/one/plots/cut_switch.png"),
        (lambda: api.plot_studies(["one"], runs="~/runs"), "runs/studies/search.png"),
    ],
)
def test_the_default_file_of_a_figure_is_in_the_home_folder(home, monkeypatch, draw, name):
    def refuse(path: Path) -> None:
        raise UsageError("checked", where=path)

    monkeypatch.setattr("aubench.plots.style.check", refuse)
    with pytest.raises(UsageError) as error:
        draw()
    assert error.value.where == home / name


def test_records_of_a_leaderboard_in_the_home_folder_are_used(home, monkeypatch):
    (home / "board").symlink_to(Path(__file__).parents[2] / "leaderboard")
    folders = []

    def refuse(protocol, options, seeds, store, records):
        folders.extend(records)
        raise UsageError("seen")

    monkeypatch.setattr("aubench.papers.row_specs.ReproductionConfig", refuse)
    with pytest.raises(UsageError, match="seen"):
        api.list_exhibits(protocol="synth_3fold", root="~/board")
    assert folders == [home / "board/records", home / "board/variants/records"]


@pytest.mark.parametrize("name", ["My%20Drive", "50 % of é #1"])
def test_a_database_is_in_the_folder_of_its_name(tmp_path, name):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    folder = tmp_path / name
    folder.mkdir()
    url = sqlite_url(folder / "studies.db")
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE any (value INTEGER)"))
    engine.dispose()
    assert [path.name for path in tmp_path.iterdir()] == [name] and (folder / "studies.db").stat().st_size
    assert mlflow_client._sqlite_path(url) == folder / "studies.db"
