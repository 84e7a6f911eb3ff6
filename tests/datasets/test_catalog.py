"""Stores that several processes open or prepare at once."""

import threading
from pathlib import Path

import pytest
from factories.stores import write_store

from aubench._util import locks
from aubench.core.errors import AubenchError, DataError, UsageError
from aubench.data import partial_store
from aubench.data.store_writer import StoreWriter
from aubench.datasets.catalog import check_store, find_stores, open_store, open_stores
from aubench.datasets.synth import synth_dataset
from aubench.datasets.synth.synth_dataset import SYNTH
from tests.factories.synth import short


def quiet(done: int, total: int) -> None:
    """Show no progress."""


@pytest.fixture
def tiny(monkeypatch):
    """Make the default store of synth tiny; returns the names of rendered sequences."""
    rendered = []
    settings = short(subjects=2, sequences=1, frames=2, size=32)
    render = synth_dataset._render_sequence

    def record(settings, subject, task):
        rendered.append((subject, task))
        return render(settings, subject, task)

    monkeypatch.setattr(type(SYNTH), "Options", staticmethod(lambda: settings))
    monkeypatch.setattr(synth_dataset, "_render_sequence", record)
    return rendered


def test_runs_that_start_at_once_generate_one_store(tiny, tmp_path):
    stores, errors = [], []

    def work():
        try:
            stores.append(open_store("synth", tmp_path / "synth", quiet).info.digest)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(stores) == 4 and len(set(stores)) == 1
    assert sorted(tiny) == [("F001", "T1"), ("F002", "T1")]
    assert [path.name for path in tmp_path.iterdir()] == ["synth"]


def test_a_store_that_is_generated_in_a_given_folder_is_told(tiny, tmp_path, monkeypatch, capfd):
    line = f"aubench: no store of synth in {tmp_path / 'sinth'}, so it is generated there\n"
    for _ in range(2):
        open_store("synth", tmp_path / "sinth", quiet)
        assert capfd.readouterr().err == line
        line = ""
    monkeypatch.setenv("AUBENCH_STORES", str(tmp_path / "stores"))
    open_store("synth", None, quiet)
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_a_run_waits_for_a_preparation_in_progress(tiny, tmp_path):
    with locks.exclusive(partial_store.lock_path(tmp_path / "synth")):
        thread = threading.Thread(target=open_store, args=("synth", tmp_path / "synth", quiet))
        thread.start()
        thread.join(0.2)
        assert thread.is_alive() and not tiny
    thread.join()
    assert (tmp_path / "synth/store.json").exists()


def test_a_second_preparation_is_refused_in_one_line(tmp_path, call):
    plan = {"dataset": "synth"}
    with StoreWriter(tmp_path / "store", plan):
        answer = call("data", "prepare", "synth", "--store", tmp_path / "store")
    assert (answer.code, answer.err) == (
        2,
        f"aubench: {tmp_path / 'store'}: another process is writing this store;"
        " wait until it ends, or name another --store\n",
    )


def test_a_partial_store_of_unknown_origin_is_refused_by_a_run(tiny, tmp_path):
    (tmp_path / "synth.partial/arrays").mkdir(parents=True)
    (tmp_path / "synth.partial/arrays/any.npy").touch()
    with pytest.raises(DataError, match=r"synth\.partial: its options and source are unknown"):
        open_store("synth", tmp_path / "synth", quiet)


def test_a_check_refuses_a_store_of_another_data_set_or_version(tiny, tmp_path, monkeypatch):
    folder = tmp_path / "synth"
    open_store("synth", folder, quiet)
    assert "intact" in check_store("synth", folder, quiet)
    with pytest.raises(
        DataError, match=r"synth: is a store of synth, not of bp4d; name its data set, or another --store"
    ):
        check_store("bp4d", folder, quiet)
    monkeypatch.setattr(type(SYNTH), "version", "0")
    with pytest.raises(DataError, match=r"was made by version .* of the reader, this is 0; delete the store"):
        check_store("synth", folder, quiet)


def test_the_store_of_each_data_set_is_named_or_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUBENCH_STORES", str(tmp_path / "stores"))
    one, other = (write_store(tmp_path / name, name, ["F001"]).path for name in ("one", "other"))
    third = tmp_path / "stores/third"
    names = ("one", "other", "third")
    expected = {"one": one, "other": other, "third": third}
    assert find_stores(names, [f"other={other}", one]) == expected
    assert find_stores(names, [str(one), str(other)]) == expected
    assert find_stores(names, {"other": str(other), "one": one}) == expected
    assert find_stores(["third", "one"], {"one": one}) == {"third": third, "one": one}
    assert find_stores(["one"], one) == find_stores(["one"], f"one={one}") == {"one": one}
    assert find_stores(["third"], None) == find_stores(["third"], []) == {"third": third}
    odd = tmp_path / "a=b"
    one.rename(odd)
    assert find_stores(names, [str(odd)])["one"] == odd
    joined = open_stores(("other", "one"), [f"one={odd}", other], lambda done, total: None)
    assert joined.info.dataset == "other-one" and set(joined.frames["subject"]) == {"other:F001", "one:F001"}


def test_a_store_that_no_data_set_needs_is_one_line(tmp_path: Path) -> None:
    one, other = (write_store(tmp_path / name, name, ["F001"]).path for name in ("one", "other"))
    for given, message in (
        ([one, f"one={one}"], "gives two stores of one"),
        ([f"on={one}"], "'on' is no data set of the protocol; did you mean 'one'"),
        ([one, other], "is a store of other, and the protocol is on one and third"),
        ([tmp_path], "no store here"),
    ):
        with pytest.raises(AubenchError, match=message):
            find_stores(("one", "third"), given)
    with pytest.raises(UsageError, match="'on' is no data set of the protocol"):
        find_stores(["one"], f"on={one}")
    with pytest.raises(UsageError, match="'on' is no data set of the protocol; did you mean 'one'"):
        find_stores(["one"], {"on": one})
    with pytest.raises(DataError, match="is a store of one, not of other"):
        open_stores(("one", "other"), [one, f"other={one}"], lambda done, total: None)
