"""Where a run computes and in which precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aubench._util import system
from aubench.core.errors import UsageError, suggest

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from aubench.core.method import Method

PRECISIONS = ("32-true", "bf16-mixed")
"""Of Lightning Fabric; others would need the state of a loss scaler or of rounded weights to go on after a kill."""
KINDS = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class DeviceChoice:
    """Devices for the folds of runs.

    Attributes:
        kind: ``cpu``, ``cuda`` or ``mps``.
        count: Folds that run side by side: one a GPU, one a CPU core.
        name: What it is, for the record.
    """

    kind: str
    count: int
    name: str


def choose(kind: str) -> DeviceChoice:
    """Find the devices of a kind.

    Args:
        kind: One of :data:`KINDS`; ``auto`` takes the GPU where there is one.

    Raises:
        UsageError: No such kind, or this machine has none of it.
    """
    import torch

    if kind not in KINDS:
        raise UsageError(f"no device '{kind}'", where="--device", hint=suggest(kind, KINDS))
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if kind == "auto":
        kind = next(name for name, there in here.items() if there)
    if not here[kind]:
        raise UsageError(f"no {kind} device on this machine", where="--device", hint="use --device cpu")
    count = {"cuda": torch.cuda.device_count, "mps": lambda: 1, "cpu": system.available_cores}[kind]()
    return DeviceChoice(kind, count, device_name(kind, 0))


def device_name(kind: str, index: int) -> str:
    """What a device is called.

    Args:
        kind: ``cpu``, ``cuda`` or ``mps``.
        index: Which of them.
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
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def fabric_for(kind: str, index: int, precision: str) -> Fabric:
    """A Fabric on one device, whatever a scheduler says of other tasks of its job.

    Args:
        kind: ``cpu``, ``cuda`` or ``mps``.
        index: Which of them.
        precision: One of :data:`PRECISIONS`.
    """
    import logging

    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    devices: Any = [index] if kind != "cpu" else 1
    plugins = [LightningEnvironment()]
    return Fabric(accelerator=kind, devices=devices, precision=precision, plugins=plugins)  # type: ignore[arg-type]


def move_to_device(method: Method, fabric: Fabric) -> None:
    """Move a method to a device, its filters laid out channels last as images are."""
    import torch

    method.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fabric.to_device(method)
