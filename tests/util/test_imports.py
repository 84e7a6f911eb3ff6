"""Imports in a process whose environment was made for another one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from aubench._util import jit, matplotlib_backend


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("module://matplotlib_inline_of_another_environment.backend_inline", "agg"),
        ("module://", "agg"),
        ("nonsense", "agg"),
        ("module://json.tool", "module://json.tool"),
        ("TkAgg", "TkAgg"),
        ("svg", "svg"),
        ("", ""),
    ],
)
def test_backend_is_replaced_only_if_it_is_unusable(monkeypatch, backend, expected):
    monkeypatch.setenv("MPLBACKEND", backend)
    matplotlib_backend._replace_unusable()
    assert os.environ["MPLBACKEND"] == expected


@pytest.mark.slow
def test_backend_of_a_notebook_does_not_stop_the_import_of_matplotlib(tmp_path):
    code = "import aubench, matplotlib; print(matplotlib.get_backend())"
    environment = os.environ | {"MPLBACKEND": "nonsense"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=tmp_path, env=environment, check=False)
    assert (done.returncode, done.stdout.strip().lower()) == (0, b"agg"), done.stderr


def test_compiled_functions_need_no_writable_folder(monkeypatch):
    from numba.core import caching

    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])

    def double(number):
        return 2 * number

    assert jit.compiled(double)(21) == 42


@pytest.mark.slow
def test_modules_in_the_working_directory_do_not_replace_others(tmp_path):
    for name in ("random", "torch", "numpy", "pydantic", "calendar"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this file')\n", encoding="utf-8")
    command = [sys.executable, "-m", "aubench.cli", "protocols"]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, check=False)
    assert done.returncode == 0 and b"synth_3fold" in done.stdout, done.stderr


@pytest.mark.slow
def test_working_directory_that_was_deleted_is_one_line(tmp_path):
    (tmp_path / "gone").mkdir()
    command = f"rmdir ../gone && exec {sys.executable} -m aubench.cli protocols"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=tmp_path / "gone", check=False)
    line = "aubench: the working directory does not exist any more; change to another folder\n"
    assert (done.returncode, done.stderr) == (2, line)
