from pathlib import Path

import pytest

from aubench.leaderboard.command_hints import build_hint


@pytest.mark.parametrize(
    ("root", "command"),
    [
        ("leaderboard", "aubench leaderboard build"),
        (Path("leaderboard"), "aubench leaderboard build"),
        (Path("leaderboard/variants"), "aubench leaderboard build --root leaderboard/variants"),
        ("my board", "aubench leaderboard build --root 'my board'"),
    ],
)
def test_a_command_names_a_leaderboard_elsewhere(root, command):
    assert build_hint(root) == f"run `{command}`"
