"""Devices and precisions of runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aubench._util import system
from aubench._util.child_processes import without_launcher
from aubench.core.errors import UsageError, suggest

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from aubench.core.method import Method

PRECISIONS = ("32-true", "bf16-mixed")
"""Precisions in Lightning Fabric's notation, limited to those that resume without the state of a loss scaler."""
FP32_PRECISION = "ieee"
"""Precision of float32 products and convolutions, in PyTorch's notation."""
KINDS = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class DeviceChoice:
    """Devices for the folds of runs.

    Attributes:
        kind: ``cpu``, ``cuda`` or ``mps``.
        count: Number of folds that run at the same time, one per GPU or CPU core.
        name: Name of the device, as in the record.
    """

    kind: str
    count: int
    name: str


def choose(kind: str) -> DeviceChoice:
    """Find the devices of a kind.

    Args:
        kind: One of :data:`KINDS`; ``auto`` takes the GPU if there is one.

    Raises:
        UsageError: There is no such kind, or this machine has no device of it.
    """
    import torch

    if kind not in KINDS:
        raise UsageError(f"no device '{kind}'", where="--device", hint=suggest(kind, KINDS))
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if kind == "auto":
        kind = next(name for name, is_available in available.items() if is_available)
    if not available[kind]:
        raise UsageError(f"no {kind} device on this machine", where="--device", hint="use --device cpu")
    count = {"cuda": torch.cuda.device_count, "mps": lambda: 1, "cpu": system.available_cores}[kind]()
    return DeviceChoice(kind, count, device_name(kind, 0))


def device_name(kind: str, index: int) -> str:
    """Return the name of a device.

    Args:
        kind: ``cpu``, ``cuda`` or ``mps``.
        index: Index of the device among those of its kind.
    """
    import torch

    if kind == "cuda":
        return torch.cuda.get_device_name(index)
    return "Apple GPU" if kind == "mps" else _cpu_name()


def _cpu_name() -> str:
    import platform
    from pathlib import Path

    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def use_full_float32() -> None:
    """Compute products and convolutions of float32 in float32, without TensorFloat-32 and bfloat16.

    PyTorch's default uses TensorFloat-32 in convolutions, but not in products of matrices.
    """
    import torch

    backends: Any = torch.backends
    torch.set_float32_matmul_precision("highest")
    for part in (
        *(backends, backends.cuda.matmul, backends.cudnn, backends.cudnn.conv, backends.cudnn.rnn),
        *(backends.mkldnn, backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn),
    ):
        part.fp32_precision = FP32_PRECISION
    backends.cudnn.allow_tf32 = False  # the older setting, which raises errors where it disagrees with the newer


def fabric_for(kind: str, index: int, precision: str) -> Fabric:
    """Create a Fabric on one device, regardless of the variables of a cluster's scheduler, with full float32.

    Args:
        kind: ``cpu``, ``cuda`` or ``mps``.
        index: Index of the device among those of its kind.
        precision: One of :data:`PRECISIONS`.
    """
    import logging

    use_full_float32()
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    devices: Any = [index] if kind != "cpu" else 1
    with without_launcher():
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments.lightning import LightningEnvironment

        plugins = [LightningEnvironment()]
        return Fabric(accelerator=kind, devices=devices, precision=precision, plugins=plugins)  # type: ignore[arg-type]


def move_to_device(method: Method, fabric: Fabric) -> None:
    """Move a method to a device, in channels-last memory format as the images are."""
    import torch

    method.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fabric.to_device(method)
