"""Commands and citations of rows."""

from dataclasses import replace
from pathlib import Path

import pytest

from aubench.cli.options import parse_overrides
from aubench.core.method_catalogue import builtin_facts
from aubench.core.task import Modality
from aubench.leaderboard.entries import Entry
from aubench.leaderboard.records import StoredRecord
from aubench.leaderboard.site import rerun_commands
from aubench.results.schema import Pretraining


@pytest.fixture
def entry(make_record):
    """Make an entry of two seeds, with fields of its records replaced."""

    def make(**fields) -> Entry:
        records = [make_record("late_fusion", seed=seed, skill=0.6) for seed in (0, 1)]
        changed = [replace(record, info=record.info.model_copy(update=fields)) for record in records]
        return Entry.from_runs(StoredRecord(Path("records"), record) for record in changed)

    return make


@pytest.mark.slow
def test_command_names_all_that_is_not_the_default(entry):
    start = ".venv/bin/aubench run --method late_fusion --protocol synth_3fold --device cpu --preset small --seed 0,1"
    assert rerun_commands.run_command(entry()) == start
    recipe = {"learning_rate": 1e-05, "note": "a b", "crop": 28, "flip": True}
    changed = entry(recipe=recipe, overrides=("flip", "learning_rate", "note"), selection="last")
    options = " --set flip=true --set learning_rate=1e-05 --set 'note=a b' --selection last"
    assert rerun_commands.run_command(changed) == start + options


@pytest.mark.parametrize("value", ["1,2", "12", "true", "null", '"', '"a"', "[1]", "", 12, 1e-5, True, None, [1]])
def test_set_reads_the_value_that_a_command_has(value):
    assert parse_overrides([f"key={rerun_commands.value_text(value)}"]) == {"key": value}


@pytest.mark.slow
def test_command_names_what_differs_from_the_present_preset(entry):
    """A preset may have changed since the run, whose record states the differences from the earlier one."""
    small = builtin_facts()["late_fusion"].presets["small"].recipe
    earlier = entry(recipe={**small, "epochs": 16, "patience": 16, "cut_switch": 0.5}, overrides=("cut_switch",))
    for text in (rerun_commands.run_command(earlier).replace("--set ", ""), rerun_commands.bibtex(earlier)):
        assert all(change in text for change in ("epochs=16", "patience=16", "0.5")), text


@pytest.mark.slow
def test_only_runs_of_a_cpu_name_their_device(entry):
    on_gpu = entry(device=entry().info.device.model_copy(update={"kind": "cuda"}))
    assert "--device" not in rerun_commands.run_command(on_gpu)
    tested = entry(conditions=("clean", "missing:visual"))
    assert all(" --device cpu " in command for command in rerun_commands.robustness_commands(tested))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("instructions", "last"),
    [
        (None, "cd ../aubench-"),
        ("AVX512", "cd ../aubench-"),
        ("AVX2", "export ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2"),
    ],
)
def test_checkout_limits_the_cpu_to_the_instruction_set_of_the_record(entry, instructions, last):
    info = entry(device=entry().info.device.model_copy(update={"instructions": instructions})).info
    assert rerun_commands.checkout_command(info).splitlines()[-1].startswith(last)


@pytest.mark.slow
def test_command_names_fewer_modalities_and_another_precision(entry):
    info = entry().info
    narrowed = entry(
        protocol=info.protocol.model_copy(update={"modalities": (Modality.DEPTH,)}),
        device=info.device.model_copy(update={"precision": "bf16-mixed"}),
    )
    assert rerun_commands.run_command(narrowed).endswith("--seed 0,1 --modalities depth --precision bf16-mixed")


@pytest.mark.slow
def test_command_names_the_run_and_the_store_that_weights_are_from(entry):
    start = Pretraining(stage="initialisation", source="run 1a", datasets=("bp4d",), run="1a")
    stage = Pretraining(stage="pretrain", source="own", datasets=("video",), frames=5, seconds=1.0, store="e" * 64)
    assert rerun_commands.run_command(entry(pretraining=(start, stage))).endswith("--from-run 1a --pretrain-on video")


@pytest.mark.slow
def test_command_of_an_outside_method_and_of_predictions(entry):
    outside = entry(method=entry().info.method.model_copy(update={"source": "path"}))
    assert "--method late_fusion.py " in rerun_commands.run_command(outside)
    submitted = rerun_commands.run_command(entry(selection="submitted"))
    command = "aubench score PREDICTIONS --protocol synth_3fold --name late_fusion --modalities visual,depth --seed "
    assert submitted.splitlines() == [f"{command}0", f"{command}1"]


def test_conditions_become_the_suites_that_have_them(entry):
    amf = (
        "missing:visual",
        "missing:depth",
        *(f"noise:{m}:{s}" for m in ("visual", "depth", "all") for s in (0.2, 0.5)),
    )
    from aubench.core import suites

    exact = tuple(map(str, suites.find_suite("amf").conditions(entry().info.method.modalities)))
    assert rerun_commands.robustness_commands(entry()) == []
    (command,) = rerun_commands.robustness_commands(entry(conditions=("clean", *exact)))
    assert command.endswith("robustness --method late_fusion --protocol synth_3fold --device cpu --suite amf")
    commands = rerun_commands.robustness_commands(entry(conditions=("clean", *amf, "noise:all:0.33")))
    assert commands[-1].endswith("--suite SUITE.toml")


def test_citation_escapes_what_latex_reads_as_commands(entry):
    info = entry().info
    evil = entry(method=info.method.model_copy(update={"title": r"\input{x} 100% #1 $a_b^c~"}))
    citation = rerun_commands.bibtex(evil)
    assert r"\textbackslash{}input\{x\} 100\% \#1 \$a\_b\textasciicircum{}c\textasciitilde{}" in citation
    assert all(run.info.run in citation for run in evil.runs) and info.git.commit in citation
    assert f"Method: {rerun_commands.latex(builtin_facts()['late_fusion'].paper)}" in citation
    assert citation.startswith("@misc{aubench_late_fusion_") and citation.count("{") == citation.count("}")
