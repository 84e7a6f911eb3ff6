from __future__ import annotations

import re
import subprocess
import sys
from unittest.mock import Mock

import pytest


@pytest.mark.slow
def test_help_lists_every_command(aubench):
    done = aubench("--help")
    assert done.returncode == 0
    commands = {"run", "tune", "compare", "robustness", "reproduce", "methods", "protocols", "test-method"}
    listed = set(re.findall(r"^  ([a-z-]+) ", done.stdout, re.MULTILINE))
    assert listed >= commands | {"bench", "profile", "data", "leaderboard", "plot", "track"}


HELP = """
import sys
import typer
from aubench.cli import main

def commands(group, words=()):
    yield words
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*words, name))

heavy = {"torch", "mlflow", "pandas", "timm", "matplotlib", "optuna", "sqlalchemy", "cv2", "h5py"}
for words in list(commands(typer.main.get_command(main.app))):
    sys.argv = ["aubench", *words, "--help"]
    try:
        main.main()
    except SystemExit as ended:
        imported = sorted(heavy & set(sys.modules))
        print("help:", *words, ended.code, imported, "numpy" in sys.modules, file=sys.stderr)
"""
"""Print the help of every command, and on stderr its exit code and the large packages that were imported until then."""


@pytest.mark.slow
def test_help_imports_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert lines[0] == "help: 0 [] False"
    assert len(lines) > 20
    assert [line for line in lines if " 0 [] " not in line] == []


INTERRUPTED = """
import sys
from aubench.cli.__main__ import main

class Interrupt:
    def find_spec(self, name, path, target=None):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
main()
"""
"""Press Ctrl-C while the commands are imported."""


def test_an_interrupted_import_ends_without_a_traceback():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.slow
def test_unknown_command_is_one_line_and_exit_2(aubench):
    done = aubench("rnu")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("aubench: ")


def test_unknown_and_missing_option_are_one_line_and_exit_2(call):
    for words in (["run", "--methd", "amf"], ["run"]):
        done = call(*words)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert done.err.startswith("aubench: ")


@pytest.mark.parametrize(
    ("error", "reason"),
    [(MemoryError(), "MemoryError"), (RuntimeError("CUDA out of memory.\nTry less"), "CUDA out of memory. Try less")],
)
def test_memory_that_runs_out_is_one_line_and_exit_2(call, monkeypatch, error, reason):
    monkeypatch.setattr("aubench.api.list_protocols", Mock(side_effect=error))
    done = call("protocols")
    assert (done.code, done.err) == (2, f"aubench: needs more memory than there is ({reason})\n")


@pytest.mark.slow
def test_protocols_are_listed_with_their_digests(call):
    from aubench.core.registry import builtin_protocols, find_protocol

    done = call("protocols")
    assert done.code == 0
    for name in builtin_protocols():
        assert find_protocol(name).digest[:12] in done.out
