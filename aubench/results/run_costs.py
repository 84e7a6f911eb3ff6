"""Parts of ``record.json`` on what a run costs and on what it ran: operations, time, device, libraries and code."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from aubench.results.field_types import Count, Duration, Line, Name, SparseModel, StrictModel

FUSION = "fusion"
"""Part of a model that joins the branches of its modalities."""


class Cost(StrictModel):
    """Cost of a model or a part of it.

    Attributes:
        flops: Floating-point operations per frame, twice ``macs``.
        macs: Multiply-accumulate operations per frame.
        parameters: Number of trained and frozen weights.
    """

    flops: Count
    macs: Count
    parameters: Count

    @model_validator(mode="after")
    def _check_flops(self) -> Cost:
        if self.flops != 2 * self.macs:
            raise ValueError("flops must be twice macs")
        return self


class Compute(StrictModel):
    """Computational cost of the model.

    Attributes:
        total: Cost of the model.
        parts: Cost of the branches by modality and of :data:`FUSION`; empty for methods without branches.
        uncounted: Operations that the count leaves out.
    """

    total: Cost
    parts: Annotated[dict[Name, Cost], Field(max_length=20)]
    uncounted: Annotated[tuple[Line, ...], Field(max_length=200)]


class Speed(StrictModel):
    """Frames per second, ``null`` if not measured."""

    train_frames_per_s: Duration | None
    inference_frames_per_s: Duration | None


class Time(StrictModel):
    """Start of the run (UTC, ISO 8601 to the second) and the sum of its working time."""

    started: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    seconds: Duration


Precision = Literal["32-true", "tf32", "bf16-mixed"]
"""Precisions of runs, in Lightning Fabric's notation except for TF32."""
DeviceKind = Literal["cpu", "cuda", "mps"]
"""Kinds of devices."""
MAX_DEVICES = 10_000
"""Most threads or devices of a fold in a record."""

Packages = Annotated[dict[Line, Line], Field(max_length=100)]
"""Versions of Python and of the libraries that affect results."""


class Device(SparseModel):
    """Device and arithmetic.

    Attributes:
        kind: Kind of device.
        name: Name of the device.
        threads: CPU threads per fold.
        precision: Precision of the arithmetic.
        fp32_precision: Precision of float32 products and convolutions in PyTorch's notation: ``ieee`` is full float32,
            ``tf32`` is TensorFloat-32. None if it is not recorded.
        count: Number of devices that trained each fold together; None for one.
        instructions: Instruction set of a CPU that PyTorch uses, such as ``AVX512``, and that of oneDNN if it differs.
            CPUs with different sets round differently. None if it is not recorded.
    """

    kind: DeviceKind
    name: Line
    threads: Annotated[int, Field(ge=1, le=MAX_DEVICES)]
    precision: Precision
    fp32_precision: Literal["ieee", "tf32"] | None = None
    count: Annotated[int, Field(ge=2, le=MAX_DEVICES)] | None = None
    instructions: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ,_]{0,39}$")] | None = None

    @property
    def label(self) -> str:
        """Name and instruction set."""
        return f"{self.name} ({self.instructions})" if self.instructions else self.name


class Git(StrictModel):
    """Commit of the code and whether the working tree differed from it; ``null`` outside a repository."""

    commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")] | None
    dirty: bool | None


class Environment(StrictModel):
    """Device, libraries and code that finished a fold."""

    device: Device
    packages: Packages
    git: Git
