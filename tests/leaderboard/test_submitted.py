"""Records of submitted predictions: no fields of training, ranked apart from runs, comparable with them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from factories.records import prevalence

from aubench.api.leaderboards import LeaderboardResults
from aubench.core.errors import RecordError, UsageError
from aubench.core.task import Modality
from aubench.leaderboard import build, check, comparison_set, pairwise, show, tables
from aubench.leaderboard.add import add
from aubench.metrics import baselines
from aubench.papers import runtime_estimate
from aubench.results import record as record_file
from aubench.results import run_id, submission
from aubench.results.record import Record
from aubench.results.record_info import RecordInfo


@pytest.fixture(scope="session")
def make_submitted(make_record) -> Callable[..., Record]:
    """Make the record of submitted predictions from that of a run; takes what ``make_record`` takes."""

    def make(name: str = "mymodel", predictions: str = "d" * 64, **options) -> Record:
        record = make_record(**{"skill": 1.3, **options})
        fields = submission.drop_unseen(record.info.model_dump(mode="json"))
        fields["method"]["name"] = name
        fields["method"]["title"] = name
        fields |= {"selection": "submitted", "predictions": predictions}
        for fold, run_fold in zip(fields["folds"], record.info.folds, strict=True):
            fold["train_prevalence"] = prevalence(record, {*run_fold.train, *run_fold.val})
        info = RecordInfo.from_fields(fields)
        return replace(record, info=info.model_copy(update={"run": run_id.id_of_record(info)}))

    return make


@pytest.mark.slow
def test_the_file_has_no_fields_of_training(tmp_path, make_submitted):
    original = make_submitted()
    original.write(tmp_path / "a")
    copy = record_file.read(tmp_path / "a")
    copy.write(tmp_path / "b")
    assert copy.info == original.info and copy.info.is_submitted and not copy.info.environments
    text = (tmp_path / "a" / "record.json").read_text()
    assert text == (tmp_path / "b" / "record.json").read_text()
    fields = json.loads(text)
    assert (
        not {"preset", "recipe", "compute", "speed", "time", "device", "git", "search", "pretraining"} & fields.keys()
    )
    assert set(fields["method"]) == {"name", "title", "modalities"}
    assert set(fields["folds"][0]) == {"fold", "test", "frames", "train_prevalence"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f | {"compute": None}, "compute: Extra inputs are not permitted"),
        (lambda f: f | {"recipe": {}}, "recipe: Extra inputs are not permitted"),
        (lambda f: f | {"method": f["method"] | {"source": "builtin"}}, "method.source: Extra inputs"),
        (lambda f: f | {"folds": [f["folds"][0] | {"train": []}]}, "folds.0.train: Extra inputs"),
        (lambda f: f | {"folds": [f["folds"][0] | {"frames": {"test": 1, "val": 0}}]}, "folds.0.frames.val: Extra"),
        (lambda f: f | {"folds": [f["folds"][0] | {"node": "gpu1"}]}, "folds.0.node: Extra inputs"),
        (lambda f: f | {"folds": 3}, "folds: Input should be a valid"),
        (lambda f: f | {"folds": ["x"]}, "folds.0: Input should be"),
        (lambda f: f | {"method": None}, "method: Input should be"),
        (lambda f: {n: v for n, v in f.items() if n != "predictions"}, "predictions and the selection 'submitted'"),
        (lambda f: f | {"selection": "last"}, "Field required"),
    ],
)
def test_a_record_of_submitted_predictions_with_training_is_refused(make_submitted, change, message):
    with pytest.raises(RecordError, match=message):
        RecordInfo.from_fields(change(make_submitted().info.model_dump(mode="json")))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("title", "Best of all", "method.title: says Best of all, that of submitted predictions is their name mymodel"),
        ("modalities", (Modality.VISUAL,), "method.modalities: those of submitted predictions are those of"),
    ],
)
def test_a_claim_about_a_submitted_model_is_refused(make_submitted, tmp_path, field, value, message):
    record = make_submitted()
    method = record.info.method.model_copy(update={field: value})
    replace(record, info=record.info.model_copy(update={"method": method})).write(tmp_path / "record")
    with pytest.raises(RecordError, match=message):
        add([tmp_path / "record"], tmp_path / "board")


@pytest.mark.parametrize("name", ["compute", "time", "device"])
def test_a_run_needs_its_training(make_record, name):
    fields = make_record().info.model_dump(mode="json")
    with pytest.raises(RecordError, match="only a record of submitted predictions has no cost"):
        RecordInfo.from_fields(fields | {name: None})
    with pytest.raises(RecordError, match=f"{name}: Field required"):
        RecordInfo.from_fields({field: value for field, value in fields.items() if field != name})
    with pytest.raises(RecordError, match="predictions and the selection 'submitted' belong together"):
        RecordInfo.from_fields(fields | {"predictions": "d" * 64})


@pytest.fixture
def mixed_board(small_board, make_submitted, tmp_path) -> Path:
    """Add two seeds of a model and one of another, which has the name of a method here, to two runs."""
    records = [make_submitted(seed=0), make_submitted(seed=1), make_submitted("amf", skill=0.3)]
    for record in records:
        record.write(tmp_path / "runs" / record.relative_path / "record")
    assert len(add([tmp_path / "runs"], small_board).paths) == 3
    return small_board


@pytest.mark.slow
def test_submitted_predictions_are_ranked_apart(small_board, mixed_board, tmp_path):
    build.write(mixed_board)
    assert check.check(mixed_board) == []
    page = (mixed_board / "synth_3fold.md").read_text()
    runs, submitted = page.split("## Predictions submitted, training not seen\n")
    assert "mymodel" not in runs and "The harness did not see" in submitted
    assert "| not seen " in submitted.split("## Provenance")[1]
    index = (mixed_board / "README.md").read_text()
    assert "| Protocol | Rows | Submitted |" in " ".join(index.split()) and "mymodel" not in index
    (table,) = build.load_protocol(mixed_board, "synth_3fold").ranked
    assert sorted(entry.name for entry in table.methods) == ["amf", "late_fusion"]
    _, apart = build.load_protocol(mixed_board, "synth_3fold").tables
    assert [(entry.name, entry.position, len(entry.runs)) for entry in apart.methods] == [
        ("mymodel", 1, 2),
        ("amf", 2, 1),
    ]
    assert apart.entries[-2].name == baselines.ALWAYS and apart.methods[0].pretraining_frames is None


@pytest.mark.slow
def test_the_table_of_runs_stays_as_it_is(_small_board, mixed_board):
    before, after = (build.load_protocol(root, "synth_3fold").ranked[0] for root in (_small_board, mixed_board))
    assert tables.score_table(before) == tables.score_table(after)


def test_all_formats_show_them(mixed_board):
    results = LeaderboardResults(show.load_entries(mixed_board))
    frame = results.to_dataframe()
    rows = frame[frame["selection"] == "submitted"]
    assert rows["method"].tolist() == ["mymodel", "amf", "always positive", "prevalence"]
    assert rows["flops"].isna().all() and rows["fidelity"].isna().all() and rows["pretraining_frames"].isna().all()
    assert rows["delta_always_positive_low"].notna()[:2].all()
    for form in ("text", "markdown", "csv", "json"):
        assert "mymodel" in results.render(form)


def test_they_are_compared_with_runs_of_any_selection(mixed_board):
    words = ["mymodel@synth_3fold", "late_fusion@synth_3fold"]
    for given in (words, words[::-1]):
        compared = comparison_set.load_comparison_set(given, mixed_board)
        text = pairwise.compare(compared, "clean").description
        assert "selection inner_val and submitted" in text
        assert text.endswith("Predictions submitted, training not seen: mymodel.")


@pytest.mark.slow
def test_runs_of_two_selections_stay_incomparable_beside_them(make_record, make_submitted, tmp_path):
    for record in (make_submitted(), make_record("amf"), make_record("amf", selection="last")):
        record.write(tmp_path / record.relative_path / "record")
    with pytest.raises(UsageError, match=r"selection rule: (last|inner_val) cannot be compared"):
        comparison_set.load_comparison_set([str(tmp_path)], tmp_path)


@pytest.mark.slow
def test_other_predictions_of_the_same_name_and_seed_are_refused(mixed_board, make_submitted, tmp_path):
    other = make_submitted(predictions="e" * 64, skill=1.2)
    other.write(tmp_path / "other" / other.relative_path / "record")
    with pytest.raises(RecordError, match=r"run: is a duplicate of .*; delete the folder of the older predictions"):
        add([tmp_path / "other"], mixed_board)


def test_estimates_of_time_pass_over_them(make_submitted, tmp_path):
    make_submitted().write(tmp_path / "record")
    (info,) = runtime_estimate.read_timings([tmp_path])
    assert info.is_submitted and info.device is None
