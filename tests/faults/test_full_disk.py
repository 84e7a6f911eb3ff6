"""Preparation on a disk that becomes full: one line, no store, and resumption."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from aubench.data.array_file import ArrayFile
from aubench.data.store import Store
from aubench.datasets import delivered

pytestmark = pytest.mark.usefixtures("one_worker")


@pytest.fixture
def table(tree):
    return "table", "--manifest", tree.write(*tree.people()), "--name", "mylab", "--no-crop"


@pytest.fixture
def commands(request, tmp_path):
    return request.getfixturevalue(request.param)


@pytest.fixture
def videos(disfa):
    return "disfa", "--source", disfa.root


@pytest.mark.slow
@pytest.mark.parametrize(("commands", "written"), [("table", 3), ("videos", 10)], indirect=["commands"])
def test_a_full_disk_is_one_line_and_the_command_resumes(call, monkeypatch, commands, written):
    original, count = ArrayFile.__setitem__, 0

    def fill(self, row, values):
        nonlocal count
        count += 1
        if count > written:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(self, row, values)

    monkeypatch.setattr(delivered, "_LARGE", 1)
    words = ("data", "prepare", *commands, "--store", "out", "--size", "32")
    with monkeypatch.context() as patch:
        patch.setattr(ArrayFile, "__setitem__", fill)
        failed = call(*words)
    lines = [line for line in failed.err.splitlines() if line.startswith("aubench: ")]
    assert failed.code == 2 and len(lines) == 2 and "Traceback" not in failed.err
    assert "frames to prepare need up to 0.00 GiB, and " in lines[0] and "full" in lines[1].lower()
    assert not Path("out").exists()
    done = call(*words)
    assert done.code == 0, done.err
    assert len(Store(Path("out")).frames) > 0
