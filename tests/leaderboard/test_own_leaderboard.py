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


@pytest.fixture(scope="module")
def is_outdated(infos):
    """Whether a record is of an earlier version of its method."""
    methods = [info.method for info in infos[OWN] + infos[VARIANTS]]
    return any(changes_since(method.name, method.version or 1) for method in methods)


@pytest.mark.slow
def test_texts_with_numbers_of_earlier_versions_say_so_and_no_others(is_outdated):
    texts = [OWN.parent / "README.md", OWN.parent / "docs" / "findings.md", *REPRODUCED.glob("*.md")]
    assert {path.name: OUTDATED in path.read_text() for path in texts} == {path.name: is_outdated for path in texts}


@pytest.mark.slow
def test_the_reproduced_tables_and_figures_follow_from_the_records(call, monkeypatch, is_outdated):
    names = sorted(path.stem for path in REPRODUCED.glob("*.md"))
    assert set(names) >= AMF
    if is_outdated:
        pytest.skip("the runs of the present methods have no records yet")
    monkeypatch.setattr(runner, "run_jobs", lambda jobs, *_: pytest.fail(f"{len(jobs)} folds have no record"))
    where = ("--protocol", "synth_3fold", "--seed", "0,1,2", "--root", OWN, "--out", "again", "--device", "cpu")
    done = call("reproduce", *names, *where)
    assert done.code == 0 and not Path("runs").exists(), done.err
    for name in names:
        assert Path("again", f"{name}.md").read_text() == (REPRODUCED / f"{name}.md").read_text()


@pytest.mark.slow
def test_the_records_come_from_committed_code(infos):
    commits = [environment.git for info in infos[OWN] + infos[VARIANTS] for environment in info.environments]
    assert all(git.commit and git.dirty is False for git in commits)


def test_all_records_on_synth_read_one_store(infos):
    digests = {info.dataset.digest for info in infos[OWN] + infos[VARIANTS] if info.dataset.name == "synth"}
    assert len(digests) == 1
