from __future__ import annotations

from aubench._util.seeds import derive


def test_seed_depends_on_every_part_and_its_position():
    seeds = {
        derive(0, "data", 1),
        derive(1, "data", 0),
        derive(0, "data", "1"),
        derive(0, "dat", "a1"),
        derive(0, "noise", 1),
    }
    assert len(seeds) == 5


def test_seed_never_changes_between_versions():
    assert derive(0, "data", 1) == 794008219019758082
