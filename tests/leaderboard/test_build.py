"""Pages of a leaderboard: their content, which depends only on the records."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from factories.records import remade

from aubench.api.leaderboards import load_leaderboard
from aubench.core.errors import DataError, RecordError, UsageError
from aubench.leaderboard import build
from aubench.leaderboard.check import check
from aubench.leaderboard.records import StoredRecord
from aubench.leaderboard.verified_records import CACHE_VARIABLE
from aubench.metrics import baselines, intervals, significance
from aubench.metrics import scores as metrics
from aubench.metrics.resampling import subject_contributions
from aubench.metrics.scores import summary_of
from aubench.results.record import Record
from tests.factories import boards


def _tables(page: str) -> list[list[dict[str, str]]]:
    """Parse Markdown tables into rows by header."""
    tables_of_page = []
    for block in re.findall(r"(?:^\|.*\n)+", page, flags=re.MULTILINE):
        lines = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in block.splitlines()]
        tables_of_page.append([dict(zip(lines[0], line, strict=True)) for line in lines[2:]])
    return tables_of_page


@pytest.mark.slow
def test_rows_group_seeds_and_nothing_else(board):
    scores, per_au, oracle, _, incomplete, origins = _tables(boards.pages(board)["synth_3fold.md"])
    rows = [(row["#"], row["Method"], row["Modalities"], row["Preset"], row["Seeds"]) for row in scores]
    assert rows == [
        ("1", "amf", "V+D", "small, learning_rate=0.005", "2"),
        ("2", "amf", "V+D", "small, learning_rate=0.0002", "1"),
        ("3", "late_fusion", "V+D", "small", "2"),
        ("4", "resnet_visual", "V", "small", "1"),
        ("–", "always positive", "–", "–", "–"),
        ("–", "prevalence", "–", "–", "–"),
    ]
    assert [row["Method"] for row in per_au] == [row["Method"] for row in scores]
    assert [row["Method"] for row in oracle] == ["amf", "always positive", "prevalence"]
    assert [(row["Method"], row["Missing"]) for row in incomplete] == [("early_fusion", "fold 2 of 3")]
    assert len(origins) == 5
    assert origins[0]["Records by seed"].count("record.json") == 2


@pytest.mark.slow
def test_numbers_are_those_of_the_counts(board, records):
    scores, per_au = _tables(boards.pages(board)["synth_3fold.md"])[:2]
    runs = [record for record in records if record.info.method.name == "late_fusion"]
    per_fold = [value for record in runs for value in summary_of(record).f1_by_fold]
    mean = sum(summary_of(record).f1_mean for record in runs) / 2
    row = next(row for row in scores if row["Method"] == "late_fusion")
    assert row["F1"] == f"{100 * mean:.1f} ± {100 * metrics.std(per_fold):.1f}"
    always = baselines.always_positive(runs[0])[0]
    margin = intervals.f1_difference([record.counts for record in runs], [always])
    assert (
        row["Above always positive"]
        == f"{100 * margin.estimate:+.1f} ({100 * margin.low:+.1f} to {100 * margin.high:+.1f})"
    )
    assert row["GFLOPs"] == "0.020"
    assert row["Params (M)"] == "0.62"
    ours = next(row for row in per_au if row["Method"] == "late_fusion")
    assert ours["AU24"] == f"{50 * sum(summary_of(record).f1_by_au['AU24'] for record in runs):.1f}"
    assert ours["Mean"] == row["F1"].split()[0]


@pytest.mark.slow
def test_ranks_are_those_of_the_paired_test(board, records):
    scores = _tables(boards.pages(board)["synth_3fold.md"])[0]
    groups = [records[2:4], records[4:5], records[:2], records[5:6]]
    ranges = significance.rank_ranges([subject_contributions([record.counts for record in group]) for group in groups])
    ranks = [first for first, _ in ranges]
    assert [row["Rank"] for row in scores] == [*map(str, ranks), "–", "–"]
    assert len(set(ranks)) > 1


@pytest.mark.slow
def test_the_best_ranked_value_is_bold_and_baselines_never_are(board):
    for table in _tables(boards.pages(board)["synth_3fold.md"])[:4]:
        for header in table[0].keys() & {"F1", "ACC", "AUC", "F1 pooled", "AU1", "AU24", "Mean"}:
            cells = [
                (float(row[header].strip("*").split()[0]), "**" in row[header]) for row in table if row["#"] != "–"
            ]
            assert [bold for _, bold in cells] == [value == max(cells)[0] for value, _ in cells]
            assert not any("**" in row[header] for row in table if row["#"] == "–")


@pytest.mark.slow
def test_leaking_selection_is_ranked_separately_and_marked(board):
    pages = boards.pages(board)
    honest, leaking = pages["synth_3fold.md"].split("## Epoch chosen on the test subjects (leaks)")
    assert "do **not** estimate the score" in leaking
    assert "oracle" not in honest
    best = _tables(pages["README.md"])[0][0]
    assert best["Best F1"] == _tables(honest)[0][0]["F1"].strip("*").split()[0]


@pytest.mark.slow
def test_another_process_builds_the_same_bytes(board):
    script = "from pathlib import Path; from factories.boards import pages; "
    script += f"print(repr(pages(Path({str(board)!r}))))"
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "7",
        "OMP_NUM_THREADS": "1",
        "LC_ALL": "C",
        "TZ": "Asia/Tokyo",
        "PYTHONUTF8": "1",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    other = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert other.stdout == repr(boards.pages(board)) + "\n"


@pytest.mark.parametrize("order", ["sorted", "reversed"])
def test_a_second_build_in_any_order_of_files_has_the_same_bytes(small_board, tmp_path, monkeypatch, order):
    listed, scandir = [], os.scandir

    class Listing:
        """Context of entries in another order."""

        def __init__(self, path="."):
            with scandir(path) as entries:
                self._entries = sorted(entries, key=lambda entry: entry.name, reverse=order == "reversed")
            listed.append(path)

        def __enter__(self):
            return iter(self._entries)

        def __exit__(self, *_):
            pass

    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    names = ("README.md", "synth_3fold.md", "entries.json")
    pages = {name: (small_board / name).read_bytes() for name in names}
    monkeypatch.setattr(os, "scandir", Listing)
    build.write(small_board)
    assert listed and {name: (small_board / name).read_bytes() for name in names} == pages
    assert check(small_board) == []


@pytest.mark.slow
def test_texts_of_a_record_cannot_become_markup(tmp_path, make_record):
    evil = make_record(recipe={"note": "a|b <script> **x** [y](z) é漢"})
    runs = [StoredRecord(tmp_path, record) for record in (evil, make_record(recipe={"note": "plain"}))]
    page = build.files_of(tmp_path, runs)["synth_3fold.md"]
    line = next(line for line in page.splitlines() if "a\\|b" in line)
    assert "<script>" not in page
    assert "&lt;script&gt; \\*\\*x\\*\\* \\[y\\](z)" in line
    assert "漢" not in page


@pytest.mark.slow
def test_test_subjects_in_pretraining_are_marked(tmp_path, make_record):
    record = make_record("mine")
    subject = record.info.folds[1].test[0]
    for fold, is_leak in ((1, False), (2, True), (None, True)):
        fields = record.info.model_dump(mode="json")
        stage = "pretrain" if fold else "initialisation"
        own = {"stage": stage, "source": "mine 0123456789abcdef", "datasets": ["synth"]}
        fields["pretraining"] = [{**own, "fold": fold, "subjects": [subject]}]
        type(record)(type(record.info).from_fields(fields), record.counts, record.histograms).write(
            tmp_path / "records" / record.relative_path
        )
        assert ("test subjects among them" in boards.pages(tmp_path)["synth_3fold.md"]) == is_leak


@pytest.mark.slow
def test_a_cell_that_is_cut_keeps_its_mark(tmp_path, make_record):
    record = make_record("mine")
    names = [f"{i} " + "data" * 15 for i in range(12)]
    source = {"stage": "initialisation", "source": "own", "subjects": []}
    items = [{**source, "datasets": [name]} for name in names]
    leak = {**source, "datasets": names, "subjects": [record.info.folds[0].test[0]]}
    devices = [
        {
            **record.info.environments[0].model_dump(mode="json"),
            "git": {"commit": f"{i:040x}", "dirty": i == 39},
        }
        for i in range(1, 40)
    ]
    for pretraining in ([*items, leak], [leak, *items]):
        made = remade(record, pretraining=pretraining, other_environments=devices)
        made.write(tmp_path / "records" / record.relative_path)
        page = boards.pages(tmp_path)["synth_3fold.md"]
        assert "(test subjects among them)" in page and " + changes" in page


def test_an_empty_leaderboard_has_an_index_alone(tmp_path):
    assert list(boards.pages(tmp_path)) == ["README.md"]
    assert "No records yet" in boards.pages(tmp_path)["README.md"]


@pytest.mark.parametrize("name", ["README.md", "entries.json", "site/index.html"])
def test_files_of_another_origin_are_not_overwritten(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine\n")
    with pytest.raises(UsageError, match=f"{name}: is not a file that `aubench leaderboard build` has written"):
        build.write(tmp_path, site=True)
    assert [file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.*") if file.suffix] == [name]
    assert path.read_text() == "mine\n"


@pytest.mark.slow
def test_variants_differ_from_the_main_leaderboard(board):
    shutil.copytree(board / "records", board / "variants" / "records")
    (board / "reproduced").mkdir()
    main, variants = (boards.pages(root)["README.md"] for root in (board, board / "variants"))
    assert "# Leaderboard\n" in main and "(variants/README.md)" in main and "(reproduced)" in main
    assert "# Variants\n" in variants and "(../README.md)" in variants and "# Leaderboard" not in variants
    assert "(variants/README.md)" not in variants
    for root in (board, board / "variants"):
        build.write(root)
        assert check(root) == []


@pytest.mark.slow
def test_pages_without_records_are_removed_and_manual_pages_stay(board):
    (board / "notes.md").write_text("# mine\n")
    (board / "gone_3fold.md").write_text((board / "synth_3fold.md").read_text())
    build.write(board)
    assert sorted(path.name for path in board.glob("*.md")) == ["README.md", "notes.md", "synth_3fold.md"]


def test_a_wrong_record_stops_the_build(board, edit):
    path = next(board.glob("records/*/late_fusion/*/record.json"))
    edit(path, "summary.f1_mean", 0.99)
    (board / "README.md").unlink()
    with pytest.raises(RecordError, match=r"summary\.f1_mean: says 0\.99"):
        build.write(board)
    assert not (board / "README.md").exists()


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no leaderboard here"):
        boards.pages(tmp_path / "nowhere")


def test_the_text_for_a_terminal_has_no_markup(board):
    text = load_leaderboard(board, "synth_3fold").render("text")
    assert "always positive" in text
    assert "**7" not in text and "|" not in text
    with pytest.raises(UsageError, match="did you mean 'synth_3fold'"):
        load_leaderboard(board, "synth_3folds").render("text")


def test_a_method_that_always_predicts_present_equals_the_baseline(tmp_path, make_record):
    record = make_record()
    run = StoredRecord(tmp_path, type(record)(record.info, *baselines.always_positive(record)))
    page = build.files_of(tmp_path, [run])["synth_3fold.md"]
    for table in _tables(page)[:2]:
        method, always, _ = table
        for header in table[0].keys() - {"#", "Method", "Fidelity", "Modalities", "Preset", "Above always positive"}:
            if always[header] != "–":
                assert method[header] == f"**{always[header]}**"
    scores = _tables(page)[0]
    assert scores[0]["Above always positive"] == "+0.0 (+0.0 to +0.0)"


@pytest.mark.slow
def test_tuned_recipes_are_labelled_and_have_a_cost(tmp_path, make_record):
    def tuned(study: str, rate: float, seed: int, **fixed: int) -> Record:
        record = make_record("amf", seed=seed, skill=0.9, recipe={"learning_rate": rate, **fixed})
        cost = {
            "trials": 20,
            "study": study,
            "sampler": "tpe",
            "pruner": "median",
            "seconds": 3600.4,
            "frames": 250_000,
        }
        return remade(record, search=cost)

    def rows(*records: Record) -> tuple[list[str], list[str]]:
        root = tmp_path / str(len(records))
        for record in records:
            record.write(root / "records" / record.relative_path)
        scores, _, origins = _tables(boards.pages(root)["synth_3fold.md"])
        return [row["Preset"] for row in scores if row["Method"] == "amf"], [row["Trials"] for row in origins]

    default, first = make_record("amf", seed=0, skill=0.6), [tuned("mine", 0.01, seed) for seed in (1, 2)]
    assert rows(default, *first) == (["small, tuned", "small"], ["20 by tpe; 3,600 s; 250,000 frames", "0"])
    presets, _ = rows(default, *first, tuned("other", 0.02, 1))
    assert sorted(presets) == ["small", "small, tuned (mine)", "small, tuned (other)"]
    fixed = {"epochs": 1, "image_size": 60}
    presets, _ = rows(default, *first, tuned("other", 0.02, 1), tuned("third", 0.02, 1, **fixed))
    assert "small, tuned (third), epochs=1, image_size=60" in presets


@pytest.mark.slow
def test_a_changed_recipe_is_not_shown_as_its_preset(tmp_path, make_record):
    record = make_record("amf", recipe={"learning_rate": 0.01})
    record = replace(record, info=record.info.model_copy(update={"overrides": ("learning_rate",)}))
    record.write(tmp_path / "records" / record.relative_path)
    scores, *_ = _tables(boards.pages(tmp_path)["synth_3fold.md"])
    assert [row["Preset"] for row in scores if row["Method"] == "amf"] == ["small, learning_rate=0.01"]
