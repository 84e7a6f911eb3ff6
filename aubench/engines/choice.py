"""Choice of the engine and its devices from the options of a command."""

from __future__ import annotations

from types import UnionType

from aubench.core.errors import UsageError, suggest
from aubench.runs import devices
from aubench.runs.devices import KINDS, OTHER_NAMES, DeviceChoice

ENGINES = ("local", "slurm", "ray")


def choose_engine(
    engine: str = "local",
    device: str = "auto",
    runs_per_device: int = 1,
    *,
    per_fold: int = 1,
    nodes: int = 1,
    slurm: str | None = None,
    address: str | None = None,
    gpus_per_fold: float | None = None,
) -> DeviceChoice:
    """Return the devices on which an engine runs folds.

    Args:
        engine: One of :data:`ENGINES`.
        device: One of :data:`~aubench.runs.devices.KINDS`. ``auto`` is ``cuda`` on Slurm, and on Ray if the cluster has
            a GPU now.
        runs_per_device: Folds that run on each GPU of this machine at the same time.
        per_fold: GPUs of one machine, or CPU cores, that train each fold together.
        nodes: Machines of a Slurm cluster that train each fold together, with ``per_fold`` devices each.
        slurm: Options of Slurm jobs.
        address: Address of a Ray cluster.
        gpus_per_fold: GPUs of each fold on Ray.

    Raises:
        UsageError: There is no such engine or device, or an option is of another engine or type.
    """
    if engine not in ENGINES:
        raise UsageError(f"no engine '{engine}'", where="--engine", hint=suggest(engine, ENGINES))
    _check_type("runs-per-device", runs_per_device, int, "a whole number")
    _check_type("devices", per_fold, int, "a whole number")
    _check_type("nodes", nodes, int, "a whole number")
    _check_type("slurm", slurm, str | None, "a text such as partition=gpu,time=4h")
    _check_type("address", address, str | None, "a text such as HOST:PORT")
    _check_type("gpus-per-fold", gpus_per_fold, int | float | None, "a number such as 0.5")
    if nodes < 1:
        raise UsageError(f"cannot be {nodes}", where="--nodes", hint="give 1 or more")
    for option, value, owner in (
        ("nodes", nodes if nodes > 1 else None, "slurm"),
        ("slurm", slurm, "slurm"),
        ("address", address, "ray"),
        ("gpus-per-fold", gpus_per_fold, "ray"),
    ):
        if value is not None and owner != engine:
            raise UsageError(f"is an option of --engine {owner}", where=f"--{option}", hint="omit one of them")
    if engine == "local":
        return devices.choose(device, runs_per_device, per_fold)
    if runs_per_device != 1:
        raise UsageError(
            "is an option of --engine local", where="--runs-per-device", hint="on Ray, use --gpus-per-fold"
        )
    if device not in KINDS or device == "mps":
        kinds = [kind for kind in KINDS if kind != "mps"]
        hint = suggest(OTHER_NAMES.get(str(device), device), kinds)
        raise UsageError(f"no device '{device}' on clusters", where="--device", hint=hint)
    if per_fold < 1:
        raise UsageError(f"cannot be {per_fold}", where="--devices", hint="give 1 or more")
    if engine == "slurm":
        return _slurm(device, slurm, per_fold, nodes)
    return _ray(device, address, gpus_per_fold, per_fold)


def _check_type(option: str, value: object, types: type | UnionType, form: str) -> None:
    """Check the type of an option, which a command has but a function may lack."""
    if isinstance(value, bool) or not isinstance(value, types):
        raise UsageError(f"cannot be {value!r}", where=f"--{option}", hint=f"give {form}")


def _slurm(device: str, options: str | None, per_fold: int, nodes: int) -> DeviceChoice:
    import submitit  # noqa: F401

    from aubench.engines.slurm_engine import SlurmChoice, require_slurm
    from aubench.engines.slurm_options import check_devices, parse_minutes, parse_options

    parsed = parse_options(options or "")
    parse_minutes(parsed.get("time", "1"))
    kind = "cuda" if device == "auto" else device
    check_devices(parsed, kind, per_fold, nodes)
    require_slurm()
    return SlurmChoice(kind, 1, "slurm", 1, per_fold, options=parsed, nodes=nodes)


def _ray(device: str, address: str | None, gpus_per_fold: float | None, per_fold: int) -> DeviceChoice:
    from aubench.engines import ray_engine

    if gpus_per_fold is not None and per_fold > 1:
        raise UsageError("excludes --devices", where="--gpus-per-fold", hint="omit one of them")
    gpus = float(per_fold) if gpus_per_fold is None else gpus_per_fold
    if gpus_per_fold is not None and not 0 < gpus_per_fold <= 1:
        hint = "give a part of a GPU such as 0.5, or 1"
        raise UsageError(f"cannot be {gpus_per_fold:g}", where="--gpus-per-fold", hint=hint)
    if gpus_per_fold is not None and device == "cpu":
        raise UsageError("needs GPUs", where="--gpus-per-fold", hint="omit it with --device cpu")
    ray_engine.connect(address)
    if device == "auto":
        device = "cuda" if gpus_per_fold is not None or ray_engine.has_gpus() else "cpu"
    gpus = gpus if device == "cuda" else 0.0
    per_device = max(1, int(1 / gpus)) if gpus else 1
    return ray_engine.RayChoice(device, 1, "ray", per_device, per_fold, gpus_per_fold=gpus)
