"""Leaderboard of this repository."""

from pathlib import Path

import pytest

from aubench.core.method_versions import changes_since
from aubench.core.registry import builtin_methods, find_protocol
from aubench.leaderboard import records
from aubench.leaderboard.check import check
from aubench.leaderboard.verified_records import load_verified
from aubench.papers.leaderboard_pages import EXTENSIONS
from aubench.runs import runner

OWN = Path(__file__).parents[2] / "leaderboard"
VARIANTS = OWN / records.VARIANTS
REPRODUCED = OWN / "reproduced" / "synth_3fold"
BASICS = {"resnet_visual", "resnet_depth", "resnet_thermal", "early_fusion", "late_fusion", "mtut", "amf"}
"""Methods that the documentation runs on three modalities."""
AMF = {*(f"amf-figure-{i}" for i in (4, 5)), *(f"amf-table-{i}" for i in (1, 2, 3, 4))}
"""Reproduced tables that the documentation names."""
OUTDATED = "These numbers are outdated."


@pytest.fixture(scope="module")
def infos():
    """Content of every ``record.json``, by leaderboard."""
    return {root: [run.info for run in load_verified(root)[0]] for root in (OWN, VARIANTS)}


@pytest.mark.slow
@pytest.mark.parametrize("root", [OWN, VARIANTS], ids=["ranked", "variants"])
def test_all_numbers_follow_from_the_counts(root):
    assert [str(finding) for finding in check(root, extensions=EXTENSIONS)] == []


@pytest.mark.slow
def test_it_has_the_methods_that_the_readme_runs_with_three_seeds(infos):
    for protocol, methods in (
        ("synth_3fold", {*builtin_methods()} - {"resnet_thermal"}),
        ("synth_vdt_3fold", BASICS),
    ):
        seeds: dict[tuple[str, int | None], set[int]] = {}
        for info in (info for info in infos[OWN] if info.protocol.name == protocol):
            if info.protocol.digest == find_protocol(protocol).digest and len(info.folds) == info.protocol.fold_count:
                seeds.setdefault((info.method.name, info.method.version), set()).add(info.seed)
        assert methods <= {method for method, _ in seeds}
        assert all({0, 1, 2} <= values for values in seeds.values())


@pytest.mark.slow
def test_texts_with_numbers_of_earlier_versions_say_so_and_no_others(infos):
    methods = [info.method for info in infos[OWN] if info.protocol.name == "synth_3fold"]
    is_outdated = any(changes_since(method.name, method.version or 1) for method in methods)
    texts = [OWN.parent / "README.md", OWN.parent / "docs" / "findings.md"]
    assert {path.name: OUTDATED in path.read_text() for path in texts} == {path.name: is_outdated for path in texts}


class _Missing(Exception):
    """The reproduction of a table or figure needs runs without records."""


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.stem for path in REPRODUCED.glob("*.md")))
def test_a_reproduced_table_follows_from_the_records_or_says_that_it_is_outdated(call, monkeypatch, name):
    text = (REPRODUCED / f"{name}.md").read_text()

    def stop(*_):
        raise _Missing

    monkeypatch.setattr(runner, "run_jobs", stop)
    where = ("--protocol", "synth_3fold", "--seed", "0,1,2", "--root", OWN, "--out", "again", "--device", "cpu")
    try:
        done = call("reproduce", name, *where)
    except _Missing:
        assert OUTDATED in text
        return
    assert done.code == 0 and not Path("runs").exists(), done.err
    assert Path("again", f"{name}.md").read_text() == text


def test_the_tables_that_the_documentation_names_are_reproduced():
    assert {path.stem for path in REPRODUCED.glob("*.md")} >= AMF


@pytest.mark.slow
def test_the_records_come_from_committed_code(infos):
    commits = [environment.git for info in infos[OWN] + infos[VARIANTS] for environment in info.environments]
    assert all(git.commit and git.dirty is False for git in commits)


def test_all_records_on_synth_read_one_store(infos):
    digests = {info.dataset.digest for info in infos[OWN] + infos[VARIANTS] if info.dataset.name == "synth"}
    assert len(digests) == 1
