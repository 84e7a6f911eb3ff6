"""Invalid input to a search: one line, exit code 2, and no trial."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from factories.command_words import changed

from aubench.core.errors import UsageError
from aubench.tuning.study import check_binding

TUNE = ("tune", "--no-track", "--protocol", "synth_3fold", "--trials", "2", "--device", "cpu")
SMALL = ("--set", "image_size=32", "--set", "crop=28", "--set", "frames_per_epoch=100", "--set", "epochs=1")

BAD_RANGE = """
from typing import Annotated
from pydantic import Field
from aubench import {kind}, Recipe
from aubench.methods.late_fusion import LateFusion, LateFusionRecipe

class BadRecipe(LateFusionRecipe):
    share: Annotated[float, {kind}({low}, {high})] = Field(0.5, ge=0, le=1)

class Bad(LateFusion):
    Recipe = BadRecipe
"""


def refused(answer, *words: str) -> None:
    assert answer.code == 2, answer
    last = answer.err.splitlines()[-1]
    assert last.startswith("aubench: ") and "Traceback" not in answer.err, answer.err
    for word in words:
        assert word in last
    assert not list(Path("runs").glob("studies/*/trials"))


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--method", "late_fusio"), ("no method 'late_fusio'", "did you mean 'late_fusion'?")),
        (("--method", "amf", "--trials", "0"), ("trials",)),
        (("--method", "amf", "--sampler", "tpee"), ("--sampler", "did you mean 'tpe'?")),
        (("--method", "amf", "--pruner", "hyperban"), ("--pruner", "did you mean 'hyperband'?")),
        (("--method", "amf", "--selection", "oracle_test"), ("--selection",)),
        (("--method", "amf", "--fold", "7"), ("no fold '7'",)),
        (("--method", "amf", "--precision", "float8"), ("--precision", "'float8'")),
        (("--method", "amf", "--modalities", "visul"), ("did you mean 'visual'?",)),
        (("--method", "amf", "--space", "samples"), ("'samples' has no range", "learning_rate", "temperature")),
        (("--method", "amf", "--space", "beta,learning_rate"), ("'beta' has no range",)),
        (("--method", "amf", "--space", "temperature", "--set", "temperature=1"), ("fixed by --set",)),
        (("--method", "amf", "--set", "learning_rat=1"), ("did you mean 'learning_rate'?",)),
        (("--method", "amf", "--study", "../up"), ("--study", "is not a valid study name")),
        (("--method", "mcm", "--set", "pretrain_scope=all"), ("reads test subjects", "pre-train")),
    ],
)
def test_what_cannot_be_searched(call, small_store, words, parts):
    refused(call(*TUNE, "--store", small_store, *words), *parts)


@pytest.mark.parametrize(
    ("kind", "low", "high", "parts"),
    [("Uniform", 1, 0, "not below"), ("LogUniform", 0, 1, "logarithm"), ("Uniform", 0, 3, "must be at most 1")],
)
def test_a_range_that_makes_no_sense(call, small_store, tmp_path, kind, low, high, parts):
    method = tmp_path / "bad.py"
    method.write_text(textwrap.dedent(BAD_RANGE).format(kind=kind, low=low, high=high))
    refused(call(*TUNE, "--store", small_store, "--method", method), "search range of recipe key 'share'", parts)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("storage", "parts"),
    [
        ("studies.db", ("--storage", "is not a storage")),
        ("nosuch://host/db", ("nosuch://host/db",)),
        ("postgresql://somebody:secret@127.0.0.1:1/none", ("postgresql://***@127.0.0.1:1/none",)),
        ("sqlite:////proc/none/studies.db", ("sqlite:////proc/none/studies.db",)),
        ("journal:/proc/none/journal", ("journal:/proc/none/journal",)),
    ],
)
def test_a_storage_that_cannot_be_reached(call, small_store, storage, parts):
    pytest.importorskip("optuna")
    answer = call(*TUNE, "--store", small_store, "--method", "late_fusion", "--storage", storage)
    refused(answer, *parts)
    assert "secret" not in answer.err


@pytest.mark.slow
def test_a_study_of_something_else_is_refused(call, small_store):
    pytest.importorskip("optuna")
    words = (*TUNE, *SMALL, "--store", small_store, "--method", "late_fusion", "--study", "mine-late_fusion")
    assert call(*words).code == 0
    for other, part in (
        (("--protocol", "synth_vdt_3fold"), "protocol"),
        (("--method", "early_fusion"), "method"),
        (("--preset", "paper", "--set", "weights=none", "--set", "cut_switch_block=12"), "preset"),
        (("--fold", "1"), "folds"),
        (("--space", "learning_rate"), "space"),
        (("--seed", "1"), "seed"),
        (("--sampler", "random"), "sampler"),
    ):
        answer = call(*changed(words, other))
        assert answer.code == 2, answer
        assert f"study 'mine-late_fusion': has another {part}" in answer.err and "--study" in answer.err
    several = changed(words, ("--method", "early_fusion,late_fusion", "--study", "mine", "--seed", "1"))
    assert "study 'mine-late_fusion': has another seed" in call(*several).err
    assert not Path("runs/studies/mine-early_fusion").exists()
    answer = call("run", "--no-track", "--from-study", "mne-late_fusion")
    assert answer.err.endswith("did you mean 'mine-late_fusion'?\n")


def test_what_binds_a_study_is_compared_part_by_part():
    options = {"protocol": "a" * 64, "method": "amf", "seed": 0}
    check_binding("mine", dict(options), options)
    with pytest.raises(UsageError, match=r"study 'mine': has another protocol \(b{12}, not a{12}\)"):
        check_binding("mine", options | {"protocol": "b" * 64}, options)
    with pytest.raises(UsageError, match=r"has another seed \(1, not 0\)"):
        check_binding("mine", options | {"seed": 1}, options)
    fixed = {"fixed": {"epochs": 2}}, {"fixed": {"epochs": 3}}
    with pytest.raises(UsageError, match=r"has another --set \({'epochs': 2}, not {'epochs': 3}\)"):
        check_binding("mine", options | fixed[0], options | fixed[1])
    with pytest.raises(UsageError, match="was not created by aubench"):
        check_binding("mine", None, options)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ((), ("--method: is missing", "--from-study")),
        (("--method", "amf"), ("--protocol: is missing",)),
        (("--from-study", "x", "--method", "amf"), ("--from-study", "omit --method")),
        (("--from-study", "x", "--set", "epochs=1", "--fold", "1"), ("omit --fold and --set",)),
        (("--from-study", "x", "--selection", "oracle_test"), ("omit --selection",)),
        (("--from-study", "x", "--precision", "bf16-mixed"), ("omit --precision",)),
        (("--from-study", "x", "--pretrained", "none"), ("omit --pretrained",)),
    ],
)
def test_a_run_from_a_study_takes_the_recipe_from_there(call, words, parts):
    refused(call("run", "--no-track", *words), *parts)


@pytest.mark.parametrize("storage", [(), ("--storage", "sqlite:///none.db"), ("--storage", "journal:none.log")])
def test_a_storage_that_does_not_exist_is_not_created_for_reading(call, tmp_path, storage):
    answer = call("run", "--no-track", "--from-study", "x", *storage)
    refused(answer, "has no studies; search with `aubench tune`, or give another --storage")
    assert not list(tmp_path.rglob("*.*"))
