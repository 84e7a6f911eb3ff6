"""Grouping of runs into entries and tables: runs with different inputs are separate."""

from dataclasses import replace
from pathlib import Path

import pytest
from factories.records import remade

from aubench.leaderboard import tables, verify
from aubench.leaderboard.cross_checks import check_together
from aubench.leaderboard.entries import Entry, ranked_tables
from aubench.leaderboard.record_keys import IndexedRecord, keys_of
from aubench.leaderboard.records import StoredRecord
from aubench.leaderboard.render import plain_text
from aubench.results import run_id
from aubench.results.record import Record
from aubench.results.record_info import RecordInfo
from tests.factories import boards


@pytest.fixture
def page(tmp_path):
    """Build the page of ``synth_3fold`` from records."""

    def build_page(*records: Record) -> str:
        for record in records:
            record.write(tmp_path / "records" / record.relative_path)
        return boards.pages(tmp_path)["synth_3fold.md"]

    return build_page


def changed(record: Record, **parts: dict) -> Record:
    """Change fields of a record."""
    content = record.info.model_dump(mode="json")
    content |= {name: content[name] | fields for name, fields in parts.items()}
    info = RecordInfo.from_fields(content)
    return replace(record, info=info.model_copy(update={"run": run_id.id_of_record(info)}))


def scores(page: str) -> list[list[str]]:
    """Parse the rows of methods in tables of scores."""
    lines = [line for line in page.splitlines() if "| resolved" in line or "| approximate" in line]
    return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.slow
def test_seeds_in_two_precisions_do_not_become_one_row(page, make_record):
    text = page(
        *(make_record("amf", seed=seed, skill=0.9) for seed in (0, 1)),
        changed(make_record("amf", seed=0, skill=0.7), device={"precision": "bf16-mixed"}),
        make_record("cam"),
    )
    rows = {(row[4], row[-1]) for row in scores(text) if row[1] == "amf"}
    assert rows == {("small, 32-true", "2"), ("small, bf16-mixed", "1")}
    assert [row[4] for row in scores(text) if row[1] == "cam"] == ["small"]


def test_one_fold_of_one_seed_has_no_standard_deviation(make_record):
    record = changed(make_record("amf", folds=(1,)), protocol={"fold_count": 1})
    (table,) = ranked_tables([StoredRecord(Path(), record)])
    assert "±" not in "".join(plain_text([tables.score_table(table)]))
    assert {row["f1_std"] for row in tables.entry_rows(table)} == {None}


@pytest.mark.slow
def test_seeds_before_and_after_an_edit_of_a_method_do_not_become_one_row(page, make_record):
    text = page(
        changed(make_record("mine", seed=0), method={"source": "path", "file": "a" * 64}),
        changed(make_record("mine", seed=1), method={"source": "path", "file": "b" * 64}),
    )
    assert {(row[4], row[-1]) for row in scores(text)} == {("small, file aaaaaaaa", "1"), ("small, file bbbbbbbb", "1")}


@pytest.mark.slow
def test_seeds_with_other_weights_under_the_same_name_do_not_become_one_row(make_record):
    recipe = {"weights": "first.safetensors"}
    runs = []
    for seed, digest in ((0, "a"), (1, "b"), (2, "b")):
        info = make_record("amf", seed=seed, recipe=recipe).info.model_copy(update={"files": {"weights": digest * 64}})
        runs.append(StoredRecord(Path(), replace(make_record("amf", seed=seed, recipe=recipe), info=info)))
    keys = [verify.row_key(run) for run in runs]
    assert keys[0] != keys[1] == keys[2]
    entries = [Entry.from_runs(runs[:1]), Entry.from_runs(runs[1:])]
    labels = [tables.recipe_label(entry, entries) for entry in entries]
    assert ["weights aaaaaaaa" in labels[0], "weights bbbbbbbb" in labels[1]] == [True, True]


def _tuned(record: Record, trials: int, rate: float) -> StoredRecord:
    search = {"trials": trials, "study": "mine", "sampler": "tpe", "pruner": "none", "seconds": 60.0, "frames": 600}
    made = remade(record, search=search, recipe__learning_rate=rate, overrides=["learning_rate"])
    return StoredRecord(Path(made.info.run), made)


def test_recipes_of_a_study_with_later_trials_have_another_label(make_record):
    runs = [_tuned(make_record("amf"), 20, 0.01), _tuned(make_record("amf", skill=0.7), 40, 0.02)]
    entries = [Entry.from_runs([run]) for run in runs]
    labels = [tables.recipe_label(entry, entries) for entry in entries]
    assert labels == ["small, tuned (mine, 20 trials)", "small, tuned (mine, 40 trials)"]


def test_names_differ_even_where_labels_do_not(make_record):
    runs = [_tuned(make_record("amf", skill=skill), 20, rate) for skill, rate in ((0.9, 0.01), (0.7, 0.02))]
    entries = [Entry.from_runs([run]) for run in runs]
    assert [tables.recipe_label(entry, entries) for entry in entries] == ["small, tuned (mine)"] * 2
    assert len({*tables.unique_names(entries)}) == 2


@pytest.mark.slow
def test_a_page_names_every_commit_and_device_that_finished_a_fold(page, make_record):
    content = make_record("amf").info.model_dump(mode="json")
    other = {name: content[name] for name in ("device", "packages", "git")}
    other |= {"device": content["device"] | {"name": "Another GPU"}, "git": {"commit": "c0de" * 10, "dirty": True}}
    record = replace(make_record("amf"), info=RecordInfo.from_fields(content | {"other_environments": [other]}))
    assert "Another GPU" in page(record) and "c0dec0de + changes" in page(record)


@pytest.mark.slow
def test_the_same_seed_in_another_precision_is_no_duplicate(tmp_path, make_record):
    first, second = make_record("amf", skill=0.9), make_record("amf", skill=0.7)
    half = changed(second, device={"precision": "bf16-mixed"})
    stored = [StoredRecord(tmp_path, record) for record in (first, second, half)]
    first, second, half = (IndexedRecord(tmp_path, keys_of(run), run) for run in stored)
    assert check_together([first, half]) == []
    assert len(check_together([first, second])) == 1


@pytest.mark.slow
def test_stores_with_other_crops_are_not_ranked_together(page, make_record):
    text = page(
        make_record("amf", skill=0.9),
        changed(make_record("cam", skill=0.6), dataset={"digest": "6" * 64, "frames": 999}),
    )
    headings = [line for line in text.splitlines() if line.startswith("## Epoch")]
    assert headings == [f"## Epoch chosen on validation subjects, store {digit * 8}" for digit in "56"]
    assert [row[:2] for row in scores(text)] == [["1", "amf"], ["1", "cam"]]


@pytest.mark.slow
def test_a_single_store_is_not_named_in_the_heading(page, make_record):
    assert "## Epoch chosen on validation subjects\n" in page(make_record("amf"), make_record("cam"))


@pytest.mark.slow
def test_seeds_from_two_machines_name_both(page, make_record):
    text = page(
        make_record("amf", seed=0),
        changed(make_record("amf", seed=1), device={"name": "other processor"}, git={"commit": "beef" * 10}),
        changed(make_record("amf", seed=2), speed={"train_frames_per_s": 1000.0}),
    )
    line = text.splitlines()[-1]
    assert "some processor, 32-true, threads: 1; other processor, 32-true, threads: 1" in line
    assert "12345678; beefbeef" in line
    assert "740 to 1,000" in line
