"""Export of all rows of a leaderboard."""

import json
import re

import pandas as pd
import pytest

from aubench import api
from aubench.core.errors import DataError, UsageError


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "read"), [("csv", pd.read_csv), ("json", pd.read_json), ("parquet", pd.read_parquet)]
)
def test_a_board_is_exported_with_the_documented_columns(call, small_board, tmp_path, ending, read):
    out = tmp_path / f"board.{ending}"
    done = call("leaderboard", "export", out, "--root", small_board)
    assert (done.code, done.out) == (0, f"wrote {out}\n"), done.err
    frame = read(out)
    shown = api.load_leaderboard(small_board).to_dataframe()
    assert frame["method"].tolist() == shown["method"].tolist()
    assert frame["f1"].tolist() == pytest.approx(shown["f1"].tolist())
    added = [name for name in frame.columns if name not in shown.columns]
    assert added == ["title", "paper", "citation", "source", "method_version", "runs", "commits", "command"]


def test_rows_have_their_provenance_and_baselines_have_none(call, small_board, tmp_path):
    api.export_leaderboard(tmp_path / "board.json", root=small_board)
    rows = {row["method"]: row for row in json.loads((tmp_path / "board.json").read_text())}
    (folder,) = small_board.glob("records/*/amf/*")
    assert rows["amf"]["runs"] == folder.name and rows["amf"]["source"] == "builtin"
    version = json.loads((folder / "record.json").read_text())["method"].get("version") or 1
    assert rows["amf"]["method_version"] == version and rows["prevalence"]["method_version"] is None
    assert rows["amf"]["citation"].startswith("@misc{aubench_amf_") and "AMF" in rows["amf"]["title"]
    assert rows["amf"]["paper"] and rows["amf"]["command"].startswith(".venv/bin/aubench run --method amf")
    assert rows["prevalence"]["title"] is None and rows["prevalence"]["f1"] > 0


def test_an_unknown_ending_is_an_error_before_anything_is_read(tmp_path):
    with pytest.raises(UsageError, match="names no format"):
        api.export_leaderboard(tmp_path / "board.xlsx", root=tmp_path / "missing")


@pytest.mark.parametrize("folder", ["leaderboard", "leaderboard/records", "leaderboard/records/synth_3fold"])
@pytest.mark.parametrize(
    "words",
    [
        *(("export", f"board.{ending}") for ending in ("csv", "json", "parquet")),
        *(("show", "--format", form) for form in ("text", "markdown", "csv", "json")),
        ("draw", "synth_3fold", "--out", "board.png"),
        ("draw", "synth_3fold", "--kind", "curves", "--out", "board.png"),
    ],
)
def test_a_board_without_records_is_one_line_and_no_file(call, tmp_path, folder, words):
    (tmp_path / folder).mkdir(parents=True)
    answer = call("leaderboard", *words, "--root", "leaderboard")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("aubench: leaderboard: no ") and answer.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["leaderboard"]


def test_a_board_without_records_has_no_results(tmp_path):
    (tmp_path / "records").mkdir()
    remedy = f"add a finished run with `aubench leaderboard add --root {tmp_path}`"
    with pytest.raises(DataError, match=re.escape(f"no record here; {remedy}")):
        api.load_results(tmp_path)


def test_loaded_results_of_a_board_name_title_paper_and_citation(small_board):
    frame = api.load_results(small_board).to_dataframe().set_index("method")
    assert frame.loc["amf", "paper"] and frame.loc["amf", "citation"].startswith("@misc{")
    assert frame["title"].notna().all()
