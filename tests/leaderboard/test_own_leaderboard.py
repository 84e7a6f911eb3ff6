"""Leaderboard of this repository."""

import os
from pathlib import Path

import pytest

from aubench.api import paper_exhibits
from aubench.core.method_versions import changes_since
from aubench.core.registry import find_protocol
from aubench.leaderboard import records
from aubench.leaderboard.check import check
from aubench.papers.leaderboard_pages import EXTENSIONS
from aubench.papers.reproduction import PendingRuns
from aubench.runs import runner
from tests.factories import boards
from tests.factories.paper_methods import PAPER_METHODS

OWN = Path(__file__).parents[2] / "leaderboard"
VARIANTS = OWN / records.VARIANTS
REPRODUCED = OWN / "reproduced" / "synth_3fold"
BASICS = {"resnet_visual", "resnet_depth", "resnet_thermal", "early_fusion", "late_fusion", "mtut", "amf"}
"""Methods that the documentation runs on three modalities."""
AMF = {*(f"amf-figure-{i}" for i in (4, 5)), *(f"amf-table-{i}" for i in (1, 2, 3, 4))}
"""Reproduced tables that the documentation names."""
OUTDATED = "These numbers are outdated."
STORES = os.environ.get("AUBENCH_STORES")
"""Folder of stores that tox shares among its environments, so that each of them does not generate ``synth`` again."""


@pytest.fixture(scope="module")
def infos():
    """Content of every ``record.json``, by leaderboard."""
    return {root: [run.info for run in boards.load_verified(root)[0]] for root in (OWN, VARIANTS)}


@pytest.mark.slow
@pytest.mark.parametrize("root", [OWN, VARIANTS], ids=["ranked", "variants"])
def test_all_numbers_follow_from_the_counts(root):
    assert [str(finding) for finding in check(root, extensions=EXTENSIONS)] == []


@pytest.mark.slow
def test_it_has_the_methods_that_the_readme_runs_with_three_seeds(infos):
    for protocol, methods in (
        ("synth_3fold", {*PAPER_METHODS} - {"resnet_thermal"}),
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
def test_reproduced_tables_follow_from_the_records_or_say_that_they_are_outdated(call, monkeypatch):
    texts = {path.stem: path.read_text() for path in sorted(REPRODUCED.glob("*.md"))}
    current = [name for name, text in texts.items() if OUTDATED not in text]
    where = ("--protocol", "synth_3fold", "--seed", "0,1,2", "--root", OWN, "--out", "again", "--device", "cpu")
    if STORES:
        monkeypatch.setenv("AUBENCH_STORES", STORES)
    lines = []
    monkeypatch.setattr(runner, "run_jobs", lambda jobs, *_: pytest.fail(f"{len(jobs)} folds have no record"))
    if current:
        done = call("reproduce", *current, *where)
        assert done.code == 0 and not Path("runs").exists(), done.err
    for name in current:
        assert Path("again", f"{name}.md").read_text() == texts[name]

    def stop(*_):
        raise _Missing

    monkeypatch.setattr(PendingRuns, "run", stop)
    monkeypatch.setattr(paper_exhibits, "print_line", lines.append)
    outdated = sorted(texts.keys() - current)
    if outdated:
        with pytest.raises(_Missing):
            call("reproduce", *outdated, *where)
    assert [
        name for name in outdated if not any(line.startswith(f"{name}: ") and "missing" in line for line in lines)
    ] == []


def test_the_tables_that_the_documentation_names_are_reproduced():
    assert {path.stem for path in REPRODUCED.glob("*.md")} >= AMF


@pytest.mark.slow
def test_the_records_come_from_committed_code(infos):
    commits = [environment.git for info in infos[OWN] + infos[VARIANTS] for environment in info.environments]
    assert all(git.commit and git.dirty is False for git in commits)


@pytest.mark.slow
def test_all_records_on_synth_read_one_store(infos):
    digests = {info.dataset.digest for info in infos[OWN] + infos[VARIANTS] if info.dataset.name == "synth"}
    assert len(digests) == 1
