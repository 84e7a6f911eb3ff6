"""What papers' rows take: the runs that ``aubench run`` would make, each once, or a reason why there can be none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from aubench._util.progress import format_duration
from aubench.core.conditions import Condition
from aubench.core.errors import RecipeError
from aubench.core.registry import find_protocol
from aubench.core.task import Modality
from aubench.evaluation import flops
from aubench.papers import runtime_estimate
from aubench.papers.exhibits import Exhibit
from aubench.papers.paper_figures import FIGURES
from aubench.papers.row_specs import (
    ReproductionConfig,
    ResolvedRow,
    RowSpec,
    cost,
    dataset_alias,
    protocol_for,
    resolve_row,
)
from aubench.results.record_info import RecordInfo
from aubench.runs.config import RunConfig
from aubench.runs.run_options import RunOptions
from aubench.runs.store_ref import StoreRef

V, D, T = Modality
GONE = Condition.parse("missing:visual")


def on(protocol: str, **changes: object) -> ReproductionConfig:
    found = find_protocol(protocol)
    facts = StoreRef(Path("nowhere"), found.dataset, "1", "5" * 64)
    options = {name: changes.pop(name) for name in ("preset", "overrides") if name in changes}
    config = ReproductionConfig(found, RunOptions(**{"preset": "tiny"} | options), (0,), facts, ())
    return replace(config, **changes)


def reason(wanted: RowSpec, protocol: str = "synth_3fold") -> str:
    found = resolve_row(wanted, on(protocol))
    assert not found.configs
    return found.reason


def test_a_row_is_the_run_that_the_command_makes():
    terms = on("synth_3fold", seeds=(0, 4))
    first, second = resolve_row(RowSpec("late_fusion", {"cut_switch": 0.5}), terms).configs
    options = RunOptions("tiny", {"cut_switch": 0.5})
    made = RunConfig.create("late_fusion", terms.protocol, terms.store, options, seed=4)
    assert (second.run_id, second.run_dir) == (made.run_id, made.run_dir)
    assert first.run_id != second.run_id and first.seed == 0


@pytest.mark.parametrize(
    ("method", "modalities", "offered"),
    [
        ("resnet_visual", (V,), (V, D)),  # takes what it wants out of what there is
        ("au_vmae", (V,), (V, D)),
        ("mft", (V,), (V,)),  # would take all
        ("amf", (V, D), (V, D)),
    ],
)
def test_a_protocol_is_narrowed_only_where_the_method_would_use_more(method, modalities, offered):
    (plan,) = resolve_row(RowSpec(method, modalities=modalities), on("synth_3fold")).configs
    assert plan.protocol.modalities == offered
    assert plan.task.modalities == modalities


def test_rows_of_bp4dplus_go_to_the_sibling_with_thermal_images():
    (plan,) = resolve_row(
        RowSpec("amf", modalities=(V, T), dataset="bp4dplus", trained_on="bp4dplus"), on("synth_3fold")
    ).configs
    assert (plan.protocol.name, plan.protocol.modalities) == ("synth_vdt_3fold", (V, T))
    (plan,) = resolve_row(RowSpec("amf"), on("synth_vdt_3fold")).configs
    assert (plan.protocol.name, plan.protocol.modalities) == ("synth_3fold", (V, D))


def test_what_a_protocol_stands_for():
    assert [dataset_alias(find_protocol(name)) for name in ("synth_3fold", "synth_vdt_3fold", "bp4d_3fold")] == [
        "bp4d",
        "bp4dplus",
        "bp4d",
    ]
    assert protocol_for("bp4dplus", find_protocol("bp4d_3fold")) is None
    own = find_protocol("bp4d_3fold").model_copy(update={"name": "mine", "dataset": "disfa"})
    assert protocol_for("disfa", own) is own


def test_what_cannot_be_made_says_why():
    plus = {"dataset": "bp4dplus", "trained_on": "bp4dplus"}
    assert reason(RowSpec("")) == "not implemented here"
    assert reason(RowSpec("temt_net", modalities=(V, D, T), **plus)).startswith(
        "temt_net: does not support synth_vdt_3fold"
    )
    assert "needs a protocol of bp4dplus" in reason(RowSpec("amf", **plus), "bp4d_3fold")
    assert "needs a protocol of each" in reason(RowSpec("au_vmae", modalities=(V,), trained_on="disfa"))
    assert reason(RowSpec("resnet_thermal", modalities=(T,))) == "synth_3fold has no thermal images"
    assert "backbone" in reason(RowSpec("resnet_depth", {"backbone": "nope"}, (D,)))
    assert reason(RowSpec("amf", aus=(3, 45))) == "synth_3fold scores no AU of the table"
    assert resolve_row(RowSpec("amf", aus=(1, 45)), on("synth_3fold")).configs
    assert reason(RowSpec("amff")) == reason(RowSpec("amff", scored=False)) == "no method 'amff'"
    assert reason(RowSpec("amf", modalities=())) == "the table does not state its modalities"


def test_costs_that_cannot_be_counted_say_why():
    assert reason(RowSpec("amf", modalities=(), scored=False)) == "the table does not state its modalities"
    assert "no recipe key 'nope'" in reason(RowSpec("amf", {"nope": 1}, scored=False))
    assert reason(RowSpec("resnet_thermal", modalities=(V,), scored=False)).startswith("resnet_thermal: ")
    assert reason(RowSpec("amf", modalities=(V, D), scored=False)) == ""


def test_a_figure_that_is_not_drawn_names_the_files_of_an_earlier_call(tmp_path):
    rows, said = [ResolvedRow(RowSpec("amf"), reason="no run")], []
    figure = SimpleNamespace(reason="", draw=lambda rows, subtitle: None)
    exhibit = Exhibit("amf-figure-9", "A figure", figure=figure)
    for _ in range(2):
        assert exhibit.write(rows, on("synth_3fold"), tmp_path, "markdown", said.append) == []
        (tmp_path / "amf-figure-9.svg").touch()
    assert said[0] == "amf-figure-9: not drawn: no run"
    assert said[1] == f"{said[0]}; {tmp_path / 'amf-figure-9.svg'} is of an earlier call"


def test_a_wrong_preset_or_change_is_the_users():
    with pytest.raises(RecipeError, match="no preset"):
        resolve_row(RowSpec("amf"), on("synth_3fold", preset="nope"))
    with pytest.raises(RecipeError, match="no recipe key"):
        resolve_row(RowSpec("amf"), on("synth_3fold", overrides={"nope": 1}))


@pytest.mark.slow
def test_costs_take_no_run_and_are_of_full_size():
    wanted = RowSpec("au_vmae", {"level": "frame"}, (V,), scored=False)
    assert resolve_row(wanted, on("synth_3fold")) == resolve_row(wanted, on("bp4d_3fold"))
    assert not resolve_row(wanted, on("synth_3fold")).configs
    frame, video = (cost(RowSpec("au_vmae", {"level": level}, (V,)), on("synth_3fold")) for level in ("frame", "video"))
    assert 4 * frame.total.flops == pytest.approx(video.total.flops, rel=0.02)
    assert frame.total.macs == pytest.approx(2.81e9, rel=0.05)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("amf-figure-4", 3),
        ("amf-figure-5", 3),
        ("mcm-figure-4", 1),
        ("mcm-figure-6", 8),
        ("au-vmae-figure-6", 1),
        ("au-vmae-appendix-figure-1", 1),
        ("mcm-figure-1", 1),
        ("au-vmae-figure-3", 1),
        ("au-vmae-figure-5", 1),
    ],
)
def test_figures_can_be_made_on_both_protocols(name, count):
    for protocol in ("synth_3fold", "bp4d_3fold"):
        terms = on(protocol, preset="tiny" if protocol == "synth_3fold" else "paper")
        found = [resolve_row(row, terms) for row in FIGURES[name].rows(terms)]
        assert not any(one.reason for one in found)
        assert len({plan.run_id for one in found for plan in one.configs}) == count


def test_the_pre_training_that_mcm_has_anyway_is_among_those_compared():
    terms = on("synth_3fold")
    (default,) = resolve_row(RowSpec("mcm"), terms).configs
    rows = FIGURES["mcm-figure-6"].rows(terms)
    assert sum(resolve_row(row, terms).configs[0].run_id == default.run_id for row in rows) == 2, "in both panels"


def told_by(record, recipe: dict, seconds: float, operations: int) -> RecordInfo:
    cost = {"flops": operations, "macs": operations // 2, "parameters": 1}
    changes = {
        "recipe": recipe,
        "time": {"started": "2025-01-02T03:04:05Z", "seconds": seconds},
        "compute": {"total": cost, "parts": {}, "uncounted": []},
    }
    return RecordInfo.from_fields(record.info.model_dump(mode="json") | changes)


@pytest.mark.slow
def test_the_estimate_follows_the_nearest_run(make_record):
    terms, record = on("synth_3fold"), make_record("amf", preset="tiny")
    (plan,) = resolve_row(RowSpec("amf"), terms).configs
    operations = flops.count_flops(plan.entry.method_class, plan.task, plan.recipe_model).total.flops
    near = told_by(record, plan.recipe, 60, operations)
    far = told_by(record, plan.recipe | {"cut_switch": 0.1, "flip": False}, 900, operations)
    assert runtime_estimate.training(plan, 3, [near, far], "cpu", 0) == pytest.approx(60)
    assert runtime_estimate.training(plan, 1, [far, near], "cpu", 0) == pytest.approx(20)
    (longer,) = resolve_row(RowSpec("amf", {"epochs": 2 * plan.recipe["epochs"]}), terms).configs
    assert runtime_estimate.training(longer, 3, [near], "cpu", 0) == pytest.approx(120)
    smaller = told_by(record, plan.recipe, 60, operations // 2)
    assert runtime_estimate.training(plan, 3, [smaller], "cpu", 0) == pytest.approx(120, rel=0.01)
    assert runtime_estimate.evaluation(plan, 5, [], "cpu", 1000) > 0


@pytest.mark.slow
def test_without_a_record_the_estimate_follows_operations():
    terms = on("synth_3fold")
    small, large = (
        resolve_row(RowSpec(method, modalities=m), terms).configs[0]
        for method, m in (("resnet_depth", (D,)), ("amf", (V, D)))
    )
    assert (
        0 < runtime_estimate.training(small, 3, [], "cpu", 0) < runtime_estimate.training(large, 3, [], "cpu", 0) < 600
    )


@pytest.mark.slow
def test_records_that_cannot_be_read_are_passed_over(tmp_path, make_record):
    make_record("amf", preset="tiny").write(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/record.json").write_text(json.dumps({"no": "record"}))
    assert [info.method.name for info in runtime_estimate.read_timings([tmp_path, tmp_path / "absent"])] == ["amf"]


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "1 s"), (75, "75 s"), (600, "10 min"), (9000, "2.5 h")])
def test_durations_are_rough(seconds, words):
    assert format_duration(seconds) == words
