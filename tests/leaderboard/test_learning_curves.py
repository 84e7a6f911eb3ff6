"""Learning curves of records: their verification, their page, and the columns of training frames."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from factories.records import remade

from aubench.core.errors import RecordError
from aubench.leaderboard import add, build, verify
from aubench.leaderboard.curve_points import LearningCurve
from aubench.leaderboard.learning_curves import f1_at
from aubench.leaderboard.records import StoredRecord
from aubench.results import epochs, record
from aubench.results.record import Record
from aubench.results.record_info import RecordInfo
from tests.factories import boards


@pytest.fixture
def curved(make_record) -> Record:
    """Record with two epochs of pre-training and ten supervised ones."""
    return make_record("mcm", pretraining_epochs=8)


def write(root: Path, *records: Record) -> Path:
    for each in records:
        each.write(root / "records" / each.relative_path)
    return root


def row(page: str, method: str) -> dict[str, str]:
    """Parse the first row of a method and its headers."""
    lines = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in page.splitlines()]
    number = next(i for i, line in enumerate(lines) if method in line)
    headers = next(line for line in reversed(lines[:number]) if "Method" in line)
    return dict(zip(headers, lines[number], strict=True))


def test_a_record_with_curves_is_read_and_written_to_the_byte(tmp_path, curved):
    curved.write(tmp_path / "a")
    record.read(tmp_path / "a").write(tmp_path / "b")
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == sorted(record.ALL_FILES)
    for name in record.ALL_FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert verify.check_record(StoredRecord(tmp_path, record.read(tmp_path / "a"))) == []


def test_a_record_without_curves_replaces_the_file_of_one_with_curves(tmp_path, curved):
    curved.write(tmp_path)
    replace(curved, epochs=None).write(tmp_path)
    assert not (tmp_path / epochs.FILE).exists() and record.read(tmp_path).info.tables.epochs is None


def test_a_file_that_record_json_does_not_list_is_refused(tmp_path, curved, make_record):
    make_record().write(tmp_path)
    epochs.write(curved.epochs, tmp_path)
    with pytest.raises(RecordError, match=r"epochs.csv: has no digest in record.json"):
        record.read(tmp_path)


def test_a_listed_file_that_is_missing_or_changed_is_reported(tmp_path, curved):
    path = write(tmp_path, curved) / "records" / curved.relative_path / epochs.FILE
    text = path.read_text()
    assert boards.load_verified(tmp_path)[1] == []
    path.write_text(text.replace("0.", "0.0", 1).replace("00,", "0,", 1))
    assert boards.load_verified(tmp_path)[1] != []
    path.unlink()
    assert "is missing" in str(boards.load_verified(tmp_path)[1])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda table: table[table["fold"] != 2], "fold 2 is missing"),
        (lambda table: table.assign(fold=table["fold"].replace(3, 4)), "fold 3 is missing"),
        (lambda table: table[table["epoch"] < 12], "fold 1: epochs are not 1 to 40, as record.json says"),
        (lambda table: table.assign(frames=1000), "fold 1: frames do not increase"),
        (lambda table: table.assign(frames=table["frames"] - 3000), "fold 1: frames do not increase"),
        (lambda table: table.assign(pretraining=1 - table["pretraining"]), "must follow those of pre-training"),
        (lambda table: table.assign(f1=np.arange(len(table)) / len(table)), "epoch 40 has the highest F1"),
        (lambda table: table.assign(f1=np.nan), "no selectable epoch has a validation F1"),
        (lambda table: table.assign(f1=table["f1"].where(table["epoch"] != 9)), "fold 1: epoch 9 has no validation F1"),
        (lambda table: table.assign(f1=table["f1"].fillna(0)), "epoch 1 has scores, but nothing was validated"),
        (lambda table: table.assign(acc=table["acc"].fillna(1)), "epoch 1 has scores, but nothing was validated"),
        (lambda table: table.assign(selectable=(table["epoch"] < 11).astype(int)), "epoch 10 has the highest F1"),
        (
            lambda table: table.assign(frames=table["frames"] + 1),
            "pre-training has 24,001 frames, record.json says 24,000",
        ),
    ],
)
def test_curves_that_contradict_the_record_are_found(tmp_path, curved, change, says):
    wrong = replace(curved, epochs=epochs.canonical(change(curved.epochs)))
    problems = [finding.what for finding in verify.check_curves(StoredRecord(tmp_path, wrong))]
    assert any(says in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, None),
        ({"recipe__epochs": 9}, "fold 1: has 32 supervised epochs, recipe.epochs is 9"),
        ({"recipe__epochs": 33}, "fold 1: has 32 supervised epochs, recipe.epochs is 33"),
        ({"recipe__epochs": 33, "recipe__patience": 21}, None),
        ({"recipe__epochs": 33, "selection": "last"}, "fold 1: has 32 supervised epochs, recipe.epochs is 33"),
        ({"recipe__frames_per_epoch": 400}, "fold 1: an epoch has 4,000 frames, the recipe draws 400"),
        ({"recipe__frames_per_epoch": 4015}, None),
        ({"recipe__frames_per_epoch": 4016}, "fold 1: an epoch has 4,000 frames, the recipe draws 4,016"),
        *(
            ({"recipe__frames_per_epoch": drawn}, "fold 1: an epoch has 4,000 frames, the recipe draws 5,567")
            for drawn in (10**6, None)
        ),
        ({"recipe__frames_per_epoch": None, "folds__0__frames__train": 4015}, None),
        ({"recipe__clip_frames": 4, "recipe__frames_per_epoch": None}, None),
        ({"recipe__patience": 0}, "fold 1: recipe.patience: Input should be greater than 0"),
        ({"recipe__patience": 1}, "fold 1: has 21 epochs after the best one, recipe.patience is 1"),
    ],
)
def test_supervised_epochs_are_those_of_the_recipe(tmp_path, make_record, change, says):
    record = remade(make_record("cam", pretraining_epochs=0, is_stored=True), **change)
    problems = [finding.what for finding in verify.check_curves(StoredRecord(tmp_path, record))]
    assert [what for what in problems if what.startswith("fold 1")] == ([says] if says else [])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"recipe__pretrain_epochs": 7}, "fold 1: has 8 epochs of pre-training, the recipe has 7"),
        ({"recipe__pretrain_checkpoint": 7}, "fold 1: has 8 epochs of pre-training, the recipe has 7"),
        (
            {"recipe__pretrain_frames_per_epoch": 8},
            "fold 1: an epoch of pre-training has 3,000 frames, the recipe draws 8",
        ),
        ({"recipe__pretrain_frames_per_epoch": 3100, "recipe__pretrain_validation": 0.45}, None),
        (
            {"recipe__pretrain_frames_per_epoch": 3100, "recipe__pretrain_validation": 0.44},
            "fold 1: an epoch of pre-training has 3,000 frames, the recipe draws 3,100",
        ),
    ],
)
def test_pretraining_is_that_of_the_recipe(tmp_path, make_record, change, says):
    record = remade(make_record("mcm", pretraining_epochs=8, is_stored=True), **change)
    problems = [finding.what for finding in verify.check_curves(StoredRecord(tmp_path, record))]
    assert [what for what in problems if what.startswith("fold 1")] == ([says] if says else [])


def test_a_small_store_of_pretraining_can_have_fewer_frames_than_the_recipe_draws(tmp_path, make_record):
    record = make_record("mcm", pretraining_epochs=8, is_stored=True)
    stores = {f"pretraining__{i}__store": "a" * 64 for i in range(len(record.info.pretraining))}
    run = StoredRecord(tmp_path, remade(record, recipe__pretrain_frames_per_epoch=3100, **stores))
    assert [*verify.check_curves(run)] == []


def test_without_validation_the_last_epoch_needs_no_score(tmp_path, curved):
    info = curved.info.model_copy(update={"selection": "last"})
    scored = replace(curved, info=info)
    (*_, problem) = verify.check_curves(StoredRecord(tmp_path, scored))
    assert problem.what == "fold 3: epoch 9 has scores, but nothing was validated"
    last = replace(curved, info=info, epochs=curved.epochs.assign(f1=np.nan, acc=np.nan))
    assert list(verify.check_curves(StoredRecord(tmp_path, last))) == []
    assert "synth_3fold_curves.md" not in build.files_of(tmp_path, [StoredRecord(tmp_path, last)])


@pytest.mark.slow
def test_pages_have_the_frames_of_both_kinds_of_training(tmp_path, curved, make_record):
    write(tmp_path, curved, make_record("amf"), make_record("cam", pretraining_epochs=0))
    pages = boards.pages(tmp_path)
    cells = {method: row(pages["synth_3fold.md"], method) for method in ("mcm", "amf", "cam", "always positive")}
    assert [cells["mcm"][name] for name in ("Frames", "Pre-training frames")] == ["8,192", "24,000"]
    assert [cells["cam"][name] for name in ("Frames", "Pre-training frames")] == ["8,192", "0"]
    assert cells["amf"]["Frames"] == cells["always positive"]["Pre-training frames"] == "–"
    assert "[learning curves](synth_3fold_curves.md)" in pages["synth_3fold.md"]
    assert "| amf" not in pages["synth_3fold_curves.md"]


def test_pretraining_of_unknown_cost_is_a_dash(tmp_path, curved):
    fields = curved.info.model_dump(mode="json")
    for item in fields["pretraining"]:
        del item["frames"], item["seconds"]
    old = replace(curved, info=RecordInfo.from_fields(fields))
    assert "frames" not in old.info.model_dump(mode="json")["pretraining"][0]
    assert row(boards.pages(write(tmp_path, old))["synth_3fold.md"], "mcm")["Pre-training frames"] == "–"


@pytest.mark.slow
def test_the_page_of_curves_averages_folds_and_seeds(tmp_path, make_record):
    records = [make_record("cam", seed=seed, pretraining_epochs=0) for seed in (0, 1)]
    cells = row(boards.pages(write(tmp_path, *records))["synth_3fold_curves.md"], "cam")
    means = 100 * sum(each.epochs.groupby("epoch")["f1"].mean() for each in records) / 2
    assert cells["F1 at 1/2"] == f"{means[16]:.1f}" and cells["F1 at all"] == f"{means[32]:.1f}"
    assert cells["F1 at 1/4"] == f"{means[8]:.1f}"
    assert cells["Second half"] == f"{means[32] - means[16]:+.1f}" and cells["Frames"] == "8,192"


@pytest.mark.slow
def test_curves_of_test_subjects_are_named_so(tmp_path, make_record):
    pages = [
        boards.pages(write(tmp_path / rule, make_record("cam", pretraining_epochs=0, selection=rule)))
        for rule in ("oracle_test", "inner_val")
    ]
    says = ["F1 of this table is theirs, not that of validation" in page["synth_3fold_curves.md"] for page in pages]
    assert says == [True, False]


def test_a_share_before_the_first_epoch_has_no_value():
    curves = [LearningCurve(np.array([4.0, 8.0]), np.array([0.2, 0.6]), 8)]
    assert f1_at(curves, 1 / 8) is None and f1_at(curves, 3 / 4) == pytest.approx(0.4)


@pytest.mark.slow
def test_curves_are_added_to_a_record_of_the_leaderboard_and_never_lost(tmp_path, curved):
    without = replace(curved, epochs=None)
    for name, each in (("with", curved), ("without", without)):
        each.write(tmp_path / name)
    without, full = record.read(tmp_path / "without"), tmp_path / "board" / "records" / curved.relative_path
    without.write(tmp_path / "run")
    add.add([tmp_path / "run"], tmp_path / "board")
    assert not (full / epochs.FILE).exists()
    add.add([tmp_path / "with"], tmp_path / "board")
    assert (full / epochs.FILE).read_bytes() == (tmp_path / "with" / epochs.FILE).read_bytes()
    with pytest.raises(RecordError, match="holds another record of this run"):
        add.add([tmp_path / "run"], tmp_path / "board")
    assert (full / epochs.FILE).exists()


@pytest.mark.slow
def test_demos_are_listed_below_and_ranked_nowhere(tmp_path, make_record):
    demos = [make_record(method, skill=skill, preset="tiny") for method, skill in (("amf", 2.0), ("cam", 0.3))]
    ranked = [make_record("late_fusion", skill=1.0), make_record("mtut", skill=0.3)]
    alone, both = (boards.pages(write(tmp_path / str(i), *each)) for i, each in enumerate((ranked, ranked + demos)))
    above, below = both["synth_3fold.md"].split("## Demo, not ranked")
    assert above.strip() == alone["synth_3fold.md"].split("## Measured")[0].split("## Provenance")[0].strip()
    assert "`tiny`" in below and "| amf" in below and "| amf" not in above
    section = below.split("## Provenance")[0]
    assert "**" not in section
    assert [row(section, method)[name] for method in ("amf", "cam") for name in ("#", "Rank")] == ["demo", "–"] * 2
    assert row(both["README.md"].replace("Protocol ", "Method "), "[synth_3fold](synth_3fold.md)") == {
        **row(alone["README.md"].replace("Protocol ", "Method "), "[synth_3fold](synth_3fold.md)"),
        "Demos": "2",
        "Runs": "4",
    }
    rows = build.compute_entries(tmp_path / "1")["synth_3fold"].entries
    assert [(each["method"], each["position"], each["rank"]) for each in rows if each["demo"]][:2] == [
        ("amf", None, None),
        ("cam", None, None),
    ]
    assert len(build.load_protocol(tmp_path / "1", "synth_3fold").ranked) == 1


@pytest.mark.parametrize(("seconds", "is_possible"), [(27.0, True), (20.0, False)])
def test_the_least_time_allows_for_folds_of_different_speed(tmp_path, curved, seconds, is_possible):
    """Folds of 10,000, 1,000 and 1,000 frames begin with 5 seconds each and train 1,000 frames in a second."""
    frames, times = np.array([10_000, 1_000, 1_000]), np.array([15.0, 6.0, 6.0])
    speed = float((frames / times).mean())
    table = pd.DataFrame({"fold": [1, 2, 3], "frames": frames})
    supervised = curved.epochs[curved.epochs["pretraining"] == 0].groupby("fold").tail(1).drop(columns="frames")
    info = curved.info.model_copy(
        update={
            "time": curved.info.time.model_copy(update={"seconds": seconds}),
            "pretraining": (),
            "speed": curved.info.speed.model_copy(update={"train_frames_per_s": speed}),
        }
    )
    run = StoredRecord(tmp_path, replace(curved, info=info, epochs=supervised.merge(table)[curved.epochs.columns]))
    problems = [finding.what for finding in verify.check_facts(run) if finding.what.startswith("time.seconds")]
    assert (problems == []) == is_possible, problems
