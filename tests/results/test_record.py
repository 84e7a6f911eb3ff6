"""The record: it survives a round trip to the byte, and nothing unforeseen gets in."""

import json

import pytest

from aubench.core.errors import RecordError
from aubench.results import record
from aubench.results.record import RecordInfo


def _with(fields: dict, path: str, value: object) -> dict:
    *parents, last = path.split(".")
    inner = fields
    for key in parents:
        inner = inner[int(key)] if isinstance(inner, list) else inner[key]
    inner[int(last) if isinstance(inner, list) else last] = value
    return fields


def test_round_trip_to_the_byte(tmp_path, make_record):
    made = make_record()
    made.write(tmp_path / "a")
    again = record.read(tmp_path / "a")
    again.write(tmp_path / "b")
    assert again.info == made.info
    for name in record.FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(record.FILES)


def test_a_search_is_told_in_full_or_not_at_all(make_record):
    fields = make_record().info.model_dump(mode="json")
    assert fields["search"] == {"trials": 0} and not RecordInfo.from_fields(fields).search.tuned
    told = {"trials": 20, "study": "mine", "sampler": "tpe", "pruner": "none", "seconds": 1.5, "frames": 9000}
    tuned = RecordInfo.from_fields(fields | {"search": told})
    assert tuned.search.tuned and tuned.model_dump(mode="json")["search"] == told
    for wrong in ({"trials": 0, "seconds": 1.5}, told | {"seconds": -1}, told | {"frames": 1.5}, told | {"cost": 1}):
        with pytest.raises(RecordError, match="search"):
            RecordInfo.from_fields(fields | {"search": wrong})


def test_its_place_is_protocol_method_run(make_record):
    made = make_record("amf")
    assert made.relative_path.parts == ("synth_3fold", "amf", made.info.run)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("surprise", 1, "surprise"),
        ("method.surprise", 1, "method.surprise"),
        ("folds.0.surprise", 1, "folds.0.surprise"),
        ("schema_version", 2, "schema_version"),
        ("seed", "3", "seed"),
        ("seed", -1, "seed"),
        ("seed", 1.5, "seed"),
        ("run", "../../x", "run"),
        ("run", "x" * 65, "run"),
        ("method.name", "a/b", "method.name"),
        ("method.name", "a\n", "method.name"),
        ("method.title", "x" * 301, "method.title"),
        ("method.title", "two\nlines", "method.title"),
        ("method.fidelity", "perfect", "method.fidelity"),
        ("method.modalities", ["thermal"], "does not offer"),
        ("method.modalities", ["smell"], "method.modalities"),
        ("protocol.digest", "abc", "protocol.digest"),
        ("selection", "best", "selection"),
        ("threshold", "fixed:0.4", "threshold"),
        ("conditions", ["missing:visual"], "clean"),
        ("compute.total.flops", 3, "twice macs"),
        ("git.commit", "HEAD", "git.commit"),
        ("time.started", "yesterday", "time.started"),
        ("folds.0.best_epoch", 11, "best_epoch"),
        ("folds.0.train_prevalence.AU1", [9, 8], "more positives"),
        ("folds.1.fold", 1, "ascending"),
        ("summary.f1_mean", 1.2, "summary.f1_mean"),
        ("recipe.nested", {"deep": [1, {"x": float("inf")}]}, "float"),
        ("speed.train_frames_per_s", float("nan"), "speed.train_frames_per_s"),
    ],
)
def test_a_field_out_of_bounds_is_refused_and_named(make_record, path, value, says):
    fields = _with(make_record().info.model_dump(mode="json"), path, value)
    with pytest.raises(RecordError) as told:
        RecordInfo.from_fields(fields)
    assert says in str(told.value)
    assert "\n" not in str(told.value)


def test_a_subject_in_two_roles_is_refused(make_record):
    fields = make_record().info.model_dump(mode="json")
    fields["folds"][0]["val"][0] = fields["folds"][0]["test"][0]
    with pytest.raises(RecordError, match="twice in the roles"):
        RecordInfo.from_fields(fields)


def test_a_lost_field_is_named(make_record):
    fields = make_record().info.model_dump(mode="json")
    del fields["dataset"]["digest"]
    with pytest.raises(RecordError, match=r"dataset\.digest"):
        RecordInfo.from_fields(fields)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema_version": 1, "schema_version": 1}', "[" * 10_000, "\xff"])
def test_what_is_no_record_is_one_clear_line(tmp_path, make_record, content):
    make_record().write(tmp_path)
    (tmp_path / record.FILE).write_bytes(content.encode("latin-1"))
    with pytest.raises(RecordError) as told:
        record.read(tmp_path)
    assert str(tmp_path / record.FILE) in str(told.value)
    assert "\n" not in str(told.value)


def test_an_oversized_record_is_refused(tmp_path, make_record):
    made = make_record()
    made.write(tmp_path)
    fields = made.info.model_dump(mode="json") | {"recipe": {"long": "x" * 300_000}}
    (tmp_path / record.FILE).write_text(json.dumps(fields))
    with pytest.raises(RecordError, match="larger than 262,144 bytes"):
        record.read(tmp_path)
