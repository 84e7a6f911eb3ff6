"""Cores of a process within the quota of its container."""

from __future__ import annotations

import pytest

from aubench._util import system


@pytest.mark.parametrize(
    ("lines", "files", "quotas"),
    [
        ("0::/\n", {"cpu.max": "50000 100000\n"}, [0.5]),
        ("0::/job\n", {"job/cpu.max": "max 100000\n", "cpu.max": "800000 100000\n"}, [8.0]),
        ("0::/of/host\n", {"cpu.max": "200000 100000\n"}, [2.0]),
        (
            "4:memory:/\n1:cpu,cpuacct:/a\n0::/\n",
            {"cpu/a/cpu.cfs_quota_us": "150000", "cpu/a/cpu.cfs_period_us": "100000"},
            [1.5],
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, []),
        ("0::/\n", {}, []),
    ],
)
def test_quotas_of_control_groups(tmp_path, lines, files, quotas):
    (tmp_path / "own").write_text(lines)
    for name, text in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert system._quotas(tmp_path / "root", tmp_path / "own") == quotas
    assert system._quotas(tmp_path / "root", tmp_path / "missing") == []


def test_a_part_of_a_core_is_one(monkeypatch):
    monkeypatch.setattr(system, "_quotas", lambda: [0.3])
    assert system.available_cores() == 1
