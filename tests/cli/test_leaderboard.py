"""Commands of the leaderboard, in a Python that cannot import torch."""

import os
import subprocess
import sys

import pytest

WITHOUT_TORCH = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "mlflow", "timm", "lightning"}:
            raise ImportError(f"{name} is not available")

sys.meta_path.insert(0, Refuse())
from aubench.cli.main import main

heavy = {"pandas", "numpy", "sklearn"} & set(sys.modules)
assert not heavy, heavy
sys.argv[1:1] = ["leaderboard"]
main()
"""


@pytest.fixture
def leaderboard(tmp_path):
    def command(*arguments) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", WITHOUT_TORCH, *map(str, arguments)]
        return subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)

    return command


@pytest.mark.slow
def test_add_build_check_show(leaderboard, tmp_path, make_record):
    for seed in (0, 1):
        make_record(seed=seed).write(tmp_path / "runs" / str(seed) / "record")
    root = tmp_path / "board"
    added = leaderboard("add", tmp_path / "runs/0", tmp_path / "runs/1", "--root", root)
    assert added.returncode == 0, added.stderr
    assert added.stdout.count("added ") == 2
    built = leaderboard("build", "--root", root)
    assert (built.returncode, built.stdout.count("wrote ")) == (0, 4), built.stderr
    checked = leaderboard("check", "--root", root)
    assert checked.returncode == 0, checked.stderr
    shown = leaderboard("show", "synth_3fold", "--root", root)
    assert "late_fusion" in shown.stdout
    assert "prevalence" in shown.stdout


@pytest.mark.slow
def test_show_reads_what_build_computed_and_imports_nothing_heavy(small_board):
    script = WITHOUT_TORCH.replace('"torch",', '"torch", "pandas", "numpy", "scipy", "sklearn",')
    words = [sys.executable, "-c", script, "show", "synth_3fold", "--root", str(small_board)]
    shown = subprocess.run(words, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "late_fusion" in shown.stdout and "No paper reports on synth." not in shown.stdout


@pytest.mark.slow
def test_show_takes_the_protocol_either_way(leaderboard, small_board):
    by_argument = leaderboard("show", "synth_3fold", "--root", small_board)
    by_option = leaderboard("show", "--protocol", "synth_3fold", "--root", small_board)
    assert by_argument.returncode == 0 and by_argument.stdout == by_option.stdout
    both = leaderboard("show", "synth_3fold", "--protocol", "bp4d_3fold", "--root", small_board)
    assert (both.returncode, len(both.stderr.splitlines())) == (2, 1)
    assert "two protocols" in both.stderr


@pytest.mark.slow
def test_add_names_added_and_skipped_runs(leaderboard, tmp_path, make_record):
    for record in (make_record(seed=0), make_record(seed=1), make_record(seed=2, folds=(2,))):
        record.write(tmp_path / "runs" / record.relative_path / "record")
    added = leaderboard("add", tmp_path / "runs", "--root", tmp_path / "board")
    assert (added.returncode, added.stdout.count("added ")) == (0, 2)
    assert added.stderr.startswith("skipped ") and "has 1 of 3 folds" in added.stderr
    empty = leaderboard("add", tmp_path / "board" / "nothing", "--root", tmp_path / "board")
    assert (empty.returncode, empty.stderr.count("\n")) == (2, 1)


@pytest.mark.slow
def test_a_failed_check_names_file_and_field_and_exits_1(leaderboard, small_board, edit):
    path = next(small_board.glob("records/*/late_fusion/*/record.json"))
    edit(path, "summary.auc", 0.123)
    checked = leaderboard("check", "--root", small_board)
    assert checked.returncode == 1
    assert f"{path}: summary.auc: says 0.123" in checked.stderr
    assert "Traceback" not in checked.stderr


@pytest.mark.slow
def test_bad_usage_is_one_line_and_exits_2(leaderboard, tmp_path):
    checked = leaderboard("check", "--root", tmp_path / "nowhere")
    assert checked.returncode == 2
    assert len(checked.stderr.splitlines()) == 1
    assert "no leaderboard here" in checked.stderr


def test_small_products_have_one_thread(call, small_board, monkeypatch):
    for earlier, expected in (("", "1"), ("3", "3")):
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", earlier)
        if not earlier:
            monkeypatch.delenv("OPENBLAS_NUM_THREADS")
        assert call("leaderboard", "show", "synth_3fold", "--root", small_board).code == 0
        assert os.environ["OPENBLAS_NUM_THREADS"] == expected
