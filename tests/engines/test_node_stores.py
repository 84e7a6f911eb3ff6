"""Stores on nodes without the disk of the command, and the machines in a record."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace

import pytest

from aubench.core.errors import DataError, UsageError
from aubench.data.store import Store
from aubench.engines.node_stores import with_node_store
from aubench.results.schema import FoldInfo
from aubench.runs import record_builder


@pytest.fixture
def node(plan, small_store, tmp_path, monkeypatch):
    """Return a run whose store is not on this node, and the node's own store."""
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    monkeypatch.setenv("AUBENCH_STORES", str(tmp_path / "stores"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shutil.copytree(small_store, tmp_path / "stores" / "synth")
    elsewhere = replace(config, store=replace(config.store, path=tmp_path / "elsewhere"))
    return elsewhere, tmp_path / "stores" / "synth"


def test_the_store_of_the_command_is_used_where_it_exists(plan, tmp_path):
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    assert with_node_store(config) is config


def test_the_store_of_the_node_is_verified_once_by_each_user(node, monkeypatch):
    config, folder = node
    verified, verify = [], Store.verify
    monkeypatch.setattr(
        Store, "verify", lambda store, **words: (verified.append(words.get("full")), verify(store, **words))
    )
    for user in (1, 1, 2):  # nobody may write the files of others in a shared temporary folder
        monkeypatch.setattr("os.getuid", lambda user=user: user)
        moved = with_node_store(config)
        assert moved.store.path == folder and moved.run_id == config.run_id
        assert moved.load_data(1)[0].count > 0
    assert verified.count(True) == 2


def test_the_store_of_the_node_is_used_where_the_path_of_the_command_cannot_be_read(node, tmp_path):
    config, folder = node
    unreadable = replace(config, store=replace(config.store, path=tmp_path / ("x" * 300)))
    assert with_node_store(unreadable).store.path == folder


def test_a_store_with_other_content_is_refused(node):
    config, _ = node
    other = replace(config, store=replace(config.store, digest="0" * 64))
    with pytest.raises(UsageError, match=r"differs from the store of the command \(digest .*, not 0{12}\); make"):
        with_node_store(other)


def test_a_store_with_a_damaged_file_is_refused(node):
    config, folder = node
    path = next(iter(sorted((folder / "arrays").rglob("*.npy"))))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=path.name):
        with_node_store(config)


def test_a_record_names_the_machines_only_if_they_differ():
    assert record_builder._nodes([{"host": "a"}, {"host": "b"}]) == [{"node": "a"}, {"node": "b"}]
    assert record_builder._nodes([{"host": "a"}, {"host": "a"}]) == [{}, {}]
    assert record_builder._nodes([{}, {"host": "a"}]) == [{}, {"node": "a"}], "a fold of an earlier version"
    fields = {"fold": 1, "train": ("a",), "val": (), "test": ("b",), "frames": {"train": 1, "val": 0, "test": 1}}
    fields |= {"epochs": 1, "best_epoch": 1, "checkpoint": None, "train_prevalence": {}}
    assert "node" not in FoldInfo.model_validate(fields).model_dump(mode="json")
    assert FoldInfo.model_validate(fields | {"node": "gpu-7"}).model_dump(mode="json")["node"] == "gpu-7"
