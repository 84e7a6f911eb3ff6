"""Learning curves as a file: round trip to the byte, and rejection of everything else."""

import pandas as pd
import pytest

from aubench.core.errors import RecordError
from aubench.results import epochs

ENTRIES = [
    {"stage": "mask, then é", "frames": 70, "validation": None, "eligible": True},
    {"stage": "mask, then é", "frames": 70, "validation": None, "eligible": True},
    {"stage": "train", "frames": 50, "validation": {"f1": 0.12345678, "acc": 1.0}, "eligible": False},
    {"stage": "train", "frames": 50, "validation": {"f1": 0.5, "acc": 0.0}, "eligible": True},
]
TEXT = """fold,epoch,stage,pretraining,frames,selectable,f1,acc
2,1,mask_ then _,1,70,1,,
2,2,mask_ then _,1,140,1,,
2,3,train,0,50,0,0.123457,1.000000
2,4,train,0,100,1,0.500000,0.000000
"""


def test_frames_count_from_0_in_pretraining_and_in_supervised_stages(tmp_path):
    table = epochs.of_fold(2, ENTRIES, {"mask, then é"})
    epochs.write(table, tmp_path)
    assert (tmp_path / epochs.FILE).read_text() == TEXT
    pd.testing.assert_frame_equal(epochs.load(tmp_path).to_dataframe(), table)


def test_a_curve_without_any_validation_is_read(tmp_path):
    epochs.write(epochs.of_fold(1, ENTRIES[:2], ()), tmp_path)
    assert epochs.load(tmp_path).to_dataframe()["f1"].isna().all()


def test_a_later_stage_with_the_name_of_a_pretraining_stage_is_supervised():
    entries = [{**ENTRIES[3], "stage": stage} for stage in ("a", "b", "a")]
    assert epochs.of_fold(1, entries, {"a"})["pretraining"].tolist() == [1, 0, 0]


@pytest.mark.parametrize("missing", ["frames", "eligible"])
def test_epochs_of_earlier_versions_have_no_curve(missing):
    entries = [{key: value for key, value in entry.items() if key != missing} for entry in ENTRIES]
    assert epochs.of_fold(1, entries, ()) is None
    assert epochs.of_fold(1, [], ()) is None


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("0.500000", "1.500000", r"epochs.csv:5: column f1: '1.500000' is not"),
        ("0.500000", "0.5", r"epochs.csv:5: column f1"),
        ("0.500000", "nan", r"epochs.csv:5: column f1"),
        ("2,4,train", "2,4,=cmd()", r"epochs.csv:5: column stage"),
        ("2,4,train", "2,3,train", "two rows for fold 2, epoch 3"),
        ("2,4,train", "1,4,train", "not in the order of fold, epoch"),
        ("0,100,1", "0,-100,1", r"epochs.csv:5: column frames"),
        ("0,100,1", "2,100,1", r"epochs.csv:5: column pretraining"),
        (",acc", "", "does not name the columns"),
    ],
)
def test_a_malformed_file_is_refused_in_one_line(tmp_path, old, new, says):
    (tmp_path / epochs.FILE).write_text(TEXT.replace(old, new))
    with pytest.raises(RecordError, match=says) as error:
        epochs.load(tmp_path).to_dataframe()
    assert "\n" not in str(error.value)
