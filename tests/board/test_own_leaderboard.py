"""This repository's own leaderboard, which every visitor sees first."""

from pathlib import Path

from aubench.board import ledger
from aubench.board.check import check
from aubench.registry import builtin_methods, find_protocol

OWN = Path(__file__).parents[2] / "leaderboard"
BASICS = {"resnet_visual", "resnet_depth", "resnet_thermal", "early_fusion", "late_fusion", "amf"}
"""What the README runs on three modalities."""


def test_every_number_follows_from_its_counts():
    assert [str(finding) for finding in check(OWN)] == []


def test_it_has_the_methods_that_the_readme_runs_with_three_seeds():
    kept, _ = ledger.scan(OWN)
    for protocol, wanted in (
        ("synth_3fold", {*builtin_methods()} - {"resnet_thermal"}),
        ("synth_vdt_3fold", BASICS),
    ):
        seeds: dict[str, set[int]] = {}
        for info in (one.record.info for one in kept if one.record.info.protocol.name == protocol):
            if info.protocol.digest == find_protocol(protocol).digest and len(info.folds) == info.protocol.fold_count:
                seeds.setdefault(info.method.name, set()).add(info.seed)
        assert wanted <= set(seeds)
        assert all({0, 1, 2} <= found for found in seeds.values())


def test_it_was_made_by_committed_code_on_one_store():
    kept, _ = ledger.scan(OWN)
    infos = [one.record.info for one in kept]
    assert all(info.git.commit and info.git.dirty is False for info in infos)
    assert len({info.dataset.digest for info in infos}) == 1
