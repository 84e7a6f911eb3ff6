"""Devices and precisions of runs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from aubench._util import system
from aubench._util.child_processes import without_launcher
from aubench.core.errors import UsageError, suggest
from aubench.results.run_costs import DeviceKind, Precision

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from aubench.core.method import Method
    from aubench.runs.engine import Engine

TF32 = "tf32"
PRECISIONS: tuple[str, ...] = get_args(Precision)
"""Precisions that resume without the state of a loss scaler, in Lightning Fabric's notation except for TF32."""
KINDS: tuple[str, ...] = ("auto", *get_args(DeviceKind))
OTHER_NAMES = {"gpu": "cuda"}
"""Common names of kinds, for hints."""
_FIRST_WITH_TF32 = (8, 0)


@dataclass(frozen=True)
class DeviceChoice:
    """Devices for the folds of runs.

    Attributes:
        kind: ``cpu``, ``cuda`` or ``mps``.
        count: Number of GPUs or CPU cores.
        name: Name of the device, as in the record.
        per_device: Number of folds that run on each device at the same time.
        per_fold: Number of devices that train each fold together.
    """

    kind: str
    count: int
    name: str
    per_device: int = 1
    per_fold: int = 1
    remote: ClassVar[bool] = False
    """Whether the devices are on other machines."""

    @property
    def processes_per_fold(self) -> int:
        """Number of processes that train each fold together, on all machines."""
        return self.per_fold

    def engine(self) -> Engine:
        """Create the engine that runs jobs on the devices."""
        from aubench.runs.local_engine import LocalEngine

        return LocalEngine(self)

    def require(self, precision: str) -> None:
        """Check that the devices compute in a precision.

        Raises:
            UsageError: They do not.
        """
        import torch

        if precision != TF32:
            return
        hint = "use --precision 32-true"
        if self.kind != "cuda":
            raise UsageError(f"'{TF32}' needs an NVIDIA GPU, not {self.kind}", where="--precision", hint=hint)
        if any(torch.cuda.get_device_capability(index) < _FIRST_WITH_TF32 for index in range(self.count)):
            raise UsageError(f"'{TF32}' needs a GPU of Ampere or newer", where="--precision", hint=hint)


def choose(kind: str, per_device: int = 1, per_fold: int = 1) -> DeviceChoice:
    """Find the devices of a kind.

    Args:
        kind: One of :data:`KINDS`; ``auto`` takes the GPU if there is one.
        per_device: Number of folds that run on each GPU at the same time.
        per_fold: Number of devices that train each fold together.

    Raises:
        UsageError: There is no such kind, this machine has no device of it, or it cannot run so many folds.
    """
    import torch

    if kind not in KINDS:
        raise UsageError(f"no device '{kind}'", where="--device", hint=suggest(OTHER_NAMES.get(str(kind), kind), KINDS))
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if kind == "auto":
        kind = next(name for name, is_available in available.items() if is_available)
    if not available[kind]:
        raise UsageError(f"no {kind} device on this machine", where="--device", hint="use --device cpu")
    if per_device < 1:
        raise UsageError(f"cannot be {per_device}", where="--runs-per-device", hint="give 1 or more")
    if kind == "cpu" and per_device > 1:
        raise UsageError("needs a GPU", where="--runs-per-device", hint="omit it, because a CPU runs one fold per core")
    count = {"cuda": torch.cuda.device_count, "mps": lambda: 1, "cpu": system.available_cores}[kind]()
    if per_fold > 1 and per_device > 1:
        raise UsageError("is for folds that share a GPU", where="--runs-per-device", hint="omit it, or --devices")
    if not 1 <= per_fold <= count:
        hint = f"this machine has {count} of kind {kind}"
        raise UsageError(f"cannot be {per_fold}", where="--devices", hint=hint)
    return DeviceChoice(kind, count, device_name(kind, 0), per_device, per_fold)


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


def cpu_instructions() -> str:
    """Return the instruction set that PyTorch uses, such as ``AVX512``, and that of oneDNN if it is another one.

    Both use the largest set of the CPU, unless ``ATEN_CPU_CAPABILITY`` or ``ONEDNN_MAX_CPU_ISA`` limit them.
    """
    import torch

    pytorch, limit = torch.backends.cpu.get_cpu_capability(), os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    if not torch.cpu._is_avx2_supported():
        return pytorch
    sets = ("SSE41", "AVX", "AVX2", "AVX512")
    largest = sets.index("AVX512" if torch.cpu._is_avx512_supported() else "AVX2")
    allowed = max((i for i, name in enumerate(sets) if limit.startswith(name)), default=largest)
    onednn = sets[min(largest, allowed)]
    return pytorch if onednn == pytorch else f"{pytorch}, oneDNN {onednn}"


def _cpu_name() -> str:
    import platform
    from pathlib import Path

    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def fp32_precision(precision: str) -> str:
    """Return the precision of float32 products and convolutions in PyTorch's notation, ``ieee`` or ``tf32``."""
    return TF32 if precision == TF32 else "ieee"


def set_fp32_precision(name: str) -> None:
    """Set the precision of products and convolutions of float32.

    PyTorch's default uses TensorFloat-32 in convolutions, but not in products of matrices.

    Args:
        name: ``ieee`` for full float32, without TensorFloat-32 and bfloat16, or ``tf32`` for TensorFloat-32 on GPUs.
    """
    import torch

    backends: Any = torch.backends
    torch.set_float32_matmul_precision("high" if name == TF32 else "highest")
    for part in (backends, backends.mkldnn, backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn):
        part.fp32_precision = "ieee"
    for part in (backends.cuda.matmul, backends.cudnn, backends.cudnn.conv, backends.cudnn.rnn):
        part.fp32_precision = name
    backends.cudnn.allow_tf32 = name == TF32  # the older setting, which raises errors where it disagrees


def limit_memory(choice: DeviceChoice, index: int) -> None:
    """Limit this process to its part of a GPU on which several folds run.

    A tenth is for what the processes hold outside PyTorch's memory.

    Args:
        choice: Devices and number of folds on each.
        index: Index of the device.
    """
    import torch

    if choice.kind == "cuda" and choice.per_device > 1:
        torch.cuda.set_per_process_memory_fraction(0.9 / choice.per_device, index)


def fabric_for(kind: str, index: int, precision: str) -> Fabric:
    """Create a Fabric on one device, regardless of the variables of a cluster's scheduler.

    Args:
        kind: ``cpu``, ``cuda`` or ``mps``.
        index: Index of the device among those of its kind.
        precision: One of :data:`PRECISIONS`.
    """
    import logging

    import torch

    set_fp32_precision(fp32_precision(precision))
    torch.backends.cudnn.benchmark = kind == "cuda"  # the fastest algorithms for batches of one size
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    devices: Any = [index] if kind != "cpu" else 1
    with without_launcher():
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments.lightning import LightningEnvironment

        notation: Any = "32-true" if precision == TF32 else precision
        return Fabric(accelerator=kind, devices=devices, precision=notation, plugins=[LightningEnvironment()])


def move_to_device(method: Method, fabric: Fabric) -> None:
    """Move a method to a device, in channels-last memory format as the images are."""
    import torch

    method.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fabric.to_device(method)
