"""Peak speeds by the names that PyTorch reports."""

from __future__ import annotations

import pytest

from aubench.runs import device_peaks
from aubench.runs.devices import PRECISIONS


@pytest.mark.parametrize(
    ("name", "precision", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", "bf16-mixed", 989.5e12),
        ("NVIDIA H100 PCIe", "bf16-mixed", 756e12),
        ("NVIDIA H100 NVL", "tf32", 417.5e12),
        ("NVIDIA H200", "tf32", 494.5e12),
        ("NVIDIA A100-SXM4-80GB", "32-true", 19.5e12),
        ("NVIDIA L40S", "bf16-mixed", 362e12),
        ("NVIDIA L4", "32-true", 30.3e12),
    ],
)
def test_published_peak_of_a_card(name, precision, peak):
    assert device_peaks.peak_speed("cuda", name, precision) == (peak, device_peaks.PUBLISHED)


@pytest.mark.parametrize("name", ["NVIDIA GeForce GTX 1080", "NVIDIA A10G", "NVIDIA H100 80GB HBM3 MIG 3g.40gb"])
def test_other_cards_and_parts_of_a_card_are_unknown(name):
    assert device_peaks.peak_speed("cuda", name, "32-true") == (None, "unknown")


def test_the_peak_of_a_cpu_is_measured():
    peak, source = device_peaks.peak_speed("cpu", "any", "32-true")
    assert peak is not None and peak > 1e9
    assert source == device_peaks.MEASURED


def test_every_precision_has_an_arithmetic():
    assert [device_peaks.arithmetic(precision) for precision in PRECISIONS] == ["float32", "tf32", "bf16"]
