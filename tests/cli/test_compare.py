"""``aubench compare``: numbers, formats and errors, also without torch."""

import csv
import io
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from factories.records import remade

from aubench.core.task import Modality
from aubench.metrics import intervals, scores, significance
from aubench.metrics.resampling import subject_contributions
from aubench.results import counts, histograms
from aubench.results.record import Record
from aubench.results.record_info import RecordInfo


def changed(record, **fields):
    """Return a record with other fields."""
    fields_of_record = record.info.model_dump(mode="json")
    for path, value in fields.items():
        *parents, last = path.split("__")
        inner = fields_of_record
        for key in parents:
            inner = inner[key]
        inner[last] = value
    return Record(RecordInfo.from_fields(fields_of_record), record.counts, record.histograms)


@pytest.fixture
def runs(tmp_path, make_record):
    """Return the folder of finished runs: ``amf`` with three seeds, ``late_fusion`` with two."""
    records = [make_record("amf", seed=seed, skill=1.2) for seed in (0, 1, 2)]
    records += [make_record("late_fusion", seed=seed, skill=0.7) for seed in (0, 1)]
    for record in records:
        record.write(tmp_path / "runs" / record.relative_path / "record")
    return tmp_path / "runs" / "synth_3fold"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.slow
def test_numbers_are_those_of_the_counts(call, runs, make_record):
    done = call("compare", runs / "late_fusion", runs / "amf", "--format", "csv")
    assert done.code == 0, done.err
    amf = [make_record("amf", seed=seed, skill=1.2).counts for seed in (0, 1, 2)]
    late = [make_record("late_fusion", seed=seed, skill=0.7).counts for seed in (0, 1)]
    first, second, *others = rows(done.out)
    assert (first["method"], first["rank"], first["seeds"]) == ("amf", "1", "3")
    assert (second["method"], second["rank"], second["seeds"]) == ("late_fusion", "2", "2")
    by_seed = [scores.summarize(table, histograms_of(make_record, i)).f1_mean for i, table in enumerate(amf)]
    assert float(first["f1"]) == pytest.approx(np.mean(by_seed), abs=1e-6)
    assert float(first["seed_deviation"]) == pytest.approx(scores.std(by_seed), abs=2e-6)
    apart = subject_contributions(amf) - subject_contributions(late)
    mean = next(row for row in others if row["minus"] and row["au"] == "mean")
    expected = intervals.mean_interval(apart)
    bounds = [float(mean[name]) for name in ("f1", "low", "high")]
    assert bounds == pytest.approx([expected.estimate, expected.low, expected.high], abs=1e-6)
    others_by_seed = [scores.summarize(table, histograms_of(make_record, i)).f1_mean for i, table in enumerate(late)]
    error = np.sqrt(np.var(by_seed, ddof=1) / 3 + np.var(others_by_seed, ddof=1) / 2)
    assert float(mean["seed_error"]) == pytest.approx(error, abs=2e-6) and first["seed_error"] == ""
    per_au = [row for row in others if row["minus"] and row["au"] != "mean"]
    assert [row["au"] for row in per_au] == [f"AU{au}" for au in apart.aus]
    p = significance.p_values_per_au({(0, 1): apart})
    assert [float(row["p"]) for row in per_au] == pytest.approx(p[0].tolist(), abs=1e-6)
    assert [float(row["p_holm"]) for row in per_au] == pytest.approx(significance.holm(p)[0].tolist(), abs=1e-6)
    assert len(others) == 24 + 1 + 12


def histograms_of(make_record, seed):
    return make_record("amf", seed=seed, skill=1.2).histograms


@pytest.mark.slow
def test_markdown_says_seeds_and_intervals_apart(call, runs):
    done = call("compare", runs)
    assert done.code == 0, done.err
    assert "± over seeds" in done.out and "95 % interval" in done.out and "Preset" in done.out
    assert "condition clean: 41 test subjects in 3 folds" in done.out
    line = next(line for line in done.out.splitlines() if re.match(r"\| +1 \| amf", line))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    low, high = map(float, cells[5].split(" to "))
    assert low < float(cells[4]) < high and cells[6] == "3" and cells[3].startswith("small")
    header = next(line for line in done.out.splitlines() if "| Minus" in line)
    assert [cell.strip() for cell in header.strip("|").split("|")][3:5] == ["95 % interval", "Seed error"]


@pytest.mark.slow
def test_latex_and_a_file(call, runs, tmp_path):
    done = call("compare", runs, "--format", "latex", "--out", "table.tex")
    assert (done.code, done.out) == (0, "wrote table.tex\n")
    text = (tmp_path / "table.tex").read_text()
    assert text.count(r"\begin{tabular}") == text.count(r"\bottomrule") == 4
    assert r"late\_fusion" in text
    outside = re.sub(r"\\begin\{tabular\}.*?\\end\{tabular\}", "", text, flags=re.DOTALL)
    assert all(line.startswith("%") for line in outside.splitlines() if line)


@pytest.mark.slow
def test_names_on_the_leaderboard(call, runs, tmp_path):
    added = call("leaderboard", "add", runs, "--root", "board")
    assert added.code == 0 and added.out.endswith("run `aubench leaderboard build --root board` to update its pages\n")
    named = call("compare", "amf@synth_3fold", "late_fusion@synth_3fold", "--root", "board")
    assert named.code == 0, named.err
    assert named.out == call("compare", runs).out
    for word, hint in (("anf@synth_3fold", "did you mean 'amf'?"), ("amf@synth_3fol", "did you mean 'synth_3fold'?")):
        wrong = call("compare", word, "amf@synth_3fold", "--root", "board")
        assert (wrong.code, wrong.err.count("\n")) == (2, 1)
        assert hint in wrong.err


@pytest.mark.slow
def test_a_run_named_twice_counts_once(call, runs):
    assert call("compare", runs, runs / "amf").out == call("compare", runs).out


@pytest.mark.slow
def test_recipes_of_one_method_are_separate_rows(call, tmp_path, make_record):
    for rate in (1e-3, 2e-4):
        record = make_record("amf", recipe={"learning_rate": rate}, skill=1 + 100 * rate)
        record.write(tmp_path / "runs" / record.relative_path / "record")
    done = call("compare", "runs")
    assert "amf (small, learning_rate=0.001)" in done.out
    assert "amf (small, learning_rate=0.0002)" in done.out


@pytest.fixture
def make_evaluated(make_record):
    """Return a function that makes the record of a run with or without a test condition."""

    def make(method: str, *, seed: int = 0, skill: float = 0.5, clean_only: bool = False) -> Record:
        clean, other = make_record(method, seed=seed, skill=1.2), make_record(method, seed=seed, skill=skill)
        if clean_only:
            return clean
        tables = [
            pd.concat([getattr(clean, name), getattr(other, name).assign(condition="missing:visual")])
            for name in ("counts", "histograms")
        ]
        info = clean.info.model_dump(mode="json") | {"conditions": ["clean", "missing:visual"]}
        return Record(RecordInfo.from_fields(info), counts.canonical(tables[0]), histograms.canonical(tables[1]))

    return make


@pytest.mark.slow
def test_a_condition_is_compared_like_clean(call, tmp_path, make_record, make_evaluated):
    skills = {"amf": 0.1, "late_fusion": 0.9}
    worse = {method: make_record(method, skill=skill) for method, skill in skills.items()}
    for method, skill in skills.items():
        record = make_evaluated(method, skill=skill)
        record.write(tmp_path / "runs" / record.relative_path / "record")
    done = call("compare", "runs", "--condition", "missing:visual", "--format", "csv")
    assert (done.code, done.err) == (0, "")
    first, second = rows(done.out)[:2]
    assert (first["method"], second["method"]) == ("late_fusion", "amf")
    expected = scores.macro_mean(scores.f1(scores.sum_over_subjects(worse["amf"].counts).cells))
    assert float(second["f1"]) == pytest.approx(expected, abs=1e-6)
    unknown = call("compare", "runs", "--condition", "missing:visul")
    assert (unknown.code, unknown.err.count("\n")) == (2, 1)
    assert "did you mean 'missing:visual'?" in unknown.err


@pytest.mark.slow
def test_runs_without_the_condition_are_skipped_with_a_message(call, tmp_path, make_evaluated):
    for seed in (0, 1):
        make_evaluated("amf", seed=seed).write(tmp_path / "runs" / f"amf{seed}")
    make_evaluated("late_fusion", seed=0).write(tmp_path / "runs" / "late")
    for method, seed in (("late_fusion", 1), ("cam", 0)):
        make_evaluated(method, seed=seed, clean_only=True).write(tmp_path / "runs" / f"{method}{seed}")
    done = call("compare", "runs", "--condition", "missing:visual", "--format", "csv")
    assert done.code == 0, done.err
    assert sorted(done.err.splitlines()) == [
        f"skipped runs/{name}: does not have the condition 'missing:visual'" for name in ("cam0", "late_fusion1")
    ]
    assert {(row["method"], row["seeds"]) for row in rows(done.out)[:2]} == {("amf", "2"), ("late_fusion", "1")}
    alone = call("compare", "runs/amf0", "runs/cam0", "--condition", "missing:visual")
    assert (alone.code, alone.err.count("\n")) == (2, 1)
    assert "1 of 2 to compare has the condition 'missing:visual'" in alone.err
    assert "aubench robustness" in alone.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda make: make("late_fusion", selection="last"), "selection rule: last cannot be compared with inner_val"),
        (
            lambda make: remade(make("late_fusion"), dataset__digest="6" * 64),
            "store: 666666666666 cannot be compared with 555555555555",
        ),
        (
            lambda make: remade(make("late_fusion"), protocol__digest="7" * 64),
            "digest of the protocol: 777777777777 cannot be compared with",
        ),
        (
            lambda make: changed(make("late_fusion", schema=1), protocol__name="bp4d_3fold"),
            "protocol: bp4d_3fold 1 cannot be compared with synth_3fold 1",
        ),
        (
            lambda make: changed(make("late_fusion", schema=1), summary__f1_mean=0.99),
            "summary.f1_mean: says 0.99",
        ),
    ],
    ids=["selection", "store", "digest", "protocol", "summary"],
)
def test_runs_that_are_not_comparable_are_refused_in_one_line(call, tmp_path, make_record, other, message):
    make_record("amf").write(tmp_path / "one")
    other(make_record).write(tmp_path / "two")
    done = call("compare", "one", "two")
    assert (done.code, done.err.count("\n"), done.out) == (2, 1, "")
    assert message in done.err


@pytest.mark.slow
def test_narrowed_modalities_may_be_compared(call, tmp_path, make_record):
    make_record("amf").write(tmp_path / "one")
    record = make_record("resnet_visual", modalities=(Modality.VISUAL,))
    remade(record, protocol__modalities=["visual"], protocol__digest="7" * 64).write(tmp_path / "two")
    assert call("compare", "one", "two").code == 0


@pytest.mark.slow
def test_a_single_method_and_unfinished_runs_are_refused(call, runs, tmp_path, make_record):
    make_record("early_fusion", folds=(1, 3)).write(tmp_path / "partial" / "record")
    for words, message in (
        ([runs / "amf"], "only amf to compare"),
        ([runs, tmp_path / "partial"], "has 2 of 3 folds"),
        (["nowhere", runs], "nowhere: no such folder"),
        ([runs, "--format", "html"], "no format 'html'"),
        ([tmp_path / "partial" / "record" / "nothing", runs], "no such folder"),
    ):
        done = call("compare", *words)
        assert (done.code, done.err.count("\n")) == (2, 1), done.err
        assert message in done.err


@pytest.mark.slow
def test_it_needs_no_torch(runs, tmp_path):
    script = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from aubench.cli.main import main\n"
        f"sys.argv = ['aubench', 'compare', {str(runs)!r}]\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Significant" in done.stdout


@pytest.mark.parametrize("word", ["amf@", "@synth_3fold"])
def test_a_row_without_a_method_or_a_protocol_is_one_line(call, word):
    answer = call("compare", word, "cam@synth_3fold")
    assert answer.code == 2 and answer.err.startswith(f"aubench: {word}: names no method or no protocol; ")
