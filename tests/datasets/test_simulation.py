"""Simulated label trees: layout, counts, protocols and faults."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aubench.core.errors import DataError, UsageError
from aubench.core.protocol_file import load
from aubench.core.registry import find_protocol
from aubench.data.loader import shuffled_epoch
from aubench.data.splits import ProtocolDataset
from aubench.data.store import Store
from aubench.datasets import simulation
from aubench.datasets.simulation import simulate


def nothing(done: int, total: int) -> None:
    """Ignore progress."""


@pytest.fixture
def short(monkeypatch) -> None:
    """Write a hundredth of the frames, and one sequence of each subject."""
    full = simulation._simulations()

    def shortened(item: simulation.Simulation) -> simulation.Simulation:
        frames = {subjects: count // 100 for subjects, count in item.frames.items()}
        return replace(item, frames=frames, tasks=item.tasks[:1])

    monkeypatch.setattr(simulation, "_simulations", lambda: {name: shortened(item) for name, item in full.items()})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "total", "file", "first"),
    [
        ("bp4d", 146_847, "AUCoding/AU_OCC/F001_T1.csv", ",".join(map(str, range(100)))),
        ("bp4dplus", 197_756, "AUCoding/AU_OCC/M058_T1.csv", "1,1,2,4,5,6,7,9,10,11,12,13"),
        ("disfa", 130_814, "ActionUnit_Labels/SN010/SN010_au26.txt", "1,"),
    ],
)
def test_full_counts_and_the_layout_of_the_owners(short, tmp_path, dataset, total, file, first):
    simulations = simulation._simulations()[dataset]
    lines = simulate(dataset, tmp_path / "out", 0, nothing)
    assert (tmp_path / "out" / file).read_text().startswith(first)
    store = Store(tmp_path / "out" / "store")
    assert len(store.frames) == sum(simulations.frames.values()) == pytest.approx(total / 100, rel=0.01)
    for name, path in zip(simulations.protocols, lines[2:], strict=True):
        protocol, installed = load(tmp_path / "out" / f"{name}_simulated.toml"), find_protocol(name)
        assert str(tmp_path / "out" / f"{name}_simulated.toml") in path
        assert protocol.parts == installed.parts and protocol.aus == installed.aus
        data = ProtocolDataset(store, protocol)
        split = data.split(1, validation=True)
        assert sum(map(len, (split.train, split.val, split.test))) == len(store.frames) == data.count
        assert len(shuffled_epoch(split.train, None, 0)) == len(split.train)


@pytest.mark.slow
def test_equal_seeds_give_equal_labels_with_base_rates(short, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        simulate("disfa", tmp_path / name, seed, nothing)
    a, b, c = (Store(tmp_path / name / "store").frames for name in "abc")
    assert a.equals(b) and not a.equals(c)
    assert {*np.unique(a["AU12"])} == {0, 1, 2, 3, 4, 5}
    assert (a["AU25"] >= 2).mean() == pytest.approx(0.278, abs=0.15)


def test_full_sizes_are_those_of_publications():
    totals = {name: sum(item.frames.values()) for name, item in simulation._simulations().items()}
    assert totals == {"bp4d": 146_847, "bp4dplus": 197_756, "disfa": 130_814}
    bp4d = simulation._simulations()["bp4d"]
    assert len(bp4d.frames) == 3 and sum(map(len, bp4d.frames)) * len(bp4d.tasks) == 328


def test_the_folder_appears_when_it_is_complete(short, tmp_path):
    def interrupt(done, total):
        assert not (tmp_path / "out").exists()
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate("disfa", tmp_path / "out", 0, interrupt)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_folder_that_another_process_has_filled_meanwhile_stays(short, tmp_path):
    def fill(done, total):
        if done == total:
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "theirs.csv").touch()

    with pytest.raises(DataError, match="out: cannot be written"):
        simulate("bp4d", tmp_path / "out", 1, fill)
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["out", "out/theirs.csv"]


def test_faults_are_one_line(call, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(DataError, match="is not an empty folder"):
        simulate("bp4d", tmp_path / "full", 0, nothing)
    with pytest.raises(UsageError, match="cannot simulate 'gft'"):
        simulate("gft", tmp_path / "new", 0, nothing)
    refused = {("bp4d",): "photos and videos are not simulated", ("gft", "--labels-only"): "cannot simulate 'gft'"}
    for words, text in refused.items():
        failed = call("data", "simulate", *words, "--out", "new")
        assert failed.code == 2 and text in failed.err and failed.err.count("\n") == 1
    assert not (tmp_path / "new").exists()
