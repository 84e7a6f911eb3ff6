"""Output of ``aubench leaderboard show``: from ``entries.json`` where it is current, else from the records."""

import json

import pytest

from aubench.core import hashing
from aubench.core.errors import DataError, RecordError
from aubench.core.plugins import PLUGINS_VARIABLE
from aubench.leaderboard import build, entries_file, show
from aubench.leaderboard.check import check
from aubench.leaderboard.render import escaped, plain_text
from tests.factories import boards


@pytest.fixture
def no_computation(monkeypatch):
    """Make every computation from records fail."""
    monkeypatch.setattr(build, "compute_entries", lambda *_: pytest.fail("computed"))


def _text(root, *protocol) -> str:
    return "".join(plain_text(results.blocks) for results in show.load_entries(root, *protocol).values())


def _change(root, change, *, is_signed: bool = False) -> None:
    content = json.loads((root / "entries.json").read_text())
    change(content)
    if is_signed:
        content["content"] = hashing.hash_json(content.get("protocols"))
    (root / "entries.json").write_text(json.dumps(content))


@pytest.mark.slow
def test_stored_and_computed_results_are_the_same(board):
    stored, text = show.load_entries(board), _text(board)
    (board / "entries.json").unlink()
    assert show.load_entries(board) == stored
    assert _text(board) == text


@pytest.mark.slow
def test_current_results_are_not_computed(board, no_computation):
    assert "always positive" in _text(board, "synth_3fold")
    assert "No records yet." in _text(board, "bp4d_3fold")


@pytest.mark.slow
def test_rows_have_the_numbers_of_the_tables(board):
    rows = show.load_entries(board, "synth_3fold")["synth_3fold"].entries
    first = rows[0]
    assert (first["method"], first["position"], first["rank"], first["seeds"]) == ("amf", 1, 1, 2)
    page = (board / "synth_3fold.md").read_text()
    for row in rows:
        assert f"{100 * row['f1']:.1f} ± {100 * row['f1_std']:.1f}" in page
        assert row["delta_always_positive"] is None or f"{100 * row['delta_always_positive']:+.1f} (" in page
    assert first["f1"] == pytest.approx(
        sum(first[f"f1_au{au}"] for au in (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)) / 12
    )
    assert [row["method"] for row in rows if row["recipe"] is None] == ["always positive", "prevalence"] * 2


def test_results_of_other_records_are_not_shown(small_board, edit):
    path = next(small_board.glob("records/*/late_fusion/*/record.json"))
    edit(path, "summary.f1_mean", 0.99)
    with pytest.raises(RecordError, match=r"summary\.f1_mean: says 0\.99"):
        _text(small_board)


def test_added_and_removed_files_make_the_results_stale(small_board):
    text = _text(small_board)
    (small_board / "records" / "synth_3fold" / "cam").mkdir()
    assert _text(small_board) == text
    path = next(small_board.glob("records/*/amf/*/record.json"))
    path.rename(path.with_name("away.json"))
    with pytest.raises(RecordError, match=r"is no file of a record|is missing"):
        _text(small_board)


@pytest.mark.slow
def test_an_edited_number_is_not_shown(small_board):
    text, rows = _text(small_board), show.load_entries(small_board)["synth_3fold"].entries
    for change in (
        lambda results: results["entries"][0].update(f1=0.99),
        lambda results: results["blocks"][3]["rows"][0].__setitem__(5, "99.0 ± 0.0"),
    ):
        _change(small_board, lambda content, change=change: change(content["protocols"]["synth_3fold"]))
        assert entries_file.read_current(small_board) is None
        assert _text(small_board) == text and show.load_entries(small_board)["synth_3fold"].entries == rows
        build.write(small_board)


def test_check_computes_the_results_again(small_board):
    change = lambda content: content["protocols"]["synth_3fold"]["entries"][0].update(f1=0.99)  # noqa: E731
    _change(small_board, change, is_signed=True)
    assert entries_file.read_current(small_board) is not None
    stale = f"{small_board}/entries.json: is stale; run `aubench leaderboard build --root {small_board}`"
    assert [str(finding) for finding in check(small_board)] == [stale]


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(schema_version=1),
        lambda content: content.update(inputs="0" * 64),
        lambda content: content.pop("protocols"),
        lambda content: content["protocols"].update(synth_3fold=[]),
        lambda content: content["protocols"]["synth_3fold"]["blocks"].append(7),
        lambda content: content["protocols"]["synth_3fold"]["blocks"].append("\x1b[2J"),
        lambda content: content["protocols"]["synth_3fold"]["blocks"][3]["rows"][0].__setitem__(1, "\x1b[31mamf"),
        lambda content: content["protocols"]["synth_3fold"]["blocks"][3]["rows"][0].__setitem__(1, {"bold": "\x07"}),
        lambda content: content["protocols"]["synth_3fold"]["blocks"][3]["rows"][0].__setitem__(1, {"bold": ["amf"]}),
        lambda content: content["protocols"]["synth_3fold"].update(entries=7),
        lambda content: content["protocols"]["synth_3fold"].update(entries=[7]),
        lambda content: content["protocols"]["synth_3fold"]["entries"][0].update(f1=[0.99]),
        lambda content: content["protocols"]["synth_3fold"]["entries"][0].update({"\x1b[2J": 1}),
    ],
)
def test_a_malformed_file_is_ignored(small_board, change):
    text = _text(small_board)
    _change(small_board, change, is_signed=True)
    assert entries_file.read_current(small_board) is None
    assert _text(small_board) == text


def test_a_file_that_is_no_json_too_large_or_a_link_is_ignored(small_board, tmp_path):
    path = small_board / "entries.json"
    text = path.read_text()
    for content in ("", "{", "[]", "[" * 100_000, text + " " * 17_000_000):
        path.write_text(content)
        assert entries_file.read_current(small_board) is None
    path.unlink()
    (tmp_path / "entries.json").write_text(text)
    path.symlink_to(tmp_path / "entries.json")
    assert entries_file.read_current(small_board) is None


@pytest.mark.slow
def test_a_plugin_metric_adds_a_column_everywhere(small_board, tmp_path, monkeypatch):
    plugin = tmp_path / "miss_rate.py"
    plugin.write_text(
        "import numpy as np\nfrom aubench.metrics.scores import Metric\n"
        "metric = Metric('miss_rate', 'Miss rate', 'Missed share', 'counts',\n"
        "    lambda cells: cells[..., 2] / np.maximum(cells[..., 0] + cells[..., 2], 1), higher_is_better=False)\n"
    )
    monkeypatch.setenv(PLUGINS_VARIABLE, str(plugin))
    assert "Miss rate" in _text(small_board)
    rows = show.load_entries(small_board)["synth_3fold"].entries
    best = min(row["miss_rate"] for row in rows if row["position"])
    page = boards.pages(small_board)["synth_3fold.md"]
    assert "Miss rate" in page and f"**{100 * best:.1f}**" in page
    assert "Miss rate" not in (small_board / "synth_3fold.md").read_text()


def test_an_empty_and_a_missing_leaderboard(tmp_path):
    assert show.load_entries(tmp_path) == {}
    with pytest.raises(DataError, match="no leaderboard here"):
        _text(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["labels of disfa: intensity >= 2", "a & b <c> &amp; &#27;", r"\*|`[]~#!"])
def test_a_terminal_shows_the_characters_that_markdown_escapes(text):
    assert plain_text([escaped(text)]) == f"{text}\n"
