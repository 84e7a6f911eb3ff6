from __future__ import annotations

import re
import subprocess
import sys

import pytest


def test_help_lists_every_command(aubench):
    done = aubench("--help")
    assert done.returncode == 0
    commands = {"run", "tune", "compare", "robustness", "reproduce", "methods", "protocols", "test-method"}
    listed = set(re.findall(r"^  ([a-z-]+) ", done.stdout, re.MULTILINE))
    assert listed >= commands | {"bench", "profile", "data", "leaderboard", "plot", "track"}


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['aubench', '--help']\n"
        "from aubench.cli import main\n"
        "try: main.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'mlflow', 'pandas', 'numpy', 'timm', 'matplotlib', 'optuna', 'sqlalchemy'}\n"
        "heavy &= set(sys.modules)\n"
        "print('heavy:', sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("heavy: []")


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


@pytest.mark.slow
def test_protocols_are_listed_with_their_digests(call):
    from aubench.core.registry import builtin_protocols, find_protocol

    done = call("protocols")
    assert done.code == 0
    for name in builtin_protocols():
        assert find_protocol(name).digest[:12] in done.out
