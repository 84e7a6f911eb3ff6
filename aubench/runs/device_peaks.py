"""Peak speeds of devices in operations per second, for the utilisation of their arithmetic units."""

from __future__ import annotations

import time

PEAKS: dict[str, dict[str, float]] = {
    "H200 NVL": {"float32": 60, "tf32": 417.5, "bf16": 835.5},
    "H200": {"float32": 67, "tf32": 494.5, "bf16": 989.5},
    "H100 NVL": {"float32": 60, "tf32": 417.5, "bf16": 835.5},
    "H100 PCIe": {"float32": 51, "tf32": 378, "bf16": 756},
    "H100": {"float32": 67, "tf32": 494.5, "bf16": 989.5},
    "A100": {"float32": 19.5, "tf32": 156, "bf16": 312},
    "L40S": {"float32": 91.6, "tf32": 183, "bf16": 362},
    "L4": {"float32": 30.3, "tf32": 60, "bf16": 121},
    "A10": {"float32": 31.2, "tf32": 62.5, "bf16": 125},
}
"""10^12 operations per second of NVIDIA cards, dense, by words of the card's name; the first match counts.

Source: NVIDIA's data sheets of the cards. Sheets that state speeds with sparsity are halved.
"""
PUBLISHED = "published, dense"
MEASURED = "measured, product of matrices"
_SIDE, _ROUNDS = 1024, 5


def arithmetic(precision: str) -> str:
    """Return the arithmetic of products and convolutions for a precision in Fabric's notation."""
    if precision.startswith("bf16"):
        return "bf16"
    return "tf32" if "tf32" in precision else "float32"


def peak_speed(kind: str, name: str, precision: str) -> tuple[float | None, str]:
    """Return the peak speed of a device and its origin.

    Args:
        kind: ``cpu``, ``cuda`` or ``mps``.
        name: Name of the device.
        precision: Precision in Fabric's notation.

    Returns:
        Operations per second, None if unknown or for a part of a card, and the origin. The speed of a CPU is measured
        with the threads of this process.
    """
    if kind == "cpu":
        return _measured_on_cpu(arithmetic(precision)), MEASURED
    words = name.replace("-", " ").split()
    for card, speeds in PEAKS.items():
        if set(card.split()) <= set(words) and "MIG" not in words:
            return speeds[arithmetic(precision)] * 1e12, PUBLISHED
    return None, "unknown"


def _measured_on_cpu(kind: str) -> float:
    """Return the speed of the fastest of a few products of matrices."""
    import torch

    matrix = torch.ones(_SIDE, _SIDE, dtype=torch.bfloat16 if kind == "bf16" else torch.float32)
    seconds = []
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - begin)
    return 2 * _SIDE**3 / min(seconds)
