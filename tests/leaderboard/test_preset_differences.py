from pathlib import Path

import pytest

from aubench.leaderboard import tables
from aubench.leaderboard.entries import Entry
from aubench.leaderboard.preset_differences import preset_differences
from aubench.leaderboard.records import StoredRecord
from tests.factories.records import remade


@pytest.fixture
def label():
    def label_of(record):
        entry = Entry.from_runs([StoredRecord(Path(), record)])
        return tables.recipe_label(entry, [entry])

    return label_of


def test_a_run_that_set_the_values_of_the_present_preset_is_a_run_of_it(make_record, label):
    record = remade(make_record("amf"), overrides=["epochs", "patience"])
    assert preset_differences(record.info) == set()
    assert label(record) == "small"


def test_a_run_of_an_earlier_recipe_of_the_preset_differs(make_record, label):
    record = remade(make_record("amf"), recipe__epochs=3)
    assert record.info.overrides == ()
    assert preset_differences(record.info) == {"epochs"}
    assert label(record) == "small, epochs=3"


@pytest.mark.parametrize("changes", [{"method__version": 2}, {"method__source": "path"}, {"preset": "own"}])
def test_the_record_is_believed_where_the_present_preset_is_another(make_record, changes):
    record = remade(make_record("amf"), recipe__epochs=3, recipe__patience=3, overrides=["epochs"], **changes)
    assert preset_differences(record.info) == {"epochs"}
